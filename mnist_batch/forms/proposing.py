"""Propose the fields of a form from its page: boxes are found, taken together as rows, and grouped into fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import boxes, straightening, ticks
from mnist_batch.forms.boxes import DOTS_PER_INCH, MILLIMETRE, SHAPE, Masks
from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

A4_WIDTH = 8.27  # inches, the width of a page whose resolution is not known
LARGEST_GAP = 0.9  # between cells of a field, by the width of a cell
ALIKE = 0.2  # cells of a field differ by at most this share in height, and in width unless they touch
TICKED = 0.72  # of the height of a form's cells; what is smaller is a box to tick
SAME_PLACE = 0.05  # of a cell's height, by which what is printed in cells differs at most
LONE_HEIGHT = 5.5 * MILLIMETRE  # of a cell that stands alone


class Reason(StrEnum):
    """Why a box is no cell."""

    SMALL = "smaller than the cells of the form: a box to tick?"
    ALONE = "alone, and unlike the cells of the form: a box to tick?"
    WIDE = "too wide for one digit, and not divided"
    PRINT = "something is printed in it"


@dataclass(frozen=True)
class LeftOut:
    """A box that was found and is no cell."""

    box: Box
    reason: Reason


@dataclass(frozen=True)
class Proposal:
    """A page, uint8 (H, W), straightened by ``skew`` degrees, the cells of each field found on it, and what is none.

    Fields come from top to bottom and from left to right; boxes are in pixels of the page.
    """

    picture: Grey
    skew: float
    fields: tuple[tuple[Box, ...], ...]
    left_out: tuple[LeftOut, ...]


def propose(page: Grey, dots_per_inch: float | None = None) -> Proposal:
    """Find the fields on a page, uint8 (H, W), paper light, blank or filled in.

    A page whose resolution is not known is taken to be as wide as A4.
    """
    picture = straightening.straightened(page, skew := straightening.skew_of(page))
    factor = DOTS_PER_INCH / (dots_per_inch or supposed(page))
    masks = Masks.of(_resized(picture, factor))
    cells, left_out = _cells(masks)
    fields, alone = _fields(cells, masks)
    return Proposal(
        picture,
        skew,
        tuple(tuple(_scaled(box, factor, picture) for box in field) for field in fields),
        tuple(LeftOut(_scaled(each.box, factor, picture), each.reason) for each in [*left_out, *alone]),
    )


def supposed(page: Grey) -> float:
    """The dots per inch of a page, uint8 (H, W), if it is as wide as A4."""
    return float(min(page.shape)) / A4_WIDTH


def _resized(page: Grey, factor: float) -> Grey:
    size = round(page.shape[1] * factor), round(page.shape[0] * factor)
    resized: Grey = cv2.resize(page, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return resized


def _scaled(box: Box, factor: float, page: Grey) -> Box:
    """A box in pixels of the page, and inside it."""
    x, y, x_to, y_to = (part / factor for part in (box.x, box.y, box.x + box.width, box.y + box.height))
    x, y, x_to, y_to = max(x, 0), max(y, 0), min(x_to, page.shape[1]), min(y_to, page.shape[0])
    return Box(*(round(part, 1) for part in (x, y, x_to - x, y_to - y)))


def _cells(masks: Masks) -> tuple[list[Box], list[LeftOut]]:
    """The boxes of a page that have the shape of a digit's cell, and those that are no cells."""
    closed, cells, left_out = boxes.closed(masks), [], []
    for box in closed:
        if divided := ticks.divided(box, masks):
            cells += divided
        elif box.width > SHAPE[1] * box.height:
            left_out.append(LeftOut(box, Reason.WIDE))
        elif SHAPE[0] * box.height <= box.width:
            cells.append(box)
    cells += ticks.open_cells(masks, closed)
    printed = {box for box in cells if _holds_print(box, masks)}
    left_out += [LeftOut(box, Reason.PRINT) for box in printed]
    return [box for box in cells if box not in printed], left_out


