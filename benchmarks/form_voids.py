"""The ways in which people cross cells through that they do not use: each by itself, or all with one stroke."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.handwriting import Random

Points = NDArray[np.float64]
Box = Sequence[float]  # x, y, width and height
SLASH, BACKSLASH, DASH = ((0.12, 0.9), (0.88, 0.1)), ((0.12, 0.1), (0.88, 0.9)), ((0.15, 0.5), (0.85, 0.5))
SHORT_SLASH = (0.24, 0.8), (0.76, 0.2)
UNSTEADY = 0.06  # of a cell's sides by which ends and middles of strokes are off

Path = Sequence[tuple[float, float]]  # points of a stroke, in shares of the box over which it is drawn
Paths = Callable[[int, Random], Sequence[Path]]  # those over so many cells


def _zigzag(count: int, random: Random) -> Sequence[Path]:
    """Up and down from cell to cell, as often as somebody likes."""
    turns = max(2, round(count * random.uniform(0.8, 2.2)))
    first = int(random.integers(2))
    return [[(0.03 + 0.94 * at / turns, 0.15 if (at + first) % 2 else 0.85) for at in range(turns + 1)]]


def _wave(count: int, random: Random) -> Sequence[Path]:
    """A snake through the middle of the cells."""
    way = np.linspace(0, 1, 16 * count)
    height, turns = random.uniform(0.12, 0.35), count * random.uniform(0.6, 1.5)
    return [list(zip(0.03 + 0.94 * way, 0.5 + height * np.sin(2 * np.pi * turns * way), strict=True))]


def _bar(_: int, random: Random) -> Sequence[Path]:
    """A level stroke from the first cell to the last, here and there a little beyond."""
    height = random.uniform(0.35, 0.65)
    return [[(random.uniform(-0.02, 0.08), height), (random.uniform(0.92, 1.02), height)]]


EACH: Mapping[str, Sequence[Path]] = {
    "slash": (SLASH,),
    "short slash": (SHORT_SLASH,),
    "backslash": (BACKSLASH,),
    "x": (SLASH, BACKSLASH),
    "dash": (DASH,),
}
OVER_ALL: Mapping[str, Paths] = {
    "bar": _bar,
    "diagonal": lambda *_: [((0.03, 0.9), (0.97, 0.1))],
    "falling diagonal": lambda *_: [((0.03, 0.1), (0.97, 0.9))],
    "long x": lambda *_: [((0.03, 0.9), (0.97, 0.1)), ((0.03, 0.1), (0.97, 0.9))],
    "z": lambda *_: [((0.04, 0.14), (0.96, 0.14), (0.04, 0.86), (0.96, 0.86))],
    "zigzag": _zigzag,
    "wave": _wave,
}
VOIDS = (*EACH, *OVER_ALL)


def strokes(void: str, cells: Sequence[Box], random: Random) -> list[Points]:
    """The strokes through cells that lie beside each other, each as points (N, 2); ``void`` is one of ``VOIDS``.

    One cell alone is not crossed in a way that takes several: it gets a slash or an X.
    """
    if void in OVER_ALL and len(cells) > 1:
        left, top = min(cell[0] for cell in cells), min(cell[1] for cell in cells)
        right, foot = max(cell[0] + cell[2] for cell in cells), max(cell[1] + cell[3] for cell in cells)
        box = (left, top, right - left, foot - top)
        return [_drawn(path, box, cells[0], random) for path in OVER_ALL[void](len(cells), random)]
    paths = EACH.get(void) or EACH["slash" if random.random() < 0.5 else "x"]
    return [_drawn(path, cell, cell, random) for cell in cells for path in paths]


def _drawn(path: Path, box: Box, cell: Box, random: Random) -> Points:
    """A path over a box, as an unsteady hand draws it: ends are off, and straight strokes bend."""
    size = np.array(cell[2:4])
    points = np.array(path) * box[2:4] + box[:2]
    if len(points) > 8:  # a curve
        return np.asarray(points + random.normal(0, 0.3 * UNSTEADY, (1, 2)) * size)
    points += random.uniform(-UNSTEADY, UNSTEADY, points.shape) * size
    middles = (points[:-1] + points[1:]) / 2 + random.uniform(-0.5, 0.5, (len(points) - 1, 2)) * UNSTEADY * size
    drawn = np.empty((2 * len(points) - 1, 2))
    drawn[::2], drawn[1::2] = points, middles
    return drawn
