"""Pictures that hold no digit, or more than one, drawn to train refusals: what is drawn, and how often.

They are drawn as MNIST's digits are, uint8 (28, 28) with ink = 255, and augmented as digits are. Whatever a person
could take for a digit is left out.
"""

from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from mnist_batch.learning import marks, spoiled
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.drawing import Grey, Random
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.statuses import REFUSALS, Status

Draw = Callable[[Digits, Random], Grey | None]


def _mark(draw: Callable[[Random], Grey]) -> Draw:
    return lambda _, random: draw(random)


# What is drawn, and how often beside the others; the digits that a spoiled one is made of may not do, then it is not.
NO_DIGIT: dict[Draw, float] = {
    _mark(marks.cross): 7,
    _mark(marks.hyphen): 7,
    _mark(marks.tick): 3,
    _mark(marks.scribble): 13,
    _mark(marks.blot): 2,
    _mark(marks.box): 3,
    _mark(marks.letter): 12,
    _mark(marks.word): 3,
    _mark(marks.zigzag): 8,
    _mark(marks.void_line): 4,
    _mark(marks.bow): 4,
    _mark(marks.hook): 3,
    _mark(marks.staple): 2,
    spoiled.part: 14,
    spoiled.cancelled: 75,
    spoiled.scratched: 4,
    spoiled.mirrored: 12,
    spoiled.overwritten: 15,
}
SEVERAL: dict[Draw, float] = {spoiled.beside_each_other: 7, spoiled.written_again: 3}


@dataclass(frozen=True)
class Negative:
    """A kind of negative: what a model should refuse it as, what draws it, and for how many digits one is drawn."""

    refused_as: Status
    kinds: Mapping[Draw, float]
    digits_for_one: float

    @property
    def output(self) -> int:
        """The output of a model for this refusal; those of the ten digits come first."""
        return CLASSES + REFUSALS.index(self.refused_as)

    @cached_property
    def _kinds(self) -> tuple[list[Draw], list[float]]:
        """What draws, and up to which random number from 0 to 1."""
        summed = list(accumulate(self.kinds.values()))
        return list(self.kinds), [share / summed[-1] for share in summed[:-1]]

    def among(self, digits: int) -> int:
        """How many are learned together with so many digits."""
        return int(digits / self.digits_for_one)

    def draw(self, digits: Digits, random: Random) -> Grey:
        """Draw one, of some of ``digits`` perhaps."""
        kinds, bounds = self._kinds
        while (picture := kinds[bisect(bounds, random.random())](digits, random)) is None:
            pass
        return picture


NEGATIVES = (Negative(Status.NOT_A_DIGIT, NO_DIGIT, 4), Negative(Status.SEVERAL, SEVERAL, 15))
