"""Counts equal scikit-learn's, divided once; a class nobody wrote has null rates."""

import html
import os
import re
import shlex
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import classification_report, confusion_matrix

from jobs import score
from mnist_batch import statuses
from mnist_batch.intake import listing
from mnist_batch.models import calibrating
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors
from mnist_batch.reading import images, isolated
from mnist_batch.reports import counting, examples, report
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from tests.support import run_facts
from tests.support.ruler import picture_of, write_scan

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


DIGIT = st.none() | st.integers(0, 9)
LABEL = DIGIT | st.just(NO_DIGIT)


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


@given(st.integers(1, 5_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_interval_is_wilsons(share: tuple[int, int]) -> None:
    correct, total = share
    low, high = calibrating.wilson(np.array([correct]), np.array([total]))
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))


Row = tuple[int | None, int | None, float]
SURE = st.sampled_from([0.125, 0.2, 0.5, 0.9, 0.99, 0.9995, 1.0]) | st.floats(0.125, 1, width=32)


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


def page_of(rows: list[dict[str, Any]], out: Path, **facts: Any) -> str:
    """The report page of a run whose part has these rows of predictions."""
    run = Run(str(out), "night", "2026-11-21")
    facts = {"scans": len(rows), "threshold": 0.99, "target_error": 0.001} | facts
    schema = pa.schema([item.with_nullable(True) for item in tables.PREDICTIONS])
    whole = [{"source": "/in", "page": 0, "content": bytes(16), "model": "d"} | row for row in rows]
    gathered = Aggregates.of_run(facts["threshold"])
    gathered.add(pa.Table.from_pylist(whole, schema))
    report.stage(run, run_facts.published(totals=gathered.totals(), **facts), gathered)
    return Path(f"{run.staging}/pages/report.html").read_text()


def test_the_page_of_a_run_with_a_rule_lists_what_is_for_review(tmp_path: Path) -> None:
    answers = [("sure.png", 1.0, "accept"), ("doubted.png", 0.999999, "review"), ("unsure.png", 0.5, "review")]
    rows = [
        {"scan": scan, "status": "ok", "digit": 3, "confidence": confidence, "decision": decision}
        for scan, confidence, decision in answers
    ]
    rows.append({"scan": "torn.png", "status": "undecodable", "reason": "truncated PNG", "decision": "review"})
    out = tmp_path / "o'ut"
    page = page_of(rows, out)
    review = page[page.index('<h2 id="review">') : page.index("How this run was made")]
    assert re.findall(r'title="/in/(\w+).png"', review) == ["unsure", "doubted"]
    assert "3 rows" in review
    [command] = re.findall(r"<code>(python -m jobs.export .*?)</code>", review)
    command = [*shlex.split(html.unescape(command)[len("python -m jobs.export ") :])]
    assert command[:6] == ["--out", str(out), "--run", "night", "--rows", "review"]
    assert "99.99 % sure" in review
    assert "100 % sure" not in page
    assert "torn.png" in review


def test_the_page_shows_nothing_about_what_is_not_there(tmp_path: Path) -> None:
    nothing = page_of([], tmp_path / "nothing")
    assert "no scan was listed" in nothing
    unread = page_of([{"scan": "a", "status": "empty", "reason": "0 bytes"}], tmp_path / "unread", threshold=None)
    assert "1</b>scan listed" in unread
    for page in (nothing, unread):
        assert not re.search("<img|Answers</h2>|Class by class|id=.review", page)
    read = {"scan": "a", "status": "ok", "digit": 3, "confidence": 0.5}
    plain = page_of([read], tmp_path / "plain", threshold=None)
    assert "Least certain answers" in plain
    assert not re.search("Could not be read</h2>|id=.review|<table|recall", plain)
    assert re.search(
        "Class by class.*Surest mistakes", page_of([read | {"label": 4}], tmp_path / "labelled"), re.DOTALL
    )


