"""Cells that a page has where its form is empty: a row or a column more, of another version of the form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.cell_lines import FEWEST, lines_of
from mnist_batch.forms.frames import FAINTEST, INKED, Frame, Levels, expected_darkness
from mnist_batch.forms.geometry import Grey
from mnist_batch.pixels.opencv import cv2

AROUND = 2  # pixels around cells, in which the form must be empty
CLOSED, NEARLY = 0.9, 0.75  # of the sides of a cell, and of two together, that are lines
SAME = 3  # pixels; cells that differ by less are looked for once
BESIDE = 3  # pixels from lines: what is as dark there is no line, but noise or a grey area
REACH = 3  # pixels from where the map has a place, in which cells may lie
EVERY = 4  # pixels of lines that are looked at first
STEP = 3  # pixels between the places that are looked at first; they reach as far around as cells may lie
THERE, CLEARER = 0.95, 0.4  # of the lines, and of their darkness, by which they are darker than what is beside

Box = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Probe:
    """Cells of a form, to be looked for where it is empty: pixels, int (n, 2), rows first, of their lines and beside.

    ``lower`` says by how many pixels lower the form is empty. If ``is_turned``, all of it is of the form mirrored at
    its diagonal, and so by how many pixels farther to the right.
    """

    lines: NDArray[np.intp]
    beside: NDArray[np.intp]
    lower: NDArray[np.intp]
    darkness: float
    is_turned: bool


def probes(boxes: Mapping[str, Sequence[Box]], frames: Mapping[str, Frame], dark: Levels, cells: Grey) -> list[Probe]:
    """The first and the last cells of the fields that have frames, each kind of them once.

    ``boxes`` are those of the cells, each given by two corners; ``dark`` is how dark the form's print is, and ``cells``
    is set within its cells.
    """
    taken = cv2.integral(((dark >= FAINTEST) | (cells > 0)).astype(np.uint8))
    found, known = list[Probe](), set[tuple[int, ...]]()
    for name, frame in frames.items():
        for own in _ends(boxes[name], frame):
            low, high = np.min(own, axis=(0, 1)), np.max(own, axis=(0, 1))
            lines = np.unique(np.concatenate([lines_of(frame, box) for box in own]), axis=0)
            for along, is_turned in enumerate((False, True)):
                kind = tuple(int(each / SAME) for each in (along, low[along], high[along], (high - low)[1 - along]))
                if kind not in known and len(lines) >= FEWEST:
                    known.add(kind)
                    probe = _probe(lines, taken, frame.darkness, is_turned)
                    found += [probe] if len(probe.lower) else []
    return found


def _probe(lines: NDArray[np.intp], taken: NDArray[np.int32], darkness: float, is_turned: bool) -> Probe:
    if is_turned:
        lines, taken = lines[:, ::-1], taken.T
    return Probe(lines, _beside(lines), _some(_empty(lines, taken)), darkness, is_turned)


def added(every: Sequence[Probe], dark: Levels, gain: float) -> NDArray[np.float64] | None:
    """The middle of cells that are on a page where the form is empty; None if there are none.

    ``dark`` is how dark the page is, as it lies on the form, and ``gain`` how dark its print is beside the form's.
    """
    wide = cv2.dilate(dark, np.ones((2 * REACH + 3, 2 * REACH + 3), np.uint8))
    thick = cv2.dilate(dark, np.ones((3, 3), np.uint8))
    for probe in every:
        expected = expected_darkness(probe.darkness, gain)
        level = max(FAINTEST, INKED * expected)
        wider, thicker = (wide.T, thick.T) if probe.is_turned else (wide, thick)
        likely = probe.lower[(_levels(wider, probe.lines[::EVERY], probe.lower) >= level).mean(axis=1) >= THERE]
        for lower in likely:
            for across in range(-REACH, REACH + 1):
                near = lower + np.arange(-REACH, REACH + 1)
                lines, beside = (_levels(thicker, each, near, across) for each in (probe.lines, probe.beside))
                most = 1.2 * expected
                clearer = np.minimum(lines, most).mean(axis=1) - np.minimum(beside, most).mean(axis=1)
                is_there = ((lines >= level).mean(axis=1) >= THERE) & (clearer >= CLEARER * expected)
                if is_there.any():
                    row, column = probe.lines.mean(axis=0)
                    middle = np.array([column + across, row + near[is_there.argmax()]])
                    return middle[::-1] if probe.is_turned else middle
    return None


def _levels(dark: Levels, places: NDArray[np.intp], lower: NDArray[np.intp], across: int = 0) -> Levels:
    """How dark it is at places that lie so much lower and to the right, (len(lower), len(places))."""
    height, width = dark.shape
    rows = (places[:, 0] + lower[:, None]).clip(0, height - 1)
    return np.asarray(dark[rows, (places[:, 1] + across).clip(0, width - 1)])


def _ends(boxes: Sequence[Box], frame: Frame) -> Iterator[Sequence[Box]]:
    """The cells at either end of a field that are looked for together: one, or two of a comb.

    None of those that are lines with ticks: a signature may be like one.
    """
    for ends in (boxes[:2], boxes[-2:][::-1]):
        for together, least in ((ends[:1], CLOSED), (ends, NEARLY)):
            if _sides(together, frame) >= least:
                yield together
                break


def _sides(boxes: Sequence[Box], frame: Frame) -> float:
    """The share of the sides of cells, taken together, that are lines."""
    lines = np.zeros(frame.across.shape, np.uint8)
    for box in boxes:
        lines[tuple((lines_of(frame, box) - frame.corner[::-1]).T)] = 1
    outline = np.zeros_like(lines)
    (left, top), (right, foot) = (np.min(boxes, axis=(0, 1)), np.max(boxes, axis=(0, 1))) - np.array(frame.corner)
    cv2.rectangle(outline, (round(left), round(top)), (round(right), round(foot)), 1)
    near = cv2.dilate(lines, np.ones((7, 7), np.uint8))
    return float(near[outline > 0].mean()) if outline.any() else 0.0


def _empty(lines: NDArray[np.intp], taken: NDArray[np.int32]) -> NDArray[np.intp]:
    """By how many pixels lower the form is empty where cells with these lines would be; ``taken`` is an integral."""
    (top, left), (foot, right) = lines.min(axis=0) - AROUND, lines.max(axis=0) + 1 + AROUND
    height, width = (side - 1 for side in taken.shape)
    if left < 0 or right > width:
        return np.zeros(0, np.intp)
    tops = np.arange(0, height - (foot - top))
    feet = tops + foot - top
    inside = taken[feet, right] - taken[tops, right] - taken[feet, left] + taken[tops, left]
    return np.asarray(tops[inside == 0] - top, np.intp)


def _some(lower: NDArray[np.intp]) -> NDArray[np.intp]:
    """Every so many places of each run, and its ends."""
    is_end = np.diff(lower, prepend=-2) > 1
    is_end[:-1] |= is_end[1:]
    is_end[-1:] = True
    return np.asarray(lower[is_end | (lower % STEP == 0)], np.intp)


def _beside(lines: NDArray[np.intp]) -> NDArray[np.intp]:
    """The pixels around lines, not near them."""
    margin = 2 * BESIDE
    corner = lines.min(axis=0) - margin
    mask = np.zeros(lines.max(axis=0) - corner + 1 + margin, np.uint8)
    mask[tuple((lines - corner).T)] = 1
    near, around = (cv2.dilate(mask, np.ones((side, side), np.uint8)) for side in (2 * BESIDE - 1, 2 * BESIDE + 3))
    return np.asarray(np.argwhere(around & (1 - near)) + corner, np.intp)
