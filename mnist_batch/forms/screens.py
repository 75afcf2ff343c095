"""Tints on pages in black and white: screens of dots, which are made even grey so that boxes in them are found."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
Mask = NDArray[np.uint8]

BLACK_AND_WHITE = 0.999  # of the pixels
DOT, NEAR, SMOOTH = 0.013, 0.16, 0.015  # inches: across a dot, around it, and the deviation of what evens dots out
STROKE = 0.015  # inches; what is as thick is no dot
FEWEST, SCREENED = 0.01, 0.016  # of what is around a pixel, and of a screen, by dots; dotted lines have fewer
LEAST = 0.09  # inches; a screen has so many dots at least, in pixels, as a square with this side
DARKNESS = 90.0  # grey levels of a screen below white
EDGE = 0.25  # the share of a screen's dots where it ends


def is_black_and_white(page: Grey) -> bool:
    """Whether a page, uint8 (H, W), has no grey."""
    return bool(np.isin(page[::3, ::3], (0, 255)).mean() >= BLACK_AND_WHITE)


def without_dots(page: Grey, dots_per_inch: float) -> Grey | None:
    """A page in black and white with even grey for its screens of dots; None if it has none.

    What is written or printed solid stays. Every screen becomes about equally dark: how many dots a scanner made of a
    tint says little of it.
    """
    ink = (page < 128).astype(np.uint8)
    holes = _specks(1 - ink, dots_per_inch)
    specks = _specks(ink, dots_per_inch) | holes
    near = 2 * round(NEAR * dots_per_inch / 2) + 1
    around = np.ones((near, near), np.uint8)
    share = cv2.blur(specks.astype(np.float32), (near, near))
    pieces = cv2.connectedComponents((share > FEWEST).astype(np.uint8), connectivity=4)[1].ravel()
    areas, dots_in = np.bincount(pieces), np.bincount(pieces, specks.ravel())
    screens = (dots_in > SCREENED * areas) & (dots_in > (LEAST * dots_per_inch) ** 2)
    screens[0] = False
    if not screens.any():
        return None
    area = cv2.dilate(screens[pieces].astype(np.uint8).reshape(ink.shape), around)
    ink = ink | holes & area  # a screen that is nearly black becomes so
    least = max(2, round(STROKE * dots_per_inch))
    solid = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((least, least), np.uint8))
    dots, free = ((each > 0).astype(np.float32) for each in (ink & (1 - solid), 1 - solid))
    fine, coarse = (_density(dots, free, SMOOTH * dots_per_inch * times) for times in (1, 2))
    beside_others = fine / np.maximum(cv2.dilate(coarse, around), SCREENED)
    darkness = DARKNESS * ((beside_others - EDGE) / (1 - 2 * EDGE)).clip(0, 1)
    return np.where(area > 0, np.where(solid > 0, 0, 255 - darkness), page).astype(np.uint8)


def _density(dots: NDArray[np.float32], free: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """The share of dots in what is free of strokes around each pixel."""
    near, of = (cv2.GaussianBlur(each, (0, 0), deviation) for each in (dots, free))
    return np.asarray(near / np.maximum(of, 0.2), np.float32)


def _specks(ink: Mask, dots_per_inch: float) -> Mask:
    """The pixels of ink that are small dots by themselves."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=4)
    small = (stats[:, cv2.CC_STAT_AREA] <= max(1.0, (DOT * dots_per_inch) ** 2)).astype(np.uint8)
    small[0] = 0
    specks: Mask = small[labels]
    return specks
