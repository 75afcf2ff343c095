"""The ladder of Keras models, from one dense layer to a convolutional net, one function each, by name.

Every model takes uint8 (N, 28, 28) with ink = 255, scales it to 0..1 itself and gives ten outputs, one a digit. Those
that learn from scans give two more: for what is no digit, and for several (``REFUSALS``).
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
    """The layers one after the other, behind those that take a picture and scale it."""
    import keras

    return keras.Sequential(
        [keras.Input((28, 28), dtype="uint8"), keras.layers.Rescaling(1 / 255, dtype="float32"), *layers]
    )


def _answers(outputs: int, activation: str = "softmax") -> Any:
    """The last layer, in single precision whatever the others are trained in: a bfloat16 has no 0.999."""
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

    Pictures that look another way again and again leave little for dropout to do, so it is before the last layer only.
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
    """A 6x6 convolution by steps of two, then six of 3x3 (64, 88) with batch norm, refusals too; 342k parameters.

    Without pooling it makes other mistakes than ``scanned``, which is what an ensemble lives on.
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


def average(members: Sequence[Model]) -> Model:
    """One model whose outputs are the mean of its members' outputs."""
    import keras

    pictures = keras.Input((28, 28), dtype="uint8")
    return keras.Model(pictures, keras.layers.Average()([member(pictures) for member in members]))


def adam(_steps: int) -> Optimizer:
    """Adam as Keras has it, the tutorials' choice."""
    import keras

    return keras.optimizers.Adam()


def adam_with_cosine_decay(steps: int) -> Optimizer:
    """Adam whose learning rate falls from 0.002 to 0 along a cosine over the whole training."""
    import keras

    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))


def careful_adam(steps: int) -> Optimizer:
    """Adam for a net that knows digits already: its learning rate falls from 0.001 to 0 along a cosine."""
    import keras

    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))


@dataclass(frozen=True)
class Architecture:
    """A model of the ladder and how it is trained; the loss is always the cross-entropy.

    ``augmented`` digits look another way again and again, as scanners might see them, and some pictures that are no
    digit are among them. ``held_out`` digits, a sixth if that is less, are for validation and calibration.
    ``members`` are models of the ladder that are trained with a seed each and averaged; none for a single net.
    """

    build: Callable[[], Model]
    epochs: int
    batch_size: int
    optimizer: Callable[[int], Optimizer] = adam
    augmented: bool = False
    members: tuple[str, ...] = ()
    held_out: int = 5_000


SCANNED = Architecture(
    scanned,
    epochs=20,
    batch_size=128,
    optimizer=adam_with_cosine_decay,
    augmented=True,
    held_out=10_000,  # its confidence is what scans are accepted by: the more digits, the smaller an error they certify
)
FINE_TUNED_EPOCHS = 10  # of a net that begins with a bundle's weights, whatever it is
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # what layers compute in, and Keras's policy for it
LADDER = {
    "linear": Architecture(linear, epochs=5, batch_size=32),
    "hidden": Architecture(hidden, epochs=5, batch_size=32),
    "deep": Architecture(deep, epochs=10, batch_size=32),
    "dropout": Architecture(dropout, epochs=10, batch_size=64),
    "cnn": Architecture(cnn, epochs=10, batch_size=128, optimizer=adam_with_cosine_decay),
    "scanned": SCANNED,
    "strided": replace(SCANNED, build=strided, epochs=40),
    "ensemble": replace(SCANNED, epochs=40, members=("scanned", "strided", "scanned")),
}


def members_of(name: str) -> tuple[str, ...]:
    """The nets, by name, that a model of the ladder is made of: its members, or itself."""
    return LADDER[name].members or (name,)
