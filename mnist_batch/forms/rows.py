"""Rows of cells: which cells make a field, and which cells a row has between and beside those that were found."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from mnist_batch.forms import boxes, corners
from mnist_batch.forms.boxes import Mask, Masks
from mnist_batch.forms.form import Box

LARGEST_GAP = 0.9  # between cells of a field, by the width of a cell
ALIKE = 0.2  # cells of a field differ by at most this share in height, and in width unless they touch
LARGEST_HOLE = 4  # cells between two others
MOST_ASIDE, IN_PLACE = 0.5, 0.87  # of a cell lies in its place at least, if it lies beside it, and if it is in it
FULL = 0.75  # of what a cell gains by print is too much
PITCH = 0.1  # by which the steps from cell to cell of a row differ at most


def runs(cells: Sequence[Box], largest_gap: float = LARGEST_GAP) -> list[list[Box]]:
    """Cells that follow each other from left to right, with gaps of at most so many widths of a cell."""
    found: list[list[Box]] = []
    for cell in sorted(cells, key=lambda box: box.x):
        before = [run for run in found if _follows(run[-1], cell, largest_gap)]
        if before:
            min(before, key=lambda run: abs(run[-1].y - cell.y)).append(cell)
        else:
            found.append([cell])
    return found


def _follows(last: Box, cell: Box, largest_gap: float) -> bool:
    """Whether a cell is the next of a field after another."""
    height, gap = max(last.height, cell.height), cell.x - last.x - last.width
    return (
        abs(last.y - cell.y) <= 0.15 * height
        and abs(last.height - cell.height) <= ALIKE * height
        and -0.2 * cell.width <= gap <= largest_gap * min(last.width, cell.width)
    )


def in_line(cells: Sequence[Box], masks: Masks) -> list[Box]:
    """The cells, with those moved into their row that lie beside their place in it.

    What is written over the line of a cell may look like this line.
    """
    print_ = masks.dark | masks.tint
    moved, sides = dict[Box, Box](), corners.Sides.of(print_)
    rows = runs(cells, LARGEST_HOLE * (1 + LARGEST_GAP))
    for row, steps in zip(rows, _steps(rows), strict=True):
        for step in steps:
            between = list(_between(row, step))
            for place in [*between, *_aside(row, step)]:
                if not corners.framed(sides, place):
                    continue
                shared = boxes.overlaps(place, cells)
                cell = cells[int(shared.argmax())]
                if MOST_ASIDE < shared.max() < IN_PLACE and (place in between or _is_light(place, cell, print_)):
                    moved[cell] = place
    return [moved.get(cell, cell) for cell in cells]


def _is_light(place: Box, cell: Box, print_: Mask) -> bool:
    """Whether what a cell gains if it moves sideways to its place is not all printed, as a band around cells is."""
    gained = (place.x + corners.LINE, cell.x)
    if place.x > cell.x:
        gained = (cell.x + cell.width, place.x + place.width - corners.LINE)
    _, top, _, foot = boxes.inside(place)
    inside = print_[top:foot, round(gained[0]) : round(gained[1])]
    return not inside.size or bool(inside.mean() < FULL)


def is_odd(box: Box, cells: Sequence[Box]) -> bool:
    """Whether a box stands beside several cells, as high and not as wide: strokes make such boxes of two cells."""
    beside = [cell for cell in cells if _follows(cell, box, LARGEST_GAP) or _follows(box, cell, LARGEST_GAP)]
    row = [cell for cell in cells if any(abs(cell.y - other.y) <= 0.15 * box.height for other in beside)]
    alike = [cell for cell in row if abs(cell.width - box.width) <= ALIKE * box.width]
    return len(row) > 1 and not alike


def missing(cells: Sequence[Box], masks: Masks) -> list[Box]:
    """Cells that follow from the pitch of their row, and whose sides are printed, however much is written in them."""
    sides = corners.Sides.of(masks.dark | masks.tint)
    found, rows = list[Box](), runs(cells, LARGEST_HOLE * (1 + LARGEST_GAP))
    for row, steps in zip(rows, _steps(rows), strict=True):
        for step in steps:
            found += [box for box in _between(row, step) if _is_cell(box, sides, masks)]
            found += _beside(row, step, sides, masks)
    return found


def _steps(rows: Sequence[Sequence[Box]]) -> list[list[float]]:
    """By how much the cells of each row may lie apart: a row whose own steps say nothing has those of the others."""
    every = [[cell.x - last.x for last, cell in pairwise(row) if _follows(last, cell, LARGEST_GAP)] for row in rows]
    own = [float(np.median(each)) if each else 0.0 for each in every]
    even = [
        bool(each) and bool(np.mean(np.abs(np.array(each) - step) <= PITCH * step) > 0.5)
        for each, step in zip(every, own, strict=True)
    ]
    usual = sorted({round(step) for step, is_even in zip(own, even, strict=True) if is_even})
    return [[step] if is_even else [float(each) for each in usual] for step, is_even in zip(own, even, strict=True)]


def _aside(row: Sequence[Box], step: float) -> Iterator[Box]:
    """The places of cells that lie beside them: off the pitch from one neighbour, and without another on it."""
    off = [abs((away := cell.x - last.x) - round(away / step) * step) > PITCH * step for last, cell in pairwise(row)]
    usual = float(np.median([cell.width for cell in row]))
    for at, (last, cell) in enumerate(pairwise(row)):
        if not off[at] or not (count := round((cell.x - last.x) / step)):
            continue
        later, earlier = all(off[at + 1 : at + 2]), all(off[max(at - 1, 0) : at])
        if later and earlier:  # of two cells without others on their pitch, the one of an odd width
            odd = [abs(each.width - usual) for each in (last, cell)]
            later, earlier = odd[1] > odd[0] + 1, odd[0] > odd[1] + 1
        if later:
            yield last._replace(x=last.x + count * step)
        if earlier:
            yield cell._replace(x=cell.x - count * step)


def _between(row: Sequence[Box], step: float) -> Iterator[Box]:
    for last, cell in pairwise(row):
        away = cell.x - last.x
        count = round(away / step)
        if 2 <= count <= LARGEST_HOLE + 1 and abs(away - count * step) <= PITCH * step:
            for at in range(1, count):
                yield last._replace(x=last.x + at * away / count, y=last.y + at * (cell.y - last.y) / count)


def _beside(row: Sequence[Box], step: float, sides: corners.Sides, masks: Masks) -> list[Box]:
    found = []
    for end, away in ((row[0], -step), (row[-1], step)):
        box = end._replace(x=end.x + away)
        while _is_cell(box, sides, masks):
            found.append(box)
            box = box._replace(x=box.x + away)
    return found


def _is_cell(box: Box, sides: corners.Sides, masks: Masks) -> bool:
    left, top, right, foot = boxes.inside(box)
    dark, tint = masks.dark[top:foot, left:right], masks.tint[top:foot, left:right]
    return corners.framed(sides, box) and bool(dark.mean() < 0.9 and (tint & (1 - dark)).mean() < 0.7)
