"""What a training step spends on each layer of a model: forward and back, alone, on one thread.

    python -m benchmarks.layers --model cnn --precision float32

Microseconds a digit, the median of some rounds; batch norms as Keras computes them and as ``jobs.train`` does. Below
the sum, the whole step, with loss and optimizer.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from mnist_batch.learning import digits, epochs
from mnist_batch.models.ladder import LADDER, PRECISIONS

ROUNDS, STEPS = 5, 8


def microseconds(work: Callable[[], object], batch: int) -> float:
    """The median of some rounds of some steps, for each digit of a batch."""
    work()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(STEPS):
            work()
        taken.append((time.perf_counter() - started) / STEPS)
    return 1e6 * median(taken) / batch


def layer_microseconds(layer: Any, batch: int) -> float:
    """Microseconds a digit of one layer of a model, forward and back."""
    import tensorflow as tf

    inputs = tf.cast(tf.random.normal((batch, *layer.input.shape[1:])), layer.compute_dtype)

    @tf.function
    def work() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(layer(inputs, training=True) ** 2)
        return tape.gradient(total, [inputs, *layer.trainable_variables])

    return microseconds(work, batch)


def step_microseconds(model: Any, optimizer: Any, batch: int) -> float:
    """Microseconds a digit of whole steps of a model, each with digits of its own."""
    import tensorflow as tf

    optimizer.build(model.trainable_variables)
    step = tf.function(epochs.make_step(model, optimizer))
    pictures, labels = digits.mnist("test")
    at = iter(range(0, len(labels) - batch, batch))
    weights, count = np.ones(batch, np.float32), np.float32(batch)

    def work() -> None:
        start = next(at)
        step(pictures[start : start + batch], labels[start : start + batch].astype(np.int32), weights, count)

    return microseconds(work, batch)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", choices=[name for name in LADDER if not LADDER[name].members], default="cnn")
    arguments.add_argument("--precision", choices=PRECISIONS, default="float32")
    arguments.add_argument("--batch-size", type=int, default=128)
    given = arguments.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy(PRECISIONS[given.precision])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    architecture = LADDER[given.model]
    plain, fused = architecture.build(), architecture.build()
    epochs.fuse_batch_norm(fused)
    print("| layer | shape | as Keras has it | as trained here |\n|---|---|---|---|")
    sums = np.zeros(2)
    for layer, trained in zip(plain.layers, fused.layers, strict=True):
        took = layer_microseconds(layer, given.batch_size), layer_microseconds(trained, given.batch_size)
        sums += took
        shape = " x ".join(str(size) for size in layer.output.shape[1:])
        print(f"| {type(layer).__name__} | {shape} | {took[0]:.0f} | {took[1]:.0f} |")
    print(f"| sum | | {sums[0]:.0f} | {sums[1]:.0f} |")
    whole = [step_microseconds(model, architecture.optimizer(1_000), given.batch_size) for model in (plain, fused)]
    print(f"| a step | | {whole[0]:.0f} | {whole[1]:.0f} |")


if __name__ == "__main__":
    main()
