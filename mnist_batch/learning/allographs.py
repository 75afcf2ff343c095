"""Digits written as strokes, in forms that are rare in MNIST: the 9 like a g, the open 4, the 1 with a long upstroke.

A form is a few strokes, each a list of points (across, down) in a box of 1x1 that a smooth pen goes through; a point
given twice is a corner. Every digit has its own writer: slant, width, a hand that is not exact, pen and pressure.
"""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning.drawing import FINE, SIDE, Grey, Points, Random, shrunk
from mnist_batch.pixels.opencv import cv2

Form = tuple[tuple[tuple[float, float], ...], ...]
_BAR = ((0.2, 0.56), (0.8, 0.5))
_ROUND = ((0.5, 0.0), (0.16, 0.2), (0.08, 0.55), (0.3, 0.95), (0.62, 0.97), (0.9, 0.6), (0.86, 0.22))
_SEVEN = ((0.85, 0.06), (0.85, 0.06), (0.6, 0.5), (0.42, 1.0))
_NINE = ((0.8, 0.14), (0.45, 0.0), (0.14, 0.24), (0.38, 0.5), (0.74, 0.34), (0.82, 0.1), (0.82, 0.1))
_OPEN = ((0.5, 0.04), (0.14, 0.18), (0.3, 0.46), (0.72, 0.36), (0.84, 0.0))
_S = ((0.8, 0.14), (0.45, 0.0), (0.2, 0.2), (0.5, 0.46), (0.85, 0.76), (0.5, 1.0))
_FIVE = ((0.2, 0.04), (0.17, 0.46), (0.17, 0.46), (0.5, 0.38), (0.82, 0.66), (0.55, 0.98), (0.1, 0.9))
FORMS: dict[int, tuple[Form, ...]] = {
    0: (
        ((*_ROUND, (0.6, 0.1)),),  # not closed
        ((*_ROUND, (0.66, 0.06), (0.36, -0.04)),),
        ((*_ROUND, (0.5, 0.0)), ((0.05, 0.98), (0.92, 0.02))),  # slashed
    ),
    1: (
        (((0.0, 0.5), (0.55, 0.0), (0.55, 0.0), (0.5, 1.0)),),  # a long upstroke
        (((0.05, 0.75), (0.3, 0.35), (0.55, 0.0), (0.55, 0.0), (0.5, 1.0)),),
        (((-0.2, 0.8), (0.5, 0.0), (0.5, 0.0), (0.52, 1.0)),),  # nearly as long as the stem
        (((-0.3, 0.5), (0.1, 0.2), (0.6, 0.0), (0.6, 0.0), (0.45, 1.0)),),
        (((0.15, 0.35), (0.5, 0.0), (0.5, 0.0), (0.5, 1.0)), ((0.15, 1.0), (0.88, 1.0))),  # with a foot
    ),
    2: (
        (((0.12, 0.24), (0.42, 0.0), (0.78, 0.2), (0.5, 0.6), (0.05, 1.0), (0.05, 1.0), (1.0, 1.0)),),  # a flat foot
        (((0.2, 0.2), (0.45, 0.02), (0.72, 0.22), (0.4, 0.7), (0.05, 0.97), (0.05, 0.97), (0.5, 0.92), (1.0, 1.0)),),
        (((0.08, 0.16), (0.3, 0.02), (0.72, 0.02), (0.8, 0.2), (0.1, 0.98), (0.1, 0.98), (0.98, 1.0)),),  # like a Z
        (((0.05, 0.06), (0.5, 0.04), (0.8, 0.08), (0.74, 0.24), (0.12, 0.96), (0.3, 0.94), (0.9, 1.0)),),
    ),
    3: (
        (((0.1, 0.02), (0.82, 0.0), (0.82, 0.0), (0.4, 0.42), (0.4, 0.42), (0.85, 0.66), (0.5, 1.0), (0.05, 0.92)),),
    ),
    4: (
        (((0.4, 0.0), (0.08, 0.6), (0.08, 0.6), (0.95, 0.58)), ((0.72, 0.28), (0.58, 1.0))),  # open and slanted
        (((0.22, 0.02), (0.12, 0.52), (0.12, 0.52), (0.9, 0.5)), ((0.76, 0.0), (0.68, 1.0))),
        (((0.58, 0.0), (0.12, 0.42), (0.34, 0.52), (0.86, 0.36), (0.86, 0.36), (0.76, 1.0)),),  # one stroke
    ),
    5: (
        (_FIVE, ((0.2, 0.04), (0.9, 0.0))),
        (_FIVE, ((0.32, 0.0), (1.0, -0.06))),  # the bar is not joined
    ),
    7: (
        (((0.06, 0.3), (0.1, 0.08), (0.1, 0.08), (0.45, 0.1), *_SEVEN), _BAR),  # a hook first, and crossed
        (((0.02, 0.36), (0.18, 0.02), (0.45, 0.14), *_SEVEN), _BAR),  # as an M begins
        (((0.02, 0.36), (0.18, 0.02), (0.45, 0.14), *_SEVEN),),
        (((0.08, 0.06), (0.45, 0.05), *_SEVEN), _BAR),
        (((0.08, 0.06), (0.45, 0.05), *_SEVEN), ((0.3, 0.64), (1.0, 0.58))),  # a long bar far down
    ),
    8: (
        (
            ((0.5, 0.0), (0.22, 0.2), (0.48, 0.46), (0.78, 0.22), (0.5, 0.0)),  # two circles
            ((0.5, 0.46), (0.12, 0.74), (0.5, 1.0), (0.88, 0.74), (0.5, 0.46)),
        ),
        ((*_S, (0.15, 0.78), (0.5, 0.5), (0.86, 0.1)),),  # an S and a stroke back, not closed
    ),
    9: (
        ((*_NINE, (0.82, 0.6), (0.72, 0.92), (0.42, 1.0), (0.12, 0.86)),),  # like a g
        ((*_NINE, (0.76, 0.6), (0.6, 0.9), (0.3, 1.0), (0.05, 0.94)),),
        ((*_NINE, (0.72, 0.55), (0.6, 0.85), (0.7, 1.0), (0.95, 0.92)),),  # an s-shaped tail
        ((*_NINE, (0.86, 0.65), (0.5, 1.0), (0.0, 0.72)),),  # a big curl
        ((*_NINE, (0.6, 0.55), (0.78, 0.75), (0.5, 0.98), (0.1, 0.9)),),
        ((*_OPEN, (0.84, 0.0), (0.76, 0.6), (0.48, 1.0), (0.06, 0.84)),),  # not closed, like a y
    ),
}  # fmt: skip
STEPS = 7  # lines that a smooth curve between two points is drawn with
AT = np.linspace(0, 1, STEPS)[:, None]
# Catmull and Rom, A class of local interpolating splines (1974): what four points in turn weigh along the middle part.
WEIGHTS = np.stack([AT * (2 * AT - AT**2 - 1), 2 - 5 * AT**2 + 3 * AT**3, AT * (1 + 4 * AT - 3 * AT**2),
                    AT**2 * (AT - 1)]) / 2  # fmt: skip


