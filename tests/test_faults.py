"""Faults in the middle of a run, each as a user meets it: the job in a process of its own, on a Ray of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mnist_batch.runs import series, verifying
from mnist_batch.runs.run import Run
from tests.support.processes import descendants
from tests.support.running import readers_see
from tests.support.waiting import until

pytestmark = pytest.mark.ray

SCANS, SHARD_SIZE = 100, 20


@dataclass
class Night:
    """One command, ``jobs.score`` on 100 scans in five shards, and the failpoints that its processes obey."""

    scans: Path
    out: Path
    points: Path
    ruler: str

    jobs: list[subprocess.Popen[str]] = field(default_factory=list)

    def arm(self, point: str, action: str) -> None:
        (self.points / point.replace("/", "_")).write_text(action)

    def fired(self, point: str) -> Path:
        return self.points / f"{point.replace('/', '_')}.fired"

    def wait_for(self, point: str, process: subprocess.Popen[str]) -> None:
        until(self.fired(point).exists, f"a process of the job stands at {point!r}", process)

    def start(self, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jobs.score", str(self.scans), "--model", self.ruler, "--out", str(self.out)]
        command += ["--shard-size", str(SHARD_SIZE), "--run-id", "night", *flags]
        job = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"MNIST_BATCH_FAILPOINTS": str(self.points)},
            start_new_session=True,
        )
        self.jobs.append(job)
        return job

    def run(self, *flags: str) -> tuple[int, dict[str, Any], str]:
        job = self.start(*flags)
        stdout, stderr = job.communicate()
        return job.returncode, json.loads(stdout.splitlines()[-1]), stderr

    def statuses(self) -> Mapping[str, str]:
        """Every row's status, after checking that the run is published, whole and exact."""
        rows = pq.read_table(self.out / "predictions").to_pylist()
        listed = sorted(str(path.relative_to(self.scans)) for path in self.scans.rglob("*.png"))
        assert sorted(row["scan"] for row in rows) == listed
        for row in rows:
            number = int(Path(row["scan"]).stem.removeprefix("scan-"))
            if row["status"] == "ok":
                assert row["digit"] == (number + (number % 7 == 6)) % 10
        _, published = series.published_run(str(self.out), "night")
        assert [found.faults for found in verifying.verify(str(self.out), "night")] == [[]]
        assert published.totals.rows == len(rows)
        return {Path(row["scan"]).stem: row["status"] for row in rows}


@pytest.fixture
def night(scans_folder: Callable[..., Path], ruler: str, tmp_path: Path) -> Iterator[Night]:
    (tmp_path / "points").mkdir()
    night = Night(scans_folder(SCANS), tmp_path / "out", tmp_path / "points", ruler)
    yield night
    for job in night.jobs:
        end(job)


def end(job: subprocess.Popen[str]) -> None:
    """Kill what is left of a job."""
    with suppress(ProcessLookupError):
        os.killpg(job.pid, signal.SIGKILL)
    if not job.stdout.closed:
        job.communicate()


CLEAN = {f"scan-{number:04d}": "not_an_image" if number % 23 == 22 else "ok" for number in range(SCANS)}


def test_the_driver_killed_at_every_stage_in_turn(night: Night) -> None:
    """One run, killed while listing, freezing, writing parts, between them, after them, and while publishing."""
    safe: dict[str, int] = {}
    for point, in_driver in [
        ("listed", True),
        ("write night/opened.json", True),
        ("write parts/part-00001", False),
        ("part written", False),
        ("scored", True),
        ("write pages/report.html", True),
        ("predictions published", True),
        ("write night/run.json", True),
    ]:
        night.arm(point, "kill" if in_driver else "hold")
        job = night.start()
        night.wait_for(point, job)
        if in_driver:
            assert job.wait() == -signal.SIGKILL
        end(job)
        assert readers_see(night.out) in [(0, 0), (SCANS, 0), (SCANS, 10)], point
        parts = {path.stem: path.stat().st_mtime_ns for path in night.out.rglob("part-*.parquet")
                 if path.parent.name in ("parts", "run_id=night")}  # fmt: skip
        assert safe.items() <= parts.items(), point
        safe = parts
    assert len(safe) == SCANS // SHARD_SIZE
    code, summary, stderr = night.run("--address", "127.0.0.1:9")  # where no Ray is: all parts are there
    assert (code, summary["rows"]) == (0, SCANS), stderr
    assert night.statuses() == CLEAN
    assert safe == {path.stem: path.stat().st_mtime_ns for path in (night.out / "predictions").rglob("part-*")}


def test_poison_files_cost_their_own_rows_and_nothing_else(night: Night) -> None:
    poison = {"scan-0003": "exit", "scan-0031": "late", "scan-0044": "allocate", "scan-0090": "kill"}
    for name, action in poison.items():
        night.arm(f"read {name}.png", f"{action} always")
    code, summary, stderr = night.run("--max-unreadable", "0.1")
    assert (code, summary["unreadable"]) == (0, 8), stderr
    expected = {"scan-0003": "crashed", "scan-0031": "timeout", "scan-0044": "crashed", "scan-0090": "crashed"}
    assert night.statuses() == CLEAN | expected


@pytest.mark.parametrize(
    ("point", "victim"),
    [
        pytest.param("read scan-0045.png", "ray::MapWorker(MapBatches(Preprocess))", marks=pytest.mark.slow),
        pytest.param("read scan-0045.png", "ray::MapWorker(MapBatches(Classify))", marks=pytest.mark.slow),
        ("write parts/part-00002", "ray::MapWorker(MapBatches(Classify))"),
    ],
)
def test_an_actor_killed_changes_nothing(night: Night, point: str, victim: str) -> None:
    night.arm(point, "hold")
    job = night.start()
    night.wait_for(point, job)
    doomed = [process for process, command in descendants(job.pid) if command.startswith(victim)]
    assert doomed
    for process in doomed:
        os.kill(process, signal.SIGKILL)
    night.fired(point).unlink()
    _, stderr = job.communicate()
    assert job.returncode == 0, stderr
    assert night.statuses() == CLEAN


