"""Find the cells that ticks divide: those of combs, one frame with ticks between, and of baselines with ticks."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import boxes
from mnist_batch.forms.boxes import LEAST_HEIGHT, LEAST_WIDTH, MILLIMETRE, MOST_HEIGHT, MOST_WIDTH, SHAPE, Mask, Masks
from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

SHORTEST, THICKEST = 0.7 * MILLIMETRE, 1.1 * MILLIMETRE  # of a tick
LENGTHS = (0.35, 0.2)  # of ticks, by the height of their cells; the longer ones are surer
OPEN_LENGTHS = (1.5 * MILLIMETRE, SHORTEST)  # of the ticks of a baseline
OPEN_SHAPE = 0.8  # width by height of a cell that is open above
THICKEST_LINE = round(1.5 * MILLIMETRE)
WIDEST_STEP = 1.6  # from tick to tick, by that of the others; people leave a gap between groups of digits
ASKEW = 0.05, 0.13  # of a step that a tick may stand beside its place, and an end of the row
EVEN = 0.6  # of the steps at least are even
STROKES = 0.45  # upright strokes from top to foot, for each border at most
WIDEST_CELL = 1.25  # of a comb, by the step from tick to tick
FREE = 0.5  # of the ticks at least stand free of what is written
PRINTED, THIN = 0.5, 0.25  # what a tick counts for more than a thick stroke, if it is one for sure, or may be
ON_TICKS = 0.7  # of what looks like ticks stands in even steps; the loops of a scribble do not
SAME_LENGTH = 2, 0.06  # pixels, and share of their length, by which printed ticks differ at most
ASIDE, LEANING = 5, 1.2  # pixels around a tick; its foot and its top lie no farther aside of each other
BELOW = round(0.6 * MILLIMETRE)  # under a baseline there is paper where a tick rises from it

Places = NDArray[np.float64]


def divided(box: Box, masks: Masks) -> list[Box]:
    """The cells of a closed box by the ticks that rise from its foot or hang from its top; none if it has no ticks."""
    left, top, right, foot = boxes.inside(box)
    inside = masks.dark[top:foot, left:right]
    ends = box.x - left, box.x + box.width - left
    least, most = max(LEAST_WIDTH, SHAPE[0] * box.height), min(MOST_WIDTH, SHAPE[1] * box.height)
    if (_covered(np.ascontiguousarray(inside.T))).any():
        return []  # boxes that stand above each other
    walls = _walls(inside, *(mask[top:foot, left:right] for mask in (masks.black, masks.tint)))
    walls = walls[(walls > ends[0] + 0.6 * least) & (walls < ends[1] - 0.6 * least)]
    if len(walls) > 1 and np.diff([ends[0], *np.sort(walls), ends[1]]).min() > most:
        return []  # a row of wide boxes
    for length in (*LENGTHS, SHORTEST / box.height):
        for rows in (inside[::-1], inside):
            borders = _borders(rows, round(length * box.height), ends, (least, most))
            # Lines from top to foot are those of boxes, unless they are a few strokes.
            if len(borders) and len(walls) <= STROKES * len(borders) and _are_ticks(borders[1:-1], inside):
                # What a wider step leaves free after a group of digits belongs to no cell.
                widest = WIDEST_CELL * float(np.median(np.diff(borders)))
                return [Box(left + x, box.y, min(x_to - x, widest), box.height) for x, x_to in pairwise(borders)]
    return []


def _are_ticks(places: Places, inside: Mask) -> bool:
    """Whether what stands at most of these places does not reach from top to foot."""
    whole = cv2.dilate(_covered(inside).astype(np.uint8)[None], np.ones((1, 7), np.uint8))[0]
    return bool(whole[places.round().astype(np.int64)].mean() < 0.5)


def _walls(inside: Mask, black: Mask, tint: Mask) -> Places:
    """Where a line, or a tint that is none of a stroke, runs from top to foot of a box."""
    starts, stops = boxes.runs(_covered(inside))
    lines = (starts + stops - 1)[stops - starts <= 2 * THICKEST] / 2
    return np.concatenate([lines, boxes.tint_walls(inside | black, tint)])


def open_rows(masks: Masks) -> list[list[Box]]:
    """The cells of each baseline with ticks that rise from it; a cell is as high as a digit is for its width."""
    found = []
    for line in _baselines(masks):
        borders = _ticks_of(line, masks)
        if len(borders) >= 3:
            spacing, foot = float(np.median(np.diff(borders))), line.y + line.height / 2
            high = min(spacing / OPEN_SHAPE, _free(masks, borders[0], borders[-1], round(line.y)))
            found.append([Box(at, foot - high, to - at, high) for at, to in pairwise(borders)])
    return found


def _baselines(masks: Masks) -> list[Box]:
    """Thin lines along rows, of at least two cells, with paper below them."""
    long = cv2.morphologyEx(masks.across, cv2.MORPH_OPEN, np.ones((1, 2 * round(LEAST_WIDTH)), np.uint8))
    found = []
    for x, y, width, height, _ in cv2.connectedComponentsWithStats(long, connectivity=8)[2][1:].tolist():
        rows = np.flatnonzero(long[y : y + height, x : x + width].mean(axis=1) > 0.9)
        if not len(rows) or np.ptp(rows) > THICKEST_LINE or y + rows[0] < LEAST_HEIGHT:
            continue
        # The lines of the mask are thicker by a pixel on each side.
        top, thick = y + int(rows[0]) + 1, max(int(np.ptp(rows)) - 1, 1)
        own, below = (masks.dark[at : at + 5, x : x + width] for at in (top, top + thick + 2))
        if own[:thick].any(axis=0).mean() > 0.97 and (not below.size or below.mean() < 0.25):
            found.append(Box(x, top, width, thick))
    return found


def _ticks_of(line: Box, masks: Masks) -> Places:
    """Where the ticks that divide a baseline stand, on the page."""
    left, y = max(round(line.x) - 3, 0), round(line.y)
    right = min(round(line.x + line.width) + 3, masks.dark.shape[1])
    rows = masks.dark[max(y - round(MOST_HEIGHT), 0) : y, left:right][::-1]
    foot = y + round(line.height)
    below = np.asarray(masks.dark[foot + 1 : foot + 1 + BELOW, left:right].any(axis=0))
    for length in OPEN_LENGTHS:
        thin, _ = _strokes(rows[: round(length)])
        if len(thin) >= 2:
            for ends in ((3.0, right - left - 4.0), (thin[0], thin[-1])):
                borders = _borders(
                    rows, round(length), (float(ends[0]), float(ends[1])), (LEAST_WIDTH, MOST_WIDTH), below
                )
                step = np.median(np.diff(borders)) if len(borders) else 0
                ticked = sum(bool(np.abs(thin - end).min() < 4) for end in ends)
                if max(ends[0], right - left - ends[1]) < 0.5 * step and (ticked == 2 or len(borders) > 4):
                    return left + borders
    return np.zeros(0)


def _borders(
    rows: Mask,
    reach: int,
    ends: tuple[float, float],
    steps: tuple[float, float],
    below: NDArray[np.bool_] | None = None,
) -> Places:
    """Where the ticks of evenly spaced cells stand, with both ends, by rows that begin at the line they rise from.

    Ticks are where a column is inked in most of the first rows, as far as they ``reach``. A tick may be part of a
    thicker stroke that was written over it. Printed ticks are equally long, and nothing is ``below`` the line where
    they stand; what differs in this was written. Empty if there is no even row of ticks from one end to the other.
    """
    if not rows[:reach].size:
        return np.zeros(0)
    thin, thick = _strokes(rows[:reach])
    printed = _like_ticks(rows, reach, thin)
    if below is not None:
        printed &= ~below[thin.round().astype(np.int64)]
    thin_ones = zip(thin.tolist(), np.where(printed, PRINTED, THIN).tolist(), strict=True)
    inner = sorted([*thin_ones, *((float(place), 0.0) for place in thick)])
    inner = [(place, sure) for place, sure in inner if ends[0] + 0.6 * steps[0] < place < ends[1] - 0.6 * steps[0]]
    if not inner:
        return np.zeros(0)
    at = np.array([ends[0], *(place for place, _ in inner), ends[1]])
    sure = np.array([0.0, *(each for _, each in inner), 0.0])
    between = np.diff([ends[0], *thin, ends[1]])
    length = ends[1] - ends[0]
    counts = np.arange(max(2, int(np.ceil(length / steps[1]))), int(length / steps[0]) + 1)
    chosen = np.unique(np.round(np.concatenate([length / counts, between]), 0))
    best, most = np.zeros(0), 0.0
    for step in chosen[(chosen >= steps[0]) & (chosen <= steps[1])]:
        score, borders = _chain(at, sure, float(step))
        if score > most:
            best, most = borders, score
    on_ticks = [bool(len(best)) and float(np.abs(best - place).min()) < 1 for place in at[sure == PRINTED]]
    return best if sum(on_ticks) >= max(1, ON_TICKS * len(on_ticks)) else np.zeros(0)


def _strokes(rows: Mask) -> tuple[Places, Places]:
    """The middles of thin strokes that run through rows, and places in thicker ones."""
    starts, stops = boxes.runs(_covered(rows))
    thin = stops - starts <= THICKEST + 2
    thick = [np.arange(start, stop, 2.0) for start, stop in zip(starts[~thin], stops[~thin], strict=True)]
    return (starts + stops - 1)[thin] / 2, np.concatenate([np.zeros(0), *thick])


def _like_ticks(rows: Mask, reach: int, places: Places) -> NDArray[np.bool_]:
    """Which of the thin strokes at these places are upright and as long as most, by rows that begin at their line."""
    if not len(places):
        return np.zeros(0, np.bool_)
    columns = places.round().astype(np.int64)
    thick = cv2.dilate(np.ascontiguousarray(rows), np.ones((1, 3), np.uint8))[:, columns]
    lengths = np.where(thick.all(axis=0), len(rows), thick.argmin(axis=0))
    alike = np.abs(lengths - lengths[:, None]) <= SAME_LENGTH[0] + SAME_LENGTH[1] * lengths
    # Of lengths that as many have, the shortest: a tick over which something is written looks longer.
    usual = np.lexsort((lengths, -alike.sum(axis=0)))[0]
    near = np.arange(-ASIDE, ASIDE + 1)
    around = np.pad(rows[:reach], ((0, 0), (ASIDE, ASIDE)))[:, columns[:, None] + near + ASIDE]
    foot, top = (part.sum(axis=0) @ near / np.maximum(part.sum(axis=(0, 2)), 1) for part in (around[:3], around[-3:]))
    return np.asarray(alike[:, usual] & (np.abs(foot - top) <= LEANING))


def _covered(rows: Mask) -> NDArray[np.bool_]:
    """The columns that are inked in most rows, if not straight up."""
    return np.asarray(cv2.dilate(np.ascontiguousarray(rows), np.ones((1, 3), np.uint8)).mean(axis=0) >= 0.9)


def _chain(at: Places, sure: NDArray[np.float64], step: float) -> tuple[float, Places]:
    """The best way from the first place to the last in even steps, and how good it is: 0 if there is none."""
    scores, before = np.full(len(at), -np.inf), np.zeros(len(at), np.int64)
    scores[0] = 0
    for to in range(1, len(at)):
        away = at[to] - at[:to]
        even = np.abs(away - step) <= ASKEW[0] * step + 1
        # Writing over a border makes it thicker, so an end may lie a little aside.
        even[0] |= abs(away[0] - step) <= ASKEW[1] * step
        if to == len(at) - 1:
            even |= np.abs(away - step) <= ASKEW[1] * step
        gap = (away > step) & (away <= WIDEST_STEP * step)
        gained = np.where(even, 1.0 - 0.3 * np.abs(away - step) / step, np.where(gap, -0.5, -np.inf)) + sure[to]
        before[to] = int(np.argmax(scores[:to] + gained))
        scores[to] = (scores[:to] + gained)[before[to]]
    if not scores[-1] > 0:
        return 0.0, np.zeros(0)
    way = [len(at) - 1]
    while way[-1]:
        way.append(int(before[way[-1]]))
    way = way[::-1]
    even = np.abs(np.diff(at[way]) - step) <= ASKEW[0] * step + 1
    even[[0, -1]] |= np.abs(np.diff(at[way])[[0, -1]] - step) <= ASKEW[1] * step
    if not len(way[1:-1]) or (sure[way[1:-1]] > 0).mean() < FREE or even.mean() < EVEN:
        return 0.0, np.zeros(0)
    return float(scores[-1]), at[way]


def _free(masks: Masks, left: float, right: float, y: int) -> float:
    """How far above a baseline the next line runs, at most as far as a cell is high."""
    reach = min(y, round(MOST_HEIGHT))
    above = masks.across[y - reach : max(y - round(LEAST_HEIGHT), 0), round(left) : round(right)]
    rows = np.flatnonzero(above.mean(axis=1) > 0.8)
    return float(reach - rows[-1] - 2) if len(rows) else float(reach)
