"""Masks as integers, a bit a pixel: on pages this small ``&``, ``|`` and ``<<`` take a tenth of a call of OpenCV.

Pixel (x, y) is bit ``y * stride + x``. The last bit of a row is always 0, so that a run ends where its row does.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """A way that lines run on a page, across or down: ``length`` pixels a line, and so many ``lines``.

    From pixel to pixel of a line it is ``step`` bits, from line to line ``sideways``. Masks: ``ends``, the three pixels
    at each end of every line; ``quarters`` and ``halves``, the lines nearest to each edge; ``starts``, the first pixel
    of every line; ``whole``, all of the page.
    """

    length: int
    lines: int
    step: int
    sideways: int
    ends: tuple[int, int]
    quarters: tuple[int, int]
    halves: tuple[int, int]
    starts: int
    whole: int

    def runs(self, mask: int, least: int) -> int:
        """The runs of at least so many pixels along lines.

        For an even ``least`` they lie a pixel further on, as where OpenCV opens a mask.
        """
        runs = _runs(mask, least, self.step)
        return runs if least % 2 else runs << self.step & self.whole

    def tall(self, mask: int, least: int) -> int:
        """The runs of at least so many pixels from line to line."""
        return _runs(mask, least, self.sideways)

    def crossed(self, runs: int, least: int) -> int:
        """How many lines hold ``runs`` of at least so many pixels, over half a line: each covers its line's middle."""
        middle = (self.length + 1 - least % 2) // 2
        return (runs >> middle * self.step & self.starts).bit_count()

    def spread(self, mask: int) -> int:
        """The mask with the pixels beside it on the next lines."""
        return (mask | mask << self.sideways | mask >> self.sideways) & self.whole


def _runs(mask: int, least: int, step: int) -> int:
    for by in _doublings(least):
        mask &= mask >> by * step  # in the end the pixels at which a run begins
        if not mask:
            return 0
    for by in _doublings(least):
        mask |= mask << by * step
    return mask


@cache
def _doublings(length: int) -> list[int]:
    """By how many pixels a mask is laid over itself, again and again, until a pixel stands for so many."""
    steps, done = [], 1
    while done < length:
        steps.append(min(done, length - done))
        done += steps[-1]
    return steps


class Grid:
    """How the pixels of masks of one shape lie in integers, and the ways of lines among them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.height, self.width = height, width = shape
        self._row_bytes = width // 8 + 1
        self.stride = 8 * self._row_bytes
        self._column = sum(1 << self.stride * row for row in range(height))
        self.whole = self._column * ((1 << width) - 1)
        self.across = self._way(width, height, 1, self.stride)
        self.down = self._way(height, width, self.stride, 1)
        self.edges = self._edges()

    def _edges(self) -> tuple[int, int, int, int]:
        last_column, last_row = self.width - 1, self.height - 1
        columns = self.columns(0, 1), self.columns(last_column, self.width)
        return *columns, self.rows(0, 1), self.rows(last_row, self.height)

    def _way(self, length: int, lines: int, step: int, sideways: int) -> Way:
        along, beside = (self.columns, self.rows) if step == 1 else (self.rows, self.columns)
        band = max(1, lines // 4)
        ends = along(0, min(3, length)), along(max(0, length - 3), length)
        quarters = beside(0, band), beside(max(band, lines - band), lines)
        halves = beside(0, lines // 2), beside(lines // 2, lines)
        return Way(length, lines, step, sideways, ends, quarters, halves, along(0, 1), self.whole)

    def rows(self, first: int, last: int) -> int:
        """The mask with the rows from ``first``, without ``last``."""
        return self.whole & ((1 << last * self.stride) - (1 << first * self.stride))

    def columns(self, first: int, last: int) -> int:
        """The mask with the columns from ``first``, without ``last``."""
        return self._column * ((1 << last) - (1 << first))

    def packed(self, mask: Grey) -> int:
        """A mask of 0 and 1, uint8 (height, width), as an integer."""
        pixels = np.zeros((self.height, self.stride), np.uint8)
        pixels[:, : self.width] = mask
        return int.from_bytes(np.packbits(pixels, bitorder="little").tobytes(), "little")

    def unpacked(self, mask: int) -> Grey:
        """An integer as a mask of 0 and 1, uint8 (height, width)."""
        pixels = np.frombuffer(mask.to_bytes(self.height * self._row_bytes, "little"), np.uint8)
        return np.unpackbits(pixels, bitorder="little").reshape(self.height, -1)[:, : self.width]


@lru_cache(1_000)  # most pages of a run have a few shapes
def grid(shape: tuple[int, ...]) -> Grid:
    """The grid of the masks of a shape, (height, width)."""
    return Grid(shape)