def write(label: int, random: Random) -> Grey:
    """Write a digit of ``FORMS`` as MNIST has them, uint8 (28, 28) with ink = 255."""
    forms = FORMS[label]
    form = forms[random.integers(len(forms))]
    wide, slant, inexact = random.uniform(9, 17), random.normal(0.12, 0.18), random.uniform(0.01, 0.06)
    matrix = np.array([[wide, 0], [-20 * slant, 20]])
    page, thick = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8), random.uniform(1.2, 3.4)
    for stroke in form:
        points = np.asarray(stroke) + random.normal(0, inexact, 2) * 0.6
        moved = random.normal(0, inexact, points.shape)
        corner = np.flatnonzero((points[1:] == points[:-1]).all(axis=1)) + 1
        moved[corner] = moved[corner - 1]
        path = 14 + (points + moved - 0.5) @ matrix
        pressure = thick * random.uniform(0.8, 1.2, 2)
        _draw(page, _curve(path), pressure)
    return shrunk(page)


def _curve(points: Points) -> Points:
    """A smooth path through points, float64 (N, 2); it turns sharply where a point is given twice."""
    ends = np.concatenate([points[:1], points, points[-1:]])
    parts = [weights * ends[at : len(ends) - 3 + at, None] for at, weights in enumerate(WEIGHTS)]
    moves = (points[1:] != points[:-1]).any(axis=1)
    return np.asarray(np.sum(parts, axis=0)[moves].reshape(-1, 2), np.float64)


def _draw(page: Grey, path: Points, pressure: NDArray[np.float64]) -> None:
    """Draw a path whose thickness goes from one to another, in two parts."""
    fine = np.round(path * FINE).astype(np.int32).reshape(-1, 1, 2)
    half = len(fine) // 2
    for part, thickness in zip((fine[: half + 1], fine[half:]), pressure, strict=True):
        cv2.polylines(page, [part], False, 255, max(2, round(thickness * FINE)), cv2.LINE_AA)
