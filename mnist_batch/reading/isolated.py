"""Scans are read in a separate process, so that a file which kills its decoder costs only its own row.

    scans -> Reader -> [ the process: preprocess, scan by scan, each with a time limit ] -> one row per page

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
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from mnist_batch import failpoints
from mnist_batch.described import described, flag
from mnist_batch.errors import InputError, JobError, StorageError
from mnist_batch.pixels import normalising
from mnist_batch.reading import images
from mnist_batch.schemas import tables
from mnist_batch.statuses import MEANINGS, Status
from mnist_batch.store import locations
from mnist_batch.wording import seconds

log = logging.getLogger(__name__)

TRIES = 3  # attempts to read a scan: with others, then twice alone
READ_AHEAD = 32  # requests in flight: a remote store is slow to answer each, but answers many at once
AHEAD_BYTES = 256 * 1024**2  # a part of ``MEMORY_BYTES``, most of which is for decoding
MEMORY_BYTES = 2 * 1024**3
OUT_OF_MEMORY = 12


@dataclass(frozen=True)
class Limits:
    """Limits for one scan: bytes of its file, pixels of a page, seconds to read and decode it.

    Raises InputError for a value that is not above 0 and below 2**31.
    """

    max_bytes: int = described(images.MAX_BYTES, "bytes of its file", metavar="N")
    max_pixels: int = described(images.MAX_PIXELS, "pixels of a page", metavar="N")
    scan_timeout_seconds: float = 20

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < 2**31:
                raise InputError(f"{flag(name)} is {value}; it has to be above 0 and below {2**31:,}")


class Died(Exception):
    """The reading process died on its scans. ``status`` and ``reason`` are those of a row."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class Reader:
    """Reads scans in a process of its own, which is started when needed and again after a scan killed it.

    During a long read the process gives a sign of life every ``beat_seconds``, between two scans. With ``shown_side``
    its rows have one more column, ``shown``: the page for people to see, as ``images.shown`` makes it.
    """

    def __init__(self, limits: Limits | None = None, beat_seconds: float = 5, shown_side: int = 0) -> None:
        self.limits, self.beat_seconds, self.shown_side = limits or Limits(), beat_seconds, shown_side
        self.process: subprocess.Popen[bytes] | None = None

    def read(
        self,
        scans: pa.Table,
        shard: int = 0,
        fatal: Mapping[int, tuple[Status, str]] | None = None,
        note: Callable[[int, str, str], object] = lambda *_: None,
        beat: Callable[[int], object] = lambda _: None,
    ) -> pa.Table:
        """Read every scan of a manifest: one row per page (``tables.PREPROCESSED``), in the manifest's order.

        ``fatal`` has the status and reason of rows that are known to kill the process; these are not read again.
        ``note`` is called with each new one, ``beat`` now and then with the row that is being read. Raises InputError
        if a source cannot be opened at all, StorageError if a store does not answer, and JobError if the process does
        not start.
        """
        known = dict(fatal or {})
        if not known:
            with suppress(Died):
                return self._ask(scans, shard, beat)
        pages = []
        for row in range(len(scans)):
            scan = scans.slice(row, 1)
            if row not in known:
                try:
                    pages.append(shifted(self._ask_alone(scan, shard, lambda _, row=row: beat(row)), row))
                    continue
                except Died as death:
                    known[row] = death.status, death.reason
                    note(row, *known[row])
            died = _table(scan, shard, [_unread(0, 0, *known[row])], bool(self.shown_side))
            pages.append(shifted(died, row))
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

    def _ask(self, scans: pa.Table, shard: int, beat: Callable[[int], object]) -> pa.Table:
        if self.process is None:
            self._start()
        try:
            self.connection.send((shard, _packed(scans)))
        except OSError:
            raise self._death() from None
        while (message := self._receive()).startswith(_AT_ROW):
            try:
                beat(int(message.removeprefix(_AT_ROW)))
            except Exception:  # any error of ``beat``, which is raised again
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


