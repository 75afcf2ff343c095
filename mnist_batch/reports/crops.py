"""Crops of pages for people to see: the cells of a field with what is around them, upright, however the page lay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

MARGIN = 0.7  # of the height of a cell, on each side
LONGEST = 900  # pixels of a crop

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """A grey picture, uint8 (H, W), and where cells lie on it: left, top, width and height as shares of the whole."""

    picture: Grey
    boxes: tuple[tuple[float, float, float, float], ...] = ()


def whole(page: Grey) -> Crop:
    """A page as it is, reduced to ``LONGEST`` pixels."""
    return Crop(reduced(page))


def around(page: Grey, cells: Sequence[Sequence[float]]) -> Crop:
    """What is around some cells, turned so that they are upright; off the page it is white.

    Each cell is x and y of its four corners on the page, clockwise from its own upper left: eight numbers.
    """
    corners = np.asarray(cells, np.float64).reshape(-1, 4, 2)
    across = (corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]).sum(0)
    across /= np.linalg.norm(across) or 1.0
    turned = corners @ np.array([[across[0], -across[1]], [across[1], across[0]]])
    height = float(np.median(np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)))
    low = turned.min((0, 1)) - MARGIN * height
    size = np.ceil(turned.max((0, 1)) + MARGIN * height - low)
    width, tall = (max(1, round(side)) for side in size)
    matrix = np.array([[across[0], across[1], -low[0]], [-across[1], across[0], -low[1]]])
    picture = np.asarray(cv2.warpAffine(page, matrix, (width, tall), borderValue=255), np.uint8)
    least, most = (turned.min(1) - low) / size, (turned.max(1) - low) / size
    boxes = np.hstack([least, most - least]).clip(0, 1).round(4).tolist()
    return Crop(reduced(picture), tuple((left, top, wide, high) for left, top, wide, high in boxes))


def reduced(page: Grey, longest: int = LONGEST) -> Grey:
    """A picture whose longer side has at most so many pixels."""
    scale = longest / max(page.shape)
    if scale >= 1:
        return page
    size = (max(1, round(page.shape[1] * scale)), max(1, round(page.shape[0] * scale)))
    return np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)
