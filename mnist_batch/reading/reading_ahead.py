"""Scans at a store are requested before their turn: it is slow to answer each, but answers many at once."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

import pyarrow as pa

from mnist_batch.reading import images
from mnist_batch.store import locations

FEWEST = 16  # requests under way, and how many there are until it is known how long the store takes
MOST = locations.CONNECTIONS
MOST_BYTES = 256 * 1024**2  # a part of ``serving.MEMORY_BYTES``, most of which is for decoding
SMOOTHING = 0.1  # the weight of the newest measurement

Read = Callable[[], bytes]


class Pace:
    """How many requests have to be under way so that a scan is there when it is its turn.

    That is as many as there are turns while the store answers one, and as many again, since answers vary.
    """

    def __init__(self) -> None:
        self.answer_seconds = self.turn_seconds = 0.0

    def answered(self, seconds: float) -> None:
        """The store took so long for a scan."""
        self.answer_seconds = self._smoothed(self.answer_seconds, seconds)

    def turned(self, seconds: float) -> None:
        """What is done with a scan, once it is there, took so long."""
        self.turn_seconds = self._smoothed(self.turn_seconds, seconds)

    def _smoothed(self, before: float, seconds: float) -> float:
        return before + SMOOTHING * (seconds - before) if before else seconds

    @property
    def requests(self) -> int:
        """How many requests should be under way."""
        if not self.answer_seconds or not self.turn_seconds:
            return FEWEST
        return round(min(MOST, max(FEWEST, 2 * self.answer_seconds / self.turn_seconds)))


def read_ahead(
    manifest: pa.Table, max_bytes: int, waiting: Callable[[], object] = lambda: None
) -> Iterator[tuple[bytes, Read]]:
    """Each scan's path and a function that returns its bytes; the bytes of a scan at a store have arrived by then.

    The function raises ``images.Unreadable``, and InputError or StorageError if a store does not answer. As many scans
    are requested ahead as ``Pace`` tells, and of no more than ``MOST_BYTES`` by their listed sizes. ``waiting`` is
    called before a wait for the store.
    """
    requested: deque[tuple[bytes, Read | Future[bytes], int]] = deque()
    ahead, pace = 0, Pace()

    def timed(read: Read) -> bytes:
        started = time.perf_counter()
        try:
            return read()
        finally:
            pace.answered(time.perf_counter() - started)

    def first() -> tuple[bytes, Read]:
        nonlocal ahead
        path, read, size = requested.popleft()
        ahead -= size
        if isinstance(read, Future):
            if not read.done():
                waiting()
                wait([read])
            return path, read.result
        return path, read

    listed = zip(*(manifest[name].to_pylist() for name in ("source", "path", "size", "modified_ns")), strict=True)
    with ThreadPoolExecutor(MOST) as pool:
        for source, path, size, modified_ns in listed:
            read = partial(images.read_scan, source, path, size, modified_ns, max_bytes)
            room = min(size or 0, images.paged_bytes(max_bytes)) if (remote := locations.is_uri(source)) else 0
            requested.append((path, pool.submit(timed, read) if remote else read, room))
            ahead += room
            while len(requested) > pace.requests or ahead > MOST_BYTES:
                scan = first()
                began = time.perf_counter()
                yield scan
                pace.turned(time.perf_counter() - began)
        while requested:
            yield first()
