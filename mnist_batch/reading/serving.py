"""The process that reads scans for ``isolated.Reader``: scans in, their rows out, within limits of time and memory.

    python -m mnist_batch.reading.serving DESCRIPTOR LIMITS BEAT_SECONDS SHOWN_SIDE FORMS

It answers each request with messages: where it is, rows, a fault, and at last ``DONE``.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

import pyarrow as pa
from PIL import Image

from mnist_batch.errors import InputError, JobError, StorageError
from mnist_batch.forms.references import Reference
from mnist_batch.reading import form_pages, preprocessing
from mnist_batch.schemas.facts import FormFacts
from mnist_batch.store import retry

MEMORY_BYTES = 2 * 1024**3
STACK_BYTES = 1024**2  # of each thread that reads ahead: the default, 8 MiB, would be half of the memory for decoding
OUT_OF_MEMORY = 12
PR_SET_PDEATHSIG = 1  # of Linux: the signal that a process gets when the thread that started it has ended
FAULTS: Mapping[bytes, type[JobError]] = {b"refused: ": InputError, b"failed: ": StorageError}
AT = b"at "  # a row and a page
TOLD = b"told: "
REPEATED = b"repeated: "  # so many requests to a store
DONE = b"done"


def packed(rows: pa.Table) -> bytes:
    """A table as the bytes of a message."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def unpacked(content: bytes) -> pa.Table:
    """The table of a message."""
    return pa.ipc.open_stream(content).read_all()


def _confine() -> None:
    """Limit the memory of this process, let it end with the one that started it, and silence its decoders."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere it ends after the page that it is at
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.stack_size(STACK_BYTES)
    warnings.simplefilter("ignore")  # warnings of decoders about odd scans do not belong in the log
    Image.MAX_IMAGE_PIXELS = None  # ``Limits`` apply instead


class _Signs:
    """What the process says between requests and answers: which page it begins, what a store said, what it repeated."""

    def __init__(self, connection: Connection, scan_timeout_seconds: float, beat_seconds: float) -> None:
        self.page_by_page = False  # whether the scan that is read may kill the process
        self._connection, self._timeout_seconds, self._beat_seconds = connection, scan_timeout_seconds, beat_seconds
        self._beaten, self._told, self._repeated = time.monotonic(), SimpleQueue[str](), SimpleQueue[int]()
        retry.tell_by(self._told.put)  # by threads that read ahead; only this one may write to the connection
        retry.count_by(self._repeated.put)

    def next_page(self, row: int, page: int | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._timeout_seconds)
        if (self.page_by_page and page is not None) or time.monotonic() - self._beaten > self._beat_seconds:
            self._connection.send_bytes(AT + f"{row} {page or 0}".encode())
            self._beaten = time.monotonic()

    def waiting(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)  # the wait for a store does not count towards a scan's limit
        while not self._told.empty():
            self._connection.send_bytes(TOLD + self._told.get().encode())
        if requests := sum(self._repeated.get() for _ in range(self._repeated.qsize())):
            self._connection.send_bytes(REPEATED + str(requests).encode())


def serve(
    connection: Connection,
    limits: preprocessing.Limits,
    beat_seconds: float,
    shown_side: int,
    forms: Sequence[FormFacts],
) -> None:
    """Run the process: receive scans and send back their rows, until the other end is closed.

    A request is the shard, its scans, and None; or, for a single scan that may kill the process, which of its pages to
    read: then the rows of each page are sent as soon as they are there. If a page takes longer than the limit, the
    kernel ends the process, whatever the decoder is doing.
    """
    _confine()
    signs = _Signs(connection, limits.scan_timeout_seconds, beat_seconds)
    references: list[Reference] | None = None
    connection.send_bytes(b"ready")
    while True:
        try:
            shard, scans, asked = connection.recv()
        except EOFError:
            return
        try:
            if references is None:  # here, so that a form that has changed is told
                references = form_pages.prepare(forms)
            signs.page_by_page = bool(asked)
            manifest = unpacked(scans)
            settings = limits, signs.next_page, signs.waiting, references, shown_side
            if asked:
                for page in preprocessing.read_pages(manifest, *settings, asked):
                    connection.send_bytes(packed(preprocessing.table(manifest, shard, page, bool(shown_side))))
            else:
                connection.send_bytes(packed(preprocessing.preprocess(manifest, shard, *settings)))
            answer = DONE
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except (InputError, StorageError) as error:
            [sign] = [sign for sign, fault in FAULTS.items() if isinstance(error, fault)]
            answer = sign + str(error).encode()
        signs.waiting()
        connection.send_bytes(answer)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the job ended while this process was starting
        serve(
            Connection(int(sys.argv[1])),
            preprocessing.Limits(**json.loads(sys.argv[2])),
            float(sys.argv[3]),
            int(sys.argv[4]),
            [FormFacts(**form) for form in json.loads(sys.argv[5])],
        )
