"""Tell a stroke or an X through an empty cell from a digit."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BENT = 0.06  # of a stroke's length that it may bend beside its thickness
STRAY = 2  # per cent of a stroke's pixels on each side that may lie farther beside it, as where it meets a frame
THICK = 0.12  # of a stroke's length that it may be thick
THICKER = 1.5  # times that: what is as thick and rises may be a slash, and is none for certain
THICK_X = 0.16  # of the shorter side of an X
USUAL = 0.8  # of a cell's diagonal that a slash is long
SHORT = 0.4  # of a cell's width and height that a diagonal stroke covers at least
STEEP, FALLING = 2.15, 1.5  # times its width that it is high at most; no 1 leans to the left by more than the second
ACROSS = 0.66  # of a cell's width and height that an X covers at least
THROUGH, BEYOND = 0.85, 1.3  # of a cell's width that a level stroke covers at least, and at most
TALL, NARROW = 0.5, 0.4  # of a cell's height, and of its own height: an upright 1 is so high, and so wide at most
DASH, CENTRAL = 0.4, 0.25  # of a cell's width that a dash covers at least, and of its height around its middle
FLAT = 0.3  # of its width that a level stroke is high at most, and thick and askew a dash
ON_DIAGONALS = 0.95  # of an X lies on the diagonals of its box
BESIDE = 0.11  # of an X's sides that its ink lies beside its diagonals, at half of its strokes' thickness more
OUTER, MIDDLE = 0.2, 0.12  # of an X's side: in its outer part no ink is nearer to the middle

Places = NDArray[np.int64]


class Extent(NamedTuple):
    """The size of a cell, in pixels."""

    width: float
    height: float


class Lean(StrEnum):
    """How a single stroke lies in its cell."""

    UPRIGHT = "upright"  # as most 1s
    SLASH = "slash"  # leaning
    DASH = "dash"  # level, in the middle


class Stroke(NamedTuple):
    """A single stroke in a cell: its angle from level in degrees, and its length in diagonals of the cell.

    ``across`` says that it goes from one side of the cell to the other, and from top to foot, and ``thick`` that it is
    thicker than most, as 1s are, too.
    """

    lean: Lean
    angle: float
    length: float
    across: bool
    thick: bool = False


class Crossing(NamedTuple):
    """Whether a cell is crossed through for certain, and the single stroke in it that may say so beside others."""

    certain: bool
    stroke: Stroke | None = None


def crossing(x: Places, y: Places, cell: Extent) -> Crossing:
    """Whether the ink at these pixels of a cell of this size is a stroke or an X through it.

    ``x`` and ``y`` count from the upper left corner of the cell.
    """
    wide, high = float(np.ptp(x)) + 1, float(np.ptp(y)) + 1
    if high <= FLAT * wide and THROUGH * cell.width <= wide <= BEYOND * cell.width:
        return Crossing(True)
    if _is_a_dash(y, wide, high, cell):
        return Crossing(False, _stroke(Lean.DASH, wide, high, cell, False))
    if high >= TALL * cell.height and wide <= NARROW * high:
        return Crossing(False, _stroke(Lean.UPRIGHT, wide, high, cell, False))
    across = wide >= ACROSS * cell.width and high >= ACROSS * cell.height
    short = wide >= SHORT * cell.width and high >= SHORT * cell.height and high <= STEEP * wide
    if across or short:
        sizes = float(np.hypot(wide, high)), USUAL * float(np.hypot(*cell))
        rises = float(((x - x.mean()) * (y - y.mean())).sum()) < 0
        thin = _is_straight(x, y, *sizes, THICK)
        if thin and not rises and (across or high <= FALLING * wide):
            return Crossing(True)
        if thin or (rises and _is_straight(x, y, *sizes, THICKER * THICK)):
            return Crossing(False, _stroke(Lean.SLASH, wide, high, cell, across)._replace(thick=not thin))
    return Crossing(across and _is_an_x(x, y, wide, high))


def _is_a_dash(y: Places, wide: float, high: float, cell: Extent) -> bool:
    thickness = len(y) / wide
    inside = abs(float(y.mean()) - cell.height / 2) <= CENTRAL * cell.height
    level = max(thickness, high - thickness) <= FLAT * wide
    return inside and level and DASH * cell.width <= wide <= BEYOND * cell.width


def _stroke(lean: Lean, wide: float, high: float, cell: Extent, across: bool) -> Stroke:
    angle, length = np.degrees(np.arctan2(high, wide)), np.hypot(wide, high) / np.hypot(*cell)
    return Stroke(lean, float(angle), float(length), across)


def _is_straight(x: Places, y: Places, longest: float, usual: float, thick: float) -> bool:
    """Whether ink is one straight stroke; ``longest`` is the diagonal of its box, and ``usual`` a slash's length.

    ``thick`` is how thick it may be, as a share of its length.
    A stroke that is shorter than usual may be as thick and bent as one that is not.
    """
    if len(x) > thick * longest * max(longest, usual):
        return False
    across, down = x - x.mean(), y - y.mean()
    xx, yy, xy = float(across @ across), float(down @ down), float(across @ down)
    angle = 0.5 * float(np.arctan2(2 * xy, xx - yy))
    length = float(np.sqrt(12 * (xx + yy) / len(x)))  # of a bar with such moments, about
    if len(x) > 1.2 * thick * length * max(length, usual):
        return False
    cos, sin = np.cos(angle), np.sin(angle)
    length = float(np.ptp(cos * across + sin * down))
    thickness = len(x) / max(length, 1.0)
    if thickness > thick * max(length, usual):
        return False
    beside = cos * down - sin * across
    bent = float(np.subtract(*np.percentile(beside, (100 - STRAY, STRAY)))) - thickness
    return bent <= BENT * max(length, usual)


def _is_an_x(x: Places, y: Places, wide: float, high: float) -> bool:
    thickness = len(x) / (2 * float(np.hypot(wide, high)))
    if thickness > THICK_X * min(wide, high):
        return False
    across, down = (x - x.min() + 0.5) / wide, (y - y.min() + 0.5) / high
    reach = 2 * BESIDE + 0.5 * thickness / min(wide, high)
    on_diagonals = (abs(across - down) < reach) | (abs(across + down - 1) < reach)
    sides = ((across, down), (across, 1 - down), (down, across), (down, 1 - across))
    return bool(on_diagonals.mean() >= ON_DIAGONALS) and all(_has_two_ends(along, depth) for along, depth in sides)


def _has_two_ends(along: NDArray[np.float64], depth: NDArray[np.float64]) -> bool:
    """Whether ink lies at both ends of a side, and none in its middle."""
    near = along[depth < OUTER]
    middle = np.abs(near - 0.5) < MIDDLE
    return bool((near < 0.5 - MIDDLE).any() and (near > 0.5 + MIDDLE).any() and middle.mean() <= 0.05)
