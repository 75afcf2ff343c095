"""Small pages of one size as one array, uint8 (N, H, W): what is done to all of them is one call.

On pages this small a call takes longer than its pixels. A stack of one page is as good as any other.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
Counts = NDArray[np.int32]
Numbers = NDArray[np.int64]

MOST = 64  # pages that are looked at together: more leave the processor's cache between two stages
_PIXELS = 70 * 64  # of a page at most

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def histograms(pages: Grey, masks: Grey | None = None) -> Counts:
    """How many pixels of each page have each grey level, int32 (N, 256): all, or those where its mask is not 0."""
    count, pixels = len(pages), pages[0].size
    if count > MOST:
        parts = [slice(at, at + MOST) for at in range(0, count, MOST)]
        return np.concatenate([histograms(pages[part], None if masks is None else masks[part]) for part in parts])
    rows, seen = pages.reshape(count, pixels), None if masks is None else masks.reshape(count, pixels)
    which = _which()[:count, :pixels]
    return np.asarray(cv2.calcHist([which, rows], [0, 1], seen, [count, 256], [0, count, 0, 256]), np.int32)


@cache
def _which() -> Grey:
    """The number of its row in each pixel: with it, a histogram of two dimensions is that of each page."""
    return np.repeat(np.arange(MOST, dtype=np.uint8), _PIXELS).reshape(MOST, _PIXELS)


def ranked(counts: Counts, ranks: int | Numbers) -> Numbers:
    """The grey level at a rank of each page, int (N,), from their histograms; rank 0 is the smallest level."""
    up_to = counts.cumsum(axis=1, dtype=np.int32)
    return np.asarray((up_to > np.asarray(ranks, np.int32).reshape(-1, 1)).argmax(axis=1), np.int64)


def dilated(masks: Grey) -> Grey:
    """Masks with all pixels next to them. The last row of each page has to be empty, which parts it from the next."""
    count, height, width = masks.shape
    grown = cv2.dilate(masks.reshape(count * height, width), _NEIGHBOURS)
    return np.asarray(grown, np.uint8).reshape(masks.shape)
