"""How a model is trained: what decides its weights, and what only decides how fast they are there."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from typing import Any

from mnist_batch.described import described
from mnist_batch.errors import InputError
from mnist_batch.models.ladder import FINE_TUNED_EPOCHS, LADDER, PRECISIONS, nets_of
from mnist_batch.store import locations
from mnist_batch.wording import counted

DEFAULT_MODEL = "hidden"
REQUIRED: Any = MISSING  # the default of a field that has none
MNIST = "mnist"  # the word for the embedded MNIST
MOST_WEIGHT = 100


@dataclass(frozen=True)
class Data:
    """One ``--data``: where its labelled digits are, and how often each of them is drawn in an epoch.

    Raises InputError if the weight is not above 0 and at most 100.
    """

    location: str = MNIST
    weight: float = 1

    def __post_init__(self) -> None:
        if not 0 < self.weight <= MOST_WEIGHT:
            raise InputError(
                f"--weight {self.weight:g} of --data {self.location}: it has to be above 0 and at most {MOST_WEIGHT}, "
                "such as 2 or 0.5"
            )


def data_of(given: Sequence[str], weights: Sequence[float]) -> tuple[Data, ...]:
    """What several ``--data`` name, each with its ``--weight``; 1 for all if none is given.

    Raises InputError if there are more or fewer weights than data, or the same data twice.
    """
    if weights and len(weights) != len(given):
        raise InputError(
            f"--weight is given {counted(len(weights), 'time')} for {len(given)} --data; give one for each, in their "
            "order, or none"
        )
    places = [name if name == MNIST else locations.absolute(name) for name in given]
    for name, place in zip(given, places, strict=True):
        if places.count(place) > 1:
            raise InputError(f"--data {name}: is given twice; give it once, with --weight 2 to draw its digits twice")
    return tuple(map(Data, given, weights or [1.0] * len(given)))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the weights, apart from the digits; ``batch_size`` counts digits over all workers.

    With ``precision`` "bfloat16" layers compute in bfloat16 and keep their weights in float32.
    Raises InputError if a value breaks a rule.
    """

    model: str = described(
        DEFAULT_MODEL,
        "which model of the ladder",
        left_out=f"{DEFAULT_MODEL}, or with --from the model of that bundle,",
        choices=tuple(LADDER),
    )
    epochs: int = described(
        REQUIRED,
        "passes over the digits",
        left_out=f"the model's own number, or with --from {FINE_TUNED_EPOCHS},",
        metavar="N",
    )
    batch_size: int = described(
        REQUIRED, "digits a step, over all workers", left_out="the model's own number", metavar="N"
    )
    workers: int = described(2, "Ray workers, each with its share of the digits", metavar="N")
    seed: int = described(1, "the same seed and number of workers give the same weights", metavar="N")
    hold_out: int | None = described(
        None,
        "hold out at most so many digits of each --data, to measure and calibrate the model",
        left_out="a number of the model's own, 5,000 or 10,000,",
        metavar="N",
    )
    only_first: bool = described(
        False,
        "with --from: train the small net that an ensemble asks first, from nothing, and keep the others as they are",
    )
    precision: str = described(
        "float32",
        "what layers compute in: in bfloat16 convolutions train twice as fast if the processor has AMX",
        choices=tuple(PRECISIONS),
    )

    def __post_init__(self) -> None:
        _check_model(self.model)
        if self.precision not in PRECISIONS:
            raise InputError(f"--precision {self.precision!r} is not known; choose from {', '.join(PRECISIONS)}")
        for name in ("epochs", "batch_size", "workers", "seed"):
            at_least("--" + name.replace("_", "-"), getattr(self, name), 0 if name == "seed" else 1)
        if self.hold_out is not None:
            at_least("--hold-out", self.hold_out, 1)
        if self.only_first and not LADDER[self.model].first:
            raise InputError(f"--only-first: {self.model} asks no net first; leave it out, or train ensemble")
        if self.workers > self.batch_size:
            raise InputError(f"--workers {self.workers} cannot share --batch-size {self.batch_size}; lower it")

    @classmethod
    def completed(cls, given: Mapping[str, Any], start_model: str | None = None) -> "Recipe":
        """The recipe with these values; the model decides how many epochs and what batch size are left out.

        ``start_model`` is the model of the bundle that is fine-tuned, None for a training from nothing.
        """
        model = given.get("model", start_model or cls.model)
        _check_model(model)
        own: dict[str, Any] = {
            "model": model,
            "epochs": FINE_TUNED_EPOCHS if start_model and not given.get("only_first") else LADDER[model].epochs,
            "batch_size": LADDER[model].batch_size,
        }
        return cls(**own | dict(given))

    @property
    def most_held_out(self) -> int:
        """The most digits of each data set that are held out, unless its writers or parts decide."""
        return self.hold_out or LADDER[self.model].held_out

    @property
    def nets(self) -> list["Recipe"]:
        """The recipe of each net that the model is made of: its name on the ladder, and the next seed."""
        own = replace(self, only_first=False)
        return [replace(own, model=net, seed=self.seed + at) for at, net in enumerate(nets_of(self.model))]

    @property
    def kept(self) -> int:
        """How many of these nets are not trained, but taken from the bundle that training starts with."""
        return len(LADDER[self.model].members) if self.only_first else 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a training runs on; none of it decides the weights.

    A worker that died is replaced ``max_failures`` times. Raises InputError if a value is too small.
    """

    cpus_per_worker: int = described(1, "CPUs and threads of each worker", metavar="N")
    gpus_per_worker: float = described(0, "GPUs of each worker, such as 1", metavar="N")
    max_failures: int = described(2, "how many dead workers are replaced before training gives up", metavar="N")

    def __post_init__(self) -> None:
        at_least("--cpus-per-worker", self.cpus_per_worker, 1)
        at_least("--gpus-per-worker", self.gpus_per_worker, 0)
        at_least("--max-failures", self.max_failures, 0)

    @property
    def resources(self) -> dict[str, float]:
        """What Ray sets aside for each worker."""
        return {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}


def _check_model(name: str) -> None:
    if name not in LADDER:
        raise InputError(f"--model {name!r} is not on the ladder; choose from {', '.join(LADDER)}")


def at_least(flag: str, value: float, least: int) -> None:
    """Raise InputError if the value of a flag is below its least."""
    if value < least:
        raise InputError(f"{flag} is {value:g}; it has to be at least {least}")
