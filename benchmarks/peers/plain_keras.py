"""Keras as its documentation writes training: ``fit`` in one process, on as many threads as there are cores."""

import json
import sys
import time
from pathlib import Path

import keras

from mnist_batch.learning import digits
from mnist_batch.models.ladder import LADDER, PRECISIONS

HELD_OUT = 5_000


class Clock(keras.callbacks.Callback):
    """How long each epoch took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Note when."""
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Note how long."""
        self.seconds.append(time.monotonic() - self.started)


def main(name: str, epochs: str, batch_size: str, precision: str, out: str) -> None:
    """Train a model of the ladder, save it and its history as ``history.json`` of a bundle has it."""
    keras.utils.set_random_seed(1)
    images, labels = digits.mnist("train")
    architecture, clock = LADDER[name], Clock()
    keras.config.set_dtype_policy(PRECISIONS[precision])
    model = architecture.build()
    steps = -(-(len(images) - HELD_OUT) // int(batch_size))
    model.compile(architecture.optimizer(steps * int(epochs)), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fitted = model.fit(
        images[HELD_OUT:],
        labels[HELD_OUT:],
        epochs=int(epochs),
        batch_size=int(batch_size),
        validation_data=(images[:HELD_OUT], labels[:HELD_OUT]),
        callbacks=[clock],
        verbose=0,
    )
    _, accuracy = model.evaluate(*digits.mnist("test"), verbose=0)
    Path(out).mkdir()
    model.save(f"{out}/model.keras")
    reached = zip(clock.seconds, fitted.history["val_accuracy"], strict=True)
    history = [{"seconds": seconds, "validation_accuracy": share} for seconds, share in reached]
    Path(out, "history.json").write_text(json.dumps(history))
    Path(out, "model.json").write_text(json.dumps({"test": {"accuracy": accuracy}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
