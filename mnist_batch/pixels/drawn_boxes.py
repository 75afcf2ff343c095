"""Find a box of four thin lines that is drawn on a page, though its digit crosses them or hides parts of them.

Masks are integers, as ``bitmaps`` has them.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from mnist_batch.pixels import strokes
from mnist_batch.pixels.bitmaps import Grid, Way
from mnist_batch.pixels.opencv import cv2
from mnist_batch.pixels.strokes import Labelled

THICK = 5  # pixels; ink as thick as that is no line
FEW, SOME = 0.12, 0.35  # of the places on a line; strokes run along so many, or its own edges are rough there
SHORTEST = 16  # pixels of a side; a round digit smaller than that looks square
LEAST_SEEN = 4  # pixels of a line that no stroke hides, for it to be looked at
MOST_LINES = 6  # either way; those seen best
CLOSED = 0.93  # of each side has ink
SEEN, SEEN_OF_ALL = 0.08, 0.4  # of a side, and of all four on average, is thin
PLAIN = 0.8  # of each side is thin: the box is not in doubt
REACH = 3  # pixels beside a side that are its own


class DrawnBox(NamedTuple):
    """A box on a page: the ink of its ``lines`` but where strokes cross them, and the ``pieces`` of all other ink.

    A box that is not ``plain`` may be part of the digit.
    """

    lines: int
    pieces: Labelled
    plain: bool


class _Lines(NamedTuple):
    """What may be the lines of a box, either across or down: ``places`` are their rows or columns.

    ``thin`` is ink that is not thick; it and all ``ink`` are spread by a pixel to either side, for lines that slant.
    """

    places: list[int]
    ink: int
    thin: int

    @classmethod
    def of(cls, grid: Grid, way: Way, ink: int) -> "_Lines":
        thin = ink & ~way.tall(ink, THICK)
        sums = grid.unpacked(thin).sum(axis=1 if way is grid.across else 0, dtype=np.int32)
        seen = (sums[:-2] + 2 * sums[1:-1] + sums[2:]).tolist()  # most in the middle of a line
        inner = range(1, len(seen) - 1)
        peaks = [at + 1 for at in inner if seen[at] >= 2 * LEAST_SEEN and seen[at - 1] <= seen[at] > seen[at + 1]]
        best = sorted(peaks, key=lambda at: -seen[at - 1])[:MOST_LINES]
        return cls(sorted(best), way.spread(ink), way.spread(thin))


class _Edges(NamedTuple):
    left: int
    top: int
    right: int
    foot: int

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.foot - self.top)


def find(grid: Grid, ink: int) -> DrawnBox | None:
    """The largest box on a page that leaves a digit when it is taken away, or None."""
    level, upright = _Lines.of(grid, grid.across, ink), _Lines.of(grid, grid.down, ink)
    boxes = [(edges, seen) for edges in _closed(grid, level, upright) if (seen := _seen(grid, level, upright, edges))]
    if not boxes:
        return None
    edges, seen = max(boxes, key=lambda box: box[0].area)
    lines = _lines(grid, ink, edges)
    pieces = _holding_a_digit(grid, ink & ~lines, edges.foot - edges.top)
    return pieces and DrawnBox(lines, pieces, min(seen) >= PLAIN)


def _closed(grid: Grid, level: _Lines, upright: _Lines) -> Iterator[_Edges]:
    """The boxes with ink along all four sides."""
    for left, right in _apart(upright.places):
        columns = level.ink & grid.columns(left, right + 1)
        least = CLOSED * (right + 1 - left)
        rows = [row for row in level.places if (columns & grid.rows(row, row + 1)).bit_count() >= least]
        for top, foot in _apart(rows):
            height = upright.ink & grid.rows(top, foot + 1)
            sides = (height & grid.columns(column, column + 1) for column in (left, right))
            if all(side.bit_count() >= CLOSED * (foot + 1 - top) for side in sides):
                yield _Edges(left, top, right, foot)


def _apart(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((first, last) for first, last in combinations(places, 2) if last - first >= SHORTEST)


def _seen(grid: Grid, level: _Lines, upright: _Lines, edges: _Edges) -> list[float] | None:
    """The share of each side that is thin; None if too little is for a box."""
    left, top, right, foot = edges
    columns, rows = level.thin & grid.columns(left, right + 1), upright.thin & grid.rows(top, foot + 1)
    seen = [(columns & grid.rows(at, at + 1)).bit_count() / (right + 1 - left) for at in (top, foot)]
    seen += [(rows & grid.columns(at, at + 1)).bit_count() / (foot + 1 - top) for at in (left, right)]
    return seen if min(seen) >= SEEN and sum(seen) >= 4 * SEEN_OF_ALL else None


def _lines(grid: Grid, ink: int, edges: _Edges) -> int:
    """The ink of a box's sides, without the strokes that cross them."""
    left, top, right, foot = edges
    beside_rows = grid.rows(max(0, top - REACH), foot + REACH + 1)
    beside_columns = grid.columns(max(0, left - REACH), min(grid.width, right + REACH + 1))
    within = grid.rows(top + REACH + 1, foot - REACH), grid.columns(left + REACH + 1, right - REACH)
    around = ink & beside_rows & beside_columns
    level, upright = around & ~within[0], around & ~within[1]
    return level & ~strokes_on(grid.across, level, ink) | upright & ~strokes_on(grid.down, upright, ink)


def strokes_on(way: Way, lines: int, ink: int) -> int:
    """The ink that is thicker than lines are themselves: of strokes that cross them, or that run along them."""
    thin = lines & ~way.tall(ink, THICK)
    of_line = places(way, thin)
    for least in range(2, THICK - 1):
        thicker = places(way, way.tall(thin, least))
        if thicker <= FEW * of_line:
            return way.tall(ink, least)
        if thicker <= SOME * of_line:
            return way.tall(ink, least + 1)
    return way.tall(ink, THICK)


def places(way: Way, mask: int) -> int:
    """How many runs of ink, from line to line, a mask has."""
    return (mask & ~(mask << way.sideways)).bit_count()


def _holding_a_digit(grid: Grid, left: int, height: int) -> Labelled | None:
    """The pieces of the ink without its box if most of it is one, a third as high as the box; of a 0, arcs are left."""
    pieces = strokes.labelled(grid.unpacked(left))
    stats = pieces.stats[1:]
    if not len(stats):
        return None
    largest = stats[stats[:, cv2.CC_STAT_AREA].argmax()]
    holds = 3 * largest[cv2.CC_STAT_HEIGHT] >= height and largest[cv2.CC_STAT_AREA] >= 0.6 * stats[:, 4].sum()
    return pieces if holds else None
