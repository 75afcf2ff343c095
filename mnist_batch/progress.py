"""How far a run is, in a line that reads well on a terminal and in a log file."""

import logging
import shutil
import sys
import threading
import time

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch import runs, stores, tables
from mnist_batch.errors import JobError

log = logging.getLogger(__name__)


class Progress:
    """Says every few seconds how far the run is, from the parts on disk, and once more at the end."""

    def __init__(self, run: runs.Run, scans: int, every_seconds: float) -> None:
        self.run, self.scans = run, scans
        self.live = sys.stderr.isatty()
        self.every_seconds = min(every_seconds, 1) if self.live else every_seconds
        self.counted: dict[str, tuple[int, int]] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
        self.before, _ = self._count()
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self._say(end="\n")

    def _watch(self) -> None:
        while not self.over.wait(self.every_seconds):
            self._say(end="")

    def _count(self) -> tuple[int, int]:
        new = [name for name in self.run.part_paths() if name not in self.counted]
        for name, part in self.run.named_parts(new, ["page", "status"]):
            done = pc.sum(pc.equal(part["page"], 0)).as_py() or 0
            read = pc.sum(pc.is_in(part["status"], pa.array(tables.READ))).as_py() or 0
            self.counted[name] = done, len(part) - read
        done, unreadable = (sum(column) for column in zip((0, 0), *self.counted.values(), strict=True))
        return done, unreadable

    def _say(self, end: str) -> None:
        try:
            with stores.patience(0):
                done, unreadable = self._count()
        except JobError:  # a store that does not answer for a while: those who work with it say so
            return
        line = progress_line(done, self.scans, unreadable, done - self.before, time.monotonic() - self.started)
        if self.live:  # a line that wraps would leave its first half behind each time
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r{line[: width - 1]}\033[K{end}")
            sys.stderr.flush()
        else:
            log.info("%s", line)


def progress_line(done: int, scans: int, unreadable: int, here: int, seconds: float) -> str:
    """One line of progress: ``here`` of the ``done`` scans were scored in the last ``seconds``."""
    rate = here / seconds if seconds > 0 else 0.0
    left = f"{(scans - done) / rate:,.0f} s left" if rate else "time left not known yet"
    pace = f"{rate:.1f}" if 0 < rate < 10 else f"{rate:,.0f}"  # few are more than none
    share = 100 * done / scans if scans else 100
    return f"scored {done:,} of {scans:,} scans ({share:.0f} %), {pace} images/s, {left}, {unreadable:,} unreadable"
