"""Propose the fields of a form from its page: boxes are found, taken together as rows, and grouped into fields."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import boxes, rows, screens, straightening, ticks
from mnist_batch.forms.boxes import DOTS_PER_INCH, MILLIMETRE, SHAPE, Masks
from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

A4_WIDTH = 8.27  # inches, the width of a page whose resolution is not known
MOST_SHARED = 0.2  # of a cell by another
SURE_COMB = 4  # cells
UNLIKE = 0.3  # of a cell's width, or of its height, by which it differs from those of its row, or lies aside of it
MANY = 8  # cells of one height, that say how wide cells of this height are
TICKED = 0.72  # of the height of a form's cells; what is smaller is a box to tick
LEAST_PRINT = 6  # pixels, the height of a printed character
SAME_PLACE = 0.025  # of a cell's height, by which what is printed in cells differs at most
LONE_HEIGHT = 5.5 * MILLIMETRE  # of a cell that stands alone


class Reason(StrEnum):
    """Why a box is no cell."""

    SMALL = "smaller than the cells of the form: a box to tick?"
    ALONE = "alone, and unlike the cells of the form: a box to tick?"
    WIDE = "too wide for one digit, and not divided"
    PRINT = "something is printed in it"
    DOTS = "in a tint of dots, and unlike the cells around it"


@dataclass(frozen=True)
class LeftOut:
    """A box that was found and is no cell."""

    box: Box
    reason: Reason


@dataclass(frozen=True)
class Proposal:
    """A page, uint8 (H, W), straightened by ``skew`` degrees, the cells of each field found on it, and what is none.

    Fields come from top to bottom and from left to right; boxes are in pixels of the page. In ``black_and_white`` light
    tints are lost, and boxes that have nothing else.
    """

    picture: Grey
    skew: float
    fields: tuple[tuple[Box, ...], ...]
    left_out: tuple[LeftOut, ...]
    black_and_white: bool = False


def propose(page: Grey, dots_per_inch: float | None = None) -> Proposal:
    """Find the fields on a page, uint8 (H, W), paper light, blank or filled in.

    A page whose resolution is not known is taken to be as wide as A4.
    """
    dots_per_inch = dots_per_inch or supposed(page)
    black_and_white = screens.is_black_and_white(page)
    even = screens.without_dots(page, dots_per_inch) if black_and_white else None
    skew = straightening.skew_of(page if even is None else even)
    picture = straightening.straightened(page, skew)
    seen = picture if even is None else straightening.straightened(even, skew)
    factor = DOTS_PER_INCH / dots_per_inch
    masks = Masks.of(_resized(seen, factor))
    cells, left_out = _cells(masks)
    if even is not None:
        unlike = _unlike(cells)
        left_out += [LeftOut(box, Reason.DOTS) for box in unlike]
        cells = [box for box in cells if box not in unlike]
    fields, alone = _fields(cells, masks)
    return Proposal(
        picture,
        skew,
        tuple(tuple(_scaled(box, factor, picture) for box in field) for field in fields),
        tuple(LeftOut(_scaled(each.box, factor, picture), each.reason) for each in [*left_out, *alone]),
        black_and_white,
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
    closed, cells = boxes.closed(masks), list[Box]()
    wide = {box for box in closed.others if box.width > SHAPE[1] * box.height}
    widest_first = sorted(wide, key=lambda box: (-box.width, box))
    combs_first = [boxes.widened(box, masks) for box in widest_first]
    divided = [ticks.divided(box, masks) for box in dict.fromkeys([*combs_first, *widest_first])]
    combs, framed = list[Box](), list[Box]()
    _take([row for row in divided if len(row) >= SURE_COMB], combs)
    _take([[box] for box in closed.usual], framed)
    # Strokes make boxes in combs, and combs of boxes: what the page has more of is printed.
    for found in sorted((framed, combs), key=len, reverse=True):
        _take([[box] for box in found], cells)
    cells = rows.in_line(cells, masks)
    _take([[box] for box in rows.missing(cells, masks)], cells)
    _take([row for row in divided if len(row) > 2 and not _is_odd(row, cells)], cells)
    _take(ticks.open_rows(masks), cells)
    others = [box for box in closed.others if boxes.is_cell(box)]
    _take([[box] for box in others if any(boxes.same_size(box, cell) for cell in cells)], cells)
    _take([row for row in divided if len(row) == 2 and not _is_odd(row, cells)], cells)
    _take([[box] for box in others if not rows.is_odd(box, cells)], cells)
    left_out = list[LeftOut]()
    for box in widest_first:
        if not _covers(box, [*cells, *(each.box for each in left_out)]):
            left_out.append(LeftOut(box, Reason.WIDE))
    printed = {box for box in cells if _holds_print(box, masks)}
    left_out += [LeftOut(box, Reason.PRINT) for box in printed]
    return [box for box in cells if box not in printed], left_out


def _is_odd(row: Sequence[Box], cells: Sequence[Box]) -> bool:
    """Whether a short row has cells as high as many others and not as wide: strokes look like ticks in it."""
    sizes = np.array([cell[2:] for cell in cells]).reshape(-1, 2)
    width, height = np.median([box[2:] for box in row], axis=0)
    as_high = sizes[np.abs(sizes[:, 1] - height) <= boxes.SAME_SIZE * height, 0]
    many = len(as_high) >= MANY and bool((np.abs(as_high - width) > rows.ALIKE * width).all())
    return many or any(rows.is_odd(box, cells) for box in row)


def _unlike(cells: Sequence[Box]) -> set[Box]:
    """The cells that are far from as wide as those of their row, or lie between two rows: strokes make such boxes."""
    unlike = set[Box]()
    for row in rows.runs(cells, rows.LARGEST_HOLE):
        usual = float(np.median([cell.width for cell in row]))
        unlike.update(cell for cell in row if abs(cell.width - usual) > UNLIKE * usual)
        if len(row) == 1:
            [cell] = row
            near = [each for each in cells if each != cell and abs(each.x - cell.x) < 2 * cell.width]
            aside = [abs(each.y - cell.y) / cell.height for each in near]
            unlike.update(cell for away in aside if 1 - UNLIKE > away > 0.5 * UNLIKE)
    return unlike


def _take(found: Iterable[list[Box]], cells: list[Box]) -> None:
    """Add rows of cells of which none covers one that is there."""
    for row in found:
        if not any(_covers(box, cells) for box in row):
            cells += row


def _covers(box: Box, others: Sequence[Box]) -> bool:
    return bool((boxes.overlaps(box, others) > MOST_SHARED).any())


def _holds_print(box: Box, masks: Masks) -> bool:
    """Whether three or more pieces of ink of the same height stand side by side in a box: a word or a number."""
    left, top, right, foot = boxes.inside(box)
    inside = np.ascontiguousarray(masks.dark[top:foot, left:right])
    if not inside.size:
        return False
    x, y, wide, high, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)[2][1:].T
    whole = (x > 0) & (y > 0) & (x + wide < inside.shape[1]) & (y + high < inside.shape[0]) & (high >= LEAST_PRINT)
    ends = np.stack([y, y + high], 1)[whole]
    alike = (np.abs(ends[:, None] - ends[None]) <= 0.03 * box.height + 1).all(axis=2)
    return bool(len(ends) and alike.sum(axis=1).max() >= 3)


def _printed(runs: Sequence[list[Box]], masks: Masks) -> list[list[Box]]:
    """The runs whose cells all hold something of the same height at the same place, as numbers to tick do.

    Eight cells show it, in runs of four or more; a shorter run is printed if it is like one of those.
    """
    places = [_places(run, masks) for run in runs]
    even = [
        (float(np.median([cell.height for cell in run])), np.mean(place, axis=0), len(run))
        for run, place in zip(runs, places, strict=True)
        if place is not None and len(run) >= 4 and (np.std(place, axis=0) < SAME_PLACE).all()
    ]
    found = [
        (height, place)
        for height, place, _ in even
        if sum(count for _, other, count in even if (np.abs(place - other) < 2 * SAME_PLACE).all()) >= 8
    ]
    return [
        run
        for run, place in zip(runs, places, strict=True)
        if place is not None
        and any(
            abs(run[0].height - height) < rows.ALIKE * height and (np.abs(place - usual) < 2 * SAME_PLACE).all()
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
    every = rows.runs(cells)
    printed = _printed(every, masks)
    runs = [run for run in every if not any(run is other for other in printed)]
    several = [cell for run in runs if len(run) > 1 for cell in run]
    usual = float(np.median([cell.height for cell in several])) if several else LONE_HEIGHT
    fields, left_out = [], [LeftOut(cell, Reason.PRINT) for run in printed for cell in run]
    for run in runs:
        height = float(np.median([cell.height for cell in run]))
        if height < TICKED * usual:
            left_out += [LeftOut(cell, Reason.SMALL) for cell in run]
        elif len(run) == 1 and (height < LONE_HEIGHT or (several and not _is_like(run[0], several))):
            left_out += [LeftOut(cell, Reason.ALONE) for cell in run]
        else:
            fields.append(run)
    return in_reading_order(fields), left_out


def _is_like(cell: Box, others: Sequence[Box]) -> bool:
    """Whether a cell has the size of another."""
    sizes = np.array([other[2:] for other in others])
    return bool((np.abs(sizes - cell[2:]) <= rows.ALIKE * sizes).all(axis=1).any())


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
