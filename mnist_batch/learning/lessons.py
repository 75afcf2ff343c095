"""What a worker learns from, epoch by epoch."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import augmenting
from mnist_batch.learning.augmenting import Lesson
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.recipe import Recipe
from mnist_batch.models.ladder import LADDER

VIEW_EPOCHS = 2  # each view of a digit is used for two epochs: drawing it can cost as much as a training step on it


class Lessons:
    """The lessons of one worker: its digits as they are, or for an augmented net in one view after the other.

    A lesson depends on the recipe's seed, the rank and the epoch only, so a training that was killed goes on with the
    same ones.
    """

    def __init__(self, share: Digits, recipe: Recipe, rank: int) -> None:
        self.share, self.recipe, self.rank = share, recipe, rank
        self.lesson, self.view = Lesson(*share), -1

    def of(self, epoch: int) -> Lesson:
        """The lesson of an epoch, from 0; every one has the same size and the same classes in the same order."""
        view = epoch // VIEW_EPOCHS
        if LADDER[self.recipe.model].augmented and view != self.view:
            # Four numbers, so that no view shares its random numbers with the order of an epoch, which has three.
            random = np.random.default_rng([self.recipe.seed, view, self.rank, VIEW_EPOCHS])
            self.lesson, self.view = augmenting.augment(self.share, random), view
        return self.lesson

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order in which an epoch goes through its lesson, int64 (N,)."""
        random = np.random.default_rng([self.recipe.seed, epoch, self.rank])
        return random.permutation(len(self.of(epoch).classes))
