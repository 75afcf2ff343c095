"""The ladder of Keras models, from one dense layer to an ensemble of convolutional nets: one function per model.

Every model takes uint8 (N, 28, 28) with ink = 255, scales it to 0..1 itself and gives ten outputs, one per digit.
Models that learn from scans give two more, one for each of ``REFUSALS``: no digit, and several digits.
Keras is imported when a model is built, so that the names can be listed without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mnist_batch.schemas.tables import CLASSES
from mnist_batch.statuses import REFUSALS

Model = Any  # keras.Model: Keras ships no types
Optimizer = Any


def _net(*layers: Any) -> Model:
    """The layers in sequence, after the layers that take a picture and scale it."""
    import keras

    return keras.Sequential(
        [keras.Input((28, 28), dtype="uint8"), keras.layers.Rescaling(1 / 255, dtype="float32"), *layers]
    )


def _answers(outputs: int, activation: str = "softmax") -> Any:
    """The last layer, always in single precision: bfloat16 cannot represent 0.999."""
    from keras.layers import Dense

    return Dense(outputs, activation=activation, dtype="float32")


def _dense_net(hidden: list[tuple[int, str]], output: str) -> Model:
    from keras.layers import Dense, Flatten

    return _net(
        Flatten(),
        *(Dense(units, activation=activation) for units, activation in hidden),
        _answers(CLASSES, output),
    )


def linear() -> Model:
    """Flatten, dense 10 sigmoid."""
    return _dense_net([], "sigmoid")


def hidden() -> Model:
    """Flatten, dense 100 relu, dense 10 sigmoid."""
    return _dense_net([(100, "relu")], "sigmoid")


def deep() -> Model:
    """Flatten, dense 50 relu twice, dense 10 sigmoid."""
    return _dense_net([(50, "relu"), (50, "relu")], "sigmoid")


def dropout() -> Model:
    """Flatten, dense 1024 relu, dense 128 tanh, dropout 0.05, dense 64 relu, dense 10 softmax."""
    from keras.layers import Dense, Dropout, Flatten

    return _net(
        Flatten(),
        Dense(1024, activation="relu"),
        Dense(128, activation="tanh"),
        Dropout(0.05),
        Dense(64, activation="relu"),
        _answers(CLASSES),
    )


def _convolutions(filters: int, padding: str = "valid") -> list[Any]:
    """Two convolutions of 3x3 with batch norm and relu, the second one without padding."""
    from keras.layers import BatchNormalization, Conv2D, ReLU

    return [
        layer
        for edges in (padding, "valid")
        for layer in (Conv2D(filters, 3, padding=edges, use_bias=False), BatchNormalization(), ReLU())
    ]


def cnn() -> Model:
    """Two blocks of two 3x3 convolutions (32, 64) with batch norm, dense 128, dropout; 198k parameters."""
    from keras.layers import BatchNormalization, Dense, Dropout, Flatten, MaxPooling2D, ReLU, Reshape

    return _net(
        Reshape((28, 28, 1)),
        *_convolutions(32),
        MaxPooling2D(),
        Dropout(0.25),
        *_convolutions(64),
        MaxPooling2D(),
        Dropout(0.25),
        Flatten(),
        Dense(128, use_bias=False),
        BatchNormalization(),
        ReLU(),
        Dropout(0.5),
        _answers(CLASSES),
    )


def scanned() -> Model:
    """Three blocks of two 3x3 convolutions (32, 64, 128) with batch norm, dropout, refusals too; 294k parameters.

    New views of each digit leave little for dropout to do, so there is dropout before the last layer only.
    """
    from keras.layers import Dropout, Flatten, MaxPooling2D, Reshape

    return _net(
        Reshape((28, 28, 1)),
        *_convolutions(32),
        MaxPooling2D(),
        *_convolutions(64),
        MaxPooling2D(),
        *_convolutions(128, "same"),
        Flatten(),
        Dropout(0.3),
        _answers(CLASSES + len(REFUSALS)),
    )


def strided() -> Model:
    """A 6x6 convolution with stride 2, then six of 3x3 (64, 88) with batch norm, refusals too; 342k parameters.

    Without pooling it makes other mistakes than ``scanned``, and an ensemble needs members that differ.
    """
    from keras.layers import BatchNormalization, Conv2D, Dropout, Flatten, ReLU, Reshape

    return _net(
        Reshape((28, 28, 1)),
        Conv2D(64, 6, strides=2, padding="same", use_bias=False),
        BatchNormalization(),
        ReLU(),
        *_convolutions(64),
        *_convolutions(88),
        *_convolutions(88),
        Flatten(),
        Dropout(0.3),
        _answers(CLASSES + len(REFUSALS)),
    )


def quick() -> Model:
    """Three convolutions (24, 48, 64) with batch norm, dense 96, dropout, refusals too; 139k parameters.

    It takes a thirtieth of the time of ``ensemble``, which asks it first.
    """
    from keras.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, ReLU, Reshape

    def convolution(filters: int, size: int, strides: int, padding: str) -> list[Any]:
        layer = Conv2D(filters, size, strides=strides, padding=padding, use_bias=False)
        return [layer, BatchNormalization(), ReLU()]

    return _net(
        Reshape((28, 28, 1)),
        *convolution(24, 4, 2, "same"),
        *convolution(48, 3, 2, "valid"),
        *convolution(64, 3, 1, "valid"),
        Flatten(),
        Dropout(0.2),
        Dense(96, use_bias=False),
        BatchNormalization(),
        ReLU(),
        _answers(CLASSES + len(REFUSALS)),
    )


def joined(name: str, nets: Sequence[Model]) -> Model:
    """One model of the nets of a model of the ladder, in the order of ``nets_of``.

    Its output is the mean of the members' outputs. If there is a net that is asked first, its output is a second one.
    """
    import keras

    first = LADDER[name].first
    if len(nets) == 1:
        return nets[0]
    pictures = keras.Input((28, 28), dtype="uint8")
    outputs = [net(pictures) for net in nets]
    mean = keras.layers.Average()(outputs[:-1] if first else outputs)
    return keras.Model(pictures, [mean, outputs[-1]] if first else mean)


def adam(_steps: int) -> Optimizer:
    """Adam with Keras's defaults, as in the tutorials."""
    import keras

    return keras.optimizers.Adam()


