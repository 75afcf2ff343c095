"""Pen strokes on pictures as MNIST has them: uint8 (28, 28), ink = 255, points as (across, down)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnist_batch.pixels.opencv import cv2

SIDE = 28
FINE = 4  # pictures are drawn this many times larger, then averaged, so that strokes have soft edges

Grey = NDArray[np.uint8]
Points = NDArray[np.float64]
Random = np.random.Generator


def strokes(paths: Sequence[ArrayLike], thickness: float) -> Grey:
    """Draw lines through points with a pen of this thickness, in pixels."""
    page = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    for path in paths:
        points = np.round(np.asarray(path, np.float64) * FINE).astype(np.int32)
        cv2.polylines(page, [points.reshape(-1, 1, 2)], False, 255, max(2, round(thickness * FINE)), cv2.LINE_AA)
    return shrunk(page)


def shrunk(page: Grey) -> Grey:
    """A picture that was drawn ``FINE`` times as large."""
    return np.asarray(cv2.resize(page, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def hand_drawn(start: ArrayLike, end: ArrayLike, random: Random, wave: float = 0) -> Points:
    """The path of a hand from a point to another, float64 (24, 2): bowed a little, in a wave of so many pixels."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    at, way = np.linspace(0, 1, 24), end - start
    length = float(np.hypot(*way))
    aside = np.array([-way[1], way[0]]) / max(length, 1e-6)
    swing = random.normal(0, 0.03) * length * np.sin(np.pi * at)
    if wave:
        swing += wave * np.sin(2 * np.pi * (at * length / random.uniform(5, 12) + random.random()))
    return np.asarray(start + at[:, None] * way + swing[:, None] * aside)


def arc(middle: ArrayLike, radii: ArrayLike, start: float, turn: float, random: Random) -> Points:
    """The path of a hand round an ellipse, float64 (40, 2), from an angle and so far; degrees, clockwise from 3."""
    angles = np.radians(start + np.linspace(0, turn, 40))
    grown = np.linspace(1, random.uniform(0.9, 1.1), 40)[:, None]
    return np.asarray(middle + grown * np.asarray(radii) * np.stack([np.cos(angles), np.sin(angles)], 1))


def scaled(picture: Grey, factor: float, middle: ArrayLike = (14, 14)) -> Grey:
    """A picture made smaller or larger, with what was in its middle at a point."""
    offset = np.asarray(middle, np.float64) - factor * SIDE / 2 + (factor - 1) / 2
    matrix = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])
    source = cv2.GaussianBlur(picture, (0, 0), 0.35 / factor) if factor < 0.7 else picture
    return np.asarray(cv2.warpAffine(source, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)
