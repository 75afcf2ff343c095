"""Find the ink of a page: how strong it is on its paper, and which of it is digit, line or speck.

Grey levels stay uint8 wherever possible. Pages are so small that a call costs more than its pixels, and a reduction in
numpy costs more than one in OpenCV.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels import strokes
from mnist_batch.pixels.opencv import cv2

WORK = 64  # pixels of a page's longer side while ink is searched: a digit half as high as its cell has over 20
LEAST_CONTRAST = 8  # grey levels between paper and ink
FAINT = 80  # weaker ink, in grey levels, may be a shadow
SMALLEST = 24  # pixels; a digit smaller than this at work size is searched again, enlarged

Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]
Box = tuple[int, int, int, int]  # x, y, width, height

_TRIANGLE = 7.0 - np.abs(np.arange(-6, 7))


@dataclass(frozen=True)
class Ink:
    """The ink in one part of a page, at the size at which it was searched. Masks are uint8 of 0 and 1.

    ``page`` is the page's (width, height) and ``part`` the searched box on it. ``work`` has the pixels of that part,
    ``strength`` how many grey levels each pixel lies from the paper towards the ink. ``mask`` is all ink stronger than
    ``threshold``: the ``digit`` with its bounding ``box``, the ``lines`` (None if there are none) and specks.
    """

    page: tuple[int, int]
    part: Box
    work: Grey
    strength: Grey
    dark: bool
    noise: float
    threshold: float
    mask: Grey
    lines: Grey | None
    digit: Grey
    box: Box

    @property
    def scaled(self) -> bool:
        """Whether the part was resized for the search."""
        return self.work.shape != (self.part[3], self.part[2])


def find_ink(page: Grey) -> Ink | None:
    """The ink of a grey page, or None if it has none."""
    size = page.shape[1], page.shape[0]
    ink = _ink_inside_frame(page, 0, 0, size)
    if ink is None or max(ink.box[2:]) >= SMALLEST or ink.work.shape[0] >= ink.part[3]:
        return ink
    x, y, width, height = _surroundings(ink)
    return _ink_inside_frame(page[y : y + height, x : x + width], x, y, size)


def _ink_inside_frame(page: Grey, x: int, y: int, size: tuple[int, int]) -> Ink | None:
    left, top, part = _without_frame(page)
    return _ink_of(_at_work_size(part), (x + left, y + top, part.shape[1], part.shape[0]), size)


def _without_frame(page: Grey, tolerance: int = 6) -> tuple[int, int, Grey]:
    """The page without an even border around paper of another grey, as a cell cut out with its box has; its corner."""
    left = top = 0
    for _ in range(3):
        grey, (height, width) = int(page[0, 0]), page.shape
        if min(height, width) < 12:
            break
        corners = (int(page[0, -1]), int(page[-1, 0]), int(page[-1, -1]))
        if max(corners) - grey > tolerance or grey - min(corners) > tolerance:
            break
        x, y, inner_width, inner_height = cv2.boundingRect(_above(cv2.absdiff(page, grey), tolerance))
        if inner_width == width or inner_height == height:
            break
        if inner_width < max(12, 0.6 * width) or inner_height < max(12, 0.6 * height):
            break  # the inner part is a digit, not a page
        inner = page[y : y + inner_height, x : x + inner_width]
        ring = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
        ring.sort()
        paper = (int(ring[(len(ring) - 1) // 2]) + int(ring[len(ring) // 2])) // 2
        alike = int(ring.searchsorted(paper + 24)) - int(ring.searchsorted(paper - 23))
        if abs(paper - grey) <= tolerance or alike < 0.75 * len(ring):
            break
        page, left, top = inner, left + x, top + y
    return left, top, page


def _at_work_size(page: Grey) -> Grey:
    height, width = page.shape
    longer = max(height, width)
    if 28 <= longer <= WORK:
        return page
    factor = WORK / longer if longer > WORK else 48 / longer
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(page, size, interpolation=how), np.uint8)


def _surroundings(ink: Ink) -> Box:
    """The box on the page around a small digit, with a margin of half its size."""
    (left, top, wide, high), (x, y, width, height) = ink.part, ink.box
    factor = max(wide, high) / max(ink.work.shape)  # the shorter side may have been rounded by half
    margin = max(4, max(width, height) // 2)
    x_from, y_from = (max(0, int((at - margin) * factor)) for at in (x, y))
    x_to = min(wide, int((x + width + margin) * factor) + 1)
    y_to = min(high, int((y + height + margin) * factor) + 1)
    return left + x_from, top + y_from, x_to - x_from, y_to - y_from


def _ink_of(page: Grey, part: Box, size: tuple[int, int]) -> Ink | None:
    noise = _noise(page)
    least = max(LEAST_CONTRAST, 4 * noise)
    strength, dark = _strength(page, noise, least)
    smooth = cv2.blur(strength, (3, 3)) if noise > 0.5 else strength
    strongest = _strongest(smooth)
    if strongest < least:
        return None
    threshold = max(0.3 * strongest, 2.5 * noise)
    mask = _above(strength, threshold)
    lines = strokes.lines_of(mask)
    digit = strokes.digit_of(mask if lines is None else cv2.subtract(mask, lines), strength, 0.55 * strongest)
    if digit is None:
        return None
    box = cv2.boundingRect(digit)
    if page.shape[0] <= part[3] and strongest < FAINT and not _is_sharp(smooth, box):
        return None
    return Ink(size, part, page, strength, dark, noise, threshold, mask, lines, digit, box)


def _strongest(strength: Grey) -> int:
    """The strength of the strongest ink; a few single pixels do not count."""
    count = max(4, strength.size // 250)
    return _ranked(strength, strength.size - count) if count < strength.size else 0


def _is_sharp(strength: Grey, box: Box) -> bool:
    """Whether faint ink has sharp edges, unlike a shadow: it loses most of its strength within 4 pixels."""
    x, y, width, height = box
    seen = strength[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3]
    full = _ranked(seen, int(0.97 * seen.size))
    steps = (cv2.absdiff(part[4:], part[:-4]) for part in (seen, cv2.transpose(seen)) if len(part) > 4)
    return max((_ranked(step, int(0.98 * step.size)) for step in steps), default=0) >= 0.65 * full


def _ranked(values: Grey, rank: int) -> int:
    """The value at a rank; rank 0 is the smallest value."""
    return int(cv2.calcHist([values], [0], None, [256], [0, 256]).cumsum().searchsorted(rank, "right"))


def _above(values: Grey, limit: float) -> Grey:
    mask: Grey = cv2.threshold(values, int(limit), 1, cv2.THRESH_BINARY)[1]
    return mask


def _noise(page: Grey) -> float:
    """The noise in grey levels, from the median difference of neighbouring pixels.

    Uneven light and the few edges of ink hardly change that median.
    """
    if page.shape[1] < 2:
        return 0.0
    steps = cv2.absdiff(page[:, 1:], page[:, :-1])
    if 2 * cv2.countNonZero(steps) < steps.size:
        return 0.0
    return min(1.05 * _ranked(steps, steps.size // 2), 30.0)


def _strength(page: Grey, noise: float, least: float) -> tuple[Grey, bool]:
    """How many grey levels each pixel lies from its paper towards the ink, and whether ink is darker than paper.

    All 0 for a page in uneven light if nothing away from its edges reaches ``least``.
    """
    # Ink is what lies farther from the paper, darker or lighter. Edges are ignored: borders and shadows lie there.
    core = strokes.core(page, 8)
    paper = _paper(page, noise)
    if isinstance(paper, int):
        darker, lighter = (cv2.addWeighted(page, sign, page, 0, -sign * paper) for sign in (-1, 1))
        dark = cv2.norm(darker[core], cv2.NORM_L2SQR) >= cv2.norm(lighter[core], cv2.NORM_L2SQR)
        strength = darker if dark else lighter
        if _is_level(page, dark):
            return strength, dark
        if _strongest(cv2.blur(strength[core], (3, 3))) < least:
            return np.zeros_like(page), dark
        away = page - np.float32(paper)
    else:
        away = page - paper
        middle = away[core]
        dark = float((middle * np.abs(middle)).sum()) <= 0
    return _levelled(-away if dark else away), dark


def _is_level(page: Grey, dark: bool) -> bool:
    small, kernel = _shrunk(page)
    lowest, highest, _, _ = cv2.minMaxLoc(cv2.morphologyEx(small, cv2.MORPH_CLOSE if dark else cv2.MORPH_OPEN, kernel))
    return bool(highest - lowest <= LEAST_CONTRAST)


def _levelled(strength: Levels) -> Grey:
    """The strength after subtracting everything wider than a stroke, which cannot be ink."""
    small, kernel = _shrunk(strength)
    floor = cv2.morphologyEx(small, cv2.MORPH_OPEN, kernel)
    lowest, highest, _, _ = cv2.minMaxLoc(floor)
    if highest - lowest > LEAST_CONTRAST:
        floor = cv2.GaussianBlur(floor, (0, 0), len(kernel) / 3)
        strength = strength - cv2.resize(floor, strength.shape[::-1], interpolation=cv2.INTER_LINEAR)
        middle = (strength.size - 1) // 2, strength.size // 2
        strength -= np.partition(strength, middle, axis=None)[list(middle)].mean()
    above: Grey = cv2.addWeighted(strength, 1, strength, 0, 0, dtype=cv2.CV_8U)
    return above


def _shrunk(page: NDArray[Any]) -> tuple[NDArray[Any], Grey]:
    """The page at a quarter of its size, and a square kernel wider than the gaps between a digit's strokes there."""
    height, width = page.shape
    small = cv2.resize(page, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
    return small, _kernel(max(3, (min(small.shape) * 7 // 10) | 1))


@cache
def _kernel(side: int) -> Grey:
    return np.ones((side, side), np.uint8)


def _paper(page: Grey, noise: float) -> int | Levels:
    """The grey level of the paper: one value, or one per pixel if the light is uneven."""
    height, width = page.shape
    histogram = cv2.calcHist([page], [0], None, [256], [0, 256])
    reach = int(max(12, 2.5 * noise))

    def share(grey: int) -> float:
        return float(cv2.sumElems(histogram[max(0, grey - reach) : grey + reach + 1])[0]) / page.size

    paper = int(np.convolve(histogram, _TRIANGLE, "same").argmax())
    if (of_paper := share(paper)) >= 0.72:
        return paper
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
