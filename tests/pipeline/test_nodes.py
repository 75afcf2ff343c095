"""Before a run is scored: a cluster that grows gets its time, and every node sees the files of the run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mnist_batch.errors import InputError
from mnist_batch.pipeline import nodes
from mnist_batch.pipeline.pools import Pools
from tests.support.running import opened

GROWING = """
import ray
from ray.cluster_utils import Cluster
from mnist_batch.pipeline import nodes
from mnist_batch.pipeline.pools import Pools
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
ray.init(address=cluster.address, log_to_driver=False)
request = nodes.sdk.request_resources
def grow(num_cpus):
    request(num_cpus=num_cpus)
    if num_cpus:
        cluster.add_node(num_cpus=num_cpus)
nodes.sdk.request_resources = grow
nodes.wait_for_cpus(Pools(1, 1), 240)
print("CPUs", ray.cluster_resources()["CPU"])
"""


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_is_asked_for_cpus_and_a_run_waits_for_the_node_that_then_comes() -> None:
    done = subprocess.run([sys.executable, "-c", GROWING], capture_output=True, text=True, check=False)
    assert "CPUs 2.0" in done.stdout, done.stderr


def test_paths_are_looked_for_and_locations_at_stores_are_not(
    scans_folder: Any, ruler: str, tmp_path: Path, without_ray: None
) -> None:
    run = opened([scans_folder(3)], ruler, tmp_path / "out")
    facts = run.opened
    assert facts is not None
    wanted = nodes.paths(run, facts)
    assert list(wanted.values()) == ["--out", "--model", "SCANS"]
    assert all(Path(path).is_file() for path in wanted)
    for path in tmp_path.rglob("scan-*.png"):
        path.unlink()
    assert list(nodes.paths(run, facts).values()) == ["--out", "--model"]  # gone for the driver, too
    at_store = opened([scans_folder(3)], f"fsspec+file://{ruler}", f"fsspec+file://{tmp_path}/out2").opened
    assert at_store is not None
    assert "--model" not in nodes.paths(run, at_store).values()


def test_the_first_node_that_does_not_see_a_path_is_named(
    scans_folder: Any, ruler: str, tmp_path: Path, without_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened([scans_folder(3)], ruler, tmp_path / "out")
    facts = run.opened
    assert facts is not None
    known = [
        {"Alive": True, "Resources": {"CPU": 2.0}, "NodeID": name, "NodeManagerAddress": f"192.0.2.{name[0]}"}
        for name in ("1" * 56, "2" * 56)
    ]
    hidden = f"{ruler}/model.json"

    class Task:
        @staticmethod
        def options(scheduling_strategy: Any) -> "Task":
            found = Task()
            found.node = scheduling_strategy.node_id
            return found

        def remote(self, paths: list[str]) -> tuple[str, ...]:
            return (self.node, *(path for path in paths if self.node[0] == "2" and path == hidden))

    monkeypatch.setattr(nodes, "_unseen", Task)
    monkeypatch.setattr(nodes.ray, "nodes", lambda: known)
    monkeypatch.setattr(nodes.ray, "wait", lambda asked, **_: (asked, []))
    monkeypatch.setattr(nodes.ray, "get", lambda reference: list(reference[1:]))
    with pytest.raises(
        InputError, match=r"^--model: node 192\.0\.2\.2 of the cluster does not see .*model\.json, which"
    ):
        nodes.check_paths(run, facts)
    monkeypatch.setattr(nodes.ray, "nodes", lambda: known[:1])  # a single node is the driver's
    nodes.check_paths(run, facts)


def test_nothing_is_asked_for_without_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes.ray, "cluster_resources", lambda: {"CPU": 1.0})
    asked: list[Any] = []
    monkeypatch.setattr(nodes.sdk, "request_resources", lambda **wanted: asked.append(wanted))
    nodes.wait_for_cpus(Pools(4, 4), 0)
    assert asked == []
    nodes.wait_for_cpus(Pools(4, 4), 0.01)
    assert asked == [{"num_cpus": 8}, {"num_cpus": 0}]


def test_a_job_that_is_interrupted_while_it_waits_takes_back_what_it_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    asked: list[Any] = []
    monkeypatch.setattr(nodes.ray, "cluster_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(nodes.sdk, "request_resources", lambda **wanted: asked.append(wanted))
    monkeypatch.setattr(nodes.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nodes.wait_for_cpus(Pools(4, 4), 60)
    assert asked == [{"num_cpus": 8}, {"num_cpus": 0}]
