"""Normalise a grey page of any size and polarity as MNIST was made: the ink fitted into 20x20 and centred in 28x28.

``ink.find_ink`` finds the ink and ``fit`` makes a picture of it. The box of 20 pixels, the kept aspect ratio and the
centre of mass are MNIST's own rules (LeCun et al., "Gradient-based learning applied to document recognition", 1998).
An MNIST digit comes out almost unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnist_batch.pixels.ink import Box, Grey, Ink, find_ink, readings_of_each
from mnist_batch.pixels.opencv import cv2

VERSION = 2  # of everything done to a page before the model sees it; part of a run's fingerprint
SIDE = 28
BOX = 20
PALEST = 77  # of 255; strokes that averaging made weaker than this are not restored to full ink

_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Normalised:
    """A page as the model sees it, and how it was made. Only ``picture`` is set for a blank page, and is empty.

    ``picture`` is uint8 (28, 28), ink = 255. ``polarity`` is dark_on_light or light_on_dark; ``threshold`` is how many
    grey levels from the paper count as ink. ``box`` is the ink's (x, y, width, height) on the original page, ``scale``
    the pixels of the picture per pixel of the page. ``shift`` is how many pixels (across, down) centring by mass moved
    the digit from where evenly spread ink would lie. ``touching_border``: the digit, not a line, touches an edge.
    ``stray``: the digit touches an edge and lies in the outer third of the page there, like a stroke of a neighbouring
    cell.
    """

    picture: Grey
    polarity: str | None = None
    threshold: float | None = None
    box: Box | None = None
    scale: float | None = None
    shift: tuple[int, int] | None = None
    touching_border: bool | None = None
    stray: bool = False


def normalise(page: Grey) -> Grey:
    """The digit on a grey page as uint8 (28, 28), ink = 255; all 0 if the page has no ink."""
    return examine(page).picture


def examine(page: Grey) -> Normalised:
    """Normalise a grey page, and report where its ink is and how it was changed."""
    return fit(find_ink(page))


def examine_all(page: Grey) -> list[Normalised]:
    """Every reading of a grey page, normalised, the likeliest first; at least one."""
    return examine_each([page])[0]


def examine_each(pages: Sequence[Grey]) -> list[list[Normalised]]:
    """Every reading of each page, as ``examine_all`` has them, in less time than page by page.

    On small pages a call takes longer than its pixels, and longest where the processor's cache has lost its code: each
    stage is done for all pages before the next.
    """
    return [[fit(ink) for ink in found] or [fit(None)] for found in readings_of_each(pages)]


def fit(ink: Ink | None) -> Normalised:
    """The digit of a page as the model sees it, from the page's ink."""
    picture = np.zeros((SIDE, SIDE), np.uint8)
    if ink is None:
        return Normalised(picture)
    soft, (left, top, width, height) = _soft_ink(ink)
    fitted = _fitted(soft)
    shift = _centre(fitted, picture)
    (part_x, part_y, part_width, part_height), (high, wide) = ink.part, ink.work.shape
    across, down = part_width / wide, part_height / high
    x, y = int(left * across), int(top * down)
    box = part_x + x, part_y + y, _up((left + width) * across) - x, _up((top + height) * down) - y
    scale = BOX / max(width * across, height * down)
    dx, dy, w, h = ink.box
    touching = dx == 0 or dy == 0 or dx + w == wide or dy + h == high
    polarity = "dark_on_light" if ink.dark else "light_on_dark"
    return Normalised(picture, polarity, ink.threshold, box, scale, shift, touching, touching and _is_stray(ink))


def _is_stray(ink: Ink) -> bool:
    """Whether the digit touches an edge of the searched part and lies in the outer third of the page at that edge."""
    part, work, size = ink.part, ink.work.shape[::-1], ink.page
    for axis in (0, 1):
        first, last = ink.box[axis], ink.box[axis] + ink.box[axis + 2]
        scale = part[axis + 2] / work[axis]
        start, end = part[axis] + first * scale, part[axis] + last * scale
        if (first == 0 and 3 * end <= size[axis]) or (last == work[axis] and 3 * (size[axis] - start) <= size[axis]):
            return True
    return False


def _up(value: float) -> int:
    return -int(-(value - 1e-6) // 1)


def _soft_ink(ink: Ink) -> tuple[Grey, Box]:
    """The digit's ink as in MNIST, 255 in the middle of a stroke and grey at its edges, and its box; all else is 0."""
    x, y, width, height = ink.box
    reach = max(1, round(max(width, height) / 25))
    left, top = max(0, x - reach - 1), max(0, y - reach - 1)
    around = slice(top, y + height + reach + 1), slice(left, x + width + reach + 1)
    digit, strength = ink.digit[around], ink.strength[around]
    near = cv2.dilate(digit, _NEIGHBOURS, iterations=reach)
    if ink.digit is not ink.mask:
        others = cv2.subtract(ink.mask[around], digit)
        if ink.lines is not None:
            others = cv2.bitwise_or(others, ink.lines[around])
        near = cv2.bitwise_or(cv2.subtract(near, cv2.dilate(others, _NEIGHBOURS)), digit)
    pixels = strength[digit.view(np.bool_)]
    full = _largest(pixels, pixels.size - int(0.85 * (pixels.size - 1)))
    none = min(1.5 * ink.noise, 0.35 * full)
    gain = 255 / max(full - none, 1.0)
    soft = cv2.multiply(cv2.addWeighted(strength, gain, strength, 0, -gain * none), near)
    clean = ink.noise < 0.5 and not ink.scaled
    seen = soft if clean else cv2.threshold(soft, 30, 1, cv2.THRESH_BINARY)[1]
    x, y, width, height = cv2.boundingRect(seen)
    return soft[y : y + height, x : x + width], (left + x, top + y, width, height)


def _largest(values: Grey, count: int) -> int:
    """The smallest of the ``count`` largest values."""
    sorted_there = values.flatten()
    sorted_there.partition(-count)
    return int(sorted_there[-count])


def _fitted(ink: Grey) -> Grey:
    height, width = ink.shape
    factor = BOX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size == (width, height):
        return ink
    fitted: Grey = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    full = _largest(fitted, max(1, fitted.size // 20))  # averaging makes thin strokes pale
    return fitted if full == 255 else np.asarray(cv2.convertScaleAbs(fitted, alpha=255 / max(full, PALEST)), np.uint8)


def _centre(ink: Grey, picture: Grey) -> tuple[int, int]:
    """Place ink on an empty picture, centred by mass; returns its shift from where evenly spread ink would lie."""
    (height, width), moments = ink.shape, cv2.moments(ink)
    mass = max(moments["m00"], 1e-6)
    left = min(max(int(SIDE / 2 - moments["m10"] / mass + 0.501), 0), SIDE - width)
    top = min(max(int(SIDE / 2 - moments["m01"] / mass + 0.501), 0), SIDE - height)
    picture[top : top + height, left : left + width] = ink
    return left - (SIDE - width) // 2 - 1, top - (SIDE - height) // 2 - 1
