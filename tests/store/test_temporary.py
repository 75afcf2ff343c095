"""Temporary folders: one that a killed process left goes, and one of a living process, or of anything else, stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_batch.runs import ledger
from mnist_batch.store import temporary

PREFIX = "mnist-batch-some-"
WORK = """
import sys
from mnist_batch.store import temporary

with temporary.folder(sys.argv[1]) as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def at_work(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process at work in a folder of its own, and this folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, PREFIX],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    (living, its_own), (killed, left) = at_work(tmp_path), at_work(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "file").exists()
    last, _ = at_work(tmp_path)
    assert not left.exists()
    assert (its_own / "file").exists()
    for process in (living, last):
        process.communicate()
        assert process.returncode == 0
    assert [*tmp_path.iterdir()] == []


def test_only_old_folders_of_the_prefix_that_are_no_links_are_removed(tmp_path: Path) -> None:
    def make(name: str, days: float = 0) -> Path:
        folder = tmp_path / name
        (folder / "logs").mkdir(parents=True)
        os.utime(folder, (time.time() - days * 86_400,) * 2)
        return folder

    old, new, elsewhere = make(f"{PREFIX}old", days=8), make(f"{PREFIX}new", days=6), make("elsewhere", days=30)
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    temporary.remove_left_behind(tmp_path, PREFIX, kept_seconds=7 * 86_400)
    assert [(folder / "logs").exists() for folder in (old, new, elsewhere)] == [False, True, True]
    temporary.remove_left_behind(tmp_path, PREFIX)
    assert [(folder / "logs").exists() for folder in (new, elsewhere)] == [False, True]


def test_the_next_night_removes_the_folder_of_a_ledger_whose_job_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "mnist-batch-ledger-left"
    left.mkdir()
    with ledger.opened(str(tmp_path / "out"), {}):
        assert not left.exists()
        assert len([*tmp_path.glob("mnist-batch-ledger-*")]) == 1
    assert not [*tmp_path.glob("mnist-batch-ledger-*")]
