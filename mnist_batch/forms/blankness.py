"""Whether a page is blank, where what scanners and paper leave on it does not count, or black."""

import numpy as np

from mnist_batch.forms.frames import darkness_of
from mnist_batch.forms.geometry import Grey, shrunk
from mnist_batch.pixels.opencv import cv2

SIDE = 1170  # pixels of the longer side that is looked at: a millimetre of an A4 page has four
INK = 56.0  # grey levels darker than its paper: print, pen and pencil; what shows through from the back is paler
SPECK = 3  # pixels of a side
STREAK = 0.7  # of a row or column of pixels, that is inked by a scanner's dust and not by a pen
EDGE = 0.02  # of a page's sides
LEAST = 150  # pixels of ink
BLACK, MOST_BLACK = 64, 0.5  # grey level, and share of a page: of more, there is no paper to be seen


def is_blank(page: Grey) -> bool:
    """Whether a page is blank, though it has specks, dark edges, punch holes, or the back shows through.

    Thin ink counts, unless it is near the edge of the page, smaller than a dot, or a streak from edge to edge. Holes
    and shadows are wider than strokes are.
    """
    small = shrunk(page, max(1, round(max(page.shape) / SIDE)))
    ink = (darkness_of(small) >= INK).astype(np.uint8)
    ink[:, ink.mean(axis=0) >= STREAK] = 0
    ink[ink.mean(axis=1) >= STREAK] = 0
    rows, columns = (round(EDGE * side) for side in ink.shape)
    ink = np.ascontiguousarray(ink[rows : ink.shape[0] - rows, columns : ink.shape[1] - columns])
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    _, _, wide, tall, area = stats[1:].T
    return bool(area[np.maximum(wide, tall) > SPECK].sum() < LEAST)


def is_black(page: Grey) -> bool:
    """Whether most of a page is black, so that it says nothing of what is on its paper."""
    return bool(np.count_nonzero(page < BLACK) > MOST_BLACK * page.size)
