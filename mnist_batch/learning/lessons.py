"""What a worker learns from, epoch by epoch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import augmenting
from mnist_batch.learning.augmenting import Lesson
from mnist_batch.learning.digits import Mixture
from mnist_batch.learning.recipe import Recipe
from mnist_batch.models.ladder import LADDER

VIEW_EPOCHS = 2  # each view of a digit is used for two epochs: drawing it can cost as much as a training step on it


class Lessons:
    """The lessons of one worker: its digits as they are, or for an augmented net in one view after the other.

    A data set of weight 2 has each digit twice in a lesson, one of weight 0.5 half of them, in turn; an
    augmented net sees each time another view of it. A lesson depends on the recipe's seed, the rank and the epoch only,
    so a training that was killed goes on with the same ones.
    """

    def __init__(self, share: Mixture, weights: Sequence[float], recipe: Recipe, rank: int) -> None:
        self.share, self.weights, self.recipe, self.rank = share, weights, recipe, rank
        self.lesson, self.view = Lesson(*share.digits), -1

    def of(self, epoch: int) -> Lesson:
        """The lesson of an epoch, from 0; every one has the same size."""
        view = epoch // VIEW_EPOCHS
        if view != self.view:
            drawn = self.share.digits.take(draw(self.share.data, self.weights, view))
            self.lesson, self.view = Lesson(*drawn), view
            if LADDER[self.recipe.model].augmented:
                # Four numbers, so that no view shares its random numbers with the order of an epoch, which has three.
                random = np.random.default_rng([self.recipe.seed, view, self.rank, VIEW_EPOCHS])
                self.lesson = augmenting.augment(drawn, random)
        return self.lesson

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order in which an epoch goes through its lesson, int64 (N,)."""
        random = np.random.default_rng([self.recipe.seed, epoch, self.rank])
        return random.permutation(len(self.of(epoch).classes))


def draw(data: NDArray[np.int16], weights: Sequence[float], view: int) -> NDArray[np.int64]:
    """The rows of N digits that a view has, int64, rising; a row is there as often as it is drawn.

    ``data`` is the number of each digit's data set, and ``weights`` are those of the sets. A set goes through its
    digits again and again, each view going on where the one before it ended.
    """
    rows = []
    for number, weight in enumerate(weights):
        own = np.flatnonzero(data == number)
        count = _drawn(len(own), weight)
        rows.append(own[np.arange(view * count, (view + 1) * count) % max(1, len(own))])
    return np.sort(np.concatenate(rows))


def drawn_size(data: NDArray[np.int16], weights: Sequence[float]) -> int:
    """How many rows ``draw`` gives, which is the same for every view."""
    return sum(_drawn(int((data == number).sum()), weight) for number, weight in enumerate(weights))


def _drawn(digits: int, weight: float) -> int:
    return max(1, round(digits * weight)) if digits else 0
