"""The printed frame of a field: its lines on the form, and where they lie on a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.geometry import Grey
from mnist_batch.forms.patches import parabola
from mnist_batch.pixels.opencv import cv2

Levels = NDArray[np.float32]

REACH = 1.5  # millimetres from where the page's map has a frame; one that lies farther away is not taken
PAPER = 11  # pixels: wider than lines and strokes, so that what is this much wider is paper
FAINTEST = 12.0  # grey levels that lines are darker than their paper
BLACK = 255.0  # grey levels darker than white paper
FAINT = 0.5  # of the darkness of other print
NEAR_EDGE = 0.22  # of a cell's side: its lines lie this near to the edges of its box
INKED = 0.4  # of the darkness that its lines should have on a page: from there a pixel is taken for line
DARKEST = 0.15  # of the light of a page, in a shadow; what is darker is blacked out, and noise on it is no line
AWAY = 0.02  # of the darkness of its lines, that a place loses for each pixel it lies away
ENOUGH = 0.5  # of a frame, and of its lines in each direction, must be found for its place to be known
PARTS, LONG = 4, 60  # of a frame at most, along its field, and pixels of it for each that there is beside one
EDGE = 3  # pixels around the cells of a part, in which its lines lie


def darkness_of(picture: Grey) -> Levels:
    """How much darker than the paper around it each pixel is; thin ink only."""
    # A page ends white: without that, ink at its edge would be darker than nothing.
    dark = cv2.morphologyEx(picture, cv2.MORPH_BLACKHAT, np.ones((PAPER, PAPER), np.uint8))
    return np.asarray(dark, np.float32)


@dataclass(frozen=True, eq=False)
class Frame:
    """The lines of a field's cells on a reference's picture.

    ``across`` and ``down`` are the lines along rows and columns, float32, in grey levels darker than their paper; their
    upper left corner lies at ``corner``. ``kernel`` is what a page is correlated with: lines less what is beside them.
    ``parts`` are the upper and lower lines of some cells each: paper that is stretched has them apart otherwise.
    """

    corner: tuple[int, int]
    across: Levels
    down: Levels
    kernel: Levels
    darkness: float
    parts: "tuple[Frame, ...]" = ()

    @classmethod
    def of(cls, picture: Grey, boxes: Sequence[NDArray[np.float64]], millimetre: float) -> "Frame | None":
        """The frame around boxes, given by their corners; None if none is printed."""
        margin = max(3, round(0.8 * millimetre))
        every = np.concatenate(boxes)
        left, top = (max(0, int(value) - margin) for value in every.min(axis=0))
        right, foot = (int(np.ceil(value)) + margin for value in every.max(axis=0))
        dark = darkness_of(picture)[top:foot, left:right]
        if not dark.size or dark.max() < FAINTEST:
            return None
        across, down = _lines(dark, [box - (left, top) for box in boxes])
        lines = np.maximum(across, down)
        inked = lines > 0
        sides = sum(float(min(*(box[2] - box[0]))) for box in boxes)
        if int(inked.sum()) < 0.5 * sides:
            return None
        whole = cls((left, top), across, down, _kernel(lines), float(np.median(lines[inked])))
        parts = [whole._half(some, side) for some in _groups(boxes) for side in (0, 1)]
        return replace(whole, parts=tuple(part for part in parts if part is not None))

    @cached_property
    def middles(self) -> NDArray[np.float64]:
        """The middle of the upright lines, which say where the frame lies across, and of the level ones, (2, 2)."""
        every = np.maximum(self.across, self.down)
        lines = (self.down if self.down.any() else every, self.across if self.across.any() else every)
        return np.array([np.argwhere(each > 0)[:, ::-1].mean(axis=0) + self.corner + 0.5 for each in lines])

    def _half(self, boxes: NDArray[np.float64], side: int) -> "Frame | None":
        """The frame of the upper half of some boxes (n, 4, 2), or of the lower; None if no line runs along it."""
        (left, top), (right, foot) = boxes.min(axis=(0, 1)) - self.corner, boxes.max(axis=(0, 1)) - self.corner
        middle = (top + foot) / 2
        rows = (
            slice(max(0, int(top) - EDGE), round(middle)) if side == 0 else slice(round(middle), int(foot) + 1 + EDGE)
        )
        columns = slice(max(0, int(left) - EDGE), int(right) + 1 + EDGE)
        across, down = self.across[rows, columns], self.down[rows, columns]
        if np.count_nonzero(across) < 0.5 * (right - left):
            return None
        corner = (self.corner[0] + columns.start, self.corner[1] + rows.start)
        return Frame(corner, across, down, _kernel(np.maximum(across, down)), self.darkness)

    def is_faint(self, print_darkness: float) -> bool:
        """Whether the frame is so much paler than the other print that a scanner may have dropped it."""
        return self.darkness < FAINT * print_darkness


def _groups(boxes: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Boxes beside each other, in writing order."""
    every = np.array(boxes)
    parts = min(len(boxes), PARTS, 1 + int(np.ptp(every[..., 0]) // LONG))
    return np.array_split(every, parts)


def _lines(dark: Levels, boxes: Sequence[NDArray[np.float64]]) -> tuple[Levels, Levels]:
    """The ink of lines near the upper and lower edges of boxes, and near their left and right edges."""
    ink = (dark >= max(FAINTEST, 0.35 * float(np.percentile(dark[dark >= FAINTEST], 75)))).astype(np.uint8)
    near_rows, near_columns = np.zeros_like(ink), np.zeros_like(ink)
    wide = float(np.median([box[2][0] - box[0][0] for box in boxes]))
    tall = float(np.median([box[2][1] - box[0][1] for box in boxes]))
    for box in boxes:
        (left, top), (right, foot) = box[0], box[2]
        for y in (top, foot):
            _fill(near_rows, left - 2, right + 2, y - NEAR_EDGE * tall, y + NEAR_EDGE * tall)
        for x in (left, right):
            _fill(near_columns, x - NEAR_EDGE * wide, x + NEAR_EDGE * wide, top - 2, foot + 2)
    level = _runs(ink, max(5, int(0.5 * wide))) & near_rows
    upright = _runs(ink.T.copy(), max(5, int(0.5 * tall))).T & near_columns
    return dark * level, dark * upright


def _fill(mask: Grey, left: float, right: float, top: float, foot: float) -> None:
    mask[max(0, round(top)) : max(0, round(foot)) + 1, max(0, round(left)) : max(0, round(right)) + 1] = 1


def _runs(ink: Grey, length: int) -> Grey:
    """Ink along rows in runs at least so long, with gaps as dotted lines have, and slanted by a pixel."""
    thick = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, 5), np.uint8))
    thick = cv2.dilate(thick, np.ones((2, 1), np.uint8))
    runs: Grey = ink & cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    return runs


