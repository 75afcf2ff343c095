"""Patches of print, looked for near where a map has them, make the map exact and say whether it is true."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.geometry import Grey, Matrix, mapped
from mnist_batch.pixels.opencv import cv2

SIDE = 36  # pixels of a patch: 9 mm
ACROSS, DOWN = 9, 13  # the page is divided into so many parts, each with at most one patch
LEAST_CORNER = 120.0  # what a patch has at least of edges in both directions, squared grey levels per pixel
MOST_HIDDEN, CLEAR = 0.3, 0.06  # of a patch, that lie in cells: what is written there makes it unlike
APART = 24  # pixels between the middles of patches, across or down
CHOICE = 2  # places in each part of the page, of which the more telling is taken
AROUND, REPEATED = 48, 0.75  # a patch tells nothing if within so many pixels another place is so like it
ALIKE = 0.5  # the correlation from which a patch is found


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch of a reference's picture, and its middle there.

    It is ``telling`` if hardly any of it is in cells, and nothing around is like it: print that is found again says
    that the page is of this form and lies there.
    """

    picture: Grey
    middle: tuple[float, float]
    telling: bool


@dataclass(frozen=True, eq=False)
class Found:
    """Where patches lie beside where they should, float64 (n, 2) each, and how alike the pictures are, up to 1."""

    middles: NDArray[np.float64]
    shifts: NDArray[np.float64]
    alike: NDArray[np.float64]
    telling: NDArray[np.bool_]

    @property
    def places(self) -> NDArray[np.float64]:
        """The middles of the patches where they were found."""
        return self.middles + self.shifts

    def laid(self, matrix: Matrix) -> "Found":
        """The same patches beside another map: where they lie is mapped by ``matrix``."""
        return replace(self, shifts=mapped(matrix, self.places) - self.middles)

    def only(self, kept: NDArray[np.bool_]) -> "Found":
        """Those of the patches that are kept."""
        return Found(self.middles[kept], self.shifts[kept], self.alike[kept], self.telling[kept])


def of(picture: Grey, written: Grey) -> tuple[Patch, ...]:
    """The patches of a reference: in each part of the page the one with the most edges in both directions.

    ``written`` is set where cells are; a patch may hold little of them.
    """
    height, width = picture.shape
    half = SIDE // 2
    if min(height, width) < 3 * SIDE:
        return ()
    corner = _cornerness(picture)
    hidden = cv2.blur(written.astype(np.float32) / 255, (SIDE, SIDE))
    corner *= np.clip(1 - hidden / MOST_HIDDEN, 0, 1)
    patches = []
    rows, columns = (
        np.linspace(half, end - half, parts + 1).astype(int) for end, parts in ((height, DOWN), (width, ACROSS))
    )
    for top, foot in pairwise(rows):
        for left, right in pairwise(columns):
            places = _cornered(corner[top:foot, left:right].copy(), left, top)
            if places:
                repeats = [_repeated(picture, x, y) for x, y in places]
                (x, y), repeated = min(zip(places, repeats, strict=True), key=lambda each: each[1])
                piece = picture[y - half : y + half, x - half : x + half]
                telling = bool(hidden[y, x] < CLEAR) and repeated < REPEATED
                patches.append(Patch(np.ascontiguousarray(piece), (float(x), float(y)), telling))
                corner[max(0, y - APART) : y + APART, max(0, x - APART) : x + APART] = 0
    return tuple(patches)


def _cornered(corner: NDArray[np.float32], left: int, top: int) -> list[tuple[int, int]]:
    """The places in a part of the page with the most edges in both directions, apart from each other."""
    places = []
    for _ in range(CHOICE):
        _, most, _, (x, y) = cv2.minMaxLoc(corner)
        if most < LEAST_CORNER:
            break
        places.append((x + left, y + top))
        corner[max(0, y - SIDE // 2) : y + SIDE // 2, max(0, x - SIDE // 2) : x + SIDE // 2] = 0
    return places


def _repeated(picture: Grey, x: int, y: int) -> float:
    """How alike the likest place around is to a patch: the corner of one cell is like that of the next."""
    half = SIDE // 2
    left, top = max(0, x - half - AROUND), max(0, y - half - AROUND)
    around = picture[top : y + half + AROUND, left : x + half + AROUND]
    score = cv2.matchTemplate(around, picture[y - half : y + half, x - half : x + half], cv2.TM_CCOEFF_NORMED)
    own_x, own_y = x - half - left, y - half - top
    score[max(0, own_y - 6) : own_y + 7, max(0, own_x - 6) : own_x + 7] = -1
    return float(score.max())


def find(patches: Sequence[Patch], page: Grey, reach: int, seen: NDArray[np.bool_]) -> Found:
    """Look for patches on a page that was mapped onto the reference, up to ``reach`` pixels from where they should be.

    ``seen`` says which patches lie on the page at all; the others are left out.
    """
    middles, shifts, alike, telling = [], [], [], []
    height, width = page.shape
    half = SIDE // 2
    for patch, is_seen in zip(patches, seen, strict=True):
        x, y = (int(value) for value in patch.middle)
        left, top = max(0, x - half - reach), max(0, y - half - reach)
        right, foot = min(width, x + half + reach), min(height, y + half + reach)
        if not is_seen or right - left < SIDE or foot - top < SIDE:
            continue
        score = cv2.matchTemplate(page[top:foot, left:right], patch.picture, cv2.TM_CCOEFF_NORMED)
        _, most, _, (across, down) = cv2.minMaxLoc(score)
        dx, dy = _between(score, across, down)
        middles.append(patch.middle)
        shifts.append((left + across + dx - (x - half), top + down + dy - (y - half)))
        alike.append(most if np.isfinite(most) else 0.0)
        telling.append(patch.telling)
    return Found(
        np.array(middles, np.float64).reshape(-1, 2),
        np.array(shifts, np.float64).reshape(-1, 2),
        np.array(alike, np.float64),
        np.array(telling, bool),
    )


def on_page(patches: Sequence[Patch], matrix: Matrix, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which patches lie wholly on the page that ``matrix`` maps the reference to."""
    if not patches:
        return np.zeros(0, bool)
    half = SIDE / 2
    inside = np.ones(len(patches), bool)
    middles = np.array([patch.middle for patch in patches])
    for corner in ((-half, -half), (half, -half), (half, half), (-half, half)):
        x, y = mapped(matrix, middles + corner).T
        inside &= (x >= 0) & (y >= 0) & (x <= shape[1]) & (y <= shape[0])
    return inside


def _between(score: NDArray[np.float32], across: int, down: int) -> tuple[float, float]:
    """Where the peak of a score lies between its pixels, by a parabola in each direction."""
    row, column = score[down], score[:, across]
    return parabola(row, across), parabola(column, down)


def parabola(values: NDArray[np.float32], peak: int) -> float:
    """By how much the top of a parabola through a peak and its neighbours lies beside it."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, at, after = (float(value) for value in values[peak - 1 : peak + 2])
    bend = before - 2 * at + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < 0 else 0.0


def _cornerness(picture: Grey) -> NDArray[np.float32]:
    """How much of edges in both directions a patch around each pixel has: the smaller eigenvalue of its edges."""
    across, down = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=0.25), cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=0.25)
    xx, yy, xy = (
        cv2.blur(one * other, (SIDE, SIDE)) for one, other in ((across, across), (down, down), (across, down))
    )
    smaller: NDArray[np.float32] = 0.5 * (xx + yy - np.sqrt((xx - yy) ** 2 + 4 * xy * xy))
    return smaller
