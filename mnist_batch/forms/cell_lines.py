"""The printed lines of each cell of a form, and of those that its fields would have if they were a cell longer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.frames import INKED, Frame, Levels, expected_darkness
from mnist_batch.pixels.opencv import cv2

EDGE = 3  # pixels around the box of a cell, in which its lines lie
FEWEST = 12  # pixels of lines; of fewer nothing follows
FREE = 0.25  # of the lines of a cell more: the lines of those beside it may take its own on both sides
NOISE = 3.0  # times as dark as half of a page's pixels are: the darkest of a few neighbours may be so dark by noise
THICK = np.ones((3, 3), np.uint8)  # a line may lie a pixel beside its place

Boxes = Mapping[str, Sequence[NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class CellLines:
    """The pixels, ``rows`` and ``columns``, of the lines of cells, those of each from its ``starts`` on.

    A line between two cells is of neither: it is there if one of them is.

    ``names`` are the fields of the cells, ``fields`` says which of them each is of, and ``more`` which of the cells
    are no cells, but would be the next beyond either end of their field.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    starts: NDArray[np.intp]
    names: tuple[str, ...]
    fields: NDArray[np.intp]
    more: NDArray[np.bool_]
    darkness: NDArray[np.float64]

    @classmethod
    def of(cls, boxes: Boxes, frames: Mapping[str, Frame], dark: Levels) -> "CellLines":
        """The lines of the cells, whose boxes are given by two corners, of fields that have frames."""
        places: list[NDArray[np.intp]] = []
        fields, more, names = [], [], [name for name in boxes if name in frames]
        for number, name in enumerate(names):
            frame, own = frames[name], boxes[name]
            for at, box in enumerate(own):
                places.append(_own(frame, box, [*own[max(0, at - 1) : at], *own[at + 1 : at + 2]]))
                fields.append(number)
                more.append(False)
            wide = (own[0][1] - own[0][0]) * (1, 0)  # a field of one cell has no other that says how far away they are
            steps = ((own[-1] - own[-2])[0], (own[0] - own[1])[0]) if len(own) > 1 else (wide, -wide)
            for end, step in zip((own[-1], own[0]), steps, strict=True):
                across, down = step.round().astype(int)
                beyond = _free(lines_of(frame, end) + np.array([down, across]), frame, dark)
                if len(beyond) and abs(down) <= 1 and abs(across) > EDGE:
                    places.append(beyond)
                    fields.append(number)
                    more.append(True)
        kept = [at for at, each in enumerate(places) if len(each) >= FEWEST]
        every = np.concatenate([places[at] for at in kept]) if kept else np.zeros((0, 2), np.intp)
        lengths = [0, *(len(places[at]) for at in kept)]
        return cls(
            rows=every[:, 0],
            columns=every[:, 1],
            starts=np.cumsum(lengths)[:-1].astype(np.intp),
            names=tuple(names),
            fields=np.array([fields[at] for at in kept], np.intp),
            more=np.array([more[at] for at in kept], bool),
            darkness=np.array([frames[name].darkness for name in names], np.float64),
        )

    @cached_property
    def _of_pixel(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The field that each pixel is of, and how many pixels each cell has."""
        lengths = np.diff([*self.starts, len(self.rows)])
        return np.repeat(self.fields, lengths), lengths

    def middle(self, cell: int) -> NDArray[np.float64]:
        """The middle of a cell, by its number."""
        end = self.starts[cell + 1] if cell + 1 < len(self.starts) else len(self.rows)
        of_cell = slice(self.starts[cell], end)
        return np.array([self.columns[of_cell].mean(), self.rows[of_cell].mean()])

    def shares(
        self, dark: Levels, gain: float, shifts: Mapping[str, tuple[float, float]], inked: float = INKED
    ) -> NDArray[np.float64]:
        """The share of each cell's lines that are on a page, whose fields lie beside their places as ``shifts`` say.

        ``inked`` is of the darkness that lines should have: from there a pixel is taken for line, if it is no noise.
        """
        if not len(self.starts):
            return np.zeros(0)
        shift = np.array([shifts.get(name, (0.0, 0.0)) for name in self.names]).round().astype(np.intp)
        of_pixel, lengths = self._of_pixel
        height, width = dark.shape
        rows = (self.rows + shift[of_pixel, 1]).clip(0, height - 1)
        columns = (self.columns + shift[of_pixel, 0]).clip(0, width - 1)
        expected = np.array([expected_darkness(each, gain) for each in self.darkness.tolist()])
        least = max(6.0, NOISE * float(np.median(dark[::8, ::8])))
        is_line = cv2.dilate(dark, THICK)[rows, columns] >= np.maximum(least, inked * expected[of_pixel])
        return np.asarray(np.add.reduceat(is_line.astype(np.intp), self.starts) / lengths)


def lines_of(frame: Frame, box: NDArray[np.float64]) -> NDArray[np.intp]:
    """The pixels, (n, 2), rows first, of the lines of a cell."""
    left, top = np.maximum(np.floor(box[0]).astype(int) - frame.corner - EDGE, 0)
    right, foot = np.ceil(box[1]).astype(int) - frame.corner + EDGE
    inside = np.maximum(frame.across, frame.down)[top:foot, left:right] > 0
    corner = np.array([top + frame.corner[1], left + frame.corner[0]], np.intp)
    return np.asarray(np.argwhere(inside) + corner, np.intp)


def _own(frame: Frame, box: NDArray[np.float64], beside: Sequence[NDArray[np.float64]]) -> NDArray[np.intp]:
    """The lines of a cell that are not those of the cells beside it, too; all, where it has hardly others."""
    lines = lines_of(frame, box)
    own = np.ones(len(lines), bool)
    for each in beside:
        (left, _), (right, _) = each
        own &= (lines[:, 1] < left - EDGE) | (lines[:, 1] > right + EDGE)
    return lines[own] if own.sum() >= FEWEST else lines


def _free(places: NDArray[np.intp], frame: Frame, dark: Levels) -> NDArray[np.intp]:
    """Those of the lines of a cell near which the form has none; none if hardly any of them are, or some are off it."""
    height, width = dark.shape
    rows, columns = places.T
    if not len(places) or rows.min() < 0 or columns.min() < 0 or rows.max() >= height or columns.max() >= width:
        return places[:0]
    near = cv2.dilate(dark, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8))
    free = near[rows, columns] < INKED * frame.darkness
    return places[free] if free.mean() >= FREE else places[:0]
