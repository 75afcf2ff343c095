"""Check digits by name: whether a number passes its check, and the check as an automaton, digit by digit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from stdnum import damm, ean, luhn, verhoeff
from stdnum.iso7064 import mod_11_2, mod_11_10, mod_97_10

WEIGHTED = "mod11_weights"  # the check whose weights stand in the form
WEIGHTED_MODULUS = 11


@dataclass(frozen=True)
class Check:
    """A check digit that the number in a field has: the name of its rule, and the rule's weights if it has any.

    The weights are those of all digits in writing order, the check digit's among them. A number with fewer digits has
    the last of them.
    """

    name: str
    weights: tuple[int, ...] = ()


class _Rule(NamedTuple):
    """The checksum of a number, the one that is valid, and how many there are.

    The checksum of a number with one more digit follows from this digit and the checksum of the others. The digit is
    put before the others, or after them if the checksum is read from the left.
    """

    checksum: Callable[[str], int]
    valid: int = 0
    from_left: bool = False
    checksums: int = 10


def _ean_checksum(number: str) -> int:
    return (int(number[-1]) - int(ean.calc_check_digit(number[:-1]))) % 10


_RULES: Mapping[str, _Rule] = {
    "luhn": _Rule(luhn.checksum),
    "mod10_ean": _Rule(_ean_checksum),
    "iso7064_mod11_2": _Rule(mod_11_2.checksum, valid=1, from_left=True, checksums=11),
    "iso7064_mod11_10": _Rule(mod_11_10.checksum, valid=1, from_left=True),
    "iso7064_mod97_10": _Rule(mod_97_10.checksum, valid=1, checksums=97),
    "verhoeff": _Rule(verhoeff.checksum),
    "damm": _Rule(damm.checksum, from_left=True),
}
NAMES = (*_RULES, WEIGHTED)  # as form.json says them


def passes(check: Check, value: str) -> bool:
    """Whether a number, the digits 0 to 9, has the check digit that it has to have.

    A number without digits has none, and neither has one with more digits than there are weights.
    """
    if not (value.isascii() and value.isdigit()) or len(value) > most_digits(check, len(value)):
        return False
    rule = _rule(check)
    return rule.checksum(value) == rule.valid


def most_digits(check: Check, cells: int) -> int:
    """The most digits that a number in a field of so many cells may have for its check."""
    return min(len(check.weights), cells) if check.name == WEIGHTED else cells


def check_digits(name: str) -> int:
    """How many of the digits of a number are check digits, and say nothing else."""
    return 2 if name == "iso7064_mod97_10" else 1


def by_chance(check: Check) -> float:
    """The share of all numbers that pass."""
    return 1 / _rule(check).checksums


def finds_every_digit(check: Check) -> bool:
    """Whether a number with one wrong digit never passes: each of its digits has a weight in the check."""
    return all(weight % WEIGHTED_MODULUS for weight in check.weights)


class Automaton(NamedTuple):
    """A check of numbers with a certain length, digit by digit: from the left, or else from the right.

    ``steps``, one int64 (states, 10) for each digit, are the state that follows on a state and a digit. The state
    before the first digit is 0; ``valid`` is that of a number that passes, -1 if there is none.
    """

    steps: tuple[NDArray[np.int64], ...]
    valid: int
    from_left: bool


@cache
def automaton(check: Check, digits: int) -> Automaton:
    """The automaton of a check for numbers of so many digits, at least one."""
    rule = _rule(check)
    words, steps = [""], []  # a number for each state
    for _ in range(digits):
        following: dict[int, str] = {}
        longer = [[word + digit if rule.from_left else digit + word for digit in "0123456789"] for word in words]
        checksums = [[rule.checksum(number) for number in numbers] for numbers in longer]
        for numbers, sums in zip(longer, checksums, strict=True):
            following.update(zip(sums, numbers, strict=True))
        states = {checksum: state for state, checksum in enumerate(following)}
        steps.append(np.array([[states[checksum] for checksum in sums] for sums in checksums]))
        words = [*following.values()]
    return Automaton(tuple(steps), states.get(rule.valid, -1), rule.from_left)


def _rule(check: Check) -> _Rule:
    if check.name != WEIGHTED:
        return _RULES[check.name]

    def checksum(number: str) -> int:
        last = check.weights[len(check.weights) - len(number) :]
        return sum(weight * int(digit) for weight, digit in zip(last, number, strict=True)) % WEIGHTED_MODULUS

    return _Rule(checksum, checksums=WEIGHTED_MODULUS)
