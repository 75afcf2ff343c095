"""Whether a page is blank: what scanners and paper leave on it does not count."""

import numpy as np

from mnist_batch.forms.frames import darkness_of
from mnist_batch.forms.geometry import Grey, shrunk
from mnist_batch.pixels.opencv import cv2

SIDE = 1170  # pixels of the longer side that is looked at: a millimetre of an A4 page has four
INK = 56.0  # grey levels darker than its paper: print, pen and pencil; what shows through from the back is paler
SPECK = 3  # pixels of a side
LEAST = 150  # pixels of ink


def is_blank(page: Grey) -> bool:
    """Whether a page is blank, though it has specks, dark edges, punch holes, or the back shows through.

    Ink counts, unless it touches the edge of the page, is smaller than a dot, or is round and solid as a hole is.
    """
    small = shrunk(page, max(1, round(max(page.shape) / SIDE)))
    ink = (darkness_of(small) >= INK).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    x, y, wide, tall, area = stats[1:].T
    edge = (x <= 1) | (y <= 1) | (x + wide >= ink.shape[1] - 1) | (y + tall >= ink.shape[0] - 1)
    counts = ~edge & (np.maximum(wide, tall) > SPECK)
    return bool(area[counts].sum() < LEAST)
