"""What jobs.score takes on larger clusters and for more scans, by a model fitted to what was measured here.

    python -m benchmarks.scaling --model FOLDER

The costs come from benchmarks/scoring.jsonl: seconds at the start and end, the driver's seconds a scan for report and
publishing, CPU seconds a scan on the nodes; from scans that are listed here, by this process and by tasks: what it
takes the driver to collect and freeze the list, and the tasks to make it; and from two runs of the same scans in few
shards and in many: seconds a shard, and what the actors of a node take to start. The driver's work is one process's,
the nodes' is shared by all their cores, and shards are handed out while they work. Then scans are scored on clusters
of 1, 2 and 4 nodes of this machine, which share its cores, beside what the model says. Kept in
benchmarks/scaling.json, shown in docs/scaling.md.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray

from benchmarks import json_lines, scoring
from benchmarks.processes import measured, module
from benchmarks.profile import kind_of
from jobs import session
from mnist_batch.intake import listing, scans, spread
from mnist_batch.models import bundle
from mnist_batch.runs.run import Run
from tests.support import run_facts

RESULTS = Path(__file__).parent / "scaling.json"
SCANS = (10**6, 10**7, 10**8, 10**9)
NODES = (1, 10, 100, 1_000)
CORES = 16  # of a node
SHARD_SIZES = (5_000, 20)
SHARD_SCANS = 10_000
LISTED = 800_000
CHECKED_NODES = (1, 2, 4)
ACTORS = ("Preprocess", "Classify", "reading processes")


@dataclass(frozen=True)
class Costs:
    """What was measured; ``cpu_seconds_per_scan`` may be spent by any core of any node.

    Of the fixed seconds ``actors_seconds`` go by until the actors of one node have started, which takes
    ``cpu_seconds_per_node`` of its cores.
    """

    fixed_seconds: float
    actors_seconds: float
    cpu_seconds_per_node: float
    driver_seconds_per_scan: float
    driver_seconds_per_shard: float
    listing_cpu_seconds_per_scan: float
    cpu_seconds_per_scan: float

    def stages(self, files: int, cores: int) -> dict[str, float]:
        """The seconds of each stage for so many scans: the last two go on at once, and the slower one counts."""
        size = max(scans.SHARD_SIZE, -(-files // scans.MAX_SHARDS))
        return {
            "start": self.fixed_seconds,
            "driver": files * self.driver_seconds_per_scan,
            "listing": files * self.listing_cpu_seconds_per_scan / cores,
            "shards": -(-files // size) * self.driver_seconds_per_shard,
            "nodes": files * self.cpu_seconds_per_scan / cores,
        }

    def seconds(self, files: int, cores: int) -> float:
        """How long a run of so many scans takes."""
        start, driver, listing, shards, nodes = self.stages(files, cores).values()
        return start + driver + listing + max(shards, nodes)

    def scoring_seconds(self, files: int, cores: int, sharing: int) -> float:
        """How long scoring alone takes where so many nodes share the cores."""
        stages = self.stages(files, cores)
        start = self.actors_seconds + (sharing - 1) * self.cpu_seconds_per_node / cores
        return start + max(stages["shards"], stages["nodes"])


def fit(lines: Sequence[scoring.Line], model: str, folder: Path) -> Costs:
    """The costs behind measurements of ``ours`` at two numbers of files, and behind two runs made here."""
    fixed, _ = scoring.through(lines, "ours", "seconds")
    actors, _ = scoring.through(lines, "ours", "scoring_seconds")
    _, publishing = scoring.through(lines, "ours", "publishing_seconds")
    _, cpu = scoring.through(lines, "ours", "cpu_seconds")
    collecting, listed = measure_listing(folder)
    driver = collecting + publishing
    shard, node = measure_shards(model, folder, cpu - driver - listed)
    return Costs(fixed, actors, node, driver, shard, listed, cpu - driver - listed)


def measure_listing(folder: Path) -> tuple[float, float]:
    """The driver's seconds a scan where tasks list, up to the frozen manifest, and the CPU seconds of who lists it."""
    scoring.write_scans(folder / "listed", LISTED, 28)
    listing.list_scans([str(folder / "listed")])  # not timed: brings the folders into memory
    started = time.process_time()
    listing.list_scans([str(folder / "listed")])
    alone = (time.process_time() - started) / LISTED
    session.connect(None)
    started = time.process_time()
    listed = listing.list_scans([str(folder / "listed")], ask=spread.by_tasks(lambda: None))
    collecting = (time.process_time() - started - alone * listing.ALONE) / (LISTED - listing.ALONE)
    ray.shutdown()
    started = time.monotonic()
    scans.digest(listed)
    Run(str(folder / "frozen"), "run", "2026-01-01").freeze(scans.cut(listed), run_facts.opened())
    return collecting + (time.monotonic() - started) / LISTED, alone


