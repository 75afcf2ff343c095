"""Which of many forms a page is most like, by the points of all of them at once, before any is compared in full."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.features import Features
from mnist_batch.pixels.opencv import cv2

SEARCHED, NEAREST = 600, 8  # points of a page, and points of forms that are nearest to each
# How far descriptors of like points are apart at most, and how near ones are found: by hashes, or by trees of numbers.
BINARY_FAR, FINE_FAR = 60.0, 300.0
HASHES: dict[str, Any] = {"algorithm": 6, "table_number": 4, "key_size": 20, "multi_probe_level": 0}
TREES: dict[str, Any] = {"algorithm": 1, "trees": 4}
PLACE, TURN = 50.0, 45.0  # pixels and degrees within which pairs of points have a form in the same place


@dataclass(frozen=True, eq=False)
class Ranking:
    """The points of ``forms`` pictures together: ``owners``, int (N,), says of which each is."""

    nearest: cv2.FlannBasedMatcher
    far: float
    forms: int
    owners: NDArray[np.intp]
    points: NDArray[np.float64]
    turns: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, every: Sequence[Features]) -> "Ranking":
        """Make the points of pictures ready to be searched."""
        owners = np.repeat(np.arange(len(every)), [len(each.points) for each in every])
        descriptors = np.concatenate([each.descriptors for each in every])
        is_binary = descriptors.dtype == np.uint8
        nearest = cv2.FlannBasedMatcher(HASHES if is_binary else TREES, {})
        nearest.add([descriptors])
        if len(owners):
            cv2.setRNGSeed(0)  # hashes and trees are drawn by chance; the same forms shall rank the same everywhere
            nearest.train()
        return cls(
            nearest=nearest,
            far=BINARY_FAR if is_binary else FINE_FAR,
            forms=len(every),
            owners=owners,
            # Around their middle, so that an error of a turn moves a picture as little as may be.
            points=np.concatenate([each.points - each.points.sum(axis=0) / max(1, len(each.points)) for each in every]),
            turns=np.concatenate([each.turns for each in every]),
            sizes=np.concatenate([each.sizes for each in every]),
        )

    def likest(self, page: Features, count: int) -> list[int]:
        """So many of the pictures: those that most points of a page agree to have in the same place."""
        return [int(each) for each in np.argsort(-self._agreeing(page), kind="stable")[:count]]

    def _agreeing(self, page: Features) -> NDArray[np.intp]:
        """How many points of a page agree at most where each of the pictures lies (a Hough transform)."""
        most = np.zeros(self.forms, np.intp)
        if not len(page.points) or not len(self.owners):
            return most
        pairs = [
            (match.queryIdx, match.trainIdx)
            for matches in self.nearest.knnMatch(page.descriptors[:SEARCHED], NEAREST)
            for match in matches
            if match.distance <= self.far
        ]
        if not pairs:
            return most
        ours, theirs = np.array(pairs).T
        turns, sizes = page.turns[ours] - self.turns[theirs], page.sizes[ours] / self.sizes[theirs]
        turned = np.exp(1j * np.radians(turns)) * sizes * (self.points[theirs] @ (1, 1j))
        middles = page.points[ours] - np.c_[turned.real, turned.imag]
        for half in (0.0, 0.5):  # of a bin: what lies at the edge of one is within another
            where = np.floor(np.c_[middles / PLACE, turns % 360 / TURN] + half).astype(np.intp)
            where[:, 2] %= round(360 / TURN)
            # A point that is like many of one picture, as the corners of cells are, counts once for a place.
            distinct = np.unique(np.c_[self.owners[theirs], where, ours], axis=0)
            places, votes = np.unique(distinct[:, :4], axis=0, return_counts=True)
            np.maximum.at(most, places[:, 0], votes)
        return most


@lru_cache(maxsize=4)
def ranking_of(every: tuple[Features, ...]) -> Ranking:
    """The ranking of the pages of forms, made once per process."""
    return Ranking.of(every)
