"""The totals and rates of a run: counts over its parts first, then one division."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.models import calibrating, intervals
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Totals
from mnist_batch.statuses import READ, REFUSALS, SAME, Status

NONE = tables.CLASSES  # the index of "no digit" in a matrix of counts, as a label and as an answer
UNKNOWN = NONE + 1  # the index of "label not known"
# Thresholds of confidence: finer near 1, where most answers are.
THRESHOLDS = np.concatenate(
    [
        np.arange(0, 90, 5) / 100,
        np.arange(90, 99) / 100,
        np.arange(990, 999) / 1000,
        np.arange(9990, 10000) / 10000,
        [0.99999, 0.999999],
    ]
)
PALE = 0.3  # of the median contrast of a run's answers; such ink may be that of the page's back
ENOUGH = 50  # answers, to say what is pale beside them
SCORED, LABELLED, WRONG = range(3)  # the kinds of answers that Confidences counts


def _matrix() -> NDArray[np.int64]:
    return np.zeros((UNKNOWN + 1, NONE + 1), np.int64)


def _places(labels: pa.ChunkedArray) -> NDArray[np.int64]:
    """The rows of a matrix of counts for these labels."""
    places: NDArray[np.int64] = labels.cast(pa.int64()).fill_null(UNKNOWN).to_numpy()
    return np.where(places == tables.NO_DIGIT, NONE, places)


@dataclass
class Counts:
    """Counts of the rows of a run; ``matrix`` is int64 (12, 11), label x answer.

    The last answer is none. After the labels 0 to 9 come that of no valid digit, to which every answer is wrong, and
    not known. ``accepted`` is the same of the rows whose decision is accept; ``no_digit`` are the statuses of the
    rows with that label; ``ruled`` says whether the run has a rule.
    """

    ruled: bool = False
    matrix: NDArray[np.int64] = field(default_factory=_matrix)
    accepted: NDArray[np.int64] = field(default_factory=_matrix)
    statuses: Counter[str] = field(default_factory=Counter)
    no_digit: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a table with the columns ``label``, ``digit``, ``status`` and ``decision``."""
        label, digit = _places(rows["label"]), rows["digit"].fill_null(NONE).to_numpy()
        accept = pc.equal(rows["decision"].cast(pa.string()), "accept").fill_null(False).to_numpy()
        np.add.at(self.matrix, (label, digit), 1)
        np.add.at(self.accepted, (label[accept], digit[accept]), 1)
        for counter, counted in ((self.statuses, rows), (self.no_digit, rows.filter(pa.array(label == NONE)))):
            for found in counted["status"].value_counts().to_pylist():
                counter[found["values"]] += found["counts"]

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Label x answer of the rows that have both, int64 (11, 10); the last label is none."""
        return self.matrix[:UNKNOWN, :NONE]

    def totals(self) -> Totals:
        """The totals of these rows, without the calibration error, which ``Confidences`` knows."""
        scored, labelled = int(self.matrix[:, :NONE].sum()), int(self.labelled[:NONE].sum())
        correct = int(np.trace(self.labelled))
        return Totals(
            rows=int(self.matrix.sum()),
            scored=scored,
            blank=self.statuses[Status.BLANK],
            refused=sum(self.statuses[name] for name in REFUSALS),
            unreadable=int(self.matrix.sum()) - sum(self.statuses[name] for name in READ),
            statuses={name: self.statuses[name] for name in Status if self.statuses[name]},
            answers={str(digit): int(self.matrix[:, digit].sum()) for digit in range(NONE)},
            labelled=labelled,
            correct=correct if labelled else None,
            accuracy=correct / labelled if labelled else None,
            **self._no_digit(),
            **self._decisions(),
        )

    def _no_digit(self) -> dict[str, Any]:
        answered = int(self.labelled[NONE].sum())
        rows = int(self.matrix[NONE].sum()) - sum(self.no_digit[name] for name in SAME)  # counted where the answer is
        refused = sum(self.no_digit[name] for name in READ if name not in SAME) - answered
        return {
            "labelled_none": rows,
            "none_refused": refused,
            "none_answered": answered,
            "none_unreadable": rows - refused - answered,
            "none_accepted": int(self.accepted[NONE].sum()) if self.ruled else None,
        }

    def _decisions(self) -> dict[str, Any]:
        rows, accepted, of_labelled = (int(table.sum()) for table in (self.matrix, self.accepted, self._sure))
        known = self.ruled and bool(self.labelled.any())
        return {
            "accepted": accepted if self.ruled else None,
            "review": rows - sum(self.statuses[name] for name in SAME) - accepted if self.ruled else None,
            "accepted_labelled": of_labelled if known else None,
            "accepted_errors": of_labelled - int(np.trace(self._sure)) if known else None,
        }

    @property
    def _sure(self) -> NDArray[np.int64]:
        return self.accepted[:UNKNOWN, :NONE]

    def accepted_by_answer(self) -> tuple[pa.Array, pa.Array]:
        """How many accepted answers there are of each digit, and how many of them are wrong; null if unknown."""
        labels = bool(self.labelled.any())
        sure = self._sure if labels else self.accepted[:, :NONE]
        accepted = pa.array(sure.sum(axis=0), mask=np.full(NONE, not self.ruled))
        errors = self._sure.sum(axis=0) - np.diag(self._sure)
        return accepted, pa.array(errors, mask=np.full(NONE, not (self.ruled and labels)))


def per_class(counts: Counts) -> pa.Table:
    """Ten rows of ``tables.PER_CLASS``; rates are null for a class that nobody wrote, and without labels."""
    matrix = counts.labelled
    has_labels = bool(matrix.sum())
    predicted = matrix.sum(axis=0) if has_labels else counts.matrix[:, :NONE].sum(axis=0)
    support, correct = matrix[:NONE].sum(axis=1), np.diag(matrix)
    written = support > 0
    low, high = intervals.wilson(correct, support)
    accepted, accepted_errors = counts.accepted_by_answer()
    return tables.table(
        tables.PER_CLASS,
        {
            "digit": np.arange(NONE),
            "support": support if has_labels else pa.nulls(NONE, pa.int64()),
            "predicted": predicted,
            "correct": correct if has_labels else pa.nulls(NONE, pa.int64()),
            "precision": _divide(correct, predicted, written),
            "recall": _divide(correct, support, written),
            "f1": _divide(2 * correct, support + predicted, written),
            "recall_low": pa.array(low, mask=~written),
            "recall_high": pa.array(high, mask=~written),
            "accepted": accepted,
            "accepted_errors": accepted_errors,
        },
    )


def _divide(part: NDArray[Any], whole: NDArray[np.int64], known: NDArray[np.bool_] | bool = True) -> pa.Array:
    known = known & (whole > 0)
    return pa.array(part / np.where(known, whole, 1), pa.float64(), mask=~known)


def confusion(counts: Counts) -> pa.Table:
    """All 132 combinations of label and answer as ``tables.CONFUSION``; null is an unknown label, or no answer."""
    label, digit = np.divmod(np.arange((UNKNOWN + 1) * (NONE + 1)), NONE + 1)
    return tables.table(
        tables.CONFUSION,
        {
            "label": pa.array(np.where(label == NONE, tables.NO_DIGIT, label), pa.int8(), mask=label == UNKNOWN),
            "digit": pa.array(digit, pa.int8(), mask=digit == NONE),
            "count": counts.matrix.ravel(),
        },
    )


@dataclass
class Contrasts:
    """Counts of the answers of a run by the contrast of their ink, the ``threshold`` of their ``normalisation``.

    ``by_contrast`` and ``clear_by_contrast``, int64 (256,), count by whole grey levels: all answers, and those that
    have no ``reason`` never to be accepted.
    """

    by_contrast: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    clear_by_contrast: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a table with the columns ``digit``, ``reason`` and ``normalisation``."""
        contrast = pc.struct_field(rows["normalisation"], "threshold")
        known = pc.and_(pc.is_valid(rows["digit"]), pc.is_valid(contrast))
        rows, levels = rows.filter(known), contrast.filter(known).to_numpy().astype(np.int64)
        clear = pc.is_null(rows["reason"]).to_numpy()
        self.by_contrast += np.bincount(levels, minlength=256)
        self.clear_by_contrast += np.bincount(levels[clear], minlength=256)

    def paler_than(self) -> int | None:
        """The contrast below which ink is pale beside the run's; None for fewer than ``ENOUGH`` answers."""
        if self.by_contrast.sum() < ENOUGH:
            return None
        median = int(np.searchsorted(self.by_contrast.cumsum(), self.by_contrast.sum() / 2))
        return int(PALE * median)

    def paler(self, than: int) -> int:
        """How many answers are from ink of a contrast below ``than``."""
        return int(self.by_contrast[:than].sum())


