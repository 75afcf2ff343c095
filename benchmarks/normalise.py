"""How many cells a second one core normalises, by kind of cell.

    python -m benchmarks.normalise

Prints a line a kind, with the microseconds of its stages, and keeps them in benchmarks/normalise.json. The seconds are
the processor's, so that what else runs on the machine counts little, and the best of several repetitions.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2

from benchmarks import accuracy
from mnist_batch.pixels import lines, normalising, paper, strokes
from mnist_batch.reading import preprocessing

RESULTS = Path(__file__).parent / "normalise.json"
KINDS = [
    "MNIST test, as it is",
    "dark on white cells, 64 pixels",
    "with box borders",
    "in a drawn box",
    "uneven light",
    "much noise and borders",
    "32 pixels, noisy",
    "224 pixels, noisy",
]
STAGES: dict[str, list[tuple[Any, str]]] = {
    "noise": [(paper, "noise_of")],
    "paper": [(paper, "strength_of")],
    "lines": [(lines.Sums, "of_each"), (lines, "readings")],
    "pieces": [(strokes, "readings")],
    "fitting": [(normalising, "fit_each")],
}


def seconds(pages: Sequence[accuracy.Grey]) -> float:
    """Processor seconds to normalise the pages once, as many together as a reading process does."""
    started = time.process_time()
    for at in range(0, len(pages), preprocessing.HELD):
        normalising.examine_each(pages[at : at + preprocessing.HELD])
    return time.process_time() - started


def stages(pages: Sequence[accuracy.Grey]) -> dict[str, float]:
    """Processor seconds of each of ``STAGES``, with a clock read before and after each, and of what is in none."""
    taken: defaultdict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.process_time()
            result = function(*arguments)
            taken[name] += time.process_time() - started
            return result

        return call

    with ExitStack() as patches:
        for name, functions in STAGES.items():
            for owner, function in functions:
                patches.enter_context(patch.object(owner, function, timed(name, getattr(owner, function))))
        whole = seconds(pages)
    return {**{name: taken[name] for name in STAGES}, "rest": whole - sum(taken.values())}


def measure(cells: int, repetitions: int) -> dict[str, dict[str, Any]]:
    """Cells a second of every kind, on this machine, and the microseconds a cell of each stage."""
    cv2.setNumThreads(1)
    results = {}
    for kind in KINDS:
        pages = accuracy.pages(kind, cells)[0]
        rate = round(cells / min(seconds(pages) for _ in range(repetitions)))
        quickest = min((stages(pages) for _ in range(repetitions)), key=lambda found: sum(found.values()))
        parts = {name: round(1e6 * part / cells) for name, part in quickest.items()}
        results[kind] = {"cells_per_second": rate, "microseconds": parts}
        print(f"{kind:32} {rate:>7,} cells/s; {parts}", flush=True)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, save."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cells", type=int, default=500, metavar="N", help="of every kind")
    arguments.add_argument("--repetitions", type=int, default=10, metavar="N")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    given = arguments.parse_args(argv)
    given.results.write_text(json.dumps(measure(given.cells, given.repetitions), indent=2) + "\n")


if __name__ == "__main__":
    main()
