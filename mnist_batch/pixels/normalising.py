"""A grey page of any size and polarity as MNIST was made: ink found on paper, fitted into 20x20, centred in 28x28.

``ink.look`` finds the ink, ``fit`` makes the picture of it. MNIST's own rules (LeCun et al., "Gradient-based learning
applied to document recognition", 1998) are the box of 20 pixels, the kept aspect ratio and the centre of mass; an
MNIST digit comes out nearly as it went in.
"""

from dataclasses import dataclass

import numpy as np

from mnist_batch.pixels.ink import Box, Grey, Look, look
from mnist_batch.pixels.opencv import cv2

VERSION = 1  # of all that happens to a page before the model sees it: part of what identifies a run
SIDE = 28
BOX = 20
PALEST = 77  # of 255: a stroke that is averaged to less is not made darker for it

_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Normalised:
    """A page as the model sees it, and what was done to get there; a blank page has its empty picture only.

    ``picture`` is uint8 (28, 28), ink = 255. ``polarity`` is dark_on_light or light_on_dark, ``threshold`` the grey
    levels between paper and what counts as ink. ``box`` is the ink's (x, y, width, height) on the page as it was
    given, ``scale`` pixels of the picture per pixel of the page, ``shift`` the whole pixels (across, down) that
    centring by mass moved the digit from where even ink would lie. ``touching_border``: the digit, not
    a line, meets an edge. ``stray``: it meets an edge and lies in the outer third of the page there, as a stroke
    of a neighbouring cell does.
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
    """The digit of a grey page as uint8 (28, 28), ink = 255; all 0 where there is no ink."""
    return examine(page).picture


def examine(page: Grey) -> Normalised:
    """Normalise a grey page, and say where its ink is and what was done to it."""
    return fit(look(page))


def fit(found: Look | None) -> Normalised:
    """The digit of a look at a page, as the model sees it."""
    picture = np.zeros((SIDE, SIDE), np.uint8)
    if found is None:
        return Normalised(picture)
    ink, (left, top, width, height) = _soft_ink(found)
    fitted = _fitted(ink)
    shift = _centre(fitted, picture)
    (part_x, part_y, part_width, part_height), (high, wide) = found.part, found.work.shape
    across, down = part_width / wide, part_height / high
    x, y = int(left * across), int(top * down)
    box = part_x + x, part_y + y, _up((left + width) * across) - x, _up((top + height) * down) - y
    scale = BOX / max(width * across, height * down)
    dx, dy, w, h = found.box
    touching = dx == 0 or dy == 0 or dx + w == wide or dy + h == high
    polarity = "dark_on_light" if found.dark else "light_on_dark"
    return Normalised(picture, polarity, found.threshold, box, scale, shift, touching, _is_stray(found))


def _is_stray(found: Look) -> bool:
    """Whether the digit meets an edge of what was looked at and lies in the outer third of the page at that edge."""
    part, work, size = found.part, found.work.shape[::-1], found.page
    for axis in (0, 1):
        first, last = found.box[axis], found.box[axis] + found.box[axis + 2]
        scale = part[axis + 2] / work[axis]
        start, end = part[axis] + first * scale, part[axis] + last * scale
        if (first == 0 and 3 * end <= size[axis]) or (last == work[axis] and 3 * (size[axis] - start) <= size[axis]):
            return True
    return False


def _up(value: float) -> int:
    return -int(-(value - 1e-6) // 1)


def _soft_ink(found: Look) -> tuple[Grey, Box]:
    """Ink as MNIST has it, and its box: 255 in the middle of a stroke, grey at its edges, 0 on all but the digit."""
    x, y, width, height = found.box
    reach = max(1, round(max(width, height) / 25))
    left, top = max(0, x - reach - 1), max(0, y - reach - 1)
    around = slice(top, y + height + reach + 1), slice(left, x + width + reach + 1)
    digit, strength = found.digit[around], found.strength[around]
    near = cv2.dilate(digit, _NEIGHBOURS, iterations=reach)
    if found.digit is not found.mask:
        others = cv2.subtract(found.mask[around], digit)
        if found.lines is not None:
            others = cv2.bitwise_or(others, found.lines[around])
        near = cv2.bitwise_or(cv2.subtract(near, cv2.dilate(others, _NEIGHBOURS)), digit)
    pixels = strength[digit.view(np.bool_)]
    full = _largest(pixels, pixels.size - int(0.85 * (pixels.size - 1)))
    none = min(1.5 * found.noise, 0.35 * full)
    gain = 255 / max(full - none, 1.0)
    ink = cv2.multiply(cv2.addWeighted(strength, gain, strength, 0, -gain * none), near)
    clean = found.noise < 0.5 and not found.scaled
    _, seen = cv2.threshold(ink, 0 if clean else 30, 1, cv2.THRESH_BINARY)
    x, y, width, height = cv2.boundingRect(seen)
    return ink[y : y + height, x : x + width], (left + x, top + y, width, height)


def _largest(values: Grey, count: int) -> int:
    """The smallest of the ``count`` largest values."""
    return int(np.partition(values, -count, axis=None)[-count])


def _fitted(ink: Grey) -> Grey:
    height, width = ink.shape
    factor = BOX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size == (width, height):
        return ink
    fitted: Grey = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    full = _largest(fitted, max(1, fitted.size // 20))  # a thin stroke is averaged to a pale one
    return fitted if full == 255 else np.asarray(cv2.convertScaleAbs(fitted, alpha=255 / max(full, PALEST)), np.uint8)


def _centre(ink: Grey, picture: Grey) -> tuple[int, int]:
    """Place ink on an empty picture with its mass in the middle; returns how far from where even ink would lie."""
    (height, width), moments = ink.shape, cv2.moments(ink)
    mass = max(moments["m00"], 1e-6)
    left = min(max(int(SIDE / 2 - moments["m10"] / mass + 0.501), 0), SIDE - width)
    top = min(max(int(SIDE / 2 - moments["m01"] / mass + 0.501), 0), SIDE - height)
    picture[top : top + height, left : left + width] = ink
    return left - (SIDE - width) // 2 - 1, top - (SIDE - height) // 2 - 1