NO_SPACE, IO_ERROR = ("no_space", "No space left on device"), ("io_error", "Input/output error")


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        ("write parts/part-00001", NO_SPACE),
        ("write per_class/report", NO_SPACE),
        ("write night/run.json", IO_ERROR),
    ],
)
@pytest.mark.slow
def test_a_disk_that_fails_is_said_and_the_rerun_finishes(night: Night, point: str, fault: tuple[str, str]) -> None:
    action, what = fault
    night.arm(point, action)
    code, summary, stderr = night.run()
    assert (code, summary["exit_code"]) == (5, 5)
    assert what in summary["error"]
    assert "run the same command again" in summary["error"]
    assert len(summary["error"]) < 400
    for trace in ("Traceback", "ray::", "\x1b", "StorageError"):
        assert trace not in summary["error"] + stderr
    assert summary["error"].isprintable()  # one line
    assert stderr.count(summary["error"]) == 1
    assert not list(night.out.rglob("run.json"))
    code, _, stderr = night.run()
    assert code == 0, stderr
    assert night.statuses() == CLEAN


STALE = """
import sys
from dataclasses import replace
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors
from mnist_batch.reading import preprocessing
from mnist_batch.runs.run import Run
run = Run(sys.argv[1], "night", sys.argv[2]).begin_attempt()
print("begun", flush=True)
actors.Classify(run, ModelSpec(sys.argv[3]))(preprocessing.preprocess(run.shard(2), 2))
"""


@pytest.mark.slow
def test_a_process_of_a_killed_run_that_wakes_up_late_writes_nothing(night: Night) -> None:
    night.arm("scored", "kill")
    job = night.start()
    job.communicate()
    [part] = night.out.rglob("parts/part-00002")
    part.unlink()
    opened = json.loads((night.out / "_staging/night/opened.json").read_text())
    night.arm("write parts/part-00002", "hold")
    stale = subprocess.Popen(
        [sys.executable, "-c", STALE, str(night.out), opened["run_date"], night.ruler],
        env=os.environ | {"MNIST_BATCH_FAILPOINTS": str(night.points)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    night.wait_for("write parts/part-00002", stale)
    night.arm("predictions published", "hold")
    job = night.start()
    night.wait_for("predictions published", job)
    night.fired("write parts/part-00002").unlink()  # the stale process goes on while the other publishes
    _, complaint = stale.communicate()
    assert "another process has taken this run over" in complaint
    night.fired("predictions published").unlink()
    _, stderr = job.communicate()
    assert job.returncode == 0, stderr
    assert night.statuses() == CLEAN
    assert list((night.out / "_staging").iterdir()) == []


def test_a_run_of_which_nothing_comes_ends_with_exit_5_and_not_never(night: Night) -> None:
    night.arm("write parts/part-00002", "hold")
    code, summary, stderr = night.run("--no-progress-timeout", "8", "--scan-timeout", "2")
    assert (code, summary["exit_code"]) == (5, 5), stderr
    assert "no shard was finished for 8 seconds (--no-progress-timeout)" in summary["error"]
    assert "Traceback" not in stderr
    assert readers_see(night.out) == (0, 0)


@pytest.mark.slow
def test_two_runs_of_different_names_are_made_side_by_side(night: Night) -> None:
    night.arm("part written", "hold")
    job = night.start()
    night.wait_for("part written", job)
    code, _, stderr = night.run("--run-id", "other")
    assert code == 0, stderr
    night.fired("part written").unlink()
    _, stderr = job.communicate()
    assert job.returncode == 0, stderr
    assert len(pq.read_table(night.out / "predictions")) == 2 * SCANS
    assert series.published_runs(str(night.out)) == ["night", "other"]
    assert Run(str(night.out), "other", "").published is not None


CLUSTER = """
import logging, sys, threading
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from mnist_batch import scoring
from mnist_batch.pipeline import pools, settings
from mnist_batch.runs import command, opening
from tests.support.waiting import until

scans, model, out, points = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)

def lose_a_node():
    until(Path(points, "read scan-0045.png.fired").exists, "an actor reads scan 45")  # the node lost is one that works
    actors = [actor["Address"]["NodeID"] for actor in ray._private.state.actors().values() if actor["State"] == "ALIVE"]
    lost = next(node for node in nodes if node.node_id in actors)
    print("lost a node with", actors.count(lost.node_id), "actors", flush=True)
    cluster.remove_node(lost, allow_graceful=False)
    Path(points, "read scan-0045.png.fired").unlink()

threading.Thread(target=lose_a_node, daemon=True).start()
with opening.open_run(command.Command(sources=[scans], model=model, out=out, shard_size=10, run_id="night")) as run:
    scoring.score(run, settings.Settings(pools.Pools(2, 2), no_progress_timeout_seconds=240))
"""


@pytest.mark.slow
def test_a_node_that_leaves_the_cluster_changes_nothing(night: Night) -> None:
    night.arm("read scan-0045.png", "hold")
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(night.scans), night.ruler, str(night.out), str(night.points)],
        env=os.environ | {"MNIST_BATCH_FAILPOINTS": str(night.points)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"lost a node with [1-9] actors", done.stdout)
    assert night.statuses() == CLEAN
