"""Tell the pen from a second ink of another colour: a stamp, a marker, the coloured boxes of a form.

Two inks that lie over each other darken each channel by the product of what each of them lets through, so their optical
densities add up: A. C. Ruifrok and D. A. Johnston, Quantification of histochemical staining by color deconvolution,
Analytical and Quantitative Cytology and Histology 23 (2001).
"""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

COLOURFUL = 40  # levels between the channels of a pixel
LEAST = 0.005  # of a page's pixels; less ink of a kind is no ink of its own
INKED = 0.25  # optical density, to base e
REFLECTS = 0.45  # of the largest density; a channel with less is one that an ink reflects
SAMPLED = 400  # rows and columns at most, or twice that, from which the colours of inks are taken
STRIP = 250_000  # pixels that are unmixed at a time, for the memory that it takes
_DARKEST = 8  # levels that are added, so that black has a density, too


def grey(page: Grey) -> Grey:
    """A page in colour, uint8 (H, W, 3) in BGR, as grey (H, W), or as two planes (H, W, 2) if it has two inks.

    The first plane is the page without the ink of another colour than the pen's, the second the whole page. A pen is
    black, grey, blue or violet; an ink of another colour is one only beside a pen.
    """
    whole = np.asarray(cv2.cvtColor(page, cv2.COLOR_BGR2GRAY), np.uint8)
    channels = cv2.split(page)
    spread = cv2.subtract(
        cv2.max(cv2.max(channels[0], channels[1]), channels[2]), cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    )
    if cv2.countNonZero(cv2.threshold(spread, COLOURFUL, 1, cv2.THRESH_BINARY)[1]) < LEAST * spread.size:
        return whole
    pen = _of_pen(page, whole)
    return whole if pen is None else np.dstack([pen, whole])


def _of_pen(page: Grey, whole: Grey) -> Grey | None:
    """The page with the pen's ink only, as grey; None if it has one ink, or light ink on dark paper."""
    sparse = (slice(None, None, max(1, len(page) // SAMPLED)), slice(None, None, max(1, page.shape[1] // SAMPLED)))
    sample, levels = page[sparse], whole[sparse]
    middle = float(np.median(levels))
    if middle < 128:
        return None
    paper = np.median(sample[levels >= middle], axis=0).astype(np.float32)
    seen = np.arange(256, dtype=np.float32)[:, None]
    table = -np.log((np.minimum(seen, paper) + _DARKEST) / (paper + _DARKEST))  # (256, 3): the densities of each level
    densities = _densities(sample, table)
    strength = densities.max(axis=2)
    blue, green, red = (densities[:, :, channel] for channel in range(3))
    coloured = (red < REFLECTS * strength) | (green < REFLECTS * np.minimum(blue, red))
    inked = strength > INKED
    of_pen, of_other = inked & ~coloured, inked & coloured
    if min(np.count_nonzero(of_pen), np.count_nonzero(of_other)) < LEAST * inked.size:
        return None
    pen = _direction(densities[of_pen], strength[of_pen])
    other = _direction(densities[of_other], strength[of_other])
    unmixing = np.linalg.pinv(np.stack([pen, other], 1)).T.astype(np.float32)
    light = np.empty_like(whole)
    for top in range(0, len(page), rows := max(1, STRIP // page.shape[1])):
        densities = _densities(page[top : top + rows], table)
        shares = densities @ unmixing
        alone = np.where(shares[:, :, 1] < 0, densities @ pen, shares[:, :, 0])
        passing = np.exp(-np.maximum(alone, 0) * pen.max())
        light[top : top + rows] = ((paper.mean() + _DARKEST) * passing - _DARKEST).clip(0, 255)
    return light


def _densities(page: Grey, table: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([table[:, channel][page[:, :, channel]] for channel in range(3)], axis=2)


def _direction(densities: NDArray[np.float32], strength: NDArray[np.float32]) -> NDArray[np.float32]:
    """The densities (3,) of an ink, of length 1, from the stronger half of its pixels."""
    strong = densities[strength >= np.median(strength)]
    middle = np.median(strong / np.linalg.norm(strong, axis=1, keepdims=True), axis=0)
    return np.asarray(middle / np.linalg.norm(middle), np.float32)
