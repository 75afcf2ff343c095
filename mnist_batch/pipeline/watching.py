"""The progress of a run, from the receipts of its parts; a run that stalls is ended."""

import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from mnist_batch import wording
from mnist_batch.errors import Stalled, StorageError
from mnist_batch.runs import parts
from mnist_batch.runs.run import TOLD, Run, part_name
from mnist_batch.schemas.facts import Opened, Receipt
from mnist_batch.store import retry
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0  # a line of progress, where it does not go to a terminal


def watched(run: Run, receipts: Iterable[Receipt], timeout_seconds: float) -> Iterator[Receipt]:
    """Yield the receipts as they arrive; raise Stalled after so many seconds without one or another sign of life.

    Ray Data waits for ever for actors that find no free CPU, and starts one that dies again without end. It is left
    to a thread of its own then, which ends with the process.
    """
    came = SimpleQueue[Receipt | BaseException | None]()

    def draw() -> None:
        try:
            for receipt in receipts:
                came.put(receipt)
            came.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised again, where the receipts are taken
            came.put(error)

    signs, since = run.signs_of_life(), time.monotonic()
    threading.Thread(target=draw, daemon=True).start()
    while True:
        try:
            receipt = came.get(timeout=min(1, timeout_seconds))
        except Empty:
            # A store that does not answer is reported by the actors.
            with suppress(StorageError), retry.patience(0):
                if new := run.signs_of_life() - signs:
                    since = time.monotonic()
                    signs |= new
                    _tell(run, new)
            if time.monotonic() - since > timeout_seconds:
                raise Stalled(
                    f"run {run.run_id}: no shard was finished for {wording.seconds(timeout_seconds)} "
                    "(--no-progress-timeout). Check whether the disks or stores answer and, on a cluster, whether "
                    "other jobs hold its CPUs or machines have left it; then run the same command again. Finished "
                    "shards are kept"
                ) from None
            continue
        if receipt is None:
            return
        if isinstance(receipt, BaseException):
            raise receipt
        since = time.monotonic()
        yield receipt


def _tell(run: Run, signs: Iterable[str]) -> None:
    """Log the sentences that are among these signs of life."""
    for name in signs:
        if name.startswith(TOLD):
            log.warning("%s", run.told(name))


class Progress:
    """Report every few seconds how far a run of so many scans is, and once more at the end.

    ``done`` and ``unreadable`` are what its parts had when this began. A terminal has one line, which is written over
    every second.
    """

    def __init__(self, scans: int, done: int, unreadable: int, every_seconds: float = EVERY_SECONDS) -> None:
        self.scans, self.before, self.done, self.unreadable = scans, done, done, unreadable
        self.live = sys.stderr.isatty()
        self.every_seconds = min(every_seconds, 1) if self.live else every_seconds
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._repeat, daemon=True)

    @classmethod
    def of(cls, run: Run, opened: Opened, pending: Sequence[int]) -> "Progress":
        """The progress of a run of whose shards these are still to be scored."""
        done = sorted({*range(len(opened.shard_sizes))} - {*pending})
        paths = parts.part_paths(run) if done else {}
        receipts = [parts.receipt(run, paths[part_name(shard)]) for shard in done]
        unreadable = sum(written[0].unreadable for written in receipts if written)
        return cls(opened.scans, sum(opened.shard_sizes[shard] for shard in done), unreadable)

    def __enter__(self) -> "Progress":
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self._say(end="\n")

    def add(self, receipt: Receipt) -> None:
        """Count the part of a receipt."""
        self.done += receipt.scans
        self.unreadable += receipt.unreadable

    def _repeat(self) -> None:
        while not self.over.wait(self.every_seconds):
            self._say(end="")

    def _say(self, end: str) -> None:
        here, seconds = self.done - self.before, time.monotonic() - self.started
        line = progress_line(self.done, self.scans, self.unreadable, here, seconds)
        if self.live:  # a wrapped line would leave its first half on the screen
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r{line[: width - 1]}\033[K{end}")
            sys.stderr.flush()
        else:
            log.info("%s", line)


def progress_line(done: int, scans: int, unreadable: int, here: int, seconds: float) -> str:
    """One line of progress; ``here`` of the ``done`` scans were scored by this process, in ``seconds``."""
    rate = here / seconds if seconds > 0 else 0.0
    left = f"{(scans - done) / rate:,.0f} s left" if rate else "time left not known yet"
    pace = f"{rate:.1f}" if 0 < rate < 10 else f"{rate:,.0f}"  # a slow run still shows a rate above 0
    share = 100 * done / scans if scans else 100
    of = counted(scans, "scan")
    return f"scored {done:,} of {of} ({share:.0f} %), {pace} images/s, {left}, {unreadable:,} unreadable"
