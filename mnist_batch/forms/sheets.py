"""Sheets: all strips of a page beside each other in one array, so that a page is worked on as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.form import Field
from mnist_batch.forms.strips import IN_CELLS, OTHERS, Strip, strips_of
from mnist_batch.pixels.opencv import cv2

WIDTH = 1200  # pixels of a sheet, unless a strip is wider
BLOCK = 4  # pixels; strips begin at a multiple of it, and so far apart they are
RINGS = 4  # classes of pixels around the print; the nearer has the higher number
CLOSE = 9  # pixels to print
CLASSES = RINGS + 2 * IN_CELLS
SAMPLED = 128  # pixels of a class of a strip that are looked at
NO_CELL = 254  # in ``Sheet.sides``
NEXT = np.ones((3, 3), np.uint8)

Grey = NDArray[np.uint8]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sheet:
    """The strips of a page of a form, and where each lies: ``places`` are its rows and columns.

    Cells are numbered through all strips; ``first`` is the number of the first cell of each strip, and ``boxes``, int
    (N, 4), are their edges on the sheet. ``owners``, uint8 (H, W), has the number of the nearest cell within its strip,
    or ``OTHERS``; ``near`` is 1 in the cells and close around. ``sides``, uint8 (H, W), say which places a line parts:
    a number for each cell, 0 on print in a cell, and ``NO_CELL`` beside cells. ``strip_at``, int (H, W) in blocks, is
    the strip that lies there. ``classes``, uint8 (H, W), is 0 where nothing is printed, up to ``RINGS`` around print,
    and above that the class of the print there or a pixel beside; ``close`` is 1 a little farther around. ``samples``,
    int (S, ``CLASSES``, ``SAMPLED``), are places of each class in each strip, as indices of a flat sheet, where
    ``sampled`` is set. ``in_cells`` are the blocks in each cell, as indices of a flat sheet of blocks, and ``starts``
    where those of the next cell begin.
    """

    strips: tuple[Strip, ...]
    places: tuple[tuple[slice, slice], ...]
    first: Numbers
    boxes: Numbers
    owners: Grey
    near: Grey
    sides: Grey
    strip_at: Numbers
    classes: Grey
    close: Grey
    samples: Numbers
    sampled: NDArray[np.bool_]
    in_cells: Numbers
    starts: Numbers

    @classmethod
    def of(cls, picture: Grey, fields: Sequence[Field]) -> "Sheet":
        """Prepare the fields on a page of a form, whose picture this is."""
        strips = strips_of(picture, fields)
        places, shape = _packed([strip.size for strip in strips])
        owners, near, exact = np.full(shape, OTHERS, np.uint8), np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        strip_at = np.zeros((shape[0] // BLOCK, shape[1] // BLOCK), np.int64)
        boxes = []
        for number, (strip, (rows, columns)) in enumerate(zip(strips, places, strict=True)):
            owners[rows, columns], near[rows, columns], exact[rows, columns] = strip.owners, strip.near, strip.print
            strip_at[
                rows.start // BLOCK : -(-rows.stop // BLOCK), columns.start // BLOCK : -(-columns.stop // BLOCK)
            ] = number
            boxes.append(strip.boxes + np.array([columns.start, rows.start] * 2))
        every = np.concatenate([np.zeros((0, 4), np.int64), *boxes])
        classes = _classes(exact)
        samples, sampled = _samples(np.where(exact > 0, exact + RINGS, np.where(classes <= RINGS, classes, 0)), places)
        first = np.cumsum([0, *(len(strip.positions) for strip in strips)])[:-1]
        close = cv2.dilate((classes > RINGS).view(np.uint8), np.ones((2 * CLOSE + 1, 2 * CLOSE + 1), np.uint8))
        in_cells, starts = _blocks(every, strip_at.shape)
        return cls(
            strips, places, first, every, owners, near, _sides(every, classes), strip_at, classes, close, samples,
            sampled, in_cells, starts,
        )  # fmt: skip


def _packed(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[tuple[slice, slice], ...], tuple[int, int]]:
    """Places for strips of these sizes, row by row, and the shape of the sheet."""
    width = max([WIDTH, *(wide + BLOCK for wide, _ in sizes)])
    width += -width % BLOCK
    places, x, y, below = [], 0, 0, 0
    for wide, high in sizes:
        if x and x + wide > width:
            x, y = 0, below
        places.append((slice(y, y + high), slice(x, x + wide)))
        x += wide + BLOCK + -wide % BLOCK
        below = max(below, y + high + BLOCK + -high % BLOCK)
    return tuple(places), (max(below, BLOCK), width)


def _classes(exact: Grey) -> Grey:
    """The class of each pixel: of the print there or right beside, or that it is near print."""
    classes = cv2.dilate(np.where(exact > 0, exact + RINGS, 0).astype(np.uint8), NEXT)
    covered = np.asarray(classes > 0, np.uint8)
    for ring in range(RINGS, 0, -1):
        wider = cv2.dilate(covered, NEXT)
        classes[(wider > 0) & (covered == 0)] = ring
        covered = wider
    return np.asarray(classes, np.uint8)


def _sides(boxes: Numbers, classes: Grey) -> Grey:
    sides = np.full_like(classes, NO_CELL)
    for number, (left, top, right, foot) in enumerate(boxes.tolist()):
        sides[top:foot, left:right] = 1 + number % (NO_CELL - 1)  # cells so far from each other share no line
    sides[(classes > RINGS) & (classes <= RINGS + IN_CELLS)] = 0
    return sides


def _samples(classes: Grey, places: Sequence[tuple[slice, slice]]) -> tuple[Numbers, NDArray[np.bool_]]:
    samples = np.zeros((len(places), CLASSES, SAMPLED), np.int64)
    sampled = np.zeros((len(places), CLASSES), np.bool_)
    for number, (rows, columns) in enumerate(places):
        there = classes[rows, columns]
        for each in range(1, CLASSES + 1):
            y, x = np.nonzero(there == each)
            if len(y):
                chosen = np.linspace(0, len(y) - 1, SAMPLED).astype(np.int64)
                samples[number, each - 1] = (y[chosen] + rows.start) * classes.shape[1] + x[chosen] + columns.start
                sampled[number, each - 1] = True
    return samples, sampled


def _blocks(boxes: Numbers, shape: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """The blocks in each box, one after the other, and where those of each box start."""
    found, starts, count = [np.zeros(0, np.int64)], [], 0
    for left, top, right, foot in boxes.tolist():
        y = np.arange(top // BLOCK, max(top // BLOCK + 1, foot // BLOCK)).clip(0, shape[0] - 1)
        x = np.arange(left // BLOCK, max(left // BLOCK + 1, right // BLOCK)).clip(0, shape[1] - 1)
        found.append((y[:, None] * shape[1] + x).ravel())
        starts.append(count)
        count += len(found[-1])
    return np.concatenate(found), np.array(starts, np.int64)