class _Page(NamedTuple):
    """A page that was read: columns of ``tables.PREPROCESSED``, and ``shown``. ``row`` is that of its scan."""

    row: int
    page: int
    status: Status
    reason: str | None
    picture: bytes
    others: list[bytes]
    normalisation: dict[str, Any] | None
    stray: bool
    content: bytes | None
    shown: bytes | None = None
    form: str | None = None
    field: str | None = None
    position: int | None = None
    cell: dict[str, Any] | None = None
    registration: dict[str, Any] | None = None


def _unread(row: int, page: int, status: Status, reason: str, content: bytes | None = None) -> _Page:
    return _Page(row, page, status, reason, bytes(tables.IMAGE_BYTES), [], None, False, content)


_FAULTS: Mapping[bytes, type[JobError]] = {b"refused: ": InputError, b"failed: ": StorageError}
_AT_ROW = b"at row "


def preprocess(
    manifest: pa.Table,
    shard: int = 0,
    limits: Limits | None = None,
    next_scan: Callable[[int], object] = lambda _: None,
    waiting: Callable[[], object] = lambda: None,
    shown_side: int = 0,
) -> pa.Table:
    """Read, decode and normalise every scan of a manifest in this process, with the result of ``Reader.read``.

    A scan that cannot be read is one row with its status and reason and an empty picture. ``next_scan`` is called with
    the row of each scan before it is read, or, at a store, once its bytes have arrived. ``waiting`` is called before
    the process waits for these bytes. Raises InputError or StorageError if a store does not answer.
    """
    limits = limits or Limits()
    pages: list[_Page] = []
    listed = zip(*(manifest[name].to_pylist() for name in ("source", "path", "size", "modified_ns")), strict=True)
    for row, (path, read) in enumerate(_read_ahead(listed, limits.max_bytes, waiting)):
        next_scan(row)
        content = None
        try:
            failpoints.reach("read", path)
            data = read()
            content = images.content_digest(data)
            readers = images.pages(data, limits.max_pixels)
        except JobError:
            raise
        except Exception as error:  # noqa: BLE001 - any error that a strange file causes is the reason in its row
            pages.append(_unread(row, 0, *_status_and_reason(error), content))
            continue
        pages += (_page(row, number, read_page, content, shown_side) for number, read_page in enumerate(readers))
    return _table(manifest, shard, pages, bool(shown_side))


def _page(row: int, page: int, read_page: Callable[[], images.Grey], content: bytes, shown_side: int) -> _Page:
    """Decode and normalise a page; one that cannot be read does not affect the others."""
    try:
        grey = read_page()
        seen, *others = normalising.examine_all(grey)
        shown = images.shown(grey, shown_side) if shown_side else None
    except Exception as error:  # noqa: BLE001 - any error that a strange page causes is the reason in its row
        return _unread(row, page, *_status_and_reason(error), content)
    status, reason = (Status.OK, None) if seen.picture.any() else (Status.BLANK, MEANINGS[Status.BLANK])
    picture, others_seen = seen.picture.tobytes(), [other.picture.tobytes() for other in others]
    return _Page(row, page, status, reason, picture, others_seen, normalisation_of(seen), seen.stray, content, shown)


def _status_and_reason(error: Exception) -> tuple[Status, str]:
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, images.Unreadable):
        return error.status, str(error.reason)
    return Status.CRASHED, f"{type(error).__name__}: {error}"[:200]


def _read_ahead(
    scans: Iterable[tuple[str, bytes, int | None, int | None]], max_bytes: int, waiting: Callable[[], object]
) -> Iterator[tuple[bytes, Callable[[], bytes]]]:
    """Each scan's path and a function that returns its bytes; the bytes of a scan at a store have arrived by then.

    At a store the next ``READ_AHEAD`` scans are requested ahead, as long as they are no more than ``AHEAD_BYTES``.
    """
    requested: deque[tuple[bytes, Callable[[], bytes] | Future[bytes], int]] = deque()
    ahead = 0

    def first() -> tuple[bytes, Callable[[], bytes]]:
        nonlocal ahead
        path, read, size = requested.popleft()
        ahead -= size
        if isinstance(read, Future):
            if not read.done():
                waiting()
                wait([read])
            return path, read.result
        return path, read

    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for source, path, size, modified_ns in scans:
            read = partial(images.read_scan, source, path, size, modified_ns, max_bytes)
            room = min(size or 0, max_bytes) if (remote := locations.is_uri(source)) else 0
            requested.append((path, pool.submit(read) if remote else read, room))
            ahead += room
            while len(requested) > READ_AHEAD or ahead > AHEAD_BYTES:
                yield first()
        while requested:
            yield first()


