"""Counts equal scikit-learn's, divided once; a class nobody wrote has null rates."""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report, confusion_matrix

from mnist_batch import statuses
from mnist_batch.models import calibrating
from mnist_batch.reports import counting
from mnist_batch.schemas import tables
from tests.support.rows import DIGIT, LABEL, SURE, Row

NO_DIGIT = tables.NO_DIGIT


ROWS = st.lists(st.tuples(st.integers(NO_DIGIT, 9), st.integers(0, 9)), min_size=1, max_size=200)


def counted(rows: list[tuple[int | None, int | None]]) -> counting.Counts:
    counts = counting.Counts()
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        labels, digits = [row[0] for row in part], [row[1] for row in part]
        statuses = ["ok" if digit is not None else "empty" for digit in digits]
        columns = {"label": pa.array(labels, pa.int8()), "digit": pa.array(digits, pa.int8()), "status": statuses}
        counts.add(pa.table(columns | {"decision": pa.nulls(len(part), pa.string())}))
    return counts


@given(ROWS)
def test_per_class_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, digits = zip(*rows, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = classification_report(labels, digits, labels=range(10), output_dict=True, zero_division=np.nan)
    table = counting.per_class(counted(list(rows)))
    assert table.schema.equals(tables.PER_CLASS)
    for row in table.to_pylist():
        theirs = expected[str(row["digit"])]
        assert row["support"] == theirs["support"]
        if row["support"] == 0:
            assert [row[name] for name in ("precision", "recall", "f1", "recall_low", "recall_high")] == [None] * 5
            continue
        assert row["recall"] == pytest.approx(theirs["recall"])
        assert row["f1"] == pytest.approx(theirs["f1-score"])
        if row["predicted"] == 0:
            assert row["precision"] is None
        else:
            assert row["precision"] == pytest.approx(theirs["precision"])
        assert 0 <= row["recall_low"] <= row["recall"] <= row["recall_high"] <= 1


@given(ROWS)
def test_confusion_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, digits = zip(*rows, strict=True)
    table = counting.confusion(counted(list(rows)))
    assert table.schema.equals(tables.CONFUSION)
    order = [*range(10), NO_DIGIT]  # nobody answers that there is none, so the last column of theirs is empty
    both = [row["count"] for row in table.to_pylist() if row["label"] is not None and row["digit"] is not None]
    assert both == confusion_matrix(labels, digits, labels=order)[:, :10].ravel().tolist()


@given(st.lists(st.tuples(LABEL, DIGIT), max_size=200))
def test_the_books_balance_whatever_is_missing(rows: list[tuple[int | None, int | None]]) -> None:
    counts = counted(rows)
    summary = counts.totals()
    assert sum(counting.confusion(counts)["count"].to_pylist()) == summary.rows == len(rows)
    assert summary.scored + summary.unreadable == sum(summary.statuses.values()) == len(rows)
    assert sum(summary.answers.values()) == summary.scored
    assert summary.labelled == sum(None not in row and row[0] != NO_DIGIT for row in rows)
    assert (summary.accuracy is None) == (summary.labelled == 0)
    assert len(counting.per_class(counts)) == 10


STATUS = st.sampled_from(["ok", "blank", "not_a_digit", "several", "missing", "undecodable"])


@given(st.lists(st.tuples(LABEL, STATUS, st.integers(0, 9)), max_size=100))
def test_cells_labelled_none_are_right_where_read_and_not_answered(rows: list[tuple[int | None, str, int]]) -> None:
    digits = [digit if status == "ok" else None for _, status, digit in rows]
    counts = counting.Counts(ruled=True)
    counts.add(
        pa.table(
            {
                "label": pa.array([label for label, _, _ in rows], pa.int8()),
                "digit": pa.array(digits, pa.int8()),
                "status": pa.array([status for _, status, _ in rows], tables.TEXT),
                "decision": pa.array(["accept" if digit == 7 else "review" for digit in digits], tables.TEXT),
            }
        )
    )
    totals, per_class = counts.totals(), counting.per_class(counts)
    none = [(status, digit) for label, status, digit in rows if label == NO_DIGIT]
    assert totals.labelled_none == len(none)
    assert totals.none_refused == sum(status in statuses.READ and status != "ok" for status, _ in none)
    assert totals.none_answered == sum(status == "ok" for status, _ in none)
    assert totals.none_accepted == none.count(("ok", 7))
    assert totals.none_refused + totals.none_answered + totals.none_unreadable == len(none)
    if not (totals.labelled or totals.none_answered):
        return
    assert sum(per_class["support"].to_pylist()) == totals.labelled
    assert sum(per_class["predicted"].to_pylist()) == totals.labelled + totals.none_answered
    assert sum(per_class["accepted_errors"].to_pylist()) == totals.accepted_errors >= totals.none_accepted


def test_without_labels_there_are_answers_and_no_accuracy() -> None:
    counts = counted([(None, 3), (None, 3), (None, 8), (None, None)])
    rows = counting.per_class(counts).to_pylist()
    assert [row["predicted"] for row in rows] == [0, 0, 0, 2, 0, 0, 0, 0, 1, 0]
    nulls = set(tables.PER_CLASS.names) - {"digit", "predicted"}
    assert all(row[name] is None for row in rows for name in nulls)
    assert counts.totals().accuracy is None


def added(
    rows: list[Row], threshold: float | None = None
) -> tuple[list[dict[str, Any]], counting.Counts, counting.Confidences]:
    """The rows of a run, and their counts after two parts."""
    rows = [(label, digit, float(np.float32(sure))) for label, digit, sure in rows]
    whole = [
        {
            "label": label,
            "digit": digit,
            "confidence": None if digit is None else sure,
            "status": "empty" if digit is None else "ok",
            "decision": "review" if digit is None else threshold and ("accept" if sure >= threshold else "review"),
        }
        for label, digit, sure in rows
    ]
    kinds = [("label", pa.int8()), ("digit", pa.int8()), ("confidence", pa.float32())]
    kinds += [(name, pa.dictionary(pa.int32(), pa.string())) for name in ("status", "decision")]
    counts, confidences = counting.Counts(threshold is not None), counting.Confidences()
    for part in (whole[: len(rows) // 2], whole[len(rows) // 2 :]):
        table = pa.Table.from_pylist(part, pa.schema(kinds))
        counts.add(table)
        confidences.add(table)
    return whole, counts, confidences


@given(st.lists(st.tuples(LABEL, DIGIT, SURE), max_size=200))
def test_bins_and_thresholds_count_the_rows(rows: list[Row]) -> None:
    whole, _, confidences = added(rows)
    scored = [(row["label"], row["digit"], row["confidence"]) for row in whole if row["status"] == "ok"]
    labelled = [row for row in scored if row[0] is not None]
    shown = labelled or scored
    calibration, curve = confidences.calibration(), confidences.risk_coverage()
    assert calibration.schema.equals(tables.CALIBRATION)
    assert curve.schema.equals(tables.RISK_COVERAGE)
    assert (len(calibration), len(curve)) == (15, 48)
    for row in calibration.to_pylist():
        inside = [one for one in shown if row["low"] < one[2] <= row["high"]]
        right = sum(one[0] == one[1] for one in inside)
        assert (row["count"], row["correct"]) == (len(inside), right if labelled else None)
        assert row["accuracy"] == (right / len(inside) if inside and labelled else None)
        mean = pytest.approx(sum(one[2] for one in inside) / len(inside)) if inside else None
        assert row["mean_confidence"] == mean
    for row in curve.to_pylist():
        sure = [one for one in shown if one[2] >= row["threshold"]]
        wrong = sum(one[0] != one[1] for one in sure)
        assert (row["accepted"], row["errors"]) == (len(sure), wrong if labelled else None)
        assert row["coverage"] == (len(sure) / len(shown) if shown else None)
        assert row["risk"] == (wrong / len(sure) if sure and labelled else None)
    if labelled:
        confidence = np.array([row[2] for row in labelled])
        correct = np.array([row[0] == row[1] for row in labelled])
        assert confidences.error() == pytest.approx(calibrating.expected_calibration_error(confidence, correct))
    else:
        assert confidences.error() is None


@given(st.lists(st.tuples(LABEL, DIGIT, SURE), max_size=200), st.none() | st.sampled_from([0.5, 0.9]))
def test_accepted_and_for_review_are_all_rows(rows: list[Row], threshold: float | None) -> None:
    whole, counts, _ = added(rows, threshold)
    totals, per_class = counts.totals(), counting.per_class(counts)
    assert per_class.schema.equals(tables.PER_CLASS)
    accept = [row for row in whole if row["decision"] == "accept"]
    known = [row for row in accept if row["label"] is not None]
    truth = bool(totals.labelled or totals.none_answered)
    shown = known if truth else accept
    wrong = [row for row in known if row["label"] != row["digit"]]
    if threshold is None:
        names = ("accepted", "review", "accepted_labelled", "accepted_errors")
        assert [getattr(totals, name) for name in names] == [None] * 4
        assert per_class["accepted"].null_count == per_class["accepted_errors"].null_count == 10
        return
    assert (totals.accepted, totals.accepted + totals.review) == (len(accept), len(rows))
    assert totals.accepted_labelled == (len(known) if truth else None)
    assert totals.accepted_errors == (len(wrong) if truth else None)
    nothing_there = [row for row in accept if row["label"] == NO_DIGIT]
    assert totals.none_accepted == len(nothing_there) <= (totals.accepted_errors or 0)
    for row in per_class.to_pylist():
        assert row["accepted"] == sum(one["digit"] == row["digit"] for one in shown)
        errors = sum(one["digit"] == row["digit"] for one in wrong)
        assert row["accepted_errors"] == (errors if truth else None)