def adam_with_cosine_decay(steps: int) -> Optimizer:
    """Adam with a learning rate that falls from 0.002 to 0 along a cosine over the whole training."""
    import keras

    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))


def careful_adam(steps: int) -> Optimizer:
    """Adam for fine-tuning a net that already knows digits: the learning rate falls from 0.001 to 0 along a cosine."""
    import keras

    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))


@dataclass(frozen=True)
class Architecture:
    """A model of the ladder and how it is trained; the loss is always the cross-entropy.

    With ``augmented``, training sees ever new views of its digits, as scanners might deliver them, and negatives.
    ``held_out`` digits, or a sixth if that is less, are for validation and calibration. ``members`` are models of the
    ladder, each trained with its own seed, whose outputs are averaged; a single net has none. ``first`` is a small one,
    which is asked first: the members are asked where it is not sure.
    """

    build: Callable[[], Model]
    epochs: int
    batch_size: int
    optimizer: Callable[[int], Optimizer] = adam
    augmented: bool = False
    members: tuple[str, ...] = ()
    first: str | None = None
    held_out: int = 5_000


SCANNED = Architecture(
    scanned,
    epochs=20,
    batch_size=128,
    optimizer=adam_with_cosine_decay,
    augmented=True,
    held_out=10_000,  # scans are accepted by its confidence: more digits certify a smaller error
)
FINE_TUNED_EPOCHS = 10  # for every net that starts from the weights of a bundle
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # the precision of layers -> its policy in Keras
LADDER = {
    "linear": Architecture(linear, epochs=5, batch_size=32),
    "hidden": Architecture(hidden, epochs=5, batch_size=32),
    "deep": Architecture(deep, epochs=10, batch_size=32),
    "dropout": Architecture(dropout, epochs=10, batch_size=64),
    "cnn": Architecture(cnn, epochs=10, batch_size=128, optimizer=adam_with_cosine_decay),
    "scanned": SCANNED,
    "strided": replace(SCANNED, build=strided, epochs=40),
    "quick": replace(SCANNED, build=quick, epochs=40),
    "ensemble": replace(SCANNED, epochs=40, members=("scanned", "strided", "scanned"), first="quick"),
}


def nets_of(name: str) -> tuple[str, ...]:
    """The names of the nets that a model of the ladder consists of: its members and last its first one, or itself."""
    model = LADDER[name]
    return (*(model.members or (name,)), *([model.first] if model.first else []))
