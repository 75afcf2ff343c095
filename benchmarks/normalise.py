"""How many cells a second one core normalises, by kind of cell.

    python -m benchmarks.normalise

Prints a line a kind and keeps them in benchmarks/normalise.json. The seconds are the processor's, so that what else
runs on the machine counts little, and the best of several repetitions.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import accuracy
from mnist_batch import images, normalising

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


def seconds(normalise: Callable[[accuracy.Grey], object], pages: Sequence[accuracy.Grey]) -> float:
    """Processor seconds to normalise the pages once."""
    started = time.process_time()
    for page in pages:
        normalise(page)
    return time.process_time() - started


def measure(cells: int, repetitions: int) -> dict[str, int]:
    """Cells a second of every kind, on this machine."""
    images.cv2.setNumThreads(1)
    results = {}
    for kind in KINDS:
        pages = accuracy.pages(kind, cells)[0]
        best = min(seconds(normalising.normalise, pages) for _ in range(repetitions))
        results[kind] = round(cells / best)
        print(f"{kind:32} {results[kind]:>7,} cells/s", flush=True)
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
