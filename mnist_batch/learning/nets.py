"""A net while it is trained, and once it is."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mnist_batch.learning import epochs, fine_tuning
from mnist_batch.learning.assignment import Assignment
from mnist_batch.learning.recipe import Recipe
from mnist_batch.models import ladder
from mnist_batch.models.ladder import LADDER, PRECISIONS, Model, Optimizer

# What Keras imports for its plots and wrappers, if it is installed: 1.6 of 5.5 CPU seconds of importing TensorFlow.
UNUSED = ("matplotlib", "sklearn")


@dataclass(frozen=True)
class Member:
    """A trained net: its recipe, its weights in the order of Keras, and a dict of metrics for each epoch."""

    recipe: Recipe
    weights: list[NDArray[Any]]
    history: list[dict[str, Any]]


def import_tensorflow(threads: int) -> Any:
    """TensorFlow with oneDNN and this many threads an operation, in a process that has not imported it before."""
    # TensorFlow leaves oneDNN out on processors without AVX-512, where a step of ``cnn`` takes 0.7 of the time with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    unused = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type] # None: as if they were not installed
    try:
        import tensorflow as tf
    finally:
        for name in unused:
            del sys.modules[name]
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def build(strategy: Any, assignment: Assignment) -> tuple[Model, Optimizer]:
    """The net and its optimizer on this worker, with the weights that training begins with.

    Raises InputError if the weights of the assignment's ``start`` do not fit.
    """
    import keras

    recipe, start = assignment.recipe, assignment.start
    architecture = LADDER[recipe.model]
    keras.utils.set_random_seed(recipe.seed)
    with strategy.scope():
        keras.config.set_dtype_policy(PRECISIONS[recipe.precision])
        model = architecture.build()
        keras.config.set_dtype_policy("float32")  # for whatever is built later
        epochs.fuse_batch_norm(model)
        steps = len(assignment.step_sizes) * recipe.epochs
        optimizer = (ladder.careful_adam if start else architecture.optimizer)(steps)
        optimizer.build(model.trainable_variables)
    if start:
        fine_tuning.begin(model, start, assignment.net)
    return model, optimizer


def number_layers(members: Sequence[Member], start: fine_tuning.Start | None) -> list[Model]:
    """Build what the training of the last net built, so that Keras numbers the layers of a bundle after it.

    The numbers are in both files of a bundle: without this, a recipe would not give the very bundle that is shipped.
    Returns the nets of ``start``, none without one.
    """
    LADDER[members[-1].recipe.model].build()
    return fine_tuning.load_nets(start.archive) if start else []


def kept(recipe: Recipe, begun_from: Sequence[Model]) -> list[Member]:
    """The nets that are taken from the bundle that training started with; they have no history here."""
    pairs = zip(recipe.nets[: recipe.kept], begun_from, strict=False)
    return [Member(own, [weight.numpy() for weight in net.weights], []) for own, net in pairs]


def rebuild(members: Sequence[Member]) -> list[Model]:
    """The trained nets again, outside a strategy: Keras cannot export mirrored variables."""
    nets = []
    for member in members:
        nets.append(LADDER[member.recipe.model].build())
        nets[-1].set_weights(member.weights)
    return nets
