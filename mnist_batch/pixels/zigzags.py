"""Tell the zigzags that void a cell, И and N from corner to corner, from digits: no digit is written so.

A net that has learnt 1s with a long upstroke and a foot may take them for such.
"""

import numpy as np
from numpy.typing import NDArray

INK = 40  # of 255; ink at least as dark counts, or thin strokes have gaps
APART = 9.5  # pixels between the uprights; nearer to each other, thick strokes leave no room for a third
LEAST = 8  # pixels that they are high
ALONG = np.linspace(0.06, 0.94, 16)  # places on a stroke that are looked at
COVERED = 0.5  # of the places on each stroke are inked; thin ones lie a pixel beside the line from corner to corner
NEAR = 2.2  # pixels from a stroke's line that are the stroke's own
OF_STROKES = 0.95  # of all ink is of the three strokes
UPRIGHT = 0.35  # of an upright's height; it leans at most by as much
TALL = 0.75  # of the height of all ink, that of either upright

Pictures = NDArray[np.uint8]
Places = NDArray[np.float64]

_DOWN, _ACROSS = (part.ravel().astype(np.int16) for part in np.indices((28, 28)))


def found(pictures: Pictures) -> NDArray[np.bool_]:
    """Which of N normalised pictures, uint8 (N, 28, 28), hold three long straight strokes: up, aslant and up."""
    zigzags = np.zeros(len(pictures), np.bool_)
    flat = (pictures.reshape(-1, 28 * 28) >= INK).view(np.uint8)
    corners = _corners(flat)
    left, right = corners[:, :2], corners[:, 2:]  # of each, the upper one first
    for first, last in ((1, 0), (0, 1)):  # И and N: where the middle stroke begins and ends
        ends = np.stack([left[:, 0], left[:, 1], left[:, first], right[:, last], right[:, 0], right[:, 1]], 1)
        ends = ends.reshape(-1, 3, 2, 2)
        rows = np.flatnonzero(_may_be(ends))
        rows = rows[_covered(flat[rows], ends[rows]) >= COVERED]
        zigzags[rows] |= _of_strokes(flat[rows], ends[rows]) >= OF_STROKES
    return zigzags


def _corners(flat: Pictures) -> Places:
    """The ink that is farthest to the upper and lower left and to the upper and lower right: x and y, (N, 4, 2)."""
    farthest = [
        (flat * (55 + along).astype(np.uint8)).argmax(axis=1)
        for along in (-_ACROSS - _DOWN, _DOWN - _ACROSS, _ACROSS - _DOWN, _ACROSS + _DOWN)
    ]
    places = np.stack(farthest, axis=1)
    return np.stack([places % 28, places // 28], axis=2).astype(np.float64)


def _may_be(ends: Places) -> NDArray[np.bool_]:
    """Whether the two uprights are as long, as far from each other and as upright as in a zigzag."""
    uprights = ends[:, [0, 2]]
    wide, high = np.abs(uprights[:, :, 1] - uprights[:, :, 0]).transpose(2, 0, 1)
    apart = uprights[:, 1, :, 0].mean(axis=1) - uprights[:, 0, :, 0].mean(axis=1)
    tall = np.ptp(uprights[..., 1].reshape(-1, 4), axis=1).clip(LEAST)[:, None]
    stand = (wide <= UPRIGHT * high) & (high >= TALL * tall)
    return np.asarray(stand.all(axis=1) & (apart >= APART))


def _covered(flat: Pictures, ends: Places) -> NDArray[np.float64]:
    """The share of the places on the stroke that is inked least."""
    start, end = ends[:, :, 0, None], ends[:, :, 1, None]
    x, y = np.moveaxis(np.rint(start + ALONG[:, None] * (end - start)).astype(np.int64), -1, 0)
    inked = flat[np.arange(len(flat))[:, None, None], 28 * y + x]
    return np.asarray(inked.mean(axis=2).min(axis=1))


def _of_strokes(flat: Pictures, ends: Places) -> NDArray[np.float64]:
    """The share of the ink that is near one of the strokes."""
    start, along = ends[:, :, 0, :, None], (ends[:, :, 1] - ends[:, :, 0])[..., None]
    x, y = _ACROSS - start[:, :, 0], _DOWN - start[:, :, 1]
    square = (along**2).sum(axis=2)
    at = ((x * along[:, :, 0] + y * along[:, :, 1]) / square).clip(0, 1)
    near = np.hypot(x - at * along[:, :, 0], y - at * along[:, :, 1]).min(axis=1) <= NEAR
    return np.asarray((near & (flat > 0)).sum(axis=1) / np.maximum(flat.sum(axis=1), 1))
