"""Digits of a thick pen: how thick strokes are, and the same digit with thinner ones, whose filled loops open again."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

THICK = 4.2  # pixels of a picture of 28; three of a hundred digits of MNIST have strokes as thick as that
EVERY_DIRECTION = 4 / np.pi  # a slanted stroke has more edge along the rows and columns than an upright one
_SIDE, _TAKEN = 80, 6  # pixels: a digit's longer side while its strokes are thinned, and what is taken from each edge
_NEAR = 2  # pixels that a ragged edge may lie from the thinned stroke beyond what was taken
_LOST = 64  # grey levels; ink as strong as that, and far from all thinned strokes, was a thin stroke
_PALEST = 30  # grey levels; weaker ink is no edge of a thinned stroke


def are_thick(pictures: Grey) -> NDArray[np.bool_]:
    """Which of N pictures, uint8 (N, 28, 28), have thick strokes on the whole: bool (N,)."""
    return stroke_widths(pictures) > THICK


def stroke_widths(pictures: Grey) -> NDArray[np.float64]:
    """How thick the strokes are in N pictures, uint8 (N, H, W): pixels, float64 (N,); 0 where there is no ink.

    That is the ink divided by the half of its edge.
    """
    count, height, width = pictures.shape
    apart = np.zeros((count + 1, height + 1, width + 1), np.uint8)  # an empty row and column part it from the next
    apart[1:, :height, :width] = pictures
    levels, size, row = apart.reshape(1, -1), apart[0].size, width + 1
    beside, above = (cv2.absdiff(levels[:, by:], levels[:, :-by])[:, size - by :] for by in (1, row))
    edge = _sums(beside.reshape(count, size)) + _sums(above.reshape(count, size))
    ink = _sums(pictures.reshape(count, height * width))
    return np.asarray(2 * EVERY_DIRECTION * ink / np.maximum(edge, 1))


def _sums(rows: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(rows.sum(axis=1, dtype=np.uint32), np.int64)


def thinned(ink: Grey) -> Grey | None:
    """A digit's soft ink, uint8 (H, W), with thinner strokes and enlarged; None if it has strokes that would vanish.

    A pen that is thick writes no thin stroke. A loop that it filled is often a little lighter, and opens again.
    """
    factor = _SIDE / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    large = cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, _TAKEN, _TAKEN, _TAKEN, _TAKEN, cv2.BORDER_CONSTANT)
    thin = cv2.erode(large, _disc(_TAKEN // 2), iterations=2)  # two small discs take less time than one large one
    lost = cv2.subtract(large, cv2.dilate(thin, _disc((_TAKEN + _NEAR) // 2), iterations=2))
    if cv2.minMaxLoc(lost)[1] > _LOST:
        return None
    x, y, wide, high = cv2.boundingRect(np.asarray(thin > _PALEST).view(np.uint8))
    return np.asarray(thin[y : y + high, x : x + wide], np.uint8) if wide else None


@cache
def _disc(radius: int) -> Grey:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