def _holds_print(box: Box, masks: Masks) -> bool:
    """Whether three or more pieces of ink of about the same height stand side by side in a box: a word or a number."""
    left, top, right, foot = boxes.inside(box)
    inside = np.ascontiguousarray(masks.dark[top:foot, left:right])
    if not inside.size:
        return False
    stats = cv2.connectedComponentsWithStats(inside, connectivity=8)[2][1:]
    pieces = stats[stats[:, cv2.CC_STAT_AREA] >= 8]
    if len(pieces) < 3:
        return False
    middles = pieces[:, cv2.CC_STAT_TOP] + pieces[:, cv2.CC_STAT_HEIGHT] / 2
    near = np.abs(middles - np.median(middles)) < 0.2 * box.height
    return bool(near.sum() >= 3)


def _printed(runs: Sequence[list[Box]], masks: Masks) -> list[list[Box]]:
    """The runs whose cells all hold something of the same height at the same place, as numbers to tick do.

    Four cells show it; a shorter run is printed if it is like one of those.
    """
    places = [_places(run, masks) for run in runs]
    found = [
        (float(np.median([cell.height for cell in run])), np.mean(place, axis=0))
        for run, place in zip(runs, places, strict=True)
        if place is not None and len(run) >= 4 and (np.std(place, axis=0) < SAME_PLACE).all()
    ]
    return [
        run
        for run, place in zip(runs, places, strict=True)
        if place is not None
        and any(
            abs(run[0].height - height) < ALIKE * height and (np.abs(place - usual) < 3 * SAME_PLACE).all()
            for height, usual in found
        )
    ]


def _places(run: Sequence[Box], masks: Masks) -> NDArray[np.float64] | None:
    """Where the ink in each cell begins and ends, as shares of its height: (N, 2); None if a cell is empty or full."""
    places = []
    for box in run:
        left, top, right, foot = boxes.inside(box)
        aside = round(0.15 * box.width)  # where ticks are
        rows = np.flatnonzero(masks.dark[top:foot, left + aside : right - aside].any(axis=1))
        if not len(rows):
            return None
        places.append((rows[0] / box.height, rows[-1] / box.height))
    # Neither a line that is left of the box, nor a stroke through it.
    return np.array(places) if 0.2 < np.ptp(places, axis=1).mean() < 0.8 else None


def _fields(cells: Sequence[Box], masks: Masks) -> tuple[list[list[Box]], list[LeftOut]]:
    """Runs of cells, each a field, in reading order, and the cells that are too small or alone."""
    every = _runs(cells)
    printed = _printed(every, masks)
    runs = [run for run in every if not any(run is other for other in printed)]
    several = [cell.height for run in runs if len(run) > 1 for cell in run]
    usual = float(np.median(several)) if several else LONE_HEIGHT
    fields, left_out = [], [LeftOut(cell, Reason.PRINT) for run in printed for cell in run]
    for run in runs:
        height = float(np.median([cell.height for cell in run]))
        if height < TICKED * usual:
            left_out += [LeftOut(cell, Reason.SMALL) for cell in run]
        elif len(run) == 1 and (height < LONE_HEIGHT or (several and height > usual / TICKED)):
            left_out += [LeftOut(cell, Reason.ALONE) for cell in run]
        else:
            fields.append(run)
    return in_reading_order(fields), left_out


def _runs(cells: Sequence[Box]) -> list[list[Box]]:
    runs: list[list[Box]] = []
    for cell in sorted(cells, key=lambda box: box.x):
        before = [run for run in runs if _follows(run[-1], cell)]
        if before:
            min(before, key=lambda run: abs(run[-1].y - cell.y)).append(cell)
        else:
            runs.append([cell])
    return runs


def _follows(last: Box, cell: Box) -> bool:
    """Whether a cell is the next of a field after another."""
    height, gap = max(last.height, cell.height), cell.x - last.x - last.width
    return (
        abs(last.y - cell.y) <= 0.15 * height
        and abs(last.height - cell.height) <= ALIKE * height
        and -0.2 * cell.width <= gap <= LARGEST_GAP * min(last.width, cell.width)
    )


def in_reading_order(fields: Sequence[list[Box]]) -> list[list[Box]]:
    """Fields from top to bottom, and from left to right where they stand beside each other."""
    lines: list[list[list[Box]]] = []
    for field in sorted(fields, key=lambda cells: cells[0].y + cells[0].height / 2):
        middle = field[0].y + field[0].height / 2
        if lines and middle - (lines[-1][0][0].y + lines[-1][0][0].height / 2) < 0.4 * field[0].height:
            lines[-1].append(field)
        else:
            lines.append([field])
    return [field for line in lines for field in sorted(line, key=lambda cells: cells[0].x)]
