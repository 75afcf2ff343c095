"""Counts equal scikit-learn's, divided once; a class nobody wrote has null rates."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import classification_report, confusion_matrix

from mnist_batch import report, tables

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200)


def counted(rows: list[tuple[int | None, int | None]]) -> report.Counts:
    counts = report.Counts()
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        labels, digits = [row[0] for row in part], [row[1] for row in part]
        statuses = ["ok" if digit is not None else "empty" for digit in digits]
        counts.add(
            pa.table({"label": pa.array(labels, pa.int8()), "digit": pa.array(digits, pa.int8()), "status": statuses})
        )
    return counts


@given(ROWS)
def test_per_class_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, digits = zip(*rows, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = classification_report(labels, digits, labels=range(10), output_dict=True, zero_division=np.nan)
    table = report.per_class(counted(list(rows)))
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
    table = report.confusion(counted(list(rows)))
    assert table.schema.equals(tables.CONFUSION)
    both = [row["count"] for row in table.to_pylist() if row["label"] is not None and row["digit"] is not None]
    assert both == confusion_matrix(labels, digits, labels=range(10)).ravel().tolist()


DIGIT = st.none() | st.integers(0, 9)


@given(st.lists(st.tuples(DIGIT, DIGIT), max_size=200))
def test_the_books_balance_whatever_is_missing(rows: list[tuple[int | None, int | None]]) -> None:
    counts = counted(rows)
    summary = counts.summary()
    assert sum(report.confusion(counts)["count"].to_pylist()) == summary["rows"] == len(rows)
    assert summary["scored"] + summary["unreadable"] == sum(summary["statuses"].values()) == len(rows)
    assert sum(summary["answers"].values()) == summary["scored"]
    assert summary["labelled"] == sum(None not in row for row in rows)
    assert (summary["accuracy"] is None) == (summary["labelled"] == 0)
    assert len(report.per_class(counts)) == 10


def test_without_labels_there_are_answers_and_no_accuracy() -> None:
    counts = counted([(None, 3), (None, 3), (None, 8), (None, None)])
    rows = report.per_class(counts).to_pylist()
    assert [row["predicted"] for row in rows] == [0, 0, 0, 2, 0, 0, 0, 0, 1, 0]
    nulls = ("support", "correct", "precision", "recall", "f1", "recall_low", "recall_high")
    assert all(row[name] is None for row in rows for name in nulls)
    assert counts.summary()["accuracy"] is None


@given(st.integers(1, 5_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_interval_is_wilsons(share: tuple[int, int]) -> None:
    correct, total = share
    low, high = report.wilson(np.array([correct]), np.array([total]))
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
