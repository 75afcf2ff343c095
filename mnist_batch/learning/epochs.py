"""One epoch of several workers: which digits each step takes, and the step itself. No Ray in here."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.models.ladder import Model, Optimizer


def share_sizes(total: int, workers: int) -> list[int]:
    """How many of ``total`` digits each worker gets: all of them, sizes differing by at most one."""
    return [total * (rank + 1) // workers - total * rank // workers for rank in range(workers)]


def step_counts(shares: list[int], steps: int) -> NDArray[np.float32]:
    """How many digits each step takes over all workers, float32 (steps,): within a few of the batch size."""
    bounds = [np.arange(steps + 1) * share // steps for share in shares]
    return np.asarray(sum(np.diff(bound) for bound in bounds), np.float32)


def step_rows(order: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A worker's digits in the given order spread evenly over the steps of an epoch, each digit once.

    Returns rows int32 and weights float32, both (steps, most digits a step): weight 0 pads a step that
    has one digit fewer, so that every step has the same shape.
    """
    bounds = np.arange(steps + 1) * len(order) // steps
    width = max(1, int(np.diff(bounds).max()))
    places = bounds[:-1, None] + np.arange(width)
    weights = places < bounds[1:, None]
    rows = order[np.minimum(places, len(order) - 1)]
    return rows.astype(np.int32), weights.astype(np.float32)


def fuse_batch_norm(model: Model) -> None:
    """Has TensorFlow's fused operation train the batch norms behind a model's convolutions, in a third of the time.

    Keras computes moments, scale and shift one after the other, each a pass over memory. Outputs, gradients and
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
    biased = variance * (pixels - 1) / pixels  # the operation gives the unbiased one, Keras keeps this
    for kept, new in ((layer.moving_mean, mean), (layer.moving_variance, biased)):
        kept.assign(kept * layer.momentum + new * (1 - layer.momentum))
    return outputs


def make_step(model: Model, optimizer: Optimizer) -> Any:
    """One step of one replica: (images, labels, weights, count) -> (sum of losses, number correct).

    The gradient is that of the mean cross-entropy over the ``count`` digits of all replicas: each
    divides its sum by ``count``, and the optimizer adds them up. (Loss *objects* of Keras 3 rescale under a
    strategy; the function does not.)
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


def make_epoch(strategy: Any, model: Model, optimizer: Optimizer, labels: Any, validation: Any) -> Any:
    """An epoch of all workers as one ``tf.function``: (images, rows, weights, counts) -> four sums over all workers.

    ``images`` are this worker's, as they look in this epoch, and ``labels`` theirs; ``validation`` is its images
    and labels. The sums are those of loss and hits in training, then of loss and hits on the validation digits
    after it. Python meets TensorFlow once an epoch, which is what makes small models fast.
    """
    import keras
    import tensorflow as tf

    labels = tf.constant(labels, tf.int32)
    held_out, truth = tf.constant(validation[0]), tf.constant(validation[1], tf.int32)
    step = make_step(model, optimizer)
    averages = [
        variable
        for variable in model.non_trainable_variables
        if tf.as_dtype(variable.dtype).is_floating  # batch norm's; the others are seeds
    ]

    def all_reduce(how: str, values: Any) -> Any:
        with tf.device("/cpu:0"):  # a collective has to know where its tensors are
            placed = [tf.identity(value) for value in values]
        return strategy.run(lambda *own: tf.distribute.get_replica_context().all_reduce(how, list(own)), args=placed)

    def evaluate() -> tuple[Any, Any]:
        outputs = model(held_out, training=False)
        hits = tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == truth, tf.float32)
        return tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(truth, outputs)), tf.reduce_sum(hits)

    @tf.function
    def learn(images: Any, rows: Any, weights: Any, counts: Any) -> tuple[Any, Any]:
        loss, hits = 0.0, 0.0
        for at in tf.range(tf.shape(rows)[0]):
            batch = (tf.gather(images, rows[at]), tf.gather(labels, rows[at]), weights[at], counts[at])
            step_loss, step_hits = strategy.run(step, args=batch)
            loss += step_loss
            hits += step_hits
        return loss, hits

    @tf.function
    def mean_averages() -> Any:
        return all_reduce("MEAN", [variable.value for variable in averages])

    @tf.function
    def sums(*values: Any) -> Any:
        return all_reduce("SUM", [*values, *strategy.run(evaluate)])

    def run_epoch(*epoch: Any) -> list[float]:
        loss, hits = learn(*(tf.constant(part) for part in epoch))
        if averages:  # each worker has kept batch norm's moving averages of its own digits only
            for variable, mean in zip(averages, mean_averages(), strict=True):
                variable.assign(mean)
        return [float(total) for total in sums(loss, hits)]

    return run_epoch
