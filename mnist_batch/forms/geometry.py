"""Maps between pictures as 3x3 matrices. To them (0, 0) is the corner of a picture's first pixel, not its middle."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnist_batch.pixels.opencv import cv2

STIFFNESS = 100.0  # a stretch or slant of a hundredth costs as much as an error of one pixel at one point

Grey = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Points = NDArray[np.float64]


def scaling(across: float, down: float) -> Matrix:
    """The map that makes a picture so many times as wide and as high."""
    return np.diag([across, down, 1.0])


def moving(across: float, down: float) -> Matrix:
    """The map that moves a picture by so many pixels."""
    return np.array([[1.0, 0.0, across], [0.0, 1.0, down], [0.0, 0.0, 1.0]])


def inverse(matrix: Matrix) -> Matrix:
    """The map back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def mapped(matrix: Matrix, points: ArrayLike) -> Points:
    """Where points, (n, 2), come to lie."""
    at = np.asarray(points, np.float64).reshape(-1, 2)
    to = np.c_[at, np.ones(len(at))] @ matrix.T
    return np.asarray(to[:, :2] / to[:, 2:])


def corners_of(x: ArrayLike, y: ArrayLike, width: ArrayLike, height: ArrayLike) -> Points:
    """The corners (4, 2) of a box, clockwise from its upper left; those of n boxes are (4, 2, n)."""
    x, y, right, foot = (np.asarray(each, np.float64) for each in (x, y, np.add(x, width), np.add(y, height)))
    return np.array([[x, y], [right, y], [right, foot], [x, foot]])


def of_middles(matrix: Matrix) -> Matrix:
    """A map for those to whom whole numbers are the middles of pixels, as to OpenCV."""
    return np.asarray(moving(-0.5, -0.5) @ matrix @ moving(0.5, 0.5))


def seen_from(picture: Grey, matrix: Matrix, shape: Sequence[int], paper: int = 255) -> Grey:
    """What of a picture lies at each pixel of another, of ``shape``, that ``matrix`` maps onto it."""
    between = of_middles(matrix)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    if np.allclose(between[2, :2], 0, atol=1e-12):
        seen: Grey = cv2.warpAffine(picture, between[:2] / between[2, 2], size, flags=how, borderValue=paper)
    else:
        seen = cv2.warpPerspective(picture, between, size, flags=how, borderValue=paper)
    return seen


def shrunk(picture: Grey, times: int) -> Grey:
    """A picture a whole number of times smaller, of the mean of each square of pixels; what is left over is cut off."""
    height, width = (side // times for side in picture.shape)
    if times == 1 or not height or not width:
        return picture
    small: Grey = cv2.resize(picture[: height * times, : width * times], (width, height), interpolation=cv2.INTER_AREA)
    return small


def resized(picture: Grey, across: float, down: float) -> tuple[Grey, Matrix]:
    """A picture at up to twice or at least half its size, and the map from the picture to it."""
    height, width = picture.shape
    to = max(1, round(width * across)), max(1, round(height * down))
    if to == (width, height):
        return picture, scaling(1, 1)
    how = cv2.INTER_AREA if across < 0.7 else cv2.INTER_LINEAR
    return cv2.resize(picture, to, interpolation=how), scaling(to[0] / width, to[1] / height)


def fitted(here: Points, there: Points, weights: Points, stiffness: float = STIFFNESS) -> Matrix:
    """The affine map from points (n, 2) to others by least squares, errors being in pixels.

    It turns and scales freely. How much it stretches one way, or slants, costs something, so that points close
    together do not lead to nonsense far from them.
    """
    share = weights / weights.sum()
    middle, to_middle = share @ here, share @ there
    (x, y), (to_x, to_y) = (here - middle).T, (there - to_middle).T
    rows = np.concatenate([np.c_[x, -y, x, y], np.c_[y, x, -y, x]])
    weighted = rows * np.concatenate([weights, weights])[:, None]
    cost = np.diag([0, 0, stiffness**2, stiffness**2])
    right = weighted.T @ np.concatenate([to_x, to_y])
    scale, turn, stretch, slant = np.linalg.lstsq(weighted.T @ rows + cost, right, rcond=None)[0]
    linear = np.array([[scale + stretch, slant - turn, 0], [turn + slant, scale - stretch, 0], [0, 0, 1]])
    return np.asarray(moving(*to_middle) @ linear @ moving(*-middle))


def turn_of(matrix: Matrix, at: ArrayLike) -> int:
    """By how many degrees clockwise, to the nearest quarter turn, a map turns what lies at a point."""
    x, y = np.asarray(at, np.float64)
    from_, to = mapped(matrix, [[x, y], [x + 1, y]])
    across, down = to - from_
    return round(float(np.degrees(np.arctan2(down, across))) / 90) % 4 * 90
