"""What jobs.score takes on other clusters and for more scans, by a model fitted to what was measured here.

    python -m benchmarks.scaling --model demo/models/hidden

Measures two runs of the same scans that differ in their number of shards, and takes the other costs from
benchmarks/scoring.jsonl: fixed seconds, the driver's seconds a scan (listing, then report and publishing), CPU
seconds a scan on the nodes. The driver's work is one process's; the nodes' is shared by all their cores. Prints the
table of docs/scaling.md and keeps it in benchmarks/scaling.json. With --check, the same scans are scored on clusters of
1, 2 and 4 nodes of this machine, and the model is asked how long that takes on its cores.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import scoring
from benchmarks.processes import measured, module
from mnist_batch import scans

RESULTS = Path(__file__).parent / "scaling.json"
SCANS = (10**6, 10**7, 10**8, 10**9)
NODES = (1, 10, 100, 1_000)
CORES = 16  # of a node
SHARD_SIZES = (5_000, 20)
SHARD_SCANS = 10_000


@dataclass(frozen=True)
class Costs:
    """What was measured: seconds, but for ``cpu_seconds_per_scan``, which any core of any node may spend."""

    fixed_seconds: float
    driver_seconds_per_scan: float
    driver_seconds_per_shard: float
    cpu_seconds_per_scan: float

    def stages(self, files: int, cores: int) -> dict[str, float]:
        """The seconds of each stage for so many scans: the last two go on at once, the slower one counts."""
        size = max(scans.SHARD_SIZE, -(-files // scans.MAX_SHARDS))
        return {
            "start": self.fixed_seconds,
            "listing and report": files * self.driver_seconds_per_scan,
            "handing out shards": -(-files // size) * self.driver_seconds_per_shard,
            "reading and answering": files * self.cpu_seconds_per_scan / cores,
        }

    def seconds(self, files: int, cores: int) -> float:
        """How long a run of so many scans takes."""
        start, alone, handing, work = self.stages(files, cores).values()
        return start + alone + max(handing, work)


def fit(lines: Sequence[scoring.Line], shard_seconds: float) -> Costs:
    """The costs behind measurements of ``ours`` at two numbers of files."""
    fixed, _ = scoring.through(lines, "ours", "seconds")
    driver = sum(scoring.through(lines, "ours", what)[1] for what in ("listing_seconds", "publishing_seconds"))
    _, cpu = scoring.through(lines, "ours", "cpu_seconds")
    return Costs(fixed, driver, shard_seconds, cpu - driver)


def seconds_per_shard(model: str, folder: Path) -> float:
    """What a shard more costs: the same scans in few shards and in many."""
    scoring.write_scans(folder / "scans", SHARD_SCANS, 28)
    taken = {}
    for size in SHARD_SIZES:
        out = folder / f"out-{size}"
        command = module("jobs.score", str(folder / "scans"), "--model", model, "--out", str(out))
        measured([*command, "--shard-size", str(size)], folder / "log", out)
        stages = scoring.stages_of(out)
        taken[stages["shards"]] = stages["scoring_seconds"]
    (few, short), (many, long) = sorted(taken.items())
    return (long - short) / (many - few)


def table(costs: Costs) -> str:
    """Hours, and the stage that takes most of them, by scans and nodes."""
    lines = [
        f"| scans | {' | '.join(f'{nodes:,} x {CORES} cores' for nodes in NODES)} |",
        "|---" * (len(NODES) + 1) + "|",
    ]
    for files in SCANS:
        cells = []
        for nodes in NODES:
            stages = costs.stages(files, nodes * CORES)
            cells.append(f"{_time(costs.seconds(files, nodes * CORES))}: {max(stages, key=lambda name: stages[name])}")
        lines.append(f"| {files:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7_200
        else f"{seconds / 3600:.1f} h"
    )


CLUSTER = """
import json, logging, sys
import ray
from ray.cluster_utils import Cluster
scans, model, out, nodes = *sys.argv[1:4], int(sys.argv[4])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
for _ in range(nodes - 1):
    cluster.add_node(num_cpus=2)
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
from jobs import score
sys.exit(score.main([scans, "--model", model, "--out", out]))
"""


def check(costs: Costs, model: str, folder: Path, files: int) -> list[dict[str, float]]:
    """Real runs on clusters of nodes of this machine, which share its cores, and what the model says of each."""
    scoring.write_scans(folder / "scans", files, 28)
    found = []
    for nodes in (1, 2, 4):
        out = folder / f"out-{nodes}"
        command = [*module("jobs.score")[:1], "-c", CLUSTER, str(folder / "scans"), model, str(out), str(nodes)]
        measured(command, folder / "log", out)
        stages = scoring.stages_of(out)
        predicted = costs.stages(files, os.cpu_count() or 1)
        work = max(predicted["handing out shards"], predicted["reading and answering"])
        found.append({"nodes": nodes, "files": files, "scoring_seconds": stages["scoring_seconds"], "predicted": work})
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True, metavar="FOLDER", help="a bundle that scoring.jsonl has lines of")
    arguments.add_argument(
        "--check", type=int, metavar="FILES", help="score so many on 1, 2 and 4 nodes of this machine"
    )
    given = arguments.parse_args(argv)
    name = json.loads(Path(given.model, "model.json").read_text())["architecture"]
    lines = [line for line in scoring.read() if line["model"] == name and line["side"] == 28]
    with tempfile.TemporaryDirectory() as folder:
        costs = fit(lines, seconds_per_shard(given.model, Path(folder)))
    results: dict[str, object] = {"model": name, "costs": asdict(costs)}
    if given.check:
        with tempfile.TemporaryDirectory() as folder:
            results["checked"] = check(costs, given.model, Path(folder), given.check)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2), table(costs), sep="\n")


if __name__ == "__main__":
    main()
