"""Which processes of a job of scoring take how many CPU seconds, and what a scan more takes of each.

    python -m benchmarks.profile --model demo/models/hidden

Scores few scans and many and prints, as benchmarks/profile.md shows it, the CPU seconds of every kind of process.
"""

import argparse
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import processes, scoring
from mnist_batch.models import bundle

KINDS = {
    "ray::MapWorker(MapBatches(Preprocess))": "Preprocess",
    "ray::MapWorker(MapBatches(Classify))": "Classify",
    "-m mnist_batch.reading": "reading processes",
    "-m jobs.score": "driver",
    "ray::_": "Ray Data's own actors",
    "ray::ActorLocationTracker": "Ray Data's own actors",
}


def kind_of(command: str) -> str:
    """What a process of a job is for, by its command line."""
    return next((kind for mark, kind in KINDS.items() if mark in command), "Ray")


def profile(scans: Path, model: str, folder: Path) -> tuple[float, Mapping[str, float]]:
    """Seconds of a job, and the CPU seconds of its kinds of process."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = processes.module("jobs.score", str(scans), "--model", model, "--out", str(out))
    usage = processes.measured(command, folder / "log", out)
    taken: defaultdict[str, float] = defaultdict(float)
    for process, seconds in usage.by_process.items():
        taken[kind_of(process)] += seconds
    return usage.seconds, taken


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    arguments.add_argument("--files", type=int, nargs=2, default=[5_000, 70_000], metavar="N", help="few, and many")
    arguments.add_argument("--side", type=int, choices=(28, 64), default=28, help="pixels of a scan")
    given = arguments.parse_args(argv)
    few, many = given.files
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for files in (few, many):
            scans = Path(folder, f"scans-{files}")
            scoring.write_scans(scans, files, given.side)
            scoring.warm(scans)
            found.append(profile(scans, given.model, Path(folder)))
    (least, before), (most, after) = found
    scans_more = many - few
    print(f"| CPU seconds of | {few:,} scans | {many:,} scans | a scan more, µs |\n|---|---|---|---|")
    for kind, seconds in sorted(after.items(), key=lambda each: -each[1]):
        more = seconds - before.get(kind, 0)
        print(f"| {kind} | {seconds - more:.1f} | {seconds:.1f} | {1e6 * more / scans_more:.0f} |")
    print(f"| seconds, all of it | {least:.1f} | {most:.1f} | {1e6 * (most - least) / scans_more:.0f} |")


if __name__ == "__main__":
    main()
