"""What may lie beside a digit in its cell and is no part of it: a staple, a ring by hand, a line under it, a smear."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning.drawing import Grey, Random
from mnist_batch.pixels.opencv import cv2

FRACTION = 4  # bits for fractions of a pixel in the points that OpenCV draws


def beside(ink: Grey, random: Random) -> Grey:
    """Something that lies beside the digit of a cell, ink = 255, drawn in a picture of the same size."""
    page = np.zeros_like(ink)
    x, y, width, height = cv2.boundingRect(cv2.threshold(ink, 64, 255, cv2.THRESH_BINARY)[1])
    corners = np.array([(x, y), (x + width, y + height)], np.float64)
    KINDS[random.choice(len(KINDS), p=SHARES)](page, corners, random)
    return page


def firm_over_thin(ink: Grey, older: Grey, random: Random) -> tuple[Grey, Grey]:
    """A digit of a cell, written with a firm pen, and below it an older one of about its size in a thin pen.

    ``ink`` is the cell's and ``older`` a digit as MNIST has them, ink = 255; both results are as large as the cell.
    """
    left, top, wide, high = cv2.boundingRect(cv2.threshold(ink, 64, 255, cv2.THRESH_BINARY)[1])
    firm = max(2, round(high * random.uniform(0.05, 0.1)))
    firm_ink = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (firm, firm)))
    x, y, width, height = cv2.boundingRect(cv2.threshold(older, 64, 255, cv2.THRESH_BINARY)[1])
    factor = random.uniform(0.85, 1.1) * high / max(height, 1)
    middle = np.array([left + wide / 2, top + high / 2]) + random.uniform(-0.08, 0.08, 2) * high
    offset = middle - factor * np.array([x + width / 2, y + height / 2])
    large = cv2.warpAffine(older, np.hstack([np.eye(2) * factor, offset[:, None]]), ink.shape[::-1])
    thin = cv2.erode(large, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return np.asarray(firm_ink, np.uint8), np.asarray(thin if thin.sum() > 0.3 * large.sum() else large, np.uint8)


def _staple(page: Grey, corners: NDArray[np.float64], random: Random) -> None:
    """A bar that lies aslant near a corner of the cell and may touch the digit; its shadow is softer."""
    high, wide = page.shape
    digit = corners[1] - corners[0]
    far = random.choice([-1, 1], 2)
    middle = corners.mean(axis=0) + far * (digit / 2 + random.uniform(-0.1, 0.2) * max(high, wide))
    turn, reach = random.uniform(-0.8, 0.8), random.uniform(0.12, 0.28) * max(high, wide)
    way = reach * np.array([np.cos(turn), np.sin(turn)])
    thick = max(1.0, wide * random.uniform(0.03, 0.06))
    _stroke(page, [middle - way + thick / 2, middle + way + thick / 2], thick, random.uniform(40, 110))
    page[:] = cv2.GaussianBlur(page, (0, 0), max(0.5, thick / 2))
    _stroke(page, [middle - way, middle + way], thick, random.uniform(110, 240))


def _ring(page: Grey, corners: NDArray[np.float64], random: Random) -> None:
    """A ring round the digit, not always closed, at times too narrow for it."""
    radii = (corners[1] - corners[0]) * random.uniform(0.62, 0.95, 2) + 1
    radii = np.maximum(radii, radii.max() * random.uniform(0.6, 1))
    start, turn = random.uniform(0, 2 * np.pi), random.uniform(0.85, 1.15) * 2 * np.pi
    angles = start + np.linspace(0, turn, 48)
    grown = np.linspace(1, random.uniform(0.9, 1.1), 48)[:, None]
    path = corners.mean(axis=0) + grown * radii * np.stack([np.cos(angles), np.sin(angles)], 1)
    _stroke(page, path, max(1.0, max(page.shape) * random.uniform(0.015, 0.045)), 255)


def _underline(page: Grey, corners: NDArray[np.float64], random: Random) -> None:
    """One line under the digit, or two."""
    (left, _), (right, foot) = corners
    wide, high = right - left, page.shape[0]
    thick = max(1.0, high * random.uniform(0.015, 0.045))
    at = foot + thick + random.uniform(0.02, 0.12) * high
    for line in range(2 if random.random() < 0.25 else 1):
        ends = np.array([left, right]) + random.uniform(-0.1, 0.7, 2) * [-wide, wide]
        rows = at + line * 3 * thick + random.uniform(-0.04, 0.04, 2) * high
        _stroke(page, list(zip(ends, rows, strict=True)), thick, 255)


def _smear(page: Grey, _corners: NDArray[np.float64], random: Random) -> None:
    """A light band, as of a sleeve over wet ink or of a marker."""
    high, wide = page.shape
    ends = random.uniform(-0.1, 1.1, (2, 2)) * [wide, high]
    _stroke(page, ends, max(high, wide) * random.uniform(0.08, 0.3), random.uniform(15, 60))
    page[:] = cv2.GaussianBlur(page, (0, 0), max(0.5, wide / random.uniform(12, 60)))


def _neighbour(page: Grey, _corners: NDArray[np.float64], random: Random) -> None:
    """A part of a stroke that reaches over an edge from another cell."""
    high, wide = page.shape
    side, depth = random.choice([0, 1]), random.uniform(0.04, 0.14) * wide
    edge, inner = (0, depth) if side == 0 else (wide - 1, wide - 1 - depth)
    rows = random.uniform(0.1, 0.9, 3) * high
    path = [(edge, rows[0]), (inner, rows[1]), (edge, rows[2])]
    _stroke(page, path, max(1.0, high * random.uniform(0.03, 0.07)), random.uniform(160, 255))


KINDS: tuple[Callable[[Grey, NDArray[np.float64], Random], None], ...] = (
    _staple, _ring, _underline, _smear, _neighbour,
)  # fmt: skip
SHARES = (0.25, 0.2, 0.25, 0.15, 0.15)


def _stroke(page: Grey, points: object, thickness: float, level: float) -> None:
    fine = np.round(np.asarray(points) * 2**FRACTION).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(page, [fine], False, int(level), max(1, round(thickness)), cv2.LINE_AA, FRACTION)
