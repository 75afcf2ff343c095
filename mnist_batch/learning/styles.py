"""Styles of writing that are rare in MNIST: the slashed 0, the hooked or serifed 1, the crossed 7, the tailed 9."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

# The share of each digit that is rewritten. A hooked 1 is close to a plain 7: with a quarter of the 1s hooked, and
# flatter hooks, seven of the held-out 7s were read as a 1; with these shares, two.
SHARES = {0: 0.1, 1: 0.2, 7: 0.25, 9: 0.25}

Grey = NDArray[np.uint8]
Random = np.random.Generator
FRACTION = 4  # bits for fractions of a pixel in the points that OpenCV draws


def restyled(picture: Grey, label: int, random: Random) -> Grey:
    """A digit, uint8 (28, 28) with ink = 255: the same object, or a copy in another style of its class."""
    if label not in STYLES or random.random() > SHARES[label]:
        return picture
    return STYLES[label](picture.copy(), random)


def _zero(picture: Grey, random: Random) -> Grey:
    """Add a slash from lower left to upper right, within the loop or beyond it."""
    x, y, width, height = cv2.boundingRect(cv2.threshold(picture, 64, 255, cv2.THRESH_BINARY)[1])
    middle = np.array([x + width / 2 - 0.5, y + height / 2 - 0.5])
    reach = np.array([max(width, height * 0.5), -height]) * random.uniform(0.3, 0.62) + random.normal(0, 0.8, 2)
    reach[0] *= -1 if random.random() < 0.12 else 1
    _stroke(picture, [middle - reach, middle + reach], random)
    return picture


def _one(picture: Grey, random: Random) -> Grey:
    """Add a flag from its top to the lower left, a foot, or both; at times with a broad pen."""
    rows = np.flatnonzero((picture > 128).any(axis=1))
    if len(rows) < 14:
        return picture
    kind = random.random()
    top, bottom = _middle(picture, rows[1]), _middle(picture, rows[-2])
    if kind < 0.85:
        reach, angle = random.uniform(3.5, 8), np.radians(random.uniform(26, 60))
        # Where the 1 leans, its flag leans with it.
        lean = np.arctan2(top[0] - bottom[0], rows[-2] - rows[1]) * 0.5
        end = top[0] - reach * np.cos(angle - lean), top[1] + reach * np.sin(angle - lean)
        _stroke(picture, [top, end], random)
    if kind > 0.7:
        left, right = random.uniform(3, 7, 2)
        _stroke(picture, [(bottom[0] - left, bottom[1]), (bottom[0] + right, bottom[1])], random)
    if random.random() < 0.3:
        picture = np.asarray(cv2.dilate(picture, np.ones((2, random.integers(3, 9)), np.uint8)), np.uint8)
    return picture


def _seven(picture: Grey, random: Random) -> Grey:
    """Add a bar through its stem."""
    rows = np.flatnonzero((picture > 128).any(axis=1))
    if len(rows) < 12:
        return picture
    across, down = _middle(picture, rows[int(len(rows) * random.uniform(0.45, 0.62))])
    left, right, rise = random.uniform(3, 6), random.uniform(3, 6), random.uniform(-1, 1.5)
    _stroke(picture, [(across - left, down + rise), (across + right, down - rise)], random)
    return picture


def _nine(picture: Grey, random: Random) -> Grey:
    """Add a tail that curls to the left, as far as the hook of a g."""
    rows = np.flatnonzero((picture > 128).any(axis=1))
    if len(rows) < 14:
        return picture
    start, end = _middle(picture, rows[-3]), _middle(picture, rows[-1])
    reach, rise = random.uniform(4, 11), random.uniform(-1, 4)
    corner, tip = (end[0], end[1] + 1.5), (end[0] - reach, end[1] + 1.5 - rise)
    at = np.linspace(0, 1, 9)[:, None]
    curve = (1 - at) ** 2 * np.array(start) + 2 * at * (1 - at) * np.array(corner) + at**2 * np.array(tip)
    _stroke(picture, curve, random)
    return picture


STYLES = {0: _zero, 1: _one, 7: _seven, 9: _nine}


def _middle(picture: Grey, row: int) -> tuple[float, float]:
    """The middle of the rightmost ink in a row, as its column and row."""
    ink = np.flatnonzero(picture[row] > 128)
    last = ink[np.flatnonzero(np.diff(ink, prepend=-9) > 1)[-1] :] if len(ink) else np.array([14])
    return float(last.mean()), float(row)


def _stroke(picture: Grey, points: object, random: Random) -> None:
    """Draw along the points, in place, about as thick as the digit is written."""
    thick = 2 * picture.sum(dtype=np.int64) / 255 / max(1, cv2.countNonZero(cv2.Canny(picture, 100, 200)))
    thickness = int(np.clip(round(thick * random.uniform(0.6, 1.0)), 1, 5))
    fine = np.round(np.asarray(points) * 2**FRACTION).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [fine], False, 255, thickness, cv2.LINE_AA, FRACTION)
