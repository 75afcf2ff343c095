"""Which cells of a field hold its number, and why there is none if they hold none."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnist_batch.forms.form import Field
from mnist_batch.statuses import MEANINGS, REFUSALS, Status
from mnist_batch.wording import counted

_WITHOUT_DIGIT = (Status.BLANK, Status.CROSSED)


class FieldStatus(StrEnum):
    """What became of a field. The value is the text in the tables."""

    OK = "ok"
    EMPTY = "empty"
    CROSSED = "crossed"
    INCOMPLETE = "incomplete"
    TOO_LONG = "too_long"
    NOT_NUMERIC = "not_numeric"
    CUT_OFF = "cut_off"
    SHIFTED = "shifted"
    UNREADABLE = "unreadable"


FIELD_MEANINGS = {
    FieldStatus.OK: "there is a number",
    FieldStatus.EMPTY: "nothing is written in it, or it is crossed through and may be empty",
    FieldStatus.CROSSED: "it is crossed through, and may not be empty",
    FieldStatus.INCOMPLETE: "a cell is blank where a digit has to be, or there are fewer digits than it may have",
    FieldStatus.TOO_LONG: "there are more digits than it may have",
    FieldStatus.NOT_NUMERIC: "a cell holds no digit, or several",
    FieldStatus.CUT_OFF: "a cell lies outside the page that was scanned",
    FieldStatus.SHIFTED: "its printed frame is not where the form has it",
    FieldStatus.UNREADABLE: "a cell could not be read",
}


@dataclass(frozen=True)
class CellAnswer:
    """The answer to a cell: its status, and where a digit was found the probabilities of what it holds.

    ``probabilities``, float (10,) or (12,), are calibrated: of the ten digits, and of no digit and several if they are
    known. They add up to at most 1. ``doubted`` are answers that are never accepted. ``confidence`` is that of the cell
    as predictions have it, the largest probability if it is left out.
    """

    status: str
    probabilities: NDArray[Any] | None = None
    doubted: bool = False
    confidence: float | None = None

    @classmethod
    def of(
        cls, status: Status, digits: ArrayLike, refusal_share: float, doubted: bool, confidence: float | None
    ) -> "CellAnswer":
        """A model's answer: ``digits``, (10,), are the probabilities if the cell holds one; else it is refused."""
        refusals = [refusal_share * (status == each) for each in REFUSALS]
        if not any(refusals):
            refusals[0] = refusal_share
        probabilities = np.array([*((1 - refusal_share) * np.asarray(digits)), *refusals])
        return cls(status, probabilities, doubted, confidence)


class Span(NamedTuple):
    """The cells ``first`` to ``last`` hold a number; with another status than ok there is none.

    ``clear`` says whether a rule may accept what follows from it; else ``reason`` says why not.
    """

    status: FieldStatus
    reason: str | None = None
    clear: bool = False
    first: int = 0
    last: int = -1


def span(field: Field, statuses: Sequence[str]) -> Span:
    """Which cells of a field hold its number, by the statuses of its cells in writing order."""
    if len(statuses) != len(field.cells):
        raise ValueError(f"{counted(len(statuses), 'answer')} for {counted(len(field.cells), 'cell')} of {field.name}")
    for at, status in enumerate(statuses):
        if status not in (Status.OK, *_WITHOUT_DIGIT, *REFUSALS):
            known = status in (FieldStatus.CUT_OFF, FieldStatus.SHIFTED)
            kind = FieldStatus(status) if known else FieldStatus.UNREADABLE
            return Span(kind, f"cell {at + 1}: {MEANINGS[Status(status)]}")
    struck = _struck(field, statuses)
    written = [at for at, status in enumerate(statuses) if status not in _WITHOUT_DIGIT and at not in struck]
    if not written:
        return _without_digits(field, statuses)
    first, last = written[0], written[-1]
    for at in range(first, last + 1):
        if statuses[at] in REFUSALS:
            return Span(FieldStatus.NOT_NUMERIC, f"cell {at + 1}: {MEANINGS[Status(statuses[at])]}")
    if fault := _gap(field, statuses, first, last) or _length(field, last - first + 1):
        return fault
    if struck:
        reason = f"never accepted: cell {min(struck) + 1} holds no digit and is taken for one that is crossed through"
        return Span(FieldStatus.OK, reason, False, first, last)
    return Span(FieldStatus.OK, None, True, first, last)


def _struck(field: Field, statuses: Sequence[str]) -> set[int]:
    """The cells that a number does not reach and that hold no digit: people cross them out in their own ways.

    Only where the form says at which end people begin, which leaves the other end.
    """
    side = field.digits.written_from
    if side == "either":
        return set()
    places = range(len(statuses)) if side == "right" else range(len(statuses) - 1, -1, -1)
    struck = set()
    for at in places:
        if statuses[at] == Status.NOT_A_DIGIT:
            struck.add(at)
        elif statuses[at] not in _WITHOUT_DIGIT:
            break
    return struck


def _without_digits(field: Field, statuses: Sequence[str]) -> Span:
    marked = [status for status in statuses if status != Status.BLANK]
    if field.required:
        if marked:
            return Span(FieldStatus.CROSSED, FIELD_MEANINGS[FieldStatus.CROSSED])
        return Span(FieldStatus.EMPTY, "nothing is written in it, and it may not be empty")
    # A single stroke may be a 1.
    if marked and not (len(marked) > 1 and set(statuses) == {Status.CROSSED}):
        return Span(FieldStatus.EMPTY, "never accepted: crossed through, but not every one of several cells")
    return Span(FieldStatus.EMPTY, None, True)


def _gap(field: Field, statuses: Sequence[str], first: int, last: int) -> Span | None:
    """The fault of a number that is not written in one, or does not begin at its end of the field."""
    for at in range(first, last + 1):
        if statuses[at] != Status.OK:
            status = "crossed through" if statuses[at] == Status.CROSSED else "blank"
            return Span(FieldStatus.INCOMPLETE, f"cell {at + 1} is {status} between digits")
    ends = {"left": first == 0, "right": last == len(statuses) - 1}
    side = field.digits.written_from
    if ends[side] if side != "either" else any(ends.values()):
        return None
    which = "either end" if side == "either" else f"the {side}"
    return Span(FieldStatus.INCOMPLETE, f"the number is written from {which}, and the cell there is without a digit")


def _length(field: Field, number: int) -> Span | None:
    """The fault of a number with too few or too many digits."""
    least, most = field.digits.least, field.digits.most
    if least <= number <= most:
        return None
    allowed = f"exactly {least}" if least == most else f"at least {least}" if number < least else f"at most {most}"
    return Span(
        FieldStatus.INCOMPLETE if number < least else FieldStatus.TOO_LONG,
        f"{counted(number, 'digit')} where {allowed} may be",
    )