def test_the_gallery_shows_what_was_scored_whatever_its_name_and_size(
    ruler: str, tmp_path: Path, without_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures are kept by the actors that saw them: the scans need not be readable again, nor be there."""
    folder, out = tmp_path / "in", tmp_path / "out"
    write_scan(folder / "large.png", 3)
    with (folder / "large.png").open("r+b") as scan:
        scan.truncate(images.MAX_BYTES + 1)
    os.rename(write_scan(folder / "plain.png", 3), os.fsencode(folder) + b"/latin-\xe9.png")
    arguments = [str(folder), "--model", ruler, "--out", str(out), "--max-bytes", str(2 * images.MAX_BYTES)]
    assert score.main([*arguments, "--run-id", "kept"]) == 0
    page = (out / "runs/kept/report.html").read_text()
    assert page.count('alt="the scan as the model saw it"') == 2
    assert "gone or changed" not in page


def test_a_report_made_again_reads_the_scans_within_the_limits_of_the_run(ruler: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    write_scan(folder / "large.png", 3)
    with (folder / "large.png").open("r+b") as scan:
        scan.truncate(images.MAX_BYTES + 1)
    os.rename(write_scan(folder / "plain.png", 3), os.fsencode(folder) + b"/latin-\xe9.png")
    write_scan(folder / "changed.png", 3)
    rows = isolated.preprocess(listing.list_scans([str(folder)]), limits=isolated.Limits(2 * images.MAX_BYTES))
    kept = examples.Examples()
    kept.add(actors.Classify(Run(out, "a", "2026-11-21"), ModelSpec(ruler)).answered(rows))
    write_scan(folder / "changed.png", 4)
    assert kept.doubtful["picture"].null_count == 3
    seen = examples.read_again(kept.doubtful, isolated.Limits(2 * images.MAX_BYTES))
    pictures = {row["scan"]: row["picture"] for row in seen.to_pylist()}
    assert pictures.pop("changed.png") is None
    assert pictures == dict.fromkeys(["large.png", "latin-\\xe9.png"], images.encode(picture_of(3)))
    small = examples.read_again(kept.doubtful, isolated.Limits())
    assert small["picture"].null_count == 2  # above the limit of bytes


@given(st.lists(st.tuples(LABEL, DIGIT, SURE), max_size=100), st.integers(0, 100), st.none() | st.just(0.5))
def test_what_is_gathered_in_parts_is_what_is_gathered_at_once(
    rows: list[Row], cut: int, threshold: float | None
) -> None:
    """The driver merges what each writer gathered of its part: counts, confidences and the choice of examples."""
    columns = {name: [] for name in tables.SHOWN}
    for number, (label, digit, sure) in enumerate(rows):
        status = "ok" if digit is not None else ("blank", "several", "missing")[number % 3]
        accept = None if threshold is None else "accept" if digit is not None and sure >= threshold else "review"
        values = [
            "/in",
            f"{number:03}",
            0,
            label,
            digit,
            sure if digit is not None else None,
            accept,
            status,
            None,
            None,
        ]
        for name, value in zip(tables.SHOWN, values, strict=True):
            columns[name].append(value)
    schema = pa.schema([tables.PREDICTIONS.field(name).with_nullable(True) for name in tables.SHOWN])
    table = pa.table(columns, schema=schema)
    whole, merged, parts = Aggregates.of_run(threshold), Aggregates.of_run(threshold), []
    whole.add(table)
    for part in (table.slice(0, cut), table.slice(cut)):
        one = Aggregates.of_run(threshold)
        one.add(part)
        parts.append(one.table())
    merged.merge(parts)
    assert merged.totals() == replace(whole.totals(), expected_calibration_error=merged.confidences.error())
    assert merged.confidences.error() == pytest.approx(whole.confidences.error())
    assert counting.confusion(merged.counts).equals(counting.confusion(whole.counts))
    assert merged.confidences.risk_coverage().equals(whole.confidences.risk_coverage())
    assert merged.examples.table().equals(whole.examples.table())