def measure_shards(model: str, folder: Path, cpu_seconds_per_scan: float) -> tuple[float, float]:
    """The seconds of a shard more, from the same scans in few and in many, and the CPU seconds of actors that start."""
    scoring.write_scans(folder / "scans", SHARD_SCANS, 28)
    taken, starts = {}, []
    for size in SHARD_SIZES:
        out = folder / f"out-{size}"
        command = module("jobs.score", str(folder / "scans"), "--model", model, "--out", str(out))
        usage = measured([*command, "--shard-size", str(size)], folder / "log", out)
        actors = sum(seconds for process, seconds in usage.by_process.items() if kind_of(process) in ACTORS)
        starts.append(actors - SHARD_SCANS * cpu_seconds_per_scan)
        taken[-(-SHARD_SCANS // size)] = scoring.stages_of(out)["scoring_seconds"]
    (few, short), (many, long) = sorted(taken.items())
    return (long - short) / (many - few), min(starts)


CLUSTER = """
import logging, sys
import psutil, ray
from ray.cluster_utils import Cluster
scans, model, out, nodes = *sys.argv[1:4], int(sys.argv[4])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
for _ in range(nodes - 1):
    cluster.add_node(num_cpus=2)
cluster.wait_for_nodes()
for _ in range(60):  # seconds in which the daemons of the nodes have started, as a cluster's have before a run begins
    if psutil.cpu_percent(interval=1) < 10:
        break
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
from jobs import score
sys.exit(score.main([scans, "--model", model, "--out", out]))
"""


def check(costs: Costs, model: str, folder: Path, files: int) -> list[dict[str, float]]:
    """Seconds of scoring on clusters of nodes of this machine, and what the model says of its cores."""
    scoring.write_scans(folder / "scans", files, 28)
    found = []
    for nodes in CHECKED_NODES:
        out = folder / f"out-{nodes}"
        measured(
            [sys.executable, "-c", CLUSTER, str(folder / "scans"), model, str(out), str(nodes)], folder / "log", out
        )
        seconds = scoring.stages_of(out)["scoring_seconds"]
        predicted = costs.scoring_seconds(files, os.cpu_count() or 1, nodes)
        found.append({"nodes": nodes, "files": files, "seconds": seconds, "model": predicted})
    return found


def table(results: Mapping[str, Any]) -> str:
    """The costs, what the model makes of them by scans and nodes, and the check, as docs/scaling.md shows them."""
    costs = Costs(**results["costs"])
    lines = [
        "| cost | |",
        "|---|---|",
        f"| start and end | {costs.fixed_seconds:.1f} s, of which {costs.actors_seconds:.1f} for the actors: "
        f"{costs.cpu_seconds_per_node:.1f} CPU seconds a node |",
        f"| the driver, a scan | {1e6 * costs.driver_seconds_per_scan:.1f} µs |",
        f"| the driver, a shard | {1e3 * costs.driver_seconds_per_shard:.0f} ms |",
        f"| listing, a scan | {1e6 * costs.listing_cpu_seconds_per_scan:.1f} µs of a core |",
        f"| the nodes, a scan | {1e6 * costs.cpu_seconds_per_scan:.0f} µs of a core |",
        "",
        f"| scans | {' | '.join(f'{nodes:,} x {CORES} cores' for nodes in NODES)} |",
        "|---" * (len(NODES) + 1) + "|",
    ]
    for files in SCANS:
        cells = []
        for nodes in NODES:
            stages = costs.stages(files, nodes * CORES)
            slowest = max(stages, key=lambda name: stages[name])
            cells.append(f"{_time(costs.seconds(files, nodes * CORES))} ({slowest})")
        lines.append(f"| {files:,} | {' | '.join(cells)} |")
    lines += ["", "| nodes of this machine | scans | seconds of scoring | by the model |", "|---|---|---|---|"]
    for line in results["checked"]:
        lines.append(f"| {line['nodes']} | {line['files']:,} | {line['seconds']:.1f} | {line['model']:.1f} |")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True, metavar="FOLDER", help="a bundle that scoring.jsonl has lines of")
    arguments.add_argument("--check", type=int, default=20_000, metavar="N", help="scans scored on 1, 2 and 4 nodes")
    given = arguments.parse_args(argv)
    name = bundle.open_bundle(given.model).facts.architecture
    lines = [line for line in json_lines.read(scoring.RESULTS) if (line["model"], line["side"]) == (name, 28)]
    with tempfile.TemporaryDirectory() as folder:
        costs = fit(lines, given.model, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        checked = check(costs, given.model, Path(folder), given.check)
    found = {"model": name, "costs": asdict(costs), "checked": checked}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
