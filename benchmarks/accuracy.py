"""How well a model reads digits as scanners deliver them: the MNIST test set in generated cells, and load_digits.

    python -m benchmarks.accuracy

Prints the table of docs/accuracy.md, with and without normalisation, and keeps it in benchmarks/accuracy.json. No model
of this project is trained on any of these pages.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from mnist_batch import bundle, digits, inference
from mnist_batch.normalising import SIDE, normalise

Grey = NDArray[np.uint8]
Random = np.random.Generator
RESULTS = Path(__file__).parent / "accuracy.json"


def cell(
    picture: Grey,
    random: Random,
    *,
    side: int = 64,
    height: int = 40,
    paper: float = 230,
    ink: float = 40,
    noise: float = 6,
    shade: float = 0,
    mark: float = 0,
    lines: int = 0,
    slant: float = 0,
    box: bool = False,
) -> Grey:
    """A digit ``height`` pixels high somewhere in a cell, with uneven light, a watermark and lines where asked for."""
    page = np.full((side, side), paper, np.float32)
    if shade:
        down, across = np.cos(turn := random.uniform(0, 2 * np.pi)), np.sin(turn)
        page -= shade * (down * np.linspace(0, 1, side)[:, None] + across * np.linspace(0, 1, side)[None, :])
    for _ in range(3 if mark else 0):
        start, end = random.integers(0, side, (2, 2)).tolist()
        cv2.line(page, start, end, paper - mark, int(random.integers(2, 6)))
    room = (side - height) // 2
    top, left = room + random.integers(-room // 2, room // 2 + 1, 2) if room > 1 else (room, room)
    drawn = cv2.resize(picture, (height, height), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    part = page[top : top + height, left : left + height]
    page[top : top + height, left : left + height] = part * (1 - drawn) + ink * drawn
    for edge in np.flatnonzero(random.random(4) < 0.75) if lines else ():
        at = int(random.integers(0, max(1, side // 12)))
        by = int(np.tan(np.radians(random.uniform(-slant, slant))) * side)
        at = at if edge < 2 else side - 1 - at
        ends = ((0, at), (side, at + by)) if edge % 2 else ((at, 0), (at + by, side))
        cv2.line(page, *ends, ink, lines)
    if box:
        at = int(random.integers(side // 14, side // 7))
        cv2.rectangle(page, (at, at), (side - 1 - at, side - 1 - at), ink + 20, int(random.integers(1, 4)))
    page += random.normal(0, noise, page.shape)
    return page.clip(0, 255).astype(np.uint8)


def tight(picture: Grey, _: Random) -> Grey:
    """Dark on white, cut out at the digit's own box, three times as large."""
    box = picture[np.ix_((picture > 0).any(axis=1), (picture > 0).any(axis=0))]
    return 255 - np.asarray(cv2.resize(box, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8)


SETS: dict[str, Callable[[Grey, Random], Grey]] = {
    "MNIST test, as it is": lambda picture, _: picture,
    "dark on white cells, 64 pixels": cell,
    "light on dark cells": lambda picture, random: 255 - cell(picture, random),
    "with box borders": lambda picture, random: cell(picture, random, lines=2),
    "with slanted box borders": lambda picture, random: cell(picture, random, lines=2, slant=3),
    "in a drawn box": lambda picture, random: cell(picture, random, side=80, height=36, box=True),
    "pencil of 11 % contrast": lambda picture, random: cell(picture, random, ink=205, noise=2),
    "uneven light": lambda picture, random: cell(picture, random, shade=100, ink=20),
    "uneven light and borders": lambda picture, random: cell(picture, random, shade=60, lines=2),
    "much noise and borders": lambda picture, random: cell(picture, random, noise=15, lines=2),
    "watermark and borders": lambda picture, random: cell(picture, random, mark=35, lines=2),
    "32 pixels, noisy": lambda picture, random: cell(picture, random, side=32, height=20, noise=8),
    "224 pixels, noisy": lambda picture, random: cell(picture, random, side=224, height=150, noise=10),
    "small in a large cell": lambda picture, random: cell(picture, random, side=200, height=36),
    "cut out tightly": tight,
}


def resized(page: Grey) -> Grey:
    """What a notebook does: dark on white turned over, then resized to 28x28."""
    page = 255 - page if np.median(page) > 127 else page
    how = cv2.INTER_AREA if min(page.shape) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(page, (SIDE, SIDE), interpolation=how), np.uint8)


def pages(name: str, most: int = 10_000) -> tuple[list[Grey], NDArray[np.int8]]:
    """The pages of a set, at most so many, and their labels."""
    if name == "load_digits":
        found = load_digits()
        return list((found.images * 15.9).astype(np.uint8)[:most]), found.target.astype(np.int8)[:most]
    pictures, labels = (array[:most] for array in digits.mnist("test"))
    random = np.random.default_rng(0)
    return [SETS[name](picture, random) for picture in pictures], labels


def measure(model: str) -> dict[str, dict[str, float]]:
    """For every set: the share read rightly when only resized and when normalised, and the share found blank."""
    engine = inference.OnnxEngine(bundle.open_bundle(model))
    results = {}
    for name in [*SETS, "load_digits"]:
        found, labels = pages(name)
        seen = {"resized": np.stack([resized(page) for page in found])}
        seen["normalised"] = np.stack([normalise(page) for page in found])
        blank = ~seen["normalised"].any(axis=(1, 2))
        right = {how: engine(pictures).argmax(axis=1) == labels for how, pictures in seen.items()}
        results[name] = {
            "pages": len(labels),
            "resized": float(right["resized"].mean()),
            "normalised": float((right["normalised"] & ~blank).mean()),
            "blank": float(blank.mean()),
        }
        print(name, results[name], flush=True)
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as docs/accuracy.md shows them, in per cent."""
    lines = ["| pages | only resized | normalised | found blank |", "|---|---|---|---|"]
    for name, found in results.items():
        shares = " | ".join(f"{100 * found[column]:.2f}" for column in ("resized", "normalised", "blank"))
        lines.append(f"| {name} ({found['pages']:,}) | {shares} |")
    return "\n".join(lines)


def sheet() -> Grey:
    """Some pages of every set above what normalisation makes of them, as one picture."""
    columns = []
    for name in [*SETS, "load_digits"]:
        for page in pages(name, 2)[0]:
            largest = max(page.shape)
            square = np.full((largest, largest), 128, np.uint8)
            square[: page.shape[0], : page.shape[1]] = page
            shown = (square, normalise(page))
            columns.append(np.vstack([cv2.resize(each, (56, 56), interpolation=cv2.INTER_NEAREST) for each in shown]))
    half = len(columns) // 2
    return np.vstack([np.hstack(columns[:half]), np.full((8, 56 * half), 255, np.uint8), np.hstack(columns[half:])])


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED)
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument(
        "--picture", metavar="FILE", help="write a picture of pages before and after, and nothing else"
    )
    given = arguments.parse_args(argv)
    if given.picture:
        cv2.imwrite(given.picture, sheet())
        return
    results = measure(given.model)
    given.results.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
