"""Small pages as one array, uint8 (N, H, W): what is done to all of them is one call.

On pages this small a call takes longer than its pixels. Pages of several sizes have empty pixels beyond them. A stack
of one page is as good as any other.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
Counts = NDArray[np.int32]
Numbers = NDArray[np.int64]

MOST = 64  # pages that are looked at together: more leave the processor's cache between two stages
_PIXELS = 70 * 64  # of a page at most

_NEIGHBOURS = np.ones((3, 3), np.uint8)


class Stack(NamedTuple):
    """Pages of any sizes, each in the upper left corner of its place in ``pages``, uint8 (N, H, W), and 0 beyond.

    ``heights`` and ``widths`` are int (N,). ``inside`` is a mask of 0 and 1 of where there are pages; None if they fill
    all of it, being of one size.
    """

    pages: Grey
    heights: Numbers
    widths: Numbers
    inside: Grey | None

    @classmethod
    def of(cls, pages: Sequence[Grey]) -> "Stack":
        """The stack of these pages."""
        shapes = [page.shape for page in pages]
        heights, widths = np.array(shapes).T
        if len(set(shapes)) == 1:
            return cls(np.stack(pages), heights, widths, None)
        down, across = (np.arange(each.max()) < each[:, None] for each in (heights, widths))
        return cls(laid_out(pages), heights, widths, (down[:, :, None] & across[:, None]).view(np.uint8))

    def each(self, pages: Grey) -> list[Grey]:
        """The pages in an array that has them where this stack has its own."""
        if self.inside is None:
            return [*pages]
        sizes = zip(self.heights.tolist(), self.widths.tolist(), strict=True)
        return [page[:height, :width] for page, (height, width) in zip(pages, sizes, strict=True)]


def laid_out(pages: Sequence[Grey], below: int = 0) -> Grey:
    """Pages of any sizes in the upper left corners of a stack, with so many empty rows ``below`` the highest."""
    height, width = (max(page.shape[axis] for page in pages) for axis in (0, 1))
    stack = np.zeros((len(pages), height + below, width), np.uint8)
    for place, page in zip(stack, pages, strict=True):
        place[: page.shape[0], : page.shape[1]] = page
    return stack


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
