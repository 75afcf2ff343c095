"""The whole job of scoring with its scans at a store that takes long to answer, beside the same scans on the disk.

    python -m benchmarks.store --files 20000 --delay-milliseconds 30

Writes MNIST as scans, two hundred in a folder, and scores them from the disk and from an S3 server in turns. The output
is on the disk for both. The server is a process of this machine that holds the scans in memory and lets each answer
wait: the CPU seconds that it takes from the job are told, too. What each took is kept in --results, a line of JSON a
job, and shown as the table of docs/stores.md.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import json_lines
from benchmarks.processes import measured, module
from benchmarks.scoring import answers, stages_of, warm, write_scans
from mnist_batch.models import bundle
from tests.support import s3, static_s3

RESULTS = Path(__file__).parent / "store.jsonl"
IN_A_FOLDER = 200
COLUMNS = (
    "scans",
    "at",
    "ms a request",
    "seconds",
    "listing",
    "scoring",
    "CPU s",
    "server's CPU s",
    "requests",
    "rate",
)

Line = dict[str, Any]


def scored(source: str, model: str) -> tuple[Line, dict[str, int]]:
    """What a job took that scored the scans of a source, and its answers by path."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        usage = measured(module("jobs.score", source, "--model", model, "--out", str(out)), Path(folder, "log"), out)
        return {**usage.totals(), **stages_of(out)}, answers("ours", Path(source), out)


def take_turns(scans: Path, model: str, delay_seconds: float) -> Iterator[Line]:
    """The scans from the disk and then from the store; RuntimeError where the answers differ."""
    warm(scans)
    line, on_disk = scored(str(scans), model)
    yield {"at": "disk", "files": len(on_disk), **line}
    with static_s3.served(scans, delay_seconds=delay_seconds) as server:
        os.environ |= {**s3.CREDENTIALS, "AWS_ENDPOINT_URL": server.url}
        line, at_store = scored("s3://scans", model)
        times = psutil.Process(server.process.pid).cpu_times()
        more = {"delay_milliseconds": 1000 * delay_seconds, "server_cpu_seconds": times.user + times.system}
        yield {"at": "store", "files": len(at_store), **line, **more, "asked": server.asked()}
    if on_disk != at_store:
        raise RuntimeError("the answers from the disk and from the store differ")


def table(lines: Sequence[Line]) -> str:
    """The measurements as docs/stores.md shows them: medians, and the rate as a share of that from the disk."""
    found = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for files, at, delay in dict.fromkeys(
        (line["files"], line["at"], line.get("delay_milliseconds")) for line in lines
    ):
        those = [
            line for line in lines if (line["files"], line["at"], line.get("delay_milliseconds")) == (files, at, delay)
        ]
        disk = [line["seconds"] for line in lines if (line["files"], line["at"]) == (files, "disk")]

        def of(name: str, those: Sequence[Line] = those) -> float:
            return float(median(line[name] for line in those))

        asked = [
            sum(count for name, count in line["asked"].items() if " " in name) for line in those if "asked" in line
        ]
        cells = (
            f"{files:,}", at, f"{delay:g}" if delay is not None else "", f"{of('seconds'):.1f}",
            f"{of('listing_seconds'):.1f}", f"{of('scoring_seconds'):.1f}", f"{of('cpu_seconds'):.0f}",
            f"{of('server_cpu_seconds'):.0f}" if asked else "", f"{median(asked):,.0f}" if asked else "",
            f"{median(disk) / of('seconds'):.2f}",
        )  # fmt: skip
        found.append(f"| {' | '.join(cells)} |")
    return "\n".join(found)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    arguments.add_argument("--files", type=int, default=20_000, metavar="N")
    arguments.add_argument("--delay-milliseconds", type=float, default=30, metavar="MS", help="wait before each answer")
    arguments.add_argument("--repetitions", type=int, default=3, metavar="N")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    given = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        write_scans(Path(folder), given.files, 28, IN_A_FOLDER)
        for _ in range(given.repetitions):
            for line in take_turns(Path(folder), given.model, given.delay_milliseconds / 1000):
                print(json.dumps(line), flush=True)
                json_lines.add(given.results, line)
    print(table(json_lines.read(given.results)))


if __name__ == "__main__":
    main()
