"""What each worker of a training is given to do, worked out once, on the driver."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import augmenting, epochs
from mnist_batch.learning.fine_tuning import Start
from mnist_batch.learning.recipe import Recipe, Settings
from mnist_batch.learning.shares import Shares
from mnist_batch.models.ladder import LADDER


@dataclass(frozen=True)
class Assignment:
    """The training of one net, as all its workers are given it; each knows its own rank from Ray.

    ``recipe`` is the net's own. ``training`` and ``validation`` name the datasets of each rank, ``weights`` are those
    of the data sets that a training share mixes. ``step_sizes``, float32 (steps,), counts the pictures of each step
    over all workers; ``learned`` is their sum, ``held_out`` the number of validation digits. ``net`` is the net's place
    in its ensemble, and in ``start``, if there is one.
    """

    recipe: Recipe
    net: int
    start: Start | None
    training: tuple[str, ...]
    validation: tuple[str, ...]
    weights: tuple[float, ...]
    step_sizes: NDArray[np.float32]
    learned: int
    held_out: int
    threads: int


def assign(recipe: Recipe, shares: Shares, start: Start | None, settings: Settings) -> list[Assignment]:
    """An assignment for each net of the model that is trained, in their order."""
    assignments = []
    for net, own in list(enumerate(recipe.nets))[recipe.kept :]:
        sizes = [augmenting.lesson_size(size) if LADDER[own.model].augmented else size for size in shares.sizes]
        steps = -(-sum(sizes) // own.batch_size)
        assignments.append(
            Assignment(
                recipe=own,
                net=net,
                start=None if recipe.only_first else start,
                training=tuple(shares.training),
                validation=tuple(shares.validation),
                weights=shares.weights,
                step_sizes=epochs.step_counts(sizes, steps),
                learned=sum(sizes),
                held_out=shares.facts.held_out,
                threads=settings.cpus_per_worker,
            )
        )
    return assignments
