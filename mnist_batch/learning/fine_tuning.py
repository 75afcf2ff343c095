"""Fine-tuning: a training that begins with the weights of a bundle, and mixes MNIST into the user's own scans."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.learning import digits, model_json
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.recipe import Data, Recipe
from mnist_batch.models import bundle, vetting
from mnist_batch.models.ladder import LADDER, nets_of
from mnist_batch.schemas.bundle_facts import BegunFrom

SHIPPED = "shipped"  # the word for the bundle of this package
REHEARSED = 2_000  # digits of MNIST among the scans, so that a digit the scans have few of is not forgotten
REHEARSAL_SEED = 0


@dataclass(frozen=True)
class Start:
    """The bundle that a fine-tuning begins with: where it is, its digests, its model and its Keras archive.

    ``has_first``: it has all nets of its model; without, the one that is asked first is missing.
    """

    location: str
    digest: str
    weights: str
    model: str
    archive: bytes
    has_first: bool = True

    def recorded(self) -> BegunFrom:
        """What model.json records of it."""
        return BegunFrom(self.location, self.digest, self.weights)


def open_start(location: str) -> Start:
    """Verify and vet the bundle at a path or URI; the word ``shipped`` names the one of this package.

    Raises InputError if there is none, or its model is not on the ladder.
    """
    opened = bundle.open_bundle(bundle.SHIPPED if location == SHIPPED else location, "--from")
    vetting.vet(opened)
    model, nets = model_json.nets_of(opened.facts)
    if model not in LADDER or nets not in (None, nets_of(model), LADDER[model].members):
        raise InputError(
            f"--from {location}: its model {model!r} is not one that this version trains; choose a bundle of "
            f"{', '.join(LADDER)}"
        )
    recorded = SHIPPED if location == SHIPPED else opened.location
    has_first = nets in (None, nets_of(model))
    return Start(recorded, opened.digest, str(opened.facts.weights), model, opened.read("model.keras"), has_first)


def check(start: Start | None, recipe: Recipe, data: Sequence[Data]) -> None:
    """Raise InputError if a training with this recipe on ``data`` cannot begin with this bundle, or needs one."""
    if start is None:
        if recipe.only_first:
            raise InputError("--only-first keeps the other nets of a bundle; give that bundle with --from")
        return
    if recipe.model != start.model:
        raise InputError(
            f"--model {recipe.model}: --from {start.location} is a bundle of {start.model}; leave --model out"
        )
    if not (start.has_first or recipe.only_first):
        raise InputError(
            f"--from {start.location}: its ensemble lacks the net that is asked first; train that one first, with "
            "--only-first"
        )
    if not data:
        raise InputError("--from needs --data, the scans to learn from; without them leave --from out")


def load_nets(archive: bytes) -> list[Any]:
    """Load the nets of a bundle's vetted ``model.keras`` in their order: its members, or the only one."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.keras"
        copy.write_bytes(archive)
        whole = keras.saving.load_model(copy, compile=False, safe_mode=True)
    return [layer for layer in whole.layers if isinstance(layer, keras.Sequential)] or [whole]


def begin(net: Any, start: Start, number: int) -> None:
    """Set a net to the weights of the start's net of this number; InputError if they do not fit."""
    nets = load_nets(start.archive)
    shapes = [tuple(weight.shape) for weight in net.weights]
    if len(nets) <= number or [tuple(weight.shape) for weight in nets[number].weights] != shapes:
        raise InputError(
            f"--from {start.location}: its weights are not those of this version's {start.model!r}, as its model.json "
            "says; use a bundle that jobs.train wrote"
        )
    for variable, weight in zip(net.weights, nets[number].weights, strict=True):
        variable.assign(weight.numpy())


def rehearsal(own: NDArray[np.uint8]) -> Digits:
    """Digits of MNIST to learn among a user's own scans, always the same ones, without any that is in ``own``.

    ``own`` are images uint8 (N, 28, 28).
    """
    mnist = digits.mnist("train")
    chosen = np.random.default_rng(REHEARSAL_SEED).permutation(len(mnist.labels))[:REHEARSED]
    known = {image.tobytes() for image in own}
    new = [mnist.images[row].tobytes() not in known for row in chosen]
    return Digits(mnist.images[chosen[new]], mnist.labels[chosen[new]])
