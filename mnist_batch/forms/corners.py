"""Find printed boxes by their corners and sides: writing covers these, and takes nothing of them away."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

Mask = NDArray[np.uint8]
Points = NDArray[np.int64]
Size = tuple[float, float]

MISSING = 0.1, 8  # of the print of a side of a box: the share at most, and pixels at most
NEAR = 4  # pixels, by which the corners at both ends of a side may lie aside
CHOICES = 4  # corners below another, or beside it, that may end a box; the last beside it, too
THICKEST = 56  # pixels of print between two cells
LINE = 5  # pixels; of thicker print between cells, the outer part belongs to none
ASIDE = 12  # pixels, by which a stroke may shift a corner
FULL = 0.75  # of a box by print is too much
FULL_BESIDE = 0.8, 0.5  # of what lies beside one of its sides, and beside all of them


@dataclass(frozen=True)
class Sides:
    """Print along rows and along columns, uint8 (H, W), and how much of it there is before each pixel."""

    across: Mask
    down: Mask
    before: NDArray[np.int32]
    above: NDArray[np.int32]

    @classmethod
    def of(cls, print_: Mask) -> "Sides":
        """The sides of a mask of print, with small gaps closed, and as wide as a skew of some pixels needs."""
        across, down = _joined(print_, (1, 0)), _joined(print_, (0, 1))
        return cls(across, down, _summed(across), _summed(np.ascontiguousarray(down.T)))

    def row(self, y: int, left: int, right: int) -> bool:
        """Whether a row near ``y`` is printed between two columns."""
        return _whole(self.before, y, left, right)

    def column(self, x: int, top: int, foot: int) -> bool:
        """Whether a column near ``x`` is printed between two rows."""
        return _whole(self.above, x, top, foot)


def framed(sides: Sides, box: Box) -> bool:
    """Whether all sides of a box are printed."""
    left, top, right, foot = (round(at) for at in (box.x, box.y, box.x + box.width, box.y + box.height))
    if left < 0 or top < 0 or right >= sides.across.shape[1] or foot >= sides.across.shape[0]:
        return False
    across = sides.row(top, left, right) and sides.row(foot, left, right)
    return across and sides.column(left, top, foot) and sides.column(right, top, foot)


def _joined(print_: Mask, along: tuple[int, int]) -> Mask:
    across, down = along
    thick = cv2.dilate(print_, np.ones((1 + 2 * across, 1 + 2 * down), np.uint8))
    joined: Mask = cv2.morphologyEx(thick, cv2.MORPH_CLOSE, np.ones((1 + 4 * down, 1 + 4 * across), np.uint8))
    return joined


def _summed(mask: Mask) -> NDArray[np.int32]:
    summed = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=1, out=summed[:, 1:])
    return summed


def _whole(summed: NDArray[np.int32], line: int, start: int, end: int) -> bool:
    rows = summed[max(line - 2, 0) : line + 3]
    missing = end - start - int((rows[:, end] - rows[:, start]).max())
    return missing <= min(MISSING[0] * (end - start), MISSING[1])


def boxes(print_: Mask, least: Size, most: Size) -> Iterator[Box]:
    """The upright boxes whose sides and corners are set in a mask of print, uint8 (H, W) of 0 and 1.

    They are at least and at most so wide and high, and may lie in each other. Their edges are in the middle of the
    lines around them.
    """
    sides = Sides.of(print_)
    wide, high = round(0.8 * least[0]), round(0.8 * least[1])
    right, left = (_reach(sides.across, (1, wide), (at, 0)) for at in (0, wide - 1))
    down, up = (_reach(sides.down, (high, 1), (0, at)) for at in (0, high - 1))
    upper_right, lower_left, lower_right = _outer(left & down, 1, 0), _outer(right & up, 0, 1), _outer(left & up, 1, 1)
    for x, y in _outer(right & down, 0, 0).tolist():
        ends = [end for end in _behind(upper_right, x, y, least[0], most[0]) if sides.row(y, x, end)]
        feet = _behind(lower_left[:, ::-1], y, x, least[1], most[1])[:CHOICES] if ends else []
        for foot in feet:
            if not sides.column(x, y, foot):
                break
            for end in [*ends[:CHOICES], *ends[CHOICES:][-1:]]:
                whole = sides.row(foot, x, end) and sides.column(end, y, foot)
                if whole and (np.abs(lower_right - (end, foot)) <= NEAR).all(axis=1).any():
                    box = _between_lines(print_, x, y, end + 1, foot + 1)
                    fits = least[0] <= box.width <= most[0] and least[1] <= box.height <= most[1]
                    if fits and _fullness(print_, box) < FULL:
                        yield box


def repeated(print_: Mask, size: Size) -> list[Box]:
    """Where boxes of a size stand in a mask of print, by their sides alone, the emptiest first.

    A stroke may hide where a side ends.
    """
    sides, (wide, high) = Sides.of(print_), (round(length) for length in size)
    rows = _sums(sides.across, (wide, 1)) >= wide - min(MISSING[0] * wide, MISSING[1]) / 2
    columns = _sums(sides.down, (1, high)) >= high - min(MISSING[0] * high, MISSING[1]) / 2
    y, x = np.arange(print_.shape[0] - high), np.arange(print_.shape[1] - wide)
    framed = rows[: len(y), : len(x)] & rows[high:, : len(x)] & columns[: len(y), : len(x)] & columns[: len(y), wide:]
    # Beside a side of a box there is only what is written: a side is not in the middle of something printed.
    full = np.zeros_like(rows[: len(y), : len(x)], np.float32)
    across, down = (wide - 2 * LINE, LINE), (LINE, high - 2 * LINE)
    for size_of, left, top in (
        (across, LINE, LINE), (across, LINE, high - 2 * LINE), (down, LINE, LINE), (down, wide - 2 * LINE, LINE)
    ):  # fmt: skip
        beside = _sums(print_, size_of)[top : top + len(y), left : left + len(x)]
        framed &= beside < FULL_BESIDE[0] * size_of[0] * size_of[1]
        full += beside
    framed &= full < FULL_BESIDE[1] * 2 * LINE * (wide + high - 4 * LINE)
    count, labels = cv2.connectedComponents(framed.astype(np.uint8), connectivity=8)
    at_y, at_x = np.nonzero(framed)
    fullness, pieces = full[framed], labels[framed]
    found = []
    for piece in range(1, count):
        there = np.flatnonzero(pieces == piece)
        emptiest = there[np.argmin(fullness[there])]
        near = (np.abs(at_x[there] - at_x[emptiest]) <= LINE) & (np.abs(at_y[there] - at_y[emptiest]) <= LINE)
        near &= fullness[there] <= 1.1 * fullness[emptiest] + LINE
        box = Box(float(at_x[there[near]].mean()), float(at_y[there[near]].mean()), float(wide), float(high))
        found.append((float(fullness[emptiest]), box))
    return [box for _, box in sorted(found)]


def _sums(mask: Mask, size: tuple[int, int]) -> NDArray[np.float32]:
    """How many pixels of a mask are set in the rectangle of a size that begins at each pixel."""
    sums: NDArray[np.float32] = cv2.boxFilter(
        mask, cv2.CV_32F, size, anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return sums


def _reach(mask: Mask, size: tuple[int, int], anchor: tuple[int, int]) -> Mask:
    """Where a mask is set in all of a line of pixels that begins, or ends, there."""
    reach: Mask = cv2.erode(mask, np.ones(size, np.uint8), anchor=anchor, borderValue=0)
    return reach


def _outer(corners: Mask, right: int, foot: int) -> Points:
    """The outer corner of each piece of a mask, at its right and its foot if these are 1: (N, 2), x and y.

    A stroke that touches a corner makes its piece larger inside the box only.
    """
    stats = cv2.connectedComponentsWithStats(corners, connectivity=8)[2][1:].astype(np.int64)
    return np.stack([stats[:, 0] + right * (stats[:, 2] - 1), stats[:, 1] + foot * (stats[:, 3] - 1)], 1)


def _behind(corners: Points, start: int, line: int, least: float, most: float) -> list[int]:
    """Where corners lie near a line, at least and at most so far behind its start, the nearest first."""
    away = corners[:, 0] - start
    there = corners[(away >= least - 2) & (away <= most + 2 * THICKEST) & (np.abs(corners[:, 1] - line) <= NEAR), 0]
    return sorted(set(there.tolist()))


def _between_lines(print_: Mask, left: int, top: int, right: int, foot: int) -> Box:
    """The box between the lines that begin at these outer edges, up to the middle of a line."""
    inside = print_[top:foot, left:right]
    rows, columns = (slice(size // 5, size - size // 5) for size in inside.shape)
    across, down = inside[rows].mean(axis=0), inside[:, columns].mean(axis=1)
    x, x_to = left + _line_end(across), right - _line_end(across[::-1])
    y, y_to = top + _line_end(down), foot - _line_end(down[::-1])
    return Box(x, y, x_to - x, y_to - y)


def _line_end(shares: NDArray[np.float64]) -> float:
    """How far in the line lies, near the start of a profile, in whose middle a box ends."""
    near = shares[: ASIDE + THICKEST] >= 0.8
    if not near[:ASIDE].any():
        return 0.0
    start = int(np.argmax(near))
    thick = int(np.argmin(near[start:])) if not near[start:].all() else 0
    return start + max(thick / 2, thick - LINE / 2)


def _fullness(print_: Mask, box: Box) -> float:
    """The share of a box, without the lines around it, that is printed."""
    x, y, x_to, y_to = (round(at) for at in (box.x, box.y, box.x + box.width, box.y + box.height))
    return float(print_[y + LINE : y_to - LINE, x + LINE : x_to - LINE].mean())
