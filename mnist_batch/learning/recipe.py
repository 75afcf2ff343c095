"""How a model is trained: what decides its weights, apart from the digits."""

from dataclasses import dataclass

from mnist_batch.errors import InputError
from mnist_batch.models.ladder import LADDER, PRECISIONS


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the digits; ``batch_size`` is global, over all workers.

    In ``precision`` "bfloat16" layers compute in that and keep their weights in float32.
    Raises InputError where a value breaks a rule.
    """

    model: str
    epochs: int
    batch_size: int
    workers: int
    seed: int
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.model not in LADDER:
            raise InputError(f"--model {self.model!r} is not on the ladder; choose from {', '.join(LADDER)}")
        if self.precision not in PRECISIONS:
            raise InputError(f"--precision {self.precision!r} is not known; choose from {', '.join(PRECISIONS)}")
        for name in ("epochs", "batch_size", "workers", "seed"):
            at_least("--" + name.replace("_", "-"), getattr(self, name), 0 if name == "seed" else 1)
        if self.workers > self.batch_size:
            raise InputError(f"--workers {self.workers} cannot share --batch-size {self.batch_size}; lower it")


def at_least(flag: str, value: float, least: int) -> None:
    """Raise InputError where the value of a flag is below its least."""
    if value < least:
        raise InputError(f"{flag} is {value:g}; it has to be at least {least}")