def normalisation_of(seen: normalising.Normalised) -> dict[str, Any] | None:
    """How a page was normalised, as ``tables.NORMALISATION``; None for a blank page."""
    if seen.box is None or seen.shift is None:
        return None
    x, y, width, height = seen.box
    return {
        "polarity": seen.polarity,
        "threshold": seen.threshold,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "scale": seen.scale,
        "shift_across": seen.shift[0],
        "shift_down": seen.shift[1],
        "touching_border": seen.touching_border,
    }


def _table(manifest: pa.Table, shard: int, pages: list[_Page], with_shown: bool) -> pa.Table:
    """The pages with the manifest's columns of their scans, as ``tables.PREPROCESSED``, and ``shown`` if asked for."""
    columns = dict(zip(_Page._fields, zip(*pages, strict=True) if pages else ([],) * len(_Page._fields), strict=True))
    scans = manifest.take(pa.array(columns["row"], pa.int64()))
    carried = {name: scans[name].combine_chunks() for name in ("scan", "source")}
    carried["label"] = _labels(scans, columns["page"])
    shown = pa.array(columns.pop("shown"), pa.binary())
    rows = tables.table(tables.PREPROCESSED, {**columns, **carried, "shard": np.full(len(scans), shard, np.int32)})
    return rows.append_column("shown", shown) if with_shown else rows


def _labels(scans: pa.Table, pages: Sequence[int]) -> pa.Array:
    """The label of each page of ``pages``, whose scans are the rows of ``scans``: its own, or that of its scan."""
    if scans["page_labels"].null_count == len(scans):
        return scans["label"].combine_chunks()
    rows = zip(pages, scans["label"].to_pylist(), scans["page_labels"].to_pylist(), strict=True)
    labels = [label if own is None else own[page] if page < len(own) else None for page, label, own in rows]
    return pa.array(labels, pa.int8())


def shifted(pages: pa.Table, first: int) -> pa.Table:
    """The pages of a slice of a shard with rows counted in the shard; the slice begins at row ``first``."""
    at = pages.schema.get_field_index("row")
    return pages.set_column(at, pages.schema.field(at), pc.add(pages["row"], pa.scalar(first, pa.int32())))


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def _unpacked(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()


def serve(connection: Connection, limits: Limits, beat_seconds: float, shown_side: int) -> None:
    """Run the process: receive scans and send back their rows, until the other end is closed.

    If a scan takes longer than its limit, the kernel ends the process, whatever the decoder is doing.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # warnings of decoders about odd scans do not belong in the log
    Image.MAX_IMAGE_PIXELS = None  # ``limits`` applies instead

    beaten = time.monotonic()

    def next_scan(row: int) -> None:
        nonlocal beaten
        signal.setitimer(signal.ITIMER_REAL, limits.scan_timeout_seconds)
        if time.monotonic() - beaten > beat_seconds:
            connection.send_bytes(_AT_ROW + str(row).encode())
            beaten = time.monotonic()

    def waiting() -> None:  # the wait for a store does not count towards a scan's limit
        signal.setitimer(signal.ITIMER_REAL, 0)

    connection.send_bytes(b"ready")
    while True:
        try:
            shard, scans = connection.recv()
        except EOFError:
            return
        try:
            answer = _packed(preprocess(_unpacked(scans), shard, limits, next_scan, waiting, shown_side))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except (InputError, StorageError) as error:
            [sign] = [sign for sign, fault in _FAULTS.items() if isinstance(error, fault)]
            answer = sign + str(error).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), Limits(**json.loads(sys.argv[2])), float(sys.argv[3]), int(sys.argv[4]))
