"""Scans are read in a separate process, so that a page which kills its decoder costs only its own row.

    scans -> Reader -> [ the process: preprocess, with a time limit for each page ] -> one row per page

The process (``serving``) gets some scans at a time. If it dies, these are read again one by one. A page that kills the
process twice more, alone, becomes a row ``crashed`` or ``timeout``, and so does a file that kills it before its pages
are known; every other page has its own row.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection

import pyarrow as pa

from mnist_batch.errors import JobError
from mnist_batch.reading import preprocessing, serving
from mnist_batch.schemas.facts import FormFacts
from mnist_batch.statuses import Status
from mnist_batch.store import retry
from mnist_batch.wording import seconds

log = logging.getLogger(__name__)

TRIES = 3  # attempts to read a page: with others, then twice alone

# What kills the process: by row and page, None for a whole file, the status and the reason of its row.
Fatal = Mapping[tuple[int, int | None], tuple[Status, str]]


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
        self.at: int | None = None  # the page that is being read; None while its file is read and opened

    def read(
        self,
        scans: pa.Table,
        shard: int = 0,
        fatal: Fatal | None = None,
        note: Callable[[int, int | None, Status, str], object] = lambda *_: None,
        beat: Callable[[int, int], object] = lambda *_: None,
        tell: Callable[[str], object] = log.warning,
        again: Callable[[int], object] = lambda _: None,
    ) -> pa.Table:
        """Read every scan of a manifest: one row per page (``tables.PREPROCESSED``), in the manifest's order.

        ``fatal`` has the status and reason of what is known to kill the process, by row and page, None for a whole
        file; these are not read again. ``note`` is called with each new one, ``beat`` now and then with the row and the
        page that are being read, ``tell`` with a sentence if requests to a store have to be repeated, and ``again``
        with the number of scans that are read again since the process died. Raises InputError if a source cannot be
        opened at all, StorageError if a store does not answer, and JobError if the process does not start.
        """
        known, self.tell, self.again = dict(fatal or {}), tell, again
        if not known:
            try:
                [rows] = self._ask(scans, shard, None, beat)
                return rows
            except Died:
                again(len(scans))
        pages = []
        for row in range(len(scans)):
            own = {page: what for (of, page), what in known.items() if of == row}
            alone = self._read_alone(scans.slice(row, 1), shard, own, partial(note, row), partial(_at_row, beat, row))
            pages.append(preprocessing.shifted(alone, row))
        return pa.concat_tables(pages)

    def close(self) -> None:
        """End the process if there is one."""
        if self.process is not None:
            self._end()

    def _read_alone(
        self,
        scan: pa.Table,
        shard: int,
        fatal: dict[int | None, tuple[Status, str]],
        note: Callable[[int | None, Status, str], object],
        beat: Callable[[int, int], object],
    ) -> pa.Table:
        """The rows of one scan; a page that kills the process costs its own row, and the next goes on after it."""
        read: list[pa.Table] = []  # of each page
        deaths = Counter[int | None]()
        while None not in fatal:
            try:
                for rows in self._ask(scan, shard, preprocessing.PagesAsked.of(len(read), fatal), beat):
                    read.append(rows)
                return pa.concat_tables(read)
            except Died as death:
                page = len(read) if read else self.at
                deaths[page] += 1
                with_others = page == next(iter(deaths))  # it is what killed the process then
                if deaths[page] + with_others >= TRIES:
                    fatal[page] = death.status, death.reason
                    note(page, *fatal[page])
                if None not in fatal:
                    self.again(1)
        lost = preprocessing.unread(0, len(read), *fatal[None])
        return pa.concat_tables([*read, preprocessing.table(scan, shard, [lost], bool(self.shown_side))])

    def _ask(
        self,
        scans: pa.Table,
        shard: int,
        asked: preprocessing.PagesAsked | None,
        beat: Callable[[int, int], object],
    ) -> Iterator[pa.Table]:
        """Yield the rows of some scans, or page by page those of one of whose pages some are asked for."""
        if self.process is None:
            self._start()
        self.at, beaten = None, time.monotonic()
        try:
            self.connection.send((shard, serving.packed(scans), asked))
        except OSError:
            raise self._death() from None
        while (message := self._receive()) != serving.DONE:
            if message.startswith(serving.TOLD):
                self._pass_on(self.tell, message.removeprefix(serving.TOLD).decode())
            elif message.startswith(serving.REPEATED):
                retry.repeated(int(message.removeprefix(serving.REPEATED)))
            elif message.startswith(serving.AT):
                row, self.at = map(int, message.removeprefix(serving.AT).split())
                if not asked or time.monotonic() - beaten >= self.beat_seconds:
                    beaten = time.monotonic()
                    self._pass_on(beat, row, self.at)
            else:
                for sign, fault in serving.FAULTS.items():
                    if message.startswith(sign):
                        raise fault(message.removeprefix(sign).decode())
                yield serving.unpacked(message)

    def _pass_on(self, to: Callable[..., object], *what: object) -> None:
        try:
            to(*what)
        except Exception:  # any error of ``beat`` or ``tell``, which is raised again
            self.close()  # otherwise its pending messages would be taken for its next answer
            raise

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
            [sys.executable, "-P", "-m", "mnist_batch.reading.serving", str(theirs.fileno()), *settings],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,  # the interrupt of a terminal is for the job
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
                f"the process that reads scans did not start ({_how(self._end())}); see the log of the job, "
                "or of its Ray worker"
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
        if code == serving.OUT_OF_MEMORY:
            return Died(Status.CRASHED, f"decoding it takes more than {serving.MEMORY_BYTES / 1024**3:g} GiB of memory")
        return Died(Status.CRASHED, f"it killed the process that decodes it, three times ({_how(code)})")


def _at_row(beat: Callable[[int, int], object], row: int, _: int, page: int) -> None:
    beat(row, page)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