def _kernel(lines: Levels) -> Levels:
    """Lines, and against them what lies beside them on either side, so that even grey comes to nothing."""
    near = cv2.dilate(lines, np.ones((3, 3), np.uint8)) > 0
    beside = (cv2.dilate(lines, np.ones((7, 7), np.uint8)) > 0) & ~near
    kernel = lines / lines.sum()
    if beside.any():
        kernel = kernel - beside.astype(np.float32) / int(beside.sum())
    return np.asarray(kernel, np.float32)


@dataclass(frozen=True)
class Sought:
    """Where a frame lies beside where it should, in pixels, and the share of its lines that are there.

    ``beside`` is the share of what lies close beside its lines that is inked, too: as much as of the lines where
    writing or noise is, and no line. ``is_black`` says that most around it is blacked out.
    """

    shift: tuple[float, float]
    share: float
    share_across: float
    share_down: float
    beside: float
    is_black: bool

    @property
    def is_found(self) -> bool:
        """Whether enough of its lines is there, in each direction, for its place to be known."""
        return min(self.share, self.share_across, self.share_down) >= ENOUGH


class Laid(Protocol):
    """A page that was laid onto a reference: the page, and how much darker than its paper each pixel is.

    ``gain`` is how dark its print is beside the reference's, and ``light`` the level of most of its paper.
    """

    @property
    def seen(self) -> Grey: ...
    @property
    def dark(self) -> Levels: ...
    @property
    def gain(self) -> float: ...
    @property
    def light(self) -> float: ...


def seek(frame: Frame, page: Laid, prior: tuple[float, float], reach: int) -> Sought:
    """Look for a frame on a page; ``prior`` is where the print around has it, from where the map of the page has it."""
    window, expected = _window(page.dark, frame, reach), expected_darkness(frame.darkness, page.gain)
    # In a shadow, lines are less dark beside their paper than they are elsewhere.
    paper = (window + _window(page.seen, frame, reach)) / max(page.light, 1.0)
    black = paper < DARKEST
    shade = np.where(black, np.float32(1.0), np.minimum(paper, 1.0))
    # Writing that crosses faint lines counts no more than they do.
    score = cv2.matchTemplate(np.minimum(window / shade, 1.2 * expected), frame.kernel, cv2.TM_CCORR)
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    # Along its lines a frame may lie anywhere: the place nearest to where it should be is taken.
    away = np.hypot(steps - prior[0], steps[:, None] - prior[1])
    judged = np.asarray(score - AWAY * expected * away, np.float32)
    judged[np.hypot(steps, steps[:, None]) > reach + 0.5] = -np.inf
    down, across = np.unravel_index(int(judged.argmax()), judged.shape)
    shift = across - reach + _sub(judged[down], int(across)), down - reach + _sub(judged[:, across], int(down))
    ink = (window >= np.maximum(6.0, INKED * expected * shade)).astype(np.uint8)
    height, width = frame.kernel.shape
    there = cv2.dilate(ink, np.ones((3, 3), np.uint8))[down : down + height, across : across + width]
    level, upright = _share(frame.across, there), _share(frame.down, there)
    either = _share(np.maximum(frame.across, frame.down), there)
    beside = _share(-frame.kernel, there)
    return Sought((float(shift[0]), float(shift[1])), either, level, upright, beside, bool(black.mean() > 0.5))


def expected_darkness(darkness: float, gain: float) -> float:
    """How dark lines are on a page, whose print is so many times as dark as the reference's; none is beyond black."""
    return min(darkness * gain, BLACK)


def _sub(values: Levels, peak: int) -> float:
    near = values[max(0, peak - 1) : peak + 2]
    return parabola(values, peak) if np.isfinite(near).all() else 0.0


def _share(lines: Levels, ink: Grey) -> float:
    """The share of lines that are inked; 1 if there are no lines to speak of."""
    where = lines > 0
    return float(ink[where].mean()) if int(where.sum()) >= 5 else 1.0


def _window(page: NDArray[Any], frame: Frame, reach: int) -> NDArray[Any]:
    """What of a page lies around a frame; beyond its edges there is nothing."""
    (left, top), (height, width) = frame.corner, frame.kernel.shape
    rows, columns = slice(top - reach, top + height + reach), slice(left - reach, left + width + reach)
    inside = page[max(0, rows.start) : max(0, rows.stop), max(0, columns.start) : max(0, columns.stop)]
    before = max(0, -rows.start), max(0, -columns.start)
    after = height + 2 * reach - inside.shape[0] - before[0], width + 2 * reach - inside.shape[1] - before[1]
    if any(before) or any(after):
        inside = np.pad(inside, ((before[0], after[0]), (before[1], after[1])))
    return np.ascontiguousarray(inside)
