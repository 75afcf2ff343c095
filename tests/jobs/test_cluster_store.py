"""Jobs that are submitted to a cluster whose nodes share nothing but a store: what docs/cluster.md says of them."""

import contextlib
import json
import os
import re
import secrets
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import verify
from mnist_batch.models import bundle
from mnist_batch.reading import images
from mnist_batch.store import locations
from tests.support import ROOT, clusters, s3
from tests.support.network import Listener
from tests.support.processes import descendants, family
from tests.support.ruler import picture_of
from tests.support.waiting import until

SCANS = 60


class Cluster:
    """A head that does no work itself, two workers, and the store that is all they share."""

    def __init__(self, head: dict[str, str], store: s3.Proxy, join: Callable[[], int]) -> None:
        self.head, self.store, self.join = head, store, join
        self.workers = [join(), join()]

    def replace_a_worker(self, at_work: str) -> None:
        """Lose a worker that has a process of this name; another worker takes its place."""
        self.lose(next(each for each in self.workers if any(at_work in line for _, line in descendants(each))))
        self.workers.append(self.join())

    def lose(self, lost: int) -> None:
        """Kill all processes of a worker at once."""
        nodes = clusters.alive(self.head)
        for process in family(lost):
            process.kill()
        until(lambda: clusters.alive(self.head) < nodes, "the head knows that the worker is gone")
        self.workers.remove(lost)

    def submit(self, *job: str) -> tuple[str, subprocess.Popen[str]]:
        """Submit a job as docs/cluster.md says; its id, and the process that waits for it."""
        documented = shlex.split(clusters.documented(r"^    (ray job submit .*)$"))
        name = f"job-{secrets.token_hex(2)}"
        command = [clusters.RAY, *documented[1 : documented.index("--")], "--submission-id", name]
        command += ["--", "python", "-m", *job]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return name, subprocess.Popen(command, cwd=ROOT, env=self.head, **pipes)

    def ask(self, *command: str) -> str:
        """What ``ray job`` with a command says."""
        whole = [clusters.RAY, "job", *command]
        done = subprocess.run(whole, env=self.head, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def last_line(self, *job: str) -> dict[str, Any]:
        """Submit a job, wait for it, and return its last line, which its log has, too."""
        name, client = self.submit(*job)
        printed, _ = client.communicate()
        told = last_lines(printed)
        assert len(told) == 1, printed
        assert last_lines(self.ask("logs", name)) == told
        succeeded = told[0]["exit_code"] == 0
        assert client.returncode == (not succeeded)
        assert f"Job '{name}' {'succeeded' if succeeded else 'failed'}" in self.ask("status", name)
        return told[0]


def last_lines(printed: str) -> list[dict[str, Any]]:
    """The lines of JSON that say how a job has ended; ``ray job submit`` shows that of a job that failed twice."""
    return [json.loads(line) for line in dict.fromkeys(printed.splitlines()) if line.startswith('{"status"')]


@pytest.fixture
def cluster(tmp_path: Path, store: s3.Proxy) -> Iterator[Cluster]:
    """Two workers to which all that the head has on its disk is hidden, the project's code among it."""
    (tmp_path / "head").mkdir()
    store.send("PUT", "/bucket")
    filesystem, bucket = locations.resolve("s3://bucket")
    filesystem.delete_dir_contents(bucket, missing_dir_ok=True)  # what an earlier test wrote
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(Listener())
        head = stack.enter_context(clusters.started(tmp_path / "head", proxy, alone=False, cpus=0))
        hidden = [tmp_path, ROOT / "mnist_batch", ROOT / "jobs"]
        yield Cluster(head, store, lambda: stack.enter_context(clusters.worker(head, hidden)))


def scans_of(run: str) -> list[str]:
    """The scans of the rows of a run, sorted."""
    filesystem, folder = locations.resolve("s3://bucket/out/predictions")
    rows = pq.read_table(folder, filesystem=filesystem, columns=["scan", "run_id"], filters=[("run_id", "==", run)])
    return sorted(rows["scan"].to_pylist())


class Held:
    """The third part that is written is held up on its way to the store until it is let go."""

    def __init__(self) -> None:
        self.parts, self.reached, self.let_go = set[str](), threading.Event(), threading.Event()

    def __call__(self, method: str, path: str) -> s3.Fault:
        if method == "PUT" and (part := re.search(r"/part-\d{5}[^/]*\.parquet", path)) and "/predictions/" in path:
            self.parts.add(part[0])
            if len(self.parts) >= 3:
                self.reached.set()
                self.let_go.wait()
        return None


def put_scans(store: s3.Proxy, numbers: Iterable[int]) -> list[str]:
    """Put scans into the store, no two of the same bytes; their names."""
    names = [f"{number % 10}/{number:02}.png" for number in numbers]
    for number, name in zip(numbers, names, strict=True):
        store.send("PUT", f"/bucket/scans/{name}", images.encode(picture_of(number % 10, 1 - number / 100)))
    return names


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide a folder from a process")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@ROOT_ONLY
def test_nodes_that_share_only_a_store_train_score_and_have_nights_and_a_job_that_was_stopped_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    store, names = cluster.store, put_scans(cluster.store, range(SCANS))
    training = ("jobs.train", "--model", "linear", "--epochs", "1", "--workers", "2", "--out", "s3://bucket/model")
    assert cluster.last_line(*training)["exit_code"] == 0

    scoring = ("jobs.score", "s3://bucket/scans", "--labels", "parent", "--model", "s3://bucket/model")
    scoring += ("--shard-size", "10", "--run-id", "night")
    refused = cluster.last_line(*scoring, "--out", str(tmp_path / "out"))  # they share no disk
    assert refused["exit_code"] == 2
    assert re.search(r"node [0-9.]+ of the cluster does not see", refused["error"])

    scoring += ("--out", "s3://bucket/out")
    store.fault = held = Held()
    name, stopped = cluster.submit(*scoring)
    until(held.reached.is_set, "a third part is on its way to the store", stopped)
    assert f"Status for job '{name}': RUNNING" in cluster.ask("status", name)
    cluster.ask("stop", name)
    printed, _ = stopped.communicate()
    assert last_lines(printed) == [{"status": "interrupted", "exit_code": 143}], printed
    assert last_lines(cluster.ask("logs", name)) == last_lines(printed)
    assert f"Job '{name}' was stopped" in cluster.ask("status", name)
    held.let_go.set()  # the writes of the stopped job come late

    again = cluster.last_line(*scoring)
    assert (again["exit_code"], again["rows"], again["labelled"]) == (0, SCANS, SCANS)
    filesystem, path = locations.resolve("s3://bucket/out/runs/night/run.json")
    assert 2 <= json.loads(locations.read(filesystem, path))["resumed_shards"] < SCANS / 10
    assert scans_of("night") == sorted(names)

    new = put_scans(store, range(SCANS, SCANS + 5))
    night = ("jobs.night", "s3://bucket/scans", "--model", "s3://bucket/model", "--out", "s3://bucket/out")
    tonight = cluster.last_line(*night, "--run-id", "tonight")
    assert (tonight["exit_code"], tonight["rows"]) == (0, 5)
    assert scans_of("tonight") == sorted(new)
    assert verify.main(["--out", "s3://bucket/out"]) == 0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
@ROOT_ONLY
def test_a_machine_that_is_taken_away_costs_no_row_and_no_epoch(cluster: Cluster) -> None:
    training = ("jobs.train", "--model", "linear", "--epochs", "3", "--workers", "2", "--out")
    assert cluster.last_line(*training, "s3://bucket/whole")["exit_code"] == 0
    _, client = cluster.submit(*training, "s3://bucket/lost")
    assert client.stdout
    said = list[str]()
    for line in client.stdout:
        said.append(line)
        if "epoch 1 of 3" in line and not any("epoch 1 of 3" in before for before in said[:-1]):
            cluster.replace_a_worker("RayTrainWorker")
    assert (last_lines("".join(said))[0]["exit_code"], client.wait()) == (0, 0), "".join(said)
    whole, lost = (bundle.open_bundle(f"s3://bucket/{name}").facts.weights for name in ("whole", "lost"))
    assert whole == lost

    names = put_scans(cluster.store, range(SCANS))
    cluster.store.fault = held = Held()
    scoring = ("jobs.score", "s3://bucket/scans", "--model", "s3://bucket/whole", "--out", "s3://bucket/out")
    _, client = cluster.submit(*scoring, "--shard-size", "10", "--run-id", "night")
    until(held.reached.is_set, "a third part is on its way to the store", client)
    cluster.replace_a_worker("Classify")
    held.let_go.set()
    printed, _ = client.communicate()
    assert [(told["exit_code"], told["rows"]) for told in last_lines(printed)] == [(0, SCANS)], printed
    assert scans_of("night") == sorted(names)
    assert verify.main(["--out", "s3://bucket/out"]) == 0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@ROOT_ONLY
def test_a_job_whose_machines_are_not_replaced_ends_and_the_same_command_goes_on_with_fewer(
    cluster: Cluster, ruler: str
) -> None:
    names = put_scans(cluster.store, range(SCANS))
    for file in Path(ruler).iterdir():
        cluster.store.send("PUT", f"/bucket/ruler/{file.name}", file.read_bytes())
    scoring = ("jobs.score", "s3://bucket/scans", "--model", "s3://bucket/ruler", "--out", "s3://bucket/out")
    scoring += ("--shard-size", "10", "--run-id", "night")
    cluster.store.fault = held = Held()
    _, client = cluster.submit(*scoring, "--no-progress-timeout", "80", "--scan-timeout", "20")
    until(held.reached.is_set, "a third part is on its way to the store", client)
    for each in list(cluster.workers):
        cluster.lose(each)
    held.let_go.set()
    printed, _ = client.communicate()
    [told] = last_lines(printed)
    assert told["exit_code"] == 5
    assert "machines have left it" in told["error"]
    cluster.workers.append(cluster.join())
    assert cluster.last_line(*scoring)["exit_code"] == 0
    assert scans_of("night") == sorted(names)
    assert verify.main(["--out", "s3://bucket/out"]) == 0
