"""ArUco marks in the corners of a page: their numbers say which page it is, their corners how it lies."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.form import MARK_IDS, Mark
from mnist_batch.forms.geometry import Grey
from mnist_batch.pixels.opencv import cv2

CELLS = 6  # of a mark along a side: a pattern of 4x4 and its black border

# A smaller dictionary has the same first marks as a larger one, and they are told apart with more certainty.
_DICTIONARIES = (
    (50, cv2.aruco.DICT_4X4_50),
    (100, cv2.aruco.DICT_4X4_100),
    (250, cv2.aruco.DICT_4X4_250),
    (MARK_IDS, cv2.aruco.DICT_4X4_1000),
)


class Seen(NamedTuple):
    """A mark on a page: its number, and its corners, float64 (4, 2)."""

    id: int
    corners: NDArray[np.float64]

    @property
    def middle(self) -> NDArray[np.float64]:
        """The middle of the mark, (2,)."""
        return np.asarray(self.corners.mean(axis=0))

    @property
    def side(self) -> float:
        """How long its sides are, in pixels."""
        return float(np.sqrt(cv2.contourArea(self.corners.astype(np.float32))))


def draw(picture: Grey, marks: Iterable[Mark]) -> Grey:
    """The picture, uint8 (H, W), with marks drawn on it, white around them."""
    drawn = picture.copy()
    for mark in marks:
        pattern = cv2.aruco.generateImageMarker(_dictionary(mark.id + 1), mark.id, CELLS)
        quiet = np.pad(pattern, 1, constant_values=255)
        corners = np.array(mark.corners, np.float32)
        square = np.array([[1, 1], [1 + CELLS, 1], [1 + CELLS, 1 + CELLS], [1, 1 + CELLS]], np.float32) - 0.5
        matrix = cv2.getPerspectiveTransform(square, corners - 0.5)
        size = drawn.shape[::-1]
        cover = cv2.warpPerspective(np.full_like(quiet, 255), matrix, size, flags=cv2.INTER_NEAREST)
        laid = cv2.warpPerspective(quiet, matrix, size, flags=cv2.INTER_NEAREST, borderValue=255)
        drawn[cover > 0] = laid[cover > 0]
    return drawn


def find(page: Grey, most: int = MARK_IDS) -> Mapping[int, NDArray[np.float64]]:
    """The corners, float64 (4, 2), of the marks on a page by id; of those with ids below ``most``.

    A mark that is there twice is left out.
    """
    every = seen(page, most)
    names = [mark.id for mark in every]
    return {mark.id: mark.corners for mark in every if names.count(mark.id) == 1 and mark.id < most}


def seen(page: Grey, most: int = MARK_IDS) -> list[Seen]:
    """Every mark on a page, of the smallest dictionary that has ids up to ``most``; each once, if found twice there."""
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(_dictionary(most), parameters)
    corners, ids, _ = detector.detectMarkers(page)
    if ids is None:
        return []
    found = zip(np.asarray(ids).ravel(), corners, strict=True)
    return each_once([Seen(int(name), np.asarray(corner, np.float64).reshape(4, 2) + 0.5) for name, corner in found])


def each_once(marks: Iterable[Seen]) -> list[Seen]:
    """The marks without those that lie where one of the same id lies."""
    kept: list[Seen] = []
    for mark in marks:
        same = (each for each in kept if each.id == mark.id)
        if all(np.hypot(*(mark.middle - each.middle)) > each.side / 2 for each in same):
            kept.append(mark)
    return kept


def _dictionary(count: int) -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(next(kind for size, kind in _DICTIONARIES if count <= size))
