"""A run killed anywhere, given the same command again, ends as if it had never been killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mnist_batch import scoring
from mnist_batch.models import bundle
from mnist_batch.runs import opening
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.store import locations
from tests.support.running import Killed, readers_see

Make = Callable[..., Path]


@pytest.mark.long
@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("scheme", ["", "fsspec+file://"])
def test_killed_at_every_step_in_turn(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    folder = scans_folder(25)
    steps = 0
    fatal: int | None = None

    def mortal(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def step(filesystem: Any, path: str, *rest: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == fatal:
                if name == "write_whole":  # what a kill in the middle of it leaves
                    parent, _, file = path.rpartition("/")
                    Path(parent).mkdir(parents=True, exist_ok=True)
                    Path(parent, f".{file}.0badcafe.tmp").write_bytes(b"half")
                raise Killed
            return change(filesystem, path, *rest)

        return step

    for name in ("write_whole", "move_file", "move_folder", "delete_folder"):
        monkeypatch.setattr(locations, name, mortal(name, getattr(locations, name)))

    def job(out: Path) -> Run:
        asked = Command(
            sources=[str(folder)],
            model=ruler,
            out=f"{scheme}{out}",
            labels="parent",
            shard_size=10,
            run_id="night",
        )
        with opening.open_run(asked) as run:
            scoring.score(run)
            return run

    expected = pq.read_table(job(tmp_path / "calm").table_folder("predictions"), partitioning=None)
    last, survived = steps, 0
    assert last > 15
    for fatal in range(1, last + 1):
        out, steps = tmp_path / f"killed-{fatal}", 0
        with pytest.raises(Killed):
            job(out)
        assert readers_see(out) in [(0, 0), (25, 0), (25, 10)]
        kept = {path.stem: path.stat().st_mtime_ns for path in out.rglob("parts/part-*")}
        steps = -1_000
        run = job(out)
        assert run.run_id == "night"
        assert pq.read_table(run.table_folder("predictions"), partitioning=None).equals(expected)
        moved = {path.stem: path.stat().st_mtime_ns for path in (out / "predictions").rglob("part-*.parquet")}
        assert kept.items() <= moved.items()  # what was safe was not scored again
        survived += len(kept)
        assert readers_see(out) == (25, 10)
        assert sorted(path.name for path in (out / "runs/night").iterdir() if path.name[0] != ".") == [
            "confusion.png",
            "report.html",
            "run.json",
        ]
        assert job(out).published
        assert list((out / "_staging").iterdir()) == []
    assert survived > 0


@pytest.mark.ray
@pytest.mark.slow
def test_the_job_killed_blindly_finishes(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    """The job as a user runs it, on a Ray of its own, with all its processes killed at any moment."""
    folder, out = scans_folder(300), tmp_path / "out"
    command = [sys.executable, "-m", "jobs.score", str(folder), "--model", ruler, "--out", str(out)]
    command += ["--shard-size", "20", "--run-id", "night"]
    moments = random.Random(20261121)
    for _ in range(2):
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(moments.uniform(1, 9))  # blind on purpose: nothing says where the job is
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        assert readers_see(out) in [(0, 0), (300, 0), (300, 10)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == 300
    rows = pq.read_table(out / "predictions")
    assert sorted(rows["scan"].to_pylist()) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert bundle.open_bundle(ruler).digest == set(rows["model"].to_pylist()).pop()
