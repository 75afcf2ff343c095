"""Find by how much a page lies skewed, from its printed lines, and straighten it."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

MOST_DEGREES = 3.0
LEAST_DEGREES = 0.04  # less is a pixel over the width of a page
_WIDTH = 800  # of the picture on which the skew is looked for


def skew_of(page: Grey) -> float:
    """By how many degrees clockwise the lines of a page, uint8 (H, W), lie skewed, -3 to 3; 0 if none are found."""
    factor = min(1.0, _WIDTH / min(page.shape))
    small = cv2.resize(page, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    # What is darker than its surroundings counts: no shadow, no border of a scanner.
    ink = cv2.morphologyEx(small, cv2.MORPH_BLACKHAT, np.ones((7, 7), np.uint8))
    best = 0.0
    for reach, step in ((MOST_DEGREES, 0.25), (0.25, 0.05), (0.05, 0.01)):
        angles = best + np.arange(-reach, reach + step / 2, step)
        scores = [_sharpness(_turned(ink, -angle, 0)) for angle in angles]
        # A page without lines is equally sharp everywhere; the angle nearest to the last one wins then.
        first = int(np.argmin(np.abs(angles - best)))
        at = int(np.argmax(scores))
        if scores[at] > 1.002 * scores[first]:
            best = float(angles[at])
    return round(best, 2) if LEAST_DEGREES <= abs(best) <= MOST_DEGREES else 0.0


def straightened(page: Grey, degrees: float) -> Grey:
    """The page turned back around its middle by its skew; what comes in at the edges has the grey of the paper."""
    if not degrees:
        return page
    return _turned(page, -degrees, int(np.percentile(page[::8, ::8], 80)))


def _turned(page: Grey, degrees: float, fill: int) -> Grey:
    height, width = page.shape
    # OpenCV's angle is counter-clockwise.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    turned: Grey = cv2.warpAffine(page, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
    return turned


def _sharpness(ink: Grey) -> float:
    """How suddenly the ink of a row differs from that of the next: lines that lie along rows are sharpest."""
    rows = ink[:, ink.shape[1] // 16 : -(ink.shape[1] // 16) or None].sum(axis=1, dtype=np.float64)
    return float(np.square(np.diff(rows)).sum())
