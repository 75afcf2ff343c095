"""Find the paper of a page, in even or uneven light or of two greys, and how strong the ink on it is."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels import strokes
from mnist_batch.pixels.opencv import cv2

LEAST_CONTRAST = 8  # grey levels between paper and ink
MOST_NOISE = 30  # grey levels; more is no noise
# A second paper: at least this share of the page, and as many grey levels from the first. Closing with a square of this
# share of a page's side leaves paper only; the ink is then looked for with a square that is still wider than strokes.
SECOND, STEP = 0.12, 25
PAPER, STROKE = 0.45, 0.25


Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]

_TRIANGLE = 7 - np.abs(np.arange(-6, 7, dtype=np.float32))[None]


def strongest_of(strength: Grey) -> int:
    """The strength of the strongest ink; a few single pixels do not count."""
    count = max(4, strength.size // 250)
    return ranked(strength, strength.size - count) if count < strength.size else 0


def ranked(values: Grey, rank: int, most: int = 256) -> int:
    """The value at a rank, at most ``most``; rank 0 is the smallest value."""
    return int(_histogram(values, most).cumsum().searchsorted(rank, "right"))


def _histogram(values: Grey, levels: int = 256) -> Levels:
    """How many pixels have each value below ``levels``, float32 (levels,)."""
    counts: Levels = cv2.calcHist([values], [0], None, [levels], [0, levels])
    return counts


def noise_of(page: Grey) -> float:
    """The noise in grey levels, from the median difference of neighbouring pixels.

    Uneven light and the few edges of ink hardly change that median.
    """
    if page.shape[1] < 2:
        return 0.0
    steps = cv2.absdiff(page[:, 1:], page[:, :-1])
    if 2 * cv2.countNonZero(steps) < steps.size:
        return 0.0
    return min(1.05 * ranked(steps, steps.size // 2, MOST_NOISE), float(MOST_NOISE))


def strength_of(page: Grey, noise: float, least: float) -> tuple[Grey, bool]:
    """How many grey levels each pixel lies from its paper towards the ink, and whether ink is darker than paper.

    All 0 for a page in uneven light if nothing away from its edges reaches ``least``.
    """
    # Ink is what lies farther from the paper, darker or lighter. Edges are ignored: borders and shadows lie there.
    core = strokes.core(page, 8)
    paper = _paper(page, noise)
    if paper is None:
        dark = bool(_ink_on_two_papers(page))
        return _above_local_paper(page, dark), dark
    if isinstance(paper, int):
        darker, lighter = (cv2.addWeighted(page, sign, page, 0, -sign * paper) for sign in (-1, 1))
        dark = cv2.norm(darker[core], cv2.NORM_L2SQR) >= cv2.norm(lighter[core], cv2.NORM_L2SQR)
        strength = darker if dark else lighter
        if _is_level(page, dark):
            return strength, dark
        if strongest_of(cv2.blur(strength[core], (3, 3))) < least:
            return np.zeros_like(page), dark
        away = page - np.float32(paper)
    else:
        away = page - paper
        middle = away[core]
        dark = float((middle * np.abs(middle)).sum()) <= 0
    return _levelled(-away if dark else away), dark


def _ink_on_two_papers(page: Grey) -> bool | None:
    """Whether the ink is darker than both papers of a page: at a hard shadow, a marker or correction fluid.

    None for a page that has one paper, and for one whose second paper may be ink: a thick digit, cut out tightly.
    """
    small, _ = _shrunk(page)
    kernel = _kernel(max(3, (int(min(small.shape) * PAPER)) | 1))
    for dark in (True, False):
        of, how = (page, small) if dark else (255 - page, 255 - small)
        paper = cv2.morphologyEx(how, cv2.MORPH_CLOSE, kernel)
        steps = cv2.absdiff(paper[1:], paper[:-1]), cv2.absdiff(paper[:, 1:], paper[:, :-1])
        if all(cv2.minMaxLoc(step)[1] <= STEP for step in steps):
            return None
        ink, (second, first, _, _) = ranked(of, of.size // 100), cv2.minMaxLoc(paper)
        near = np.count_nonzero(cv2.inRange(of, int(second) - 12, int(second) + 12))
        if second - ink >= 0.25 * (first - ink) and near >= SECOND * of.size:
            return dark
    return None


def _above_local_paper(page: Grey, dark: bool) -> Grey:
    """The strength above the paper right beside each stroke."""
    kernel = _kernel(max(5, int(min(page.shape) * STROKE) | 1))
    strength: Grey = cv2.morphologyEx(page, cv2.MORPH_BLACKHAT if dark else cv2.MORPH_TOPHAT, kernel)
    return strength


def _is_level(page: Grey, dark: bool) -> bool:
    # Closing leaves paper only, or opening where ink is light; the first half of either has its range already.
    small, kernel = _shrunk(page)
    lowest, highest, _, _ = cv2.minMaxLoc(cv2.dilate(small, kernel) if dark else cv2.erode(small, kernel))
    return bool(highest - lowest <= LEAST_CONTRAST)


def _levelled(strength: Levels) -> Grey:
    """The strength after subtracting everything wider than a stroke, which cannot be ink."""
    small, kernel = _shrunk(strength)
    floor = cv2.morphologyEx(small, cv2.MORPH_OPEN, kernel)
    lowest, highest, _, _ = cv2.minMaxLoc(floor)
    if highest - lowest > LEAST_CONTRAST:
        floor = cv2.GaussianBlur(floor, (0, 0), len(kernel) / 3)
        strength = strength - cv2.resize(floor, strength.shape[::-1], interpolation=cv2.INTER_LINEAR)
        strength -= _median(strength)
    above: Grey = cv2.addWeighted(strength, 1, strength, 0, 0, dtype=cv2.CV_8U)
    return above


def _median(values: Levels) -> np.float32:
    ranks = values.flatten()
    middle = len(ranks) // 2
    ranks.partition(middle)  # for one rank this is much quicker than for two
    upper: np.float32 = ranks[middle]
    return upper if len(ranks) % 2 else (ranks[:middle].max() + upper) / 2


def _shrunk(page: NDArray[Any]) -> tuple[NDArray[Any], Grey]:
    """The page at a quarter of its size, and a square kernel wider than the gaps between a digit's strokes there."""
    height, width = page.shape
    small = cv2.resize(page, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
    return small, _kernel(max(3, (min(small.shape) * 7 // 10) | 1))


@cache
def _kernel(side: int) -> Grey:
    return np.ones((side, side), np.uint8)


def _paper(page: Grey, noise: float) -> int | Levels | None:
    """The grey level of the paper: one value, or one per pixel if the light is uneven; None if there are two papers."""
    height, width = page.shape
    histogram = _histogram(page)
    reach = int(max(12, 2.5 * noise))

    def share(grey: int) -> float:
        return float(cv2.sumElems(histogram[max(0, grey - reach) : grey + reach + 1])[0]) / page.size

    paper = int(cv2.filter2D(histogram[None], -1, _TRIANGLE, borderType=cv2.BORDER_CONSTANT).argmax())
    if (of_paper := share(paper)) >= 0.72:
        return paper
    if _ink_on_two_papers(page) is not None:
        return None
    if min(height, width) >= 16 and (light := _uneven_light(page)) is not None:
        return light
    corners = sorted(page[:: max(1, height - 1), :: max(1, width - 1)].ravel().tolist())
    corner = (corners[(len(corners) - 1) // 2] + corners[len(corners) // 2]) // 2
    if of_paper < 0.5 and abs(corner - paper) > 60 and share(corner) > 0.25:
        return int(corner)  # a thick digit that is cut out tightly covers most of its page
    return paper


def _uneven_light(page: Grey) -> Levels | None:
    # The median over an area wider than strokes. Edges, where borders lie, are left out.
    seen = cv2.resize(page, (16, 16), interpolation=cv2.INTER_AREA)[2:-2, 2:-2]
    local = cv2.medianBlur(cv2.copyMakeBorder(seen, 6, 6, 6, 6, cv2.BORDER_REFLECT_101), 9)[4:-4, 4:-4]
    darkest, lightest, _, _ = cv2.minMaxLoc(local)
    if lightest - darkest <= 16:
        return None
    steps = cv2.absdiff(local[1:], local[:-1]), cv2.absdiff(local[:, 1:], local[:, :-1])
    if any(cv2.minMaxLoc(step)[1] > 30 for step in steps):
        return None
    smooth = cv2.GaussianBlur(local.astype(np.float32), (0, 0), 1.0)
    light: Levels = cv2.resize(smooth, page.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return light
