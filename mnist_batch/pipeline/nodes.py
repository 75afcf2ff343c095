"""The nodes of the cluster before a run is scored: whether they have the CPUs that it asks for, and see its files."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.autoscaler import sdk
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mnist_batch.errors import InputError
from mnist_batch.pipeline.pools import Pools
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Opened
from mnist_batch.store import locations

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60


def wait_for_cpus(pools: Pools, timeout_seconds: float) -> None:
    """Ask a cluster that grows for a CPU for each actor of ``pools``, and wait for them until the time is over.

    Without a time, or if the numbers of actors follow from the CPUs, nothing is asked for.
    """
    wanted = (pools.preprocessors or 1) + (pools.classifiers or 1)
    there = ray.cluster_resources().get("CPU", 0)
    if not timeout_seconds or there >= wanted:
        return
    log.info("the cluster has %g CPUs: its autoscaler is asked for %d, and has %g s", there, wanted, timeout_seconds)
    sdk.request_resources(num_cpus=wanted)
    try:
        end = time.monotonic() + timeout_seconds
        while ray.cluster_resources().get("CPU", 0) < wanted and time.monotonic() < end:
            time.sleep(1)  # Ray tells nobody that a node has come
    finally:
        sdk.request_resources(num_cpus=0)  # or they would stay, and cost, when the job has ended


def check_paths(run: Run, opened: Opened) -> None:
    """Raise InputError if a node that may work on the run does not see its output, its model or its scans.

    Only paths are looked for: a store is the same for all. A node that does not answer in time is left to Ray.
    """
    wanted = paths(run, opened)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if len(nodes) < 2 or not wanted:
        return
    asked = {
        _unseen.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            list(wanted)
        ): node["NodeManagerAddress"]
        for node in nodes
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=TIMEOUT_SECONDS)
    for reference in silent:
        log.warning(
            "node %s has not said in %d s whether it sees the files of the run", asked[reference], TIMEOUT_SECONDS
        )
    for reference in answered:
        try:
            unseen = ray.get(reference)
        except ray.exceptions.RayError:  # the node has gone
            continue
        if unseen:
            raise InputError(text(asked[reference], unseen[0], wanted))


def paths(run: Run, opened: Opened) -> dict[str, str]:
    """The paths that every node has to see, and the argument that each comes from; without those at stores."""
    candidates = [
        ("--out", run.location(f"{run.staging}/opened.json")),
        ("--model", f"{opened.model.location}/model.json"),
    ]
    if opened.shard_sizes:
        first = run.shard(0).slice(0, 1).to_pylist()[0]
        if first["path"].startswith(b"/"):  # those at stores begin with a bucket
            candidates.append(("SCANS", os.fsdecode(first["path"])))
    return {path: argument for argument, path in candidates if not locations.is_uri(path) and os.path.exists(path)}


def text(node: str, unseen: str, wanted: Mapping[str, str]) -> str:
    """What to tell of a node that does not see a path."""
    return (
        f"{wanted[unseen]}: node {node} of the cluster does not see {unseen}, which this job sees; give a path on a "
        "disk that all nodes share, or a location at a store such as s3://bucket/folder"
    )


@ray.remote(num_cpus=0, max_retries=0)
def _unseen(paths: Sequence[str]) -> list[Any]:
    return [path for path in paths if not os.path.exists(path)]
