"""A connected piece of ink by itself: its mask, and how thick its strokes are."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Numbers = NDArray[np.int64]


def mask(x: Numbers, y: Numbers) -> NDArray[np.uint8]:
    """The pixels of a piece as 1 on a page of 0 that has a rim of one pixel around them: uint8 (H, W)."""
    page = np.zeros((int(np.ptp(y)) + 3, int(np.ptp(x)) + 3), np.uint8)
    page[y - (y.min() - 1), x - (x.min() - 1)] = 1
    return page


def thickness(mask: NDArray[np.uint8]) -> float:
    """How thick the strokes of a mask are, in pixels: four times the mean distance of their pixels from the paper."""
    return 4 * float(cv2.distanceTransform(mask, cv2.DIST_L2, 3)[mask > 0].mean())