@dataclass
class Confidences:
    """Counts of the answers of a run by confidence; the rows of each array are ``SCORED``, ``LABELLED``, ``WRONG``.

    ``bins`` and ``sums`` are the answers and the sum of their confidences by ``calibrating.bin_of``; ``steps`` are
    the answers by the highest of ``THRESHOLDS`` that they reach.
    """

    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, calibrating.BINS), np.int64))
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, calibrating.BINS)))
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, len(THRESHOLDS)), np.int64))

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a table with the columns ``label``, ``digit`` and ``confidence``."""
        scored = rows.filter(pc.is_valid(rows["digit"]))
        label, digit = _places(scored["label"]), scored["digit"].to_numpy()
        confidence = scored["confidence"].to_numpy().astype(np.float64)
        bins = calibrating.bin_of(confidence)
        steps = np.searchsorted(THRESHOLDS, confidence, side="right") - 1
        labelled = label != UNKNOWN
        for kind, chosen in ((SCORED, slice(None)), (LABELLED, labelled), (WRONG, labelled & (label != digit))):
            self.bins[kind] += np.bincount(bins[chosen], minlength=calibrating.BINS)
            self.sums[kind] += np.bincount(bins[chosen], confidence[chosen], minlength=calibrating.BINS)
            self.steps[kind] += np.bincount(steps[chosen], minlength=len(THRESHOLDS))

    @property
    def has_labels(self) -> bool:
        """Whether any scored scan has a label."""
        return bool(self.bins[LABELLED].any())

    @property
    def _shown(self) -> int:
        return LABELLED if self.has_labels else SCORED

    def error(self) -> float | None:
        """The expected calibration error of the labelled scans, as ``calibrating`` defines it; None without any."""
        if not self.has_labels:
            return None
        right = self.bins[LABELLED] - self.bins[WRONG]
        return float(np.abs(self.sums[LABELLED] - right).sum() / self.bins[LABELLED].sum())

    def calibration(self) -> pa.Table:
        """A row of ``tables.CALIBRATION`` for each bin of confidence."""
        ends, count = calibrating.EDGES, self.bins[self._shown]
        correct = count - self.bins[WRONG]
        return tables.table(
            tables.CALIBRATION,
            {
                "low": ends[:-1],
                "high": ends[1:],
                "count": count,
                "correct": pa.array(correct, mask=np.full(len(count), not self.has_labels)),
                "mean_confidence": _divide(self.sums[self._shown], count),
                "accuracy": _divide(correct, count, self.has_labels),
            },
        )

    def risk_coverage(self) -> pa.Table:
        """A row of ``tables.RISK_COVERAGE`` for each of ``THRESHOLDS``."""
        # An answer that reaches a threshold reaches every lower one.
        accepted, errors = (self.steps[kind][::-1].cumsum()[::-1] for kind in (self._shown, WRONG))
        return tables.table(
            tables.RISK_COVERAGE,
            {
                "threshold": THRESHOLDS,
                "accepted": accepted,
                "coverage": _divide(accepted, np.full(len(accepted), accepted[0])),
                "errors": pa.array(errors, mask=np.full(len(errors), not self.has_labels)),
                "risk": _divide(errors, accepted, self.has_labels),
            },
        )
