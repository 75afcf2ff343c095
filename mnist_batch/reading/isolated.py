"""Scans are read in a separate process, so that a file which kills its decoder costs only its own row.

    scans -> Reader -> [ the process: preprocess, page by page, each with a time limit ] -> one row per page

The process gets some scans at a time. If it dies, these are read again one by one. A scan that kills the process twice
more, alone, becomes a row ``crashed`` or ``timeout``; every other scan has its own row.
"""

import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import pyarrow as pa
from PIL import Image

from mnist_batch.errors import InputError, JobError, StorageError
from mnist_batch.forms.references import Reference
from mnist_batch.reading import form_pages, preprocessing
from mnist_batch.schemas.facts import FormFacts
from mnist_batch.statuses import Status
from mnist_batch.store import retry
from mnist_batch.wording import seconds

log = logging.getLogger(__name__)

TRIES = 3  # attempts to read a scan: with others, then twice alone
MEMORY_BYTES = 2 * 1024**3
STACK_BYTES = 1024**2  # of each thread that reads ahead: the default, 8 MiB, would be half of the memory for decoding
OUT_OF_MEMORY = 12


class Died(Exception):
    """The reading process died on its scans. ``status`` and ``reason`` are those of a row."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class Reader:
    """Reads scans in a process of its own, which is started when needed and again after a scan killed it.

    During a long read the process gives a sign of life every ``beat_seconds``, between two pages. With ``shown_side``
    its rows have one more column, ``shown``: the page or cell for people to see, as ``images.shown`` makes it. With
    ``forms`` each page is compared with these, and has a row for each cell.
    """

    def __init__(
        self,
        limits: preprocessing.Limits | None = None,
        beat_seconds: float = 5,
        shown_side: int = 0,
        forms: Sequence[FormFacts] = (),
    ) -> None:
        self.limits, self.forms = limits or preprocessing.Limits(), forms
        self.beat_seconds, self.shown_side = beat_seconds, shown_side
        self.process: subprocess.Popen[bytes] | None = None

    def read(
        self,
        scans: pa.Table,
        shard: int = 0,
        fatal: Mapping[int, tuple[Status, str]] | None = None,
        note: Callable[[int, str, str], object] = lambda *_: None,
        beat: Callable[[int, int], object] = lambda *_: None,
        tell: Callable[[str], object] = log.warning,
    ) -> pa.Table:
        """Read every scan of a manifest: one row per page (``tables.PREPROCESSED``), in the manifest's order.

        ``fatal`` has the status and reason of rows that are known to kill the process; these are not read again.
        ``note`` is called with each new one, ``beat`` now and then with the row and the page that are being read, and
        ``tell`` with a sentence if requests to a store have to be repeated. Raises InputError if a source cannot be
        opened at all, StorageError if a store does not answer, and JobError if the process does not start.
        """
        known, self.tell = dict(fatal or {}), tell
        if not known:
            with suppress(Died):
                return self._ask(scans, shard, beat)
        pages = []
        for row in range(len(scans)):
            scan = scans.slice(row, 1)
            if row not in known:
                try:
                    own = self._ask_alone(scan, shard, lambda _, page, row=row: beat(row, page))
                    pages.append(preprocessing.shifted(own, row))
                    continue
                except Died as death:
                    known[row] = death.status, death.reason
                    note(row, *known[row])
            died = preprocessing.table(scan, shard, [preprocessing.unread(0, 0, *known[row])], bool(self.shown_side))
            pages.append(preprocessing.shifted(died, row))
        return pa.concat_tables(pages)

    def close(self) -> None:
        """End the process if there is one."""
        if self.process is not None:
            self._end()

    def _ask_alone(self, *scan: Any) -> pa.Table:
        try:
            return self._ask(*scan)
        except Died:  # something else may have killed the process, so try once more
            return self._ask(*scan)

    def _ask(self, scans: pa.Table, shard: int, beat: Callable[[int, int], object]) -> pa.Table:
        if self.process is None:
            self._start()
        try:
            self.connection.send((shard, _packed(scans)))
        except OSError:
            raise self._death() from None
        while (message := self._receive()).startswith((_AT, _TOLD)):
            try:
                if message.startswith(_TOLD):
                    self.tell(message.removeprefix(_TOLD).decode())
                else:
                    beat(*map(int, message.removeprefix(_AT).split()))
            except Exception:  # any error of ``beat`` or ``tell``, which is raised again
                self.close()  # otherwise its pending messages would be taken for its next answer
                raise
        for sign, fault in _FAULTS.items():
            if message.startswith(sign):
                raise fault(message.removeprefix(sign).decode())
        return _unpacked(message)

    def _receive(self) -> bytes:
        try:
            return self.connection.recv_bytes()  # no pickle: a process that decodes unknown files is not trusted
        except (EOFError, OSError):
            raise self._death() from None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        settings = [json.dumps(asdict(self.limits)), str(self.beat_seconds), str(self.shown_side)]
        settings.append(json.dumps([asdict(form) for form in self.forms]))
        self.process = subprocess.Popen(  # noqa: S603 - this Python, this module
            [sys.executable, "-P", "-m", "mnist_batch.reading.isolated", str(theirs.fileno()), *settings],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OPENCV_IO_MAX_IMAGE_PIXELS": str(self.limits.max_pixels),  # read when OpenCV is imported
            },
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        try:
            self.connection.recv_bytes()  # it is ready; from now on only a scan can end it
        except (EOFError, OSError):
            raise JobError(
                f"the process that reads scans did not start ({_how(self._end())}); see the log of its Ray worker"
            ) from None

    def _end(self) -> int:
        assert self.process is not None
        self.connection.close()
        code = self.process.wait()
        self.process = None
        return code

    def _death(self) -> Died:
        code = self._end()
        log.warning("a process that reads scans died (%s)", _how(code))
        if code == -signal.SIGALRM:
            return Died(
                Status.TIMEOUT, f"not read and decoded in {seconds(self.limits.scan_timeout_seconds)}, three times"
            )
        if code == OUT_OF_MEMORY:
            return Died(Status.CRASHED, f"decoding it takes more than {MEMORY_BYTES / 1024**3:g} GiB of memory")
        return Died(Status.CRASHED, f"it killed the process that decodes it, three times ({_how(code)})")


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


_FAULTS: Mapping[bytes, type[JobError]] = {b"refused: ": InputError, b"failed: ": StorageError}
_AT = b"at "  # a row and a page
_TOLD = b"told: "


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def _unpacked(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()


def serve(
    connection: Connection,
    limits: preprocessing.Limits,
    beat_seconds: float,
    shown_side: int,
    forms: Sequence[FormFacts],
) -> None:
    """Run the process: receive scans and send back their rows, until the other end is closed.

    If a page takes longer than the limit, the kernel ends the process, whatever the decoder is doing.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(STACK_BYTES)
    warnings.simplefilter("ignore")  # warnings of decoders about odd scans do not belong in the log
    Image.MAX_IMAGE_PIXELS = None  # ``limits`` applies instead

    beaten, told = time.monotonic(), SimpleQueue[str]()
    retry.tell_by(told.put)  # by threads that read ahead; only this one may write to the connection

    def pass_on() -> None:
        while not told.empty():
            connection.send_bytes(_TOLD + told.get().encode())

    def next_page(row: int, page: int) -> None:
        nonlocal beaten
        signal.setitimer(signal.ITIMER_REAL, limits.scan_timeout_seconds)
        if time.monotonic() - beaten > beat_seconds:
            connection.send_bytes(_AT + f"{row} {page}".encode())
            beaten = time.monotonic()

    def waiting() -> None:  # the wait for a store does not count towards a scan's limit
        signal.setitimer(signal.ITIMER_REAL, 0)
        pass_on()

    references: list[Reference] | None = None
    connection.send_bytes(b"ready")
    while True:
        try:
            shard, scans = connection.recv()
        except EOFError:
            return
        try:
            if references is None:  # here, so that a form that has changed is told
                references = form_pages.prepare(forms)
            rows = preprocessing.preprocess(_unpacked(scans), shard, limits, next_page, waiting, references, shown_side)
            answer = _packed(rows)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except (InputError, StorageError) as error:
            [sign] = [sign for sign, fault in _FAULTS.items() if isinstance(error, fault)]
            answer = sign + str(error).encode()
        waiting()
        connection.send_bytes(answer)


if __name__ == "__main__":
    serve(
        Connection(int(sys.argv[1])),
        preprocessing.Limits(**json.loads(sys.argv[2])),
        float(sys.argv[3]),
        int(sys.argv[4]),
        [FormFacts(**form) for form in json.loads(sys.argv[5])],
    )
