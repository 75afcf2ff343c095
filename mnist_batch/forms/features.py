"""Points of a picture that are found again on another, and the map that most of the pairs of points agree on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.geometry import Grey, Matrix, Points, fitted, mapped
from mnist_batch.pixels.opencv import cv2

AREA = 545_000  # pixels of the pictures that points are found on: those of an A4 page at 75 dots per inch
POINTS = 1000  # of a picture; twice as many take four times as long to compare and find no more pages
BUCKETS = 6  # along each side of a picture
RATIO = 0.8  # the nearest descriptor must be this much nearer than the next
NEAR = 3.0  # pixels; what a point may be off the common map
LEAST = 8  # pairs that agree; fewer are chance
# A homography follows the noise of a page: it must explain this many times the pairs of an affine map, and some more.
RICHER, MORE = 1.15, 6
MAPS, SECOND = 3, 0.5  # how many maps are tried, and the share of the first's pairs that agree on another


@dataclass(frozen=True, eq=False)
class Features:
    """``points``, float64 (n, 2), in pixels of the picture, and their descriptors, (n, length).

    ``turns``, in degrees, and ``sizes``, in pixels, float64 (n,), are those of what is around each point.
    """

    points: NDArray[np.float64]
    descriptors: NDArray[np.generic]
    turns: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, keypoints: Sequence[cv2.KeyPoint], descriptors: NDArray[np.generic] | None, empty: Any) -> "Features":
        """What OpenCV found; ``empty`` are the descriptors where it is nothing."""
        turns = np.array([point.angle for point in keypoints], np.float64)
        sizes = np.array([point.size for point in keypoints], np.float64)
        return cls(_places(keypoints), empty if descriptors is None or not keypoints else descriptors, turns, sizes)

    def only(self, kept: NDArray[np.bool_]) -> "Features":
        """Those of the features that are kept."""
        return Features(self.points[kept], self.descriptors[kept], self.turns[kept], self.sizes[kept])


@dataclass(frozen=True)
class Agreed:
    """A map, and how many pairs of points agree on it."""

    matrix: Matrix
    inliers: int


def binary(picture: Grey, count: int = POINTS) -> Features:
    """ORB features, spread over the picture."""
    orb = cv2.ORB.create(3 * count)
    keypoints, descriptors = orb.detect(picture, None), None
    if keypoints:
        keypoints, descriptors = orb.compute(picture, _spread(keypoints, picture.shape, count))
    return Features.of(keypoints, descriptors, np.zeros((0, 32), np.uint8))


def fine(picture: Grey, count: int = POINTS) -> Features:
    """SIFT features: ten times slower than binary ones, and found again on worse pages."""
    keypoints, descriptors = cv2.SIFT.create(count).detectAndCompute(picture, None)
    return Features.of(keypoints, descriptors, np.zeros((0, 128), np.float32))


def moved(features: Features, matrix: Matrix) -> Features:
    """The features on another picture, to which a map scales the first."""
    return replace(features, points=mapped(matrix, features.points), sizes=features.sizes * matrix[0, 0])


def without(features: Features, hidden: NDArray[np.uint8]) -> Features:
    """The features that do not lie where ``hidden`` is set."""
    rows, columns = features.points[:, 1].astype(int), features.points[:, 0].astype(int)
    seen = hidden[rows.clip(0, hidden.shape[0] - 1), columns.clip(0, hidden.shape[1] - 1)] == 0
    return features.only(seen)


def agreed(reference: Features, page: Features) -> list[Agreed]:
    """The maps from a reference's picture to a page's that most pairs of like points agree on, the likelier first.

    An affine map, a homography if more pairs agree on it, and what other pairs agree on if there are many, as where
    two sheets lie over each other; none if so few agree that it may be chance.
    """
    pairs = _pairs(reference, page)
    found: list[Agreed] = []
    while len(pairs) >= LEAST and len(found) < MAPS:
        here, there = reference.points[pairs[:, 0]], page.points[pairs[:, 1]]
        maps, left = _maps(here, there)
        if not maps or (found and maps[0].inliers < SECOND * found[0].inliers):
            break
        found += maps
        pairs = pairs[left]
    return found


def _maps(here: Points, there: Points) -> tuple[list[Agreed], NDArray[np.bool_]]:
    """The maps that most pairs of points agree on, the likelier first, and the pairs that do not."""
    cv2.setRNGSeed(0)
    affine, kept = cv2.estimateAffine2D(
        here, there, method=cv2.USAC_MAGSAC, ransacReprojThreshold=NEAR, maxIters=3000, confidence=0.999
    )
    if affine is None or int(kept.sum()) < LEAST:
        return [], np.ones(len(here), bool)
    inliers = kept.ravel() > 0
    found = [Agreed(fitted(here[inliers], there[inliers], np.ones(int(inliers.sum()))), int(inliers.sum()))]
    homography, kept = cv2.findHomography(here, there, cv2.USAC_MAGSAC, NEAR, maxIters=3000, confidence=0.999)
    if homography is not None and int(kept.sum()) > found[0].inliers:
        found.append(Agreed(np.asarray(homography, np.float64), int(kept.sum())))
        inliers |= kept.ravel() > 0
    found = [each for each in found if is_likely(each.matrix, here)]
    if len(found) > 1 and found[1].inliers > RICHER * found[0].inliers + MORE:
        found.reverse()
    return found, ~inliers


def is_likely(matrix: Matrix, around: NDArray[np.float64]) -> bool:
    """Whether a scanner or a camera may do to a page what a map does around some points.

    It may turn and scale a page, and stretch or slant it a little, but not mirror it.
    """
    low, high = around.min(axis=0), around.max(axis=0)
    middles = [(low + high) / 2, low, high, np.array([low[0], high[1]]), np.array([high[0], low[1]])]
    scales = []
    for x, y in middles:
        origin, across, down = mapped(matrix, [[x, y], [x + 1, y], [x, y + 1]])
        one, other = across - origin, down - origin
        wide, tall = float(np.hypot(*one)), float(np.hypot(*other))
        area = float(one[0] * other[1] - one[1] * other[0])
        if not (np.isfinite(area) and area > 0.85 * wide * tall and 0.6 < wide / tall < 1.67):
            return False
        scales.append(np.sqrt(area))
    return bool(min(scales) > 0.3 and max(scales) < min(3.0, 2.0 * min(scales)))


def _pairs(reference: Features, page: Features) -> NDArray[np.int64]:
    """Pairs of like points, (n, 2): the index of the reference's and of the page's; each point is in one pair."""
    if len(reference.points) < LEAST or len(page.points) < LEAST:
        return np.zeros((0, 2), np.int64)
    norm = cv2.NORM_HAMMING if page.descriptors.dtype == np.uint8 else cv2.NORM_L2
    best: dict[int, tuple[float, int]] = {}
    for nearest, second in cv2.BFMatcher(norm).knnMatch(page.descriptors, reference.descriptors, k=2):
        if nearest.distance < RATIO * second.distance:
            found = nearest.distance, nearest.queryIdx
            best[nearest.trainIdx] = min(found, best.get(nearest.trainIdx, found))
    return np.array([(one, other) for one, (_, other) in sorted(best.items())], np.int64).reshape(-1, 2)


def _spread(keypoints: Sequence[cv2.KeyPoint], shape: tuple[int, ...], count: int) -> Sequence[cv2.KeyPoint]:
    """As many keypoints as asked for: in turn the strongest of each bucket of the picture.

    The strongest of all would lie in one paragraph of small print, and say nothing of the rest of the page.
    """
    if len(keypoints) <= count:
        return keypoints
    at = _places(keypoints)
    bucket = (at[:, 1] * BUCKETS // shape[0]).astype(int) * BUCKETS + (at[:, 0] * BUCKETS // shape[1]).astype(int)
    order = np.lexsort((-np.array([point.response for point in keypoints]), bucket))
    _, first, sizes = np.unique(bucket[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, sizes)
    return [keypoints[index] for index in order[np.argsort(rank, kind="stable")[:count]]]


def _places(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float64]:
    """Where keypoints lie; to OpenCV, whole numbers are the middles of pixels."""
    places = cv2.KeyPoint.convert(keypoints) if keypoints else np.zeros((0, 2))
    return np.asarray(places, np.float64) + 0.5
