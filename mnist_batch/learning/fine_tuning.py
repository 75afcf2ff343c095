"""Fine-tuning: a training that begins with the weights of a bundle, and with MNIST among the user's own scans."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.learning import digits
from mnist_batch.models import bundle, vetting
from mnist_batch.models.ladder import LADDER, members_of

SHIPPED = "shipped"  # the word for the bundle of this package
REHEARSED = 2_000  # digits of MNIST among the scans, lest the model forget a digit that the scans have few of
REHEARSAL_SEED = 0


@dataclass(frozen=True)
class Start:
    """The bundle that a fine-tuning begins with: what of it model.json names, its model, and its Keras archive."""

    location: str
    digest: str
    weights: str
    model: str
    archive: bytes

    def told(self) -> dict[str, str]:
        """What model.json says of it: where it was, the digest of its two models and that of its weights."""
        return {"bundle": self.location, "digest": self.digest, "weights": self.weights}


def open_start(location: str) -> Start:
    """Verify and vet the bundle at a path or URI, or the one of this package by the word ``shipped``.

    Raises InputError where there is none, or its model is not one of the ladder's.
    """
    opened = bundle.open_bundle(bundle.SHIPPED if location == SHIPPED else location, "--from")
    vetting.vet(opened)
    model = str(opened.info["architecture"])
    training = opened.info.get("training", {})
    if model not in LADDER or tuple(training.get("members", members_of(model))) != members_of(model):
        raise InputError(
            f"--from {location}: its model {model!r} is not one that this version trains; choose a bundle of "
            f"{', '.join(LADDER)}"
        )
    where = SHIPPED if location == SHIPPED else opened.location
    return Start(where, opened.digest, str(opened.info.get("weights")), model, opened.read("model.keras"))


def check(start: Start, model: str, data: str | None) -> None:
    """Raise InputError where a training of ``model`` on ``data`` cannot begin with this bundle."""
    if model != start.model:
        raise InputError(f"--model {model}: --from {start.location} is a bundle of {start.model}; leave --model out")
    if data is None:
        raise InputError("--from needs --data FOLDER, the scans to learn from; without them leave --from out")


def load_nets(archive: bytes) -> list[Any]:
    """The nets of a bundle's vetted ``model.keras``, in their order: its members, or the one net it is."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.keras"
        copy.write_bytes(archive)
        whole = keras.saving.load_model(copy, compile=False, safe_mode=True)
    return [layer for layer in whole.layers if isinstance(layer, keras.Sequential)] or [whole]


def begin(net: Any, start: Start, number: int) -> None:
    """Set a net to the weights of the start's net of this number; InputError where they do not fit."""
    nets = load_nets(start.archive)
    shapes = [tuple(weight.shape) for weight in net.weights]
    if len(nets) <= number or [tuple(weight.shape) for weight in nets[number].weights] != shapes:
        raise InputError(
            f"--from {start.location}: its weights are not those of this version's {start.model!r}, as its model.json "
            "says; use a bundle that jobs.train wrote"
        )
    for variable, weight in zip(net.weights, nets[number].weights, strict=True):
        variable.assign(weight.numpy())


def rehearsal(own: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Digits of MNIST to learn among a user's own scans, the same ones every time; none that is in ``own``.

    All images are uint8 (N, 28, 28), labels int8 (N,).
    """
    images, labels = digits.mnist("train")
    chosen = np.random.default_rng(REHEARSAL_SEED).permutation(len(labels))[:REHEARSED]
    known = {picture.tobytes() for picture in own}
    new = [images[row].tobytes() not in known for row in chosen]
    return images[chosen[new]], labels[chosen[new]]
