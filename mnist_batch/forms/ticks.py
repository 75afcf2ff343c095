"""Find the cells that ticks divide: those of combs, one frame with ticks between, and of baselines with ticks."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import boxes
from mnist_batch.forms.boxes import LEAST_HEIGHT, LEAST_WIDTH, MILLIMETRE, MOST_HEIGHT, MOST_WIDTH, SHAPE, Mask, Masks
from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

SHORTEST, THICKEST = 0.7 * MILLIMETRE, 1.1 * MILLIMETRE  # of a tick
OPEN_SHAPE = 0.8  # width by height of a cell that is open above
THICKEST_LINE = round(1.5 * MILLIMETRE)
_EVEN = (0.65, 1.6)  # a cell's width by that of its neighbours; people leave a gap between groups of digits

Places = NDArray[np.float64]


def divided(box: Box, masks: Masks) -> list[Box]:
    """The cells of a closed box by the ticks that rise from its foot or hang from its top; none if it has no ticks."""
    left, top, right, foot = boxes.inside(box)
    inside = masks.dark[top:foot, left:right]
    rising, hanging = (_ticks(part, SHORTEST) for part in (inside[::-1], inside))
    ends = 0.0, float(right - left)
    for places in (rising, hanging, _upright(inside)):
        borders = _borders(places, ends, len(inside))
        if borders is not None:
            return [Box(left + x, box.y, x_to - x, box.height) for x, x_to in pairwise(borders)]
    return []


def open_cells(masks: Masks, closed: Sequence[Box]) -> list[Box]:
    """The cells of baselines with ticks that rise from them; a cell is as high as a digit is for its width."""
    found = []
    _, _, stats, _ = cv2.connectedComponentsWithStats(masks.across, connectivity=8)
    for x, y, width, height, _ in stats[1:].tolist():
        line = Box(x, y, width, height)
        if (
            height > THICKEST_LINE
            or width < 2 * LEAST_WIDTH
            or y < LEAST_HEIGHT
            or any(_is_side(line, box) for box in closed)
        ):
            continue
        reach = min(y, round(MOST_HEIGHT))
        left, right = max(x - 3, 0), min(x + width + 3, masks.dark.shape[1])
        # The lines of the mask are thicker by a pixel on each side.
        above = masks.dark[y + 1 - reach : y + 1, left:right][::-1]
        places = _ticks(above, SHORTEST)
        if len(places) < 2 or not _is_ruled(masks.dark, line):
            continue
        places = _with_ends(places, 3.0, right - left - 3.0)
        if len(places) < 3:
            continue
        widths = np.diff(places)
        spacing = float(np.median(widths))
        even = (widths > _EVEN[0] * spacing).all() and (widths < _EVEN[1] * spacing).all()
        whole = places[0] < 0.5 * spacing and right - left - places[-1] < 0.5 * spacing
        if even and whole and LEAST_WIDTH <= spacing <= MOST_WIDTH:
            high = min(spacing / OPEN_SHAPE, _free(masks, left + places[0], left + places[-1], y, reach))
            foot = y + height / 2
            found += [Box(left + at, foot - high, to - at, high) for at, to in pairwise(places)]
    return found


def _ticks(rows: Mask, least: float) -> Places:
    """Where thin upright strokes of the same length begin in the first row, which lies at the line they rise from."""
    tall = np.cumprod(cv2.dilate(rows, np.ones((2, 1), np.uint8)), axis=0).sum(axis=0)
    starts, ends = _runs(tall >= least)
    thin = ends - starts <= THICKEST
    starts, ends = starts[thin], ends[thin]
    if not len(starts):
        return np.zeros(0)
    heights = np.array([tall[start:end].max() for start, end in zip(starts, ends, strict=True)])
    # Most strokes that touch the line are its ticks; handwriting that does has other heights.
    usual = _mode(heights)
    same = np.abs(heights - usual) <= max(2.0, 0.2 * usual)
    return np.asarray((starts[same] + ends[same] - 1) / 2, np.float64)


def _upright(inside: Mask) -> Places:
    """Where upright lines of dots or dashes run through a box."""
    shares = inside.mean(axis=0)
    starts, ends = _runs(shares >= 0.3)
    thin = ends - starts <= THICKEST
    return np.asarray((starts[thin] + ends[thin] - 1) / 2, np.float64)


def _runs(there: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    steps = np.diff(np.concatenate([[0], there.astype(np.int8), [0]]))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def _mode(values: NDArray[np.int64]) -> float:
    near = [(np.abs(values - value) <= max(2.0, 0.2 * value)).sum() for value in values]
    return float(values[int(np.argmax(near))])


def _borders(places: Places, ends: tuple[float, float], height: int) -> Places | None:
    """The borders of the cells between the ends of a box that ticks at these places divide; None if they do not."""
    inner = places[(places > ends[0] + 0.6 * LEAST_WIDTH) & (places < ends[1] - 0.6 * LEAST_WIDTH)]
    if not len(inner):
        return None
    borders = np.concatenate([[ends[0]], inner, [ends[1]]])
    widths = np.diff(borders)
    spacing = float(np.median(widths))
    even = (widths > _EVEN[0] * spacing).all() and (widths < _EVEN[1] * spacing).all()
    if not even:
        evenly = _evenly(inner, ends, height)
        if evenly is None:
            return None
        borders, spacing = evenly, float(evenly[1] - evenly[0])
    fits = spacing >= LEAST_WIDTH and SHAPE[0] <= spacing / height <= SHAPE[1]
    return borders if fits else None


def _evenly(places: Places, ends: tuple[float, float], height: int) -> Places | None:
    """Evenly spaced borders, most of which are at the places found; others may be hidden by what is written."""
    length, best, most = ends[1] - ends[0], None, 0.0
    for count in range(2, 1 + int(length / max(LEAST_WIDTH, SHAPE[0] * height))):
        borders = np.linspace(*ends, count + 1)
        inner = borders[1:-1]
        near = np.abs(places[:, None] - inner[None]).min(axis=0) <= 0.08 * length / count
        share = near.mean() - 0.15 * (near.sum() < 2)
        if share >= 0.75 and share + 0.01 * count > most:
            best, most = borders, share + 0.01 * count
    return best


def _is_side(line: Box, box: Box) -> bool:
    """Whether a line runs along the foot or the top of a closed box."""
    shared = min(line.x + line.width, box.x + box.width) - max(line.x, box.x)
    middle = line.y + line.height / 2
    away = min(abs(box.y + box.height - middle), abs(box.y - middle))
    return shared > 0.5 * min(box.width, line.width) and away < 0.8 * MILLIMETRE


def _with_ends(places: Places, start: float, end: float) -> Places:
    """The places of ticks with the ends of their line, where these are as far from the ticks as ticks are."""
    spacing = float(np.median(np.diff(places)))
    first, last = places[0] - start, end - places[-1]
    both = all(_EVEN[0] * spacing < away < _EVEN[1] * spacing for away in (first, last))
    return np.concatenate([[start], places, [end]]) if both else places


def _is_ruled(dark: Mask, line: Box) -> bool:
    """Whether a line is one stroke with paper below it; the feet and heads of letters are none."""
    x, y, width, height = (round(part) for part in line)
    own, below = dark[y : y + height, x : x + width], dark[y + height + 1 : y + height + 6, x : x + width]
    return bool(own.any(axis=0).mean() > 0.97 and (not below.size or below.mean() < 0.2))


def _free(masks: Masks, left: float, right: float, y: int, reach: int) -> float:
    """How far above a baseline the next line runs, at most ``reach`` pixels."""
    above = masks.across[y - reach : max(y - 4, 0), round(left) : round(right)]
    rows = np.flatnonzero(above.mean(axis=1) > 0.3)
    return float(reach - rows[-1] - 2) if len(rows) else float(reach)
