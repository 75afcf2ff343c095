"""How far a run is, and what ends one of which nothing comes."""

import io
import os
import select
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mnist_batch.errors import Stalled, StorageError
from mnist_batch.pipeline import watching
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Receipt
from tests.support import ROOT
from tests.support.waiting import until


def test_progress_reads_well() -> None:
    assert (
        watching.progress_line(12_000, 70_000, 3, 12_000, 2.5)
        == "scored 12,000 of 70,000 scans (17 %), 4,800 images/s, 12 s left, 3 unreadable"
    )
    assert "time left not known yet" in watching.progress_line(0, 10, 0, 0, 1.0)
    # Few scans are more than none.
    few = "scored 3 of 10 scans (30 %), 0.1 images/s, 47 s left, 0 unreadable"
    assert watching.progress_line(3, 10, 0, 3, 20.0) == few
    # A resumed run counts its rate from what it did itself.
    assert "100 images/s, 1 s left" in watching.progress_line(900, 1_000, 0, 100, 1.0)


def test_the_line_of_a_narrow_terminal_does_not_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    with watching.Progress(1_000, 0, 0, every_seconds=10):
        pass
    [*_, line] = terminal.getvalue().rstrip("\n").split("\r")
    assert line == "scored 0 of 1,000 scans (0 %), 0 images\033[K"


def test_the_watch_bears_with_a_store_that_does_not_answer_for_a_while() -> None:
    class Silent:
        run_id = "night"
        looks = 0

        def signs_of_life(self) -> frozenset[str]:
            self.looks += 1
            if self.looks > 1:
                raise StorageError("s3://bucket/out: no answer")
            return frozenset()

    def once(there: Callable[[], Any]) -> Iterator[Receipt]:
        until(there, "the watch has looked once more")
        yield receipt

    run: Any = Silent()
    receipt = Receipt(0, 1, 1, 0, 0, 0, 100, "cafe")
    assert list(watching.watched(run, once(lambda: run.looks > 1), timeout_seconds=300)) == [receipt]
    over = threading.Event()
    try:
        with pytest.raises(Stalled, match=r"no shard was finished for 0.2 seconds \(--no-progress-timeout\)"):
            list(watching.watched(Silent(), once(over.is_set), timeout_seconds=0.2))  # type: ignore[arg-type]
    finally:
        over.set()


def test_what_the_processes_of_a_run_tell_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(str(tmp_path), "night", "2026-11-21")

    def throttled() -> Iterator[Receipt]:
        for process in range(3):
            run.tell("s3://bucket: slow down")
            until(lambda: "slow down" in caplog.text, "it is in the log")
            yield Receipt(process, 1, 1, 0, 0, 0, 100, "cafe")

    assert len(list(watching.watched(run, throttled(), timeout_seconds=300))) == 3
    assert caplog.messages == ["s3://bucket: slow down"]


LIVE = """
import sys
from mnist_batch.pipeline.watching import Progress
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Receipt
with Progress(1_000, 0, 0, every_seconds=0.02) as progress:
    sys.stdin.readline()
    progress.add(Receipt(0, 250, 250, 1, 0, 0, 100, "cafe"))
    sys.stdin.readline()
"""


def test_a_terminal_has_one_line_which_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal, end = os.openpty()
    termios.tcsetwinsize(end, (24, 60))
    command = [sys.executable, "-c", LIVE]
    job = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=end, stderr=end, cwd=ROOT)
    os.close(end)
    assert job.stdin is not None
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        if select.select([terminal], [], [], 0)[0]:
            shown += os.read(terminal, 10_000)
        return text in shown

    for line in (b"\rscored 0 of 1,000 scans (0 %)", b"\rscored 250 of 1,000 scans (25 %)"):
        until(partial(shows, line), f"the terminal shows {line!r}", job)
        assert b"\n" not in shown
        job.stdin.write(b"\n")
        job.stdin.flush()
    until(partial(shows, b"\n"), "the line is ended")
    assert job.wait() == 0
    os.close(terminal)
    first, *lines = shown.decode().split("\r")
    assert (first, lines[-1]) == ("", "\n")  # the terminal makes \r\n of the only end of a line
    assert len(lines) > 2
    assert all(line.endswith("\033[K") and len(line) < 60 + len("\033[K") for line in lines[:-1])
