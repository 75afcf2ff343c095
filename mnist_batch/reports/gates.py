"""Gates: bounds that a run must keep before it is published. A bound is broken only where the counts are evidence.

What is counted of all rows of the run, such as the share for review, is compared as it is, and so is the number of
metrics that drift, each of which is beyond chance already. What is counted from labels is a sample of the night: a gate
fails where the exact one-sided 95 % interval of the value is beyond the bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mnist_batch.described import described, flag
from mnist_batch.errors import InputError
from mnist_batch.models import intervals
from mnist_batch.reports.counting import NONE, Counts
from mnist_batch.schemas.drift_facts import Drift
from mnist_batch.schemas.facts import Gate, Totals

LEVEL = 0.95  # of the evidence against a run
WHAT = {"min_accuracy": "accuracy", "min_recall": "recall of the worst digit", "max_review": "share for review"}
NO_LABELS = "no scored scan has a label"
LACKING = {"min_accuracy": NO_LABELS, "min_recall": NO_LABELS, "max_drift": "there is nothing to compare the run with"}


@dataclass(frozen=True)
class Gates:
    """The bounds of a night; None is no bound. Raises InputError for one that is no share."""

    min_accuracy: float | None = described(
        None,
        "hold the run if its labels are evidence that a smaller share of the answers is right",
        left_out="not asked",
        metavar="SHARE",
    )
    min_recall: float | None = described(
        None,
        "hold the run if its labels are evidence that of any digit a smaller share is read",
        left_out="not asked",
        metavar="SHARE",
    )
    max_review: float | None = described(
        None, "hold the run if a larger share of its rows is for review", left_out="not asked", metavar="SHARE"
    )
    max_drift: int | None = described(
        None, "hold the run if more of its metrics are unlike the nights before it", left_out="not asked", metavar="N"
    )

    def __post_init__(self) -> None:
        for name, bound in self.bounds.items():
            if name == "max_drift" and bound < 0:
                raise InputError(f"{flag(name)} is {bound:g}; it has to be a number of metrics, from 0")
            if name != "max_drift" and not 0 <= bound <= 1:
                raise InputError(f"{flag(name)} is {bound:g}; it has to be a share, from 0 to 1")

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are asked for, by name."""
        return {name: bound for name, bound in asdict(self).items() if bound is not None}

    def check(self, target_error: float | None) -> None:
        """Raise InputError if a bound cannot be told of a run with this rule."""
        if self.max_review is not None and target_error is None:
            raise InputError("--max-review: nothing is accepted without --target-error; give both, or leave both out")

    def of(self, totals: Totals, counts: Counts, drift: Drift | None = None) -> tuple[Gate, ...]:
        """Each bound with what the run has."""
        return tuple(self._of(totals, counts, drift))

    def _of(self, totals: Totals, counts: Counts, drift: Drift | None) -> Iterator[Gate]:
        if self.min_accuracy is not None:
            yield _least("min_accuracy", self.min_accuracy, totals.correct or 0, totals.labelled, LEVEL)
        if self.min_recall is not None:
            yield self._recall(counts)
        if self.max_review is not None:
            of, review = totals.own_rows, totals.review or 0
            yield Gate("max_review", self.max_review, review / max(of, 1), None, of, review <= self.max_review * of)
        if self.max_drift is not None:
            yield _drift(self.max_drift, drift)

    def _recall(self, counts: Counts) -> Gate:
        """The gate of the class that is read worst by the evidence; ten classes are looked at, so each has a tenth."""
        matrix = counts.labelled[:NONE]
        level = 1 - (1 - LEVEL) / NONE
        each = [
            _least("min_recall", self.min_recall or 0, int(right), int(written), level)
            for right, written in zip(np.diag(matrix), matrix.sum(axis=1), strict=True)
        ]
        return min(each, key=lambda gate: 2.0 if gate.limit is None else gate.limit)


def _least(name: str, bound: float, right: int, of: int, level: float) -> Gate:
    if not of:
        return Gate(name, bound, None, None, 0, None)
    limit = float(intervals.upper_bound(right, of, level))
    return Gate(name, bound, right / of, limit, of, limit >= bound)


def _drift(bound: int, drift: Drift | None) -> Gate:
    if drift is None or not drift.compared:
        return Gate("max_drift", bound, None, None, 0, None)
    return Gate("max_drift", bound, drift.alerting, None, drift.compared, drift.alerting <= bound)


def failed(gates: Sequence[Gate]) -> list[Gate]:
    """The gates that are not kept; one that lacks labels is not among them."""
    return [gate for gate in gates if gate.kept is False]


def sentence(gate: Gate) -> str:
    """A gate and what the run has, in words."""
    asked = f"{flag(gate.name)} {gate.bound:g}"
    if gate.value is None:
        return f"{asked}: not judged, since {LACKING[gate.name]}"
    said = f"{asked}: {'kept' if gate.kept else 'broken'}"
    if gate.name == "max_drift":
        return f"{said}, {gate.value:g} of {gate.of:,} metrics are unlike the nights before"
    text = f"{said}, {WHAT[gate.name]} is {gate.value:.4f} of {gate.of:,}"
    return text if gate.limit is None else f"{text}, at most {gate.limit:.4f} by the evidence"
