"""Rows of cells: which cells make a field, and which cells a row has between and beside those that were found."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from mnist_batch.forms import boxes, corners
from mnist_batch.forms.boxes import Masks
from mnist_batch.forms.form import Box

LARGEST_GAP = 0.9  # between cells of a field, by the width of a cell
ALIKE = 0.2  # cells of a field differ by at most this share in height, and in width unless they touch
LARGEST_HOLE = 4  # cells between two others
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


def missing(cells: Sequence[Box], masks: Masks) -> list[Box]:
    """Cells that follow from the pitch of their row, and whose sides are printed, however much is written in them."""
    sides = corners.Sides.of(masks.dark | masks.tint)
    found, rows = list[Box](), runs(cells, LARGEST_HOLE * (1 + LARGEST_GAP))
    steps = [[cell.x - last.x for last, cell in pairwise(row) if _follows(last, cell, LARGEST_GAP)] for row in rows]
    usual = sorted({round(float(np.median(each))) for each in steps if each})
    for row, own in zip(rows, steps, strict=True):
        # A row of which no two neighbours were found has the pitch of another.
        for step in [float(np.median(own))] if own else usual:
            found += [box for box in _between(row, step) if _is_cell(box, sides, masks)]
            found += _beside(row, step, sides, masks)
    return found


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
