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
from pyarrow import fs

import mnist_batch
from mnist_batch import scoring
from mnist_batch.models import bundle
from mnist_batch.runs import opening, parts
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.store import changing, conditional, locations
from tests.support.running import Killed, readers_see

Make = Callable[..., Path]


PLACES = ["disk", *(pytest.param(store, marks=pytest.mark.slow) for store in ("fsspec", "store", "seaweed_store"))]


@pytest.mark.long
@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_step_in_turn(
    scans_folder: Make,
    ruler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    request: pytest.FixtureRequest,
) -> None:
    folder = scans_folder(25)
    base = {"disk": str(tmp_path), "fsspec": f"fsspec+file://{tmp_path}"}.get(place)
    if base is None:
        base = f"s3://{request.getfixturevalue(place).bucket}"
    steps = 0
    fatal: int | None = None

    def mortal(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def step(filesystem: Any, path: str, *rest: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == fatal:
                if name == "write_whole" and not base.startswith("s3:"):  # what a kill in the middle of it leaves
                    parent, _, file = path.rpartition("/")
                    Path(parent).mkdir(parents=True, exist_ok=True)
                    Path(parent, f".{file}.0badcafe.tmp").write_bytes(b"half")
                raise Killed
            return change(filesystem, path, *rest)

        return step

    for name in ("write_whole", "move_file", "move_folder", "delete_folder", "delete_file"):
        monkeypatch.setattr(changing, name, mortal(name, getattr(changing, name)))
    for name in ("create", "replace", "delete"):
        monkeypatch.setattr(conditional.Objects, name, mortal(name, getattr(conditional.Objects, name)))

    def job(out: str) -> Run:
        asked = Command(
            sources=[str(folder)],
            model=ruler,
            out=out,
            labels="parent",
            shard_size=10,
            run_id="night",
        )
        with opening.open_run(asked) as run:
            scoring.score(run)
            return run

    def rows(run: Run) -> Any:
        return mnist_batch.read_predictions(run.out).to_table().sort_by("scan")

    expected = rows(job(f"{base}/calm"))
    assert len(expected) == 25
    last, survived = steps, 0
    assert last > 15
    for fatal in range(1, last + 1):
        out, steps = f"{base}/killed-{fatal}", 0
        with pytest.raises(Killed):
            job(out)
        steps = -1_000
        assert published_rows(out) in [(0, 0), (25, 10)]
        if place == "disk":  # where the folder is enough
            assert readers_see(Path(out)) in [(0, 0), (25, 0), (25, 10)]
        kept = written(Run(out, "night", expected["night"][0].as_py().isoformat()))
        run = job(out)
        assert run.run_id == "night"
        assert rows(run).equals(expected)
        assert kept.items() <= written(run).items()  # what was safe was not scored again
        survived += len(kept)
        assert published_rows(out) == (25, 10)
        assert job(out).published
        pages = {f"runs/night/{name}" for name in ("run.json", "report.html", "confusion.png")}
        tables = {f"{run.root}/{file.path}" for file in listed(run)}
        others = {f"{run.root}/{name}" for name in (*pages, "published.sql")}
        assert files(run) - {f"{run.root}/index.html"} == tables | others  # the overview is made by the next run, too
    assert survived > 0


def published_rows(out: str) -> tuple[int, int]:
    """Rows of predictions, and of per_class, that those see who go by run.json."""
    read = mnist_batch.read_predictions
    return read(out).count_rows(), read(out, "per_class").count_rows()


def written(run: Run) -> dict[str, Any]:
    """When each part was written, or at a store its name, which tells its content."""
    return {
        name: path if run.at_store else locations.info(run.filesystem, path).mtime_ns
        for name, path in parts.part_paths(run).items()
    }


def listed(run: Run) -> list[Any]:
    assert run.published
    return [*run.published.files, *(run.published.report_files or ())]


def files(run: Run) -> set[str]:
    """The paths of all files of an output but temporary ones, which readers pass over."""
    found = run.filesystem.get_file_info(fs.FileSelector(run.root, recursive=True))
    return {each.path for each in found if each.type == fs.FileType.File and not each.base_name.startswith(".")
            and not (each.size == 0 and each.path.endswith("_staging"))}  # fmt: skip


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
