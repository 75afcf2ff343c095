"""How many cells that hold no digit, or two, are taken for one: empty, ruled, crossed, scribbled, lettered cells.

    python -m benchmarks.refusals

Prints the table of docs/accuracy.md and keeps it in benchmarks/refusals.json. The cells are drawn page by page at their
own size and not by ``mnist_batch/learning/negatives.py``, from which the model learned; the letters are of other fonts.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.accuracy import Reader, cell
from mnist_batch import statuses
from mnist_batch.learning import digits
from mnist_batch.models import bundle, certifying

Grey = NDArray[np.uint8]
Random = np.random.Generator
RESULTS = Path(__file__).parent / "refusals.json"
SIDE = 64
TARGET_ERROR = 0.005
NOTHING = np.zeros((28, 28), np.uint8)
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
)
LETTERS = "AEFHKMNPRWXkmnpwx&#%"  # none that could be a digit


@cache
def mnist() -> Grey:
    """The digits that are written into cells, uint8 (10000, 28, 28)."""
    return digits.mnist("test")[0]


def empty(random: Random) -> Grey:
    """Paper, its light perhaps uneven."""
    return cell(
        NOTHING, random, paper=random.uniform(150, 250), noise=random.uniform(0, 8), shade=random.uniform(0, 40)
    )


def speckled(random: Random) -> Grey:
    """Paper with some specks of dust."""
    page = empty(random)
    for across, down in random.integers(0, SIDE, (int(random.integers(1, 12)), 2)).tolist():
        cv2.circle(page, (across, down), int(random.integers(0, 2)), int(random.integers(0, 90)), -1)
    return page


def bordered(random: Random) -> Grey:
    """Paper with what is left of a box around it."""
    return cell(NOTHING, random, lines=int(random.integers(1, 4)), slant=3, noise=random.uniform(0, 8))


def bordered_in_shade(random: Random) -> Grey:
    """The same in uneven light."""
    lines, shade, noise = int(random.integers(1, 4)), random.uniform(15, 100), random.uniform(0, 8)
    return cell(NOTHING, random, lines=lines, slant=3, shade=shade, noise=noise)


def ruled(random: Random) -> Grey:
    """One to three ruled lines across, anywhere."""
    page = empty(random)
    for row in random.integers(4, SIDE - 4, int(random.integers(1, 4))).tolist():
        cv2.line(page, (0, row), (SIDE, row + int(random.integers(-2, 3))), 60, int(random.integers(1, 3)))
    return page


def _drawn(random: Random, strokes: Sequence[NDArray[np.float64]]) -> Grey:
    page = empty(random)
    ink = int(random.integers(10, 100))
    for stroke in strokes:
        points = stroke.round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(page, [points], False, ink, int(random.integers(2, 6)), cv2.LINE_AA)
    return page


def crossed(random: Random) -> Grey:
    """A cross from corner to corner, or a plus."""
    near, far = random.uniform(6, 20, (2, 2)), random.uniform(44, 58, (2, 2))
    if random.random() < 0.6:
        return _drawn(
            random, [np.array([near[0], far[0]]), np.array([[far[1, 0], near[1, 1]], [near[1, 0], far[1, 1]]])]
        )
    middle = random.uniform(28, 36, 2)
    return _drawn(
        random,
        [
            np.array([[near[0, 0], middle[1]], [far[0, 0], middle[1]]]),
            np.array([[middle[0], near[1, 1]], [middle[0], far[1, 1]]]),
        ],
    )


def hyphen(random: Random) -> Grey:
    """A level stroke."""
    height, reach = random.uniform(20, 44), random.uniform(8, 24)
    return _drawn(random, [np.array([[32 - reach, height], [32 + reach, height + random.uniform(-5, 5)]])])


def scribbled(random: Random) -> Grey:
    """A pen that turns and turns."""
    turns, points = random.normal(0, 1, (int(random.integers(60, 160)), 2)), [np.array([32.0, 32.0])]
    speed = np.zeros(2)
    for turn in turns:
        speed = 0.8 * speed + 4 * turn + 0.06 * (32 - points[-1])
        points.append((points[-1] + speed).clip(8, 56))
    return _drawn(random, [np.array(points)])


def _printed(random: Random, text: str, size: int) -> Grey:
    page = Image.fromarray(empty(random))
    font = ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf", random.choice(FONTS))), size)
    ImageDraw.Draw(page).text((32, 32), text, fill=int(random.integers(0, 90)), font=font, anchor="mm")
    return np.asarray(page)


def lettered(random: Random) -> Grey:
    """A printed letter."""
    return _printed(random, str(random.choice(list(LETTERS))), int(random.integers(26, 46)))


def worded(random: Random) -> Grey:
    """A printed word."""
    return _printed(random, str(random.choice(["No.", "page", "Date", "NAME", "form", "total", "M. & R."])), 16)


def doubled(random: Random) -> Grey:
    """Two digits of the MNIST test set in one cell."""
    page, pictures = empty(random).astype(np.float32), mnist()
    for left, number in zip((2, 32), random.integers(0, len(pictures), 2), strict=True):
        drawn = cv2.resize(pictures[number], (30, 36)).astype(np.float32) / 255
        part = page[14:50, left : left + 30]
        page[14:50, left : left + 30] = part * (1 - drawn) + 40 * drawn
    return page.astype(np.uint8)


KINDS: dict[str, Callable[[Random], Grey]] = {
    "empty": empty,
    "empty, with speckle": speckled,
    "empty, with remains of a box": bordered,
    "empty, with remains of a box, in uneven light": bordered_in_shade,
    "ruled": ruled,
    "crossed": crossed,
    "a hyphen": hyphen,
    "scribbled": scribbled,
    "a printed letter": lettered,
    "a printed word": worded,
    "two digits": doubled,
}


def shares(pages: Sequence[Grey], reader: Reader) -> dict[str, float]:
    """The share of pages with each status, as ``predictions`` has it, and of those that the rule accepts."""
    answers = reader.read_pages(pages)
    threshold = certifying.threshold_for(reader.calibration, TARGET_ERROR, reader.name)
    accepted = (answers.digit >= 0) & ~answers.doubted & (answers.confidence >= np.float32(threshold))
    refused = {str(name): answers.refused & (answers.refusal == at) for at, name in enumerate(statuses.REFUSALS)}
    found = {"blank": answers.blank, **refused, "ok": answers.digit >= 0, "accepted": accepted}
    return {name: float(rows.mean()) for name, rows in found.items()}


def measure(reader: Reader, count: int) -> dict[str, dict[str, float]]:
    """The shares for ``count`` cells of every kind, and for the whole MNIST test set."""
    random = np.random.default_rng(0)
    sets = {name: [draw(random) for _ in range(count)] for name, draw in KINDS.items()}
    sets["MNIST test, as it is"] = list(mnist())
    return {name: {"pages": len(pages), **shares(pages, reader)} for name, pages in sets.items()}


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as docs/accuracy.md shows them, in per cent."""
    names = ("blank", *statuses.REFUSALS, "ok", "accepted")
    lines = [f"| cells | {' | '.join(f'`{name}`' for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for name, found in results.items():
        lines.append(
            f"| {name} ({found['pages']:,}) | {' | '.join(f'{100 * found[status]:.2f}' for status in names)} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED)
    arguments.add_argument("--count", type=int, default=2000, help="cells of each kind")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    given = arguments.parse_args(argv)
    results = measure(Reader(given.model, TARGET_ERROR), given.count)
    given.results.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
