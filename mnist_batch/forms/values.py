"""The numbers in the fields of a form, from the answers to their cells, with check digits and rules weighed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import checks, together
from mnist_batch.forms.form import Field, Form
from mnist_batch.forms.likeliest import Candidates, candidates
from mnist_batch.forms.rules import Rule, parse
from mnist_batch.forms.spans import CellAnswer, FieldStatus, Span, span
from mnist_batch.forms.together import Agreed

# The share of digits that are read wrongly however sure the model is, as docs/forms.md measures it.
UNSEEN = 0.0002
KEPT = 12  # numbers of a field that are weighed
DOUBTED = "never accepted: one of its digits may be no digit, or another one by another reading of its ink"
REPAIRED = "repaired: its cells alone read "
WRONG_CHECK = "never accepted: its check digit is wrong, as it is written or as it is read"


class CheckResult(StrEnum):
    """Whether a number has the right check digit."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True)
class FieldValue:
    """What was read in a field, as the table of fields has it.

    ``clear`` says whether a rule may accept it. ``least_sure`` is how sure the least sure of its digits is without
    check and rules, 0 where the cells alone read another number. ``spoken_for`` says whether its check digit or an
    equation speaks for the number that the cells read: whether hardly any other would pass.
    """

    field: str
    status: FieldStatus
    reason: str | None = None
    clear: bool = False
    value: str | None = None
    confidence: float | None = None
    check: CheckResult | None = None
    rules_failed: tuple[str, ...] = ()
    alternative: str | None = None
    alternative_confidence: float | None = None
    least_sure: float = 0.0
    spoken_for: bool = False

    @property
    def digits(self) -> int | None:
        """How many digits the value has; None where there is none."""
        return None if self.value is None else len(self.value)


class _Read(NamedTuple):
    """What the cells of a field say alone: numbers, that of the likeliest digits, how sure the least sure digit is."""

    field: Field
    span: Span
    numbers: Candidates | None = None
    alone: str = ""
    least_sure: float = 0.0

    @classmethod
    def of(cls, field: Field, cells: Sequence[CellAnswer]) -> "_Read":
        found = span(field, [cell.status for cell in cells])
        if found.status != FieldStatus.OK:
            return cls(field, found)
        digits = np.stack([_digits(cell) for cell in cells[found.first : found.last + 1]])
        if any(cell.doubted for cell in cells[found.first : found.last + 1]):
            found = found._replace(clear=False, reason=DOUBTED)
        numbers = candidates((1 - UNSEEN) * digits + UNSEEN / 10, field.check, KEPT)
        alone = "".join(map(str, digits.argmax(axis=1)))
        each = zip(cells[found.first : found.last + 1], digits.max(axis=1).tolist(), strict=True)
        least_sure = min(largest if cell.confidence is None else cell.confidence for cell, largest in each)
        return cls(field, found, numbers, alone, least_sure)


def _digits(cell: CellAnswer) -> NDArray[np.float64]:
    if cell.probabilities is None:
        raise ValueError(f"a cell with the status {cell.status} needs the probabilities of its digits")
    return np.asarray(cell.probabilities, np.float64)[:10]


def values_of_copy(form: Form, fields: Sequence[tuple[Field, Sequence[CellAnswer]]]) -> list[FieldValue]:
    """The values of fields, all of one copy of a form, from the answers to their cells in writing order.

    The rules of the form hold for the fields that are given; one that names another field says nothing. Raises
    ValueError if a field has more or fewer answers than cells.
    """
    read = [_Read.of(field, cells) for field, cells in fields]
    names = [field.name for field in form.fields]
    rules = [parse(text, names) for text in dict.fromkeys(form.rules)]
    empty = [each.field.name for each in read if each.span.status == FieldStatus.EMPTY and not each.field.required]
    numbers = {each.field.name: each.numbers for each in read if each.numbers is not None}
    found = together.agreed(numbers, rules, empty)
    standing = {each.field.name: int(each.alone) for each in read if _chosen(each, found) == each.alone}
    return [_value(each, found, [rule for rule in rules if each.field.name in rule.names], standing) for each in read]


def _chosen(read: _Read, found: Agreed) -> str | None:
    """The number that the field has beside the others."""
    return read.numbers.numbers[found.chosen[read.field.name]] if read.numbers else None


def _value(read: _Read, found: Agreed, rules: Sequence[Rule], standing: Mapping[str, int]) -> FieldValue:
    """The value of a field, of which these are the rules; ``standing`` are the numbers that are what the cells read."""
    name, (status, reason, clear, *_) = read.field.name, read.span
    if read.numbers is None:
        return FieldValue(name, status, reason, clear)
    at, probabilities = found.chosen[name], found.probabilities[name]
    value = FieldValue(
        name, status, reason, clear, read.numbers.numbers[at], min(float(probabilities[at]), 1.0),
        rules_failed=tuple(rule.text for rule in rules if found.verdicts[rule.text] is False),
    )  # fmt: skip
    others = np.where(read.numbers.passing, probabilities, 0.0)
    others[at] = 0
    if others.any():
        second = int(others.argmax())
        value = replace(value, alternative=read.numbers.numbers[second], alternative_confidence=float(others[second]))
    if read.field.check:
        passed = bool(read.numbers.passing[at])
        value = replace(value, check=CheckResult.PASSED if passed else CheckResult.FAILED)
        if not passed:
            value = replace(value, clear=False, reason=WRONG_CHECK)
    if name not in standing:
        repaired = f"{REPAIRED}{read.alone}"
        return replace(value, reason=f"{value.reason}; {repaired}" if value.reason else repaired)
    return replace(value, least_sure=read.least_sure, spoken_for=_spoken_for(read, value, found, rules, standing))


def _spoken_for(
    read: _Read, value: FieldValue, found: Agreed, rules: Sequence[Rule], standing: Mapping[str, int]
) -> bool:
    """Whether the check of a field, or one of these rules, speaks for its number as the cells read it.

    Only an equation does that no other number of the field keeps beside the numbers that the other cells read.
    """
    if read.field.check and value.check == CheckResult.PASSED and checks.finds_every_digit(read.field.check):
        return True
    others = [int(number) for number in read.numbers.numbers if number != value.value] if read.numbers else []
    for rule in rules:
        beside = {other: standing.get(other) for other in rule.names}
        empty = [other for other, number in beside.items() if number is None]
        stands = rule.comparison == "=" and found.verdicts[rule.text] and not found.chosen.keys() & empty
        if stands and not any(rule.holds(beside | {value.field: number}, empty) for number in others):
            return True
    return False
