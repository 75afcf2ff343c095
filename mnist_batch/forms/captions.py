"""The words beside the fields of a form, and whether a page has others there: a number would mean something else."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.frames import FAINTEST, Levels, darkness_of
from mnist_batch.forms.geometry import Grey, mapped
from mnist_batch.pixels.opencv import cv2

if TYPE_CHECKING:
    from mnist_batch.forms.aligning import Aligned

NEAR = 10.0  # millimetres above or below a field, in which its captions are
SPECK = 8  # pixels of ink: dots that lead from a caption to its field have fewer
GAP = 11  # pixels between words of a line
LONG = 40  # pixels: a longer stroke is a line, and no letter
LOWEST, HIGHEST, NARROWEST = 5, 30, 12  # pixels of a line of words
PIECE = 36  # pixels of a line, that are looked for together
MARGIN = 2  # pixels around a piece that belong to it
REACH, FAR = 4, 12  # pixels around its place in which it is looked for, and where the print around was not found
# Of most pieces of a page: how alike other words are at most, and how much of the ink is there in their places.
UNLIKE, INKED = 0.8, 0.72
LIGHT = 75  # percentile of the levels of a page, or around a caption: its paper
SOME = 0.4  # of the ink of a caption: where there is less, no other words are printed


@dataclass(frozen=True, eq=False)
class Caption:
    """A line of words on a reference's picture, in pieces: their pictures, and the upper left corners of these.

    ``ink`` is where the pieces have ink, bool (H, W) each, and ``darkness`` how much darker than its paper it is.
    """

    pieces: tuple[Grey, ...]
    ink: tuple[NDArray[np.bool_], ...]
    darkness: float
    corners: tuple[tuple[int, int], ...]

    @property
    def middle(self) -> NDArray[np.float64]:
        lefts, tops = zip(*self.corners, strict=True)
        return np.array([(lefts[0] + lefts[-1] + self.pieces[-1].shape[1]) / 2, tops[0] + len(self.pieces[0]) / 2])


def of(picture: Grey, boxes: Sequence[NDArray[np.float64]], millimetre: float) -> tuple[Caption, ...]:
    """The captions on a picture near boxes, the cells of its fields, each given by its corners."""
    dark = darkness_of(picture)
    ink = (dark >= FAINTEST).astype(np.uint8)
    near = np.zeros(len(ink), bool)
    for box in boxes:
        (left, top), (right, foot) = box[0], box[2]
        ink[max(0, int(top) - 4) : int(foot) + 5, max(0, int(left) - 4) : int(right) + 5] = 0
        near[max(0, int(top - NEAR * millimetre)) : int(foot + NEAR * millimetre)] = True
    ink[~near] = 0
    for shape in ((1, LONG), (LONG, 1)):
        ink &= 1 - cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones(shape, np.uint8))
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    ink[stats[numbers, cv2.CC_STAT_AREA] <= SPECK] = 0
    lines = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, GAP), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    return tuple(
        _caption(picture, dark, left, top, wide, high)
        for left, top, wide, high, _ in stats[1:].tolist()
        if LOWEST <= high <= HIGHEST and wide >= NARROWEST
    )


def _caption(picture: Grey, dark: Levels, left: int, top: int, wide: int, high: int) -> Caption:
    parts = max(1, round(wide / PIECE))
    edges = np.linspace(left, left + wide, parts + 1).astype(int)
    rows = slice(max(0, top - MARGIN), top + high + MARGIN)
    columns = [slice(max(0, one - MARGIN), other + MARGIN) for one, other in pairwise(edges.tolist())]
    pieces = tuple(np.ascontiguousarray(picture[rows, each]) for each in columns)
    level = 0.5 * float(dark[rows, columns[0].start : columns[-1].stop].max())
    ink = tuple(dark[rows, each] >= level for each in columns)
    darkness = float(np.median(np.concatenate([dark[rows, each][own] for each, own in zip(columns, ink, strict=True)])))
    return Caption(pieces, ink, darkness, tuple((each.start, rows.start) for each in columns))


def others(captions: Sequence[Caption], aligned: "Aligned", page: tuple[int, ...]) -> list[Caption]:
    """The captions in whose places a page of this shape, that was laid onto the reference, has other words.

    What is written or stamped over a caption makes it unlike, but takes none of its ink away.
    """
    on_page = [each for each in captions if _is_on(each, aligned, page)]
    pieces = [_found(each, aligned) for each in on_page]
    if not any(len(each) for each in pieces):
        return []
    alike, inked, _ = np.median(np.concatenate(pieces), axis=0)
    found = []
    for caption, each in zip(on_page, pieces, strict=True):
        if not len(each):
            continue
        worst = each[np.argsort(each[:, 0], kind="stable")][: (len(each) + 1) // 2]
        unlike, lost, _ = worst.mean(axis=0)
        if unlike < UNLIKE * alike and lost < INKED * inked and each[:, 2].mean() >= SOME:
            found.append(caption)
    return found


def _is_on(caption: Caption, aligned: "Aligned", page: tuple[int, ...]) -> bool:
    """Whether a caption lies wholly on the page."""
    (left, top), (x, y), (high, wide) = caption.corners[0], caption.corners[-1], caption.pieces[-1].shape
    across, down = mapped(aligned.matrix, [[left, top], [x + wide, y], [x + wide, y + high], [left, top + high]]).T
    return bool(min(across.min(), down.min()) >= 0 and across.max() <= page[1] and down.max() <= page[0])


def _found(caption: Caption, aligned: "Aligned") -> NDArray[np.float64]:
    """How much of each piece a page has: how alike it is, the share of its ink, and the ink there beside its own."""
    found = []
    near = aligned.shift_near(caption.middle)
    shift, reach = (near, REACH) if near is not None else ((0.0, 0.0), FAR)
    light = float(np.percentile(aligned.seen[::8, ::8], LIGHT))
    for piece, printed, (left, top) in zip(caption.pieces, caption.ink, caption.corners, strict=True):
        (high, wide), x, y = piece.shape, left + round(shift[0]), top + round(shift[1])
        rows, columns = slice(max(0, y - reach), y + high + reach), slice(max(0, x - reach), x + wide + reach)
        around, dark = aligned.seen[rows, columns], aligned.dark[rows, columns]
        if around.shape[0] >= high and around.shape[1] >= wide and printed.any():
            _, likeness, _, (across, down) = cv2.minMaxLoc(cv2.matchTemplate(around, piece, cv2.TM_CCOEFF_NORMED))
            # In a shadow, print is less dark beside its paper than it is elsewhere.
            shade = min(1.0, float(np.percentile(around, LIGHT)) / max(light, 1.0))
            inked = dark[down : down + high, across : across + wide] >= 0.5 * shade * aligned.gain * caption.darkness
            found.append((likeness, inked[printed].mean(), inked.sum() / printed.sum()))
    every = np.array(found, np.float64).reshape(-1, 3)
    return np.where(np.isfinite(every), every, 0.0)
