"""One epoch on several workers: which pictures each step takes, and the step itself. No Ray in here."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning.augmenting import Lesson
from mnist_batch.learning.digits import Digits
from mnist_batch.models.ladder import Model, Optimizer


class Sums(NamedTuple):
    """What an epoch comes to, added up over all workers: in training, then on the validation digits after it."""

    loss: float
    correct: float
    validation_loss: float
    validation_correct: float


RunEpoch = Callable[[Lesson, NDArray[np.int64], NDArray[np.float32]], Sums]


def share_sizes(total: int, workers: int) -> list[int]:
    """Divide ``total`` digits among the workers; sizes differ by at most one."""
    return [total * (rank + 1) // workers - total * rank // workers for rank in range(workers)]


def step_counts(shares: list[int], steps: int) -> NDArray[np.float32]:
    """How many pictures each step takes over all workers, float32 (steps,): within a few of the batch size."""
    bounds = [np.arange(steps + 1) * share // steps for share in shares]
    return np.asarray(sum(np.diff(bound) for bound in bounds), np.float32)


def step_rows(order: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Spread a worker's pictures evenly over the steps of an epoch, in the given order, each picture once.

    Returns rows int32 and weights float32, both (steps, most pictures a step). Weight 0 pads a step that has one
    picture fewer, so that every step has the same shape.
    """
    bounds = np.arange(steps + 1) * len(order) // steps
    width = max(1, int(np.diff(bounds).max()))
    places = bounds[:-1, None] + np.arange(width)
    weights = places < bounds[1:, None]
    rows = order[np.minimum(places, len(order) - 1)]
    return rows.astype(np.int32), weights.astype(np.float32)


def fuse_batch_norm(model: Model) -> None:
    """Train the batch norms after a model's convolutions with TensorFlow's fused operation, in a third of the time.

    Keras computes moments, scale and shift one after the other, each in a pass over memory. Outputs, gradients and
    moving averages are the same but for rounding.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and len(layer.output.shape) == len("NHWC"):
            layer.call = partial(_fused, layer, layer.call)


def _fused(layer: Any, plain: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    import tensorflow as tf

    if not training:
        return plain(inputs, training=training, mask=mask)
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs, layer.gamma, layer.beta, epsilon=layer.epsilon, is_training=True
    )
    pixels = tf.cast(tf.size(inputs) / tf.size(mean), variance.dtype)
    biased = variance * (pixels - 1) / pixels  # the operation returns the unbiased variance, Keras keeps the biased one
    for kept, new in ((layer.moving_mean, mean), (layer.moving_variance, biased)):
        kept.assign(kept * layer.momentum + new * (1 - layer.momentum))
    return outputs


def make_step(model: Model, optimizer: Optimizer) -> Any:
    """Make the step of one replica: (images, labels, weights, count) -> (sum of losses, number correct).

    The gradient is that of the mean cross-entropy over the ``count`` pictures of all replicas: each divides its own
    sum by ``count``, and the optimizer adds them up. The loss is a function, because Keras 3 rescales loss objects
    under a strategy.
    """
    import keras
    import tensorflow as tf

    def step(images: Any, labels: Any, weights: Any, count: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, outputs) * weights
            loss = tf.reduce_sum(losses)
            mean = loss / tf.maximum(count, 1.0)
        gradients = tape.gradient(mean, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        hits = tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == labels, tf.float32)
        return loss, tf.reduce_sum(hits * weights)

    return step


def make_epoch(strategy: Any, model: Model, optimizer: Optimizer, validation: Digits) -> RunEpoch:
    """Make the function that trains for an epoch: (lesson, order of its pictures, pictures a step) -> ``Sums``.

    The lesson and the order are this worker's, the pictures a step are those of all workers, float32 (steps,);
    ``validation`` is this worker's share. Python calls TensorFlow once an epoch, which makes small models fast.
    """
    import tensorflow as tf

    averages = [
        variable
        for variable in model.non_trainable_variables
        if tf.as_dtype(variable.dtype).is_floating  # batch norm's; the others are seeds
    ]
    learn = _make_learn(strategy, make_step(model, optimizer))
    evaluate = _make_evaluate(model, validation)

    def all_reduce(how: str, values: Any) -> Any:
        with tf.device("/cpu:0"):  # a collective has to know where its tensors are
            placed = [tf.identity(value) for value in values]
        return strategy.run(lambda *own: tf.distribute.get_replica_context().all_reduce(how, list(own)), args=placed)

    @tf.function
    def mean_averages() -> Any:
        return all_reduce("MEAN", [variable.value for variable in averages])

    @tf.function
    def sums(*values: Any) -> Any:
        return all_reduce("SUM", [*values, *strategy.run(evaluate)])

    def run_epoch(lesson: Lesson, order: NDArray[np.int64], step_sizes: NDArray[np.float32]) -> Sums:
        rows, weights = step_rows(order, len(step_sizes))
        classes = tf.constant(lesson.classes, tf.int32)
        learned = learn(tf.constant(lesson.pictures), classes, *map(tf.constant, (rows, weights, step_sizes)))
        if averages:  # each worker has kept batch norm's moving averages of its own pictures only
            for variable, mean in zip(averages, mean_averages(), strict=True):
                variable.assign(mean)
        return Sums(*map(float, sums(*learned)))

    return run_epoch


def _make_learn(strategy: Any, step: Any) -> Any:
    """All steps of an epoch on this worker, as one graph."""
    import tensorflow as tf

    @tf.function
    def learn(images: Any, labels: Any, rows: Any, weights: Any, counts: Any) -> tuple[Any, Any]:
        loss, hits = 0.0, 0.0
        for at in tf.range(tf.shape(rows)[0]):
            batch = (tf.gather(images, rows[at]), tf.gather(labels, rows[at]), weights[at], counts[at])
            step_loss, step_hits = strategy.run(step, args=batch)
            loss += step_loss
            hits += step_hits
        return loss, hits

    return learn


def _make_evaluate(model: Model, validation: Digits) -> Callable[[], tuple[Any, Any]]:
    """The model on this worker's validation digits: the sum of losses and the number correct."""
    import keras
    import tensorflow as tf

    images, labels = tf.constant(validation.images), tf.constant(validation.labels, tf.int32)

    def evaluate() -> tuple[Any, Any]:
        outputs = model(images, training=False)
        hits = tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == labels, tf.float32)
        return tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(labels, outputs)), tf.reduce_sum(hits)

    return evaluate
