"""Tell the pen from a second ink of another colour: a stamp, a marker, the coloured boxes of a form.

Two inks that lie over each other darken each channel by the product of what each of them lets through, so their optical
densities add up: A. C. Ruifrok and D. A. Johnston, Quantification of histochemical staining by color deconvolution,
Analytical and Quantitative Cytology and Histology 23 (2001).
"""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
Densities = NDArray[np.float32]

COLOURFUL = 40  # levels between the channels of a pixel
LEAST = 0.005  # of a page's pixels; less ink of a kind is no ink of its own
INKED = 0.25  # optical density, to base e
REFLECTS = 0.6  # of the largest density; an ink reflects a channel with less, at the edges of its strokes, too
SAMPLED = 400  # rows and columns, up to twice as many, from which the colours of inks are taken
STRIP = 250_000  # pixels that are unmixed at a time, for the memory that it takes
_DARKEST = 8  # levels that are added, so that black has a density, too
_FRINGE = np.ones((5, 5), np.uint8)  # around an ink, whose colour scanners and JPEG smear


def grey(page: Grey) -> Grey:
    """A page in colour, uint8 (H, W, 3) in BGR, as grey (H, W), or as two planes (H, W, 2) if it has two inks.

    The first plane is the page without the ink of another colour than the pen's, the second the whole page. A pen is
    black, grey, blue or violet; an ink of another colour is one only beside a pen.
    """
    whole = np.asarray(cv2.cvtColor(page, cv2.COLOR_BGR2GRAY), np.uint8)
    blue, green, red = cv2.split(page)
    spread = cv2.subtract(cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red))
    if cv2.countNonZero(cv2.threshold(spread, COLOURFUL, 1, cv2.THRESH_BINARY)[1]) < LEAST * spread.size:
        return whole
    pen = _of_pen(page, whole)
    return whole if pen is None else np.dstack([pen, whole])


def whole(page: Grey) -> Grey:
    """A page with all its inks, uint8 (H, W) with its rows one after the other, of one or two planes as of ``grey``."""
    return page if page.ndim == 2 else np.ascontiguousarray(page[:, :, -1])


def _of_pen(page: Grey, whole: Grey) -> Grey | None:
    """The page with the pen's ink only, as grey; None if it has one ink, or light ink on dark paper."""
    sparse = (slice(None, None, max(1, len(page) // SAMPLED)), slice(None, None, max(1, page.shape[1] // SAMPLED)))
    sample, levels = np.ascontiguousarray(page[sparse]), whole[sparse]
    middle = float(np.median(levels))
    if middle < 128:
        return None
    paper = np.median(sample[levels >= middle], axis=0).astype(np.float32)
    seen = np.arange(256, dtype=np.float32)[:, None]
    table = -np.log((np.minimum(seen, paper) + _DARKEST) / (paper + _DARKEST)).astype(np.float32)[:, None]
    found = _inks(cv2.LUT(sample, table))
    if found is None:
        return None
    pen, unmixing = found
    light = np.empty_like(whole)
    for top in range(0, len(page), rows := max(1, STRIP // page.shape[1])):
        densities = cv2.LUT(np.ascontiguousarray(page[top : top + rows]), table)
        of_pen, of_other, whole_density = cv2.split(cv2.transform(densities, unmixing))
        alone = np.where(of_other < 0, whole_density, of_pen)
        passing = cv2.exp(np.maximum(alone, 0) * -pen.max())
        light[top : top + rows] = ((paper.mean() + _DARKEST) * passing - _DARKEST).clip(0, 255)
    return light


def _inks(densities: Densities) -> tuple[Densities, Densities] | None:
    """The densities (3,) of the pen, of length 1, and what unmixes a page; None if it does not have two inks.

    The rows of the second, (3, 3), give the pen's share of a pixel, the other ink's, and the pen's if it is alone.
    """
    blue, green, red = cv2.split(densities)
    strength = np.maximum(np.maximum(blue, green), red)
    coloured = (red < REFLECTS * strength) | (green < REFLECTS * np.minimum(blue, red))
    inked = strength > INKED
    masks = [(inked & is_it).view(np.uint8) for is_it in (~coloured, coloured)]
    kinds = []
    for own, other in (masks, masks[::-1]):
        apart = cv2.subtract(own, cv2.dilate(other, _FRINGE)).view(np.bool_)
        if np.count_nonzero(apart) < LEAST * apart.size:
            return None
        kinds.append(_direction(densities[apart], strength[apart]))
    pen, other = kinds
    return pen, np.vstack([np.linalg.pinv(np.stack([pen, other], 1)), pen]).astype(np.float32)


def _direction(densities: Densities, strength: Densities) -> Densities:
    """The densities (3,) of an ink, of length 1, from the stronger half of its pixels."""
    strong = densities[strength >= np.median(strength)]
    middle = np.median(strong / np.linalg.norm(strong, axis=1, keepdims=True), axis=0)
    return np.asarray(middle / np.linalg.norm(middle), np.float32)
