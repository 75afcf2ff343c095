"""Whether slanted digits are better set upright before they are read: wrong answers with and without, by one bundle.

    python -m benchmarks.deslanting

Normalised digits of some sets of benchmarks.accuracy are sheared upright by their second moments, at four times their
size, and fitted and centred again. Prints the table of docs/accuracy.md.
"""

import argparse
from collections.abc import Sequence

import cv2
import numpy as np

from benchmarks.accuracy import Grey, Reader, pages
from mnist_batch.models import bundle
from mnist_batch.pixels.normalising import SIDE, normalise

SETS = ("MNIST test, as it is", "with box borders", "32 pixels, noisy", "load_digits")
LARGER = 4


def upright(picture: Grey) -> Grey:
    """A normalised digit without the slant of its ink, as it would have been normalised."""
    moments = cv2.moments(picture)
    if moments["mu02"] < 1:  # no ink, or a line of one pixel
        return picture
    side = LARGER * SIDE
    slant = moments["mu11"] / moments["mu02"]
    shear = np.array([[1, -slant, slant * side / 2], [0, 1, 0]])
    large = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    # Paper around it, or a long foot would be cut off.
    large = cv2.copyMakeBorder(large, 0, 0, side, side, cv2.BORDER_CONSTANT, value=0)
    return normalise(cv2.warpAffine(large, shear, large.shape[::-1], flags=cv2.INTER_CUBIC))


def measure(reader: Reader, name: str, most: int = 10_000) -> tuple[int, int, int]:
    """The digits of a set, and how many of them are not read as their label: as they are, and set upright."""
    found, labels = pages(name, most)
    pictures = np.stack([normalise(page) for page in found])
    wrong = [int((reader.read(each).digit != labels).sum()) for each in (pictures, np.stack([*map(upright, pictures)]))]
    return len(labels), wrong[0], wrong[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    given = arguments.parse_args(argv)
    reader = Reader(given.model)
    print("| pages | wrong as they are | wrong when set upright |\n|---|---|---|")
    for name in SETS:
        count, before, after = measure(reader, name)
        print(f"| {name} ({count:,}) | {before} | {after} |", flush=True)


if __name__ == "__main__":
    main()
