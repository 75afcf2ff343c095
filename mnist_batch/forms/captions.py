"""The words beside the fields of a form, and whether a page has others there: a number would mean something else."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.frames import FAINTEST, Levels, darkness_of
from mnist_batch.forms.geometry import Grey, mapped
from mnist_batch.forms.patches import ALIKE
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
TOGETHER = 3  # pixels, by which pieces of a line lie differently at most
REACH, FAR = 4, 12  # pixels around its place in which it is looked for, and where the print around was not found
# Of most pieces of a page: how alike other words are at most, and how much of the ink is there in their places.
UNLIKE, INKED = 0.8, 0.77
LIGHT = 75  # percentile of the levels around a caption, as of ``aligned.light``: its paper
BLACKEST = 0.4  # of a page's light: where there is less around a caption, it was blacked out
PALEST = 0.4  # of how dark other print of a page is, its words are at least
# Of the ink of a caption, that other words have beside it at least: where there is less, the page was torn or blacked
# out, or the caption covered.
BESIDE = 0.08
GONE = 0.1  # of the ink of each piece of a caption: where there is less, nothing is printed
THICK = np.ones((3, 3), np.uint8)


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
        """The middle of its line, (2,)."""
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


def others(
    captions: Sequence[Caption], aligned: "Aligned", page: tuple[int, ...]
) -> tuple[list[Caption], list[Caption]]:
    """The captions in whose places a page of this shape, laid onto the reference, has other words; or nothing at all.

    What is written or stamped over a caption makes it unlike, but takes none of its ink away. Where a page was torn,
    ink is missing, but none is where the caption has none.
    """
    on_page = [each for each in captions if _is_on(each, aligned, page)]
    places = [_places(each, aligned) for each in on_page]
    every = sorted((place for each in places for place in each), key=lambda place: -place.alike)
    if not every:
        return [], []
    # Blurred words are paler than lines are.
    gain = float(np.median([place.gain for place in every[: (len(every) + 1) // 2]]))
    gain = min(aligned.gain, max(PALEST * aligned.gain, gain))
    alike, inked = np.median([(place.alike, place.ink(gain)[0]) for place in every], axis=0)
    other, gone = list[Caption](), list[Caption]()
    for caption, each in zip(on_page, places, strict=True):
        found = [(place.alike, *place.ink(gain)) for place in each]
        is_lit = min([place.shade for place in each], default=0.0) >= BLACKEST
        if _are_others(found, UNLIKE * alike, INKED * inked, is_lit) and not _is_displaced(
            caption, aligned, UNLIKE * alike
        ):
            other.append(caption)
        elif found and max(ink for _, ink, _ in found) < GONE:
            gone.append(caption)
    return other, gone


def _are_others(pieces: Sequence[tuple[float, float, float]], alike: float, inked: float, is_lit: bool) -> bool:
    """Whether other words are in a caption's place, of whose pieces it is said how alike they are, and their ink.

    Only where it ``is_lit`` is what is bare paper, and not blacked out.
    """
    worst = sorted(pieces)[: (len(pieces) + 1) // 2]
    if not worst:
        return False
    unlike, lost, beside = np.mean(worst, axis=0)
    if unlike < alike and lost < inked and beside >= BESIDE:
        return True
    there = [each for each in pieces if max(each[1:]) >= GONE]  # of shorter words, the others are bare
    return (
        is_lit
        and 0 < len(there) < len(pieces)
        and all(unlike < alike and lost < inked and beside >= BESIDE / 2 for unlike, lost, beside in there)
    )


def _is_displaced(caption: Caption, aligned: "Aligned", least: float) -> bool:
    """Whether a caption lies a little farther off than the print around, all of it alike and in one line."""
    places = _places(caption, aligned, FAR)
    shifts = np.array([place.shift for place in places])
    return min(place.alike for place in places) >= least and float(np.ptp(shifts, axis=0).max()) <= TOGETHER


def _is_on(caption: Caption, aligned: "Aligned", page: tuple[int, ...]) -> bool:
    """Whether a caption lies wholly on the page."""
    (left, top), (x, y), (high, wide) = caption.corners[0], caption.corners[-1], caption.pieces[-1].shape
    across, down = mapped(aligned.matrix, [[left, top], [x + wide, y], [x + wide, y + high], [left, top + high]]).T
    return bool(min(across.min(), down.min()) >= 0 and across.max() <= page[1] and down.max() <= page[0])


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a piece of a caption is likeliest on a page, beside where the form has it, and how ``alike`` it is.

    ``printed`` is where it has ink, ``dark`` the page's darkness there, both (H, W), and ``darkness`` what the ink
    should have in the light around, if print were as dark on the page as on the form; ``shade`` is how much of the
    page's light there is.
    """

    alike: float
    shift: tuple[int, int]
    printed: NDArray[np.bool_]
    dark: Levels
    darkness: float
    shade: float

    @property
    def gain(self) -> float:
        """How dark the ink is on the page, beside the form's."""
        return float(np.median(self.dark[self.printed])) / self.darkness

    def ink(self, gain: float) -> tuple[float, float]:
        """The shares of the piece's ink that the page has where the piece has it, and beside it."""
        inked = self.dark >= max(FAINTEST, 0.5 * gain * self.darkness)
        near = cv2.dilate(self.printed.view(np.uint8), THICK) > 0
        return float(inked[self.printed].mean()), int((inked & ~near).sum()) / int(self.printed.sum())


def _places(caption: Caption, aligned: "Aligned", farther: int = REACH) -> list[_Place]:
    """Where each piece of a caption is likeliest on a page, within ``farther`` pixels from what is around."""
    found = []
    near = aligned.shift_near(caption.middle)
    shift, reach = (near, farther) if near is not None else ((0.0, 0.0), FAR)
    for piece, printed, (left, top) in zip(caption.pieces, caption.ink, caption.corners, strict=True):
        (high, wide), x, y = piece.shape, left + round(shift[0]), top + round(shift[1])
        rows, columns = slice(max(0, y - reach), y + high + reach), slice(max(0, x - reach), x + wide + reach)
        around, dark = aligned.seen[rows, columns], aligned.dark[rows, columns]
        if around.shape[0] >= high and around.shape[1] >= wide and printed.any():
            _, alike, _, (across, down) = cv2.minMaxLoc(cv2.matchTemplate(around, piece, cv2.TM_CCOEFF_NORMED))
            if not alike >= ALIKE:  # the likeliest place of what is not there says nothing
                across = min(max(0, x - columns.start), around.shape[1] - wide)
                down = min(max(0, y - rows.start), around.shape[0] - high)
            # In a shadow, print is less dark beside its paper than it is elsewhere.
            shade = max(min(1.0, float(np.percentile(around, LIGHT)) / max(aligned.light, 1.0)), 0.01)
            window = dark[down : down + high, across : across + wide]
            shifted = columns.start + across - left, rows.start + down - top
            alike = alike if np.isfinite(alike) else 0.0
            found.append(_Place(alike, shifted, printed, window, shade * caption.darkness, shade))
    return found
