"""The error among accepted fields, from what was typed for a random sample of them, and from nothing else."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mnist_batch.errors import InputError
from mnist_batch.reports import field_sample, reviewing, sample_error, sampling
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import FormFacts, Published
from tests.support import field_run, run_facts

ACCEPTED = 60
FORM = {
    "format": 1,
    "name": "turnout",
    "pages": [{"image": "page-1.png", "width": 300, "height": 400}],
    "fields": [{"name": "ballots", "page": 1, "cells": [[10, 10, 20, 30], [40, 10, 20, 30], [70, 10, 20, 30]]}],
}


@pytest.fixture
def of_run(tmp_path: Path) -> tuple[Run, Published]:
    """A run of 100 pages with a field each, of which 60 are accepted; every tenth of these is empty."""
    run, source = Run(str(tmp_path / "out"), "night", "2026-11-21"), tmp_path / "in"
    fields, rows = [], []
    for number in range(100):
        scan, accepted = f"{number}.png", number < ACCEPTED
        status = {"status": "empty", "confidence": None} if number % 10 == 9 else {}
        value = None if status else str(100 + number)
        fields.append(field_run.field_of(scan, "ballots", "accept" if accepted else "review", value, **status))
        rows.append({"scan": scan, "status": "ok", "digit": 1, "form": "turnout", "field": "ballots", "position": 0})
    for part in (slice(0, 50), slice(50, None)):
        field_run.write_table(run, "fields", tables.FIELDS, fields[part], source)
        field_run.write_table(run, "predictions", tables.PREDICTIONS, rows[part], source)
    forms = (FormFacts("/form", "turnout", None, "d"),)
    published = run_facts.commit(run, threshold=0.9, target_error=0.1, forms=forms)
    (Path(run.folder) / "form-000.json").write_text(json.dumps(FORM))
    return run, published


def typed(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    with (tmp_path / "corrections.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["scan", "page", "field", "value", "source"])
        writer.writeheader()
        writer.writerows(rows)
    return str(tmp_path / "corrections.csv")


def drawn(of_run: tuple[Run, Published], size: int) -> list[dict[str, Any]]:
    """What a person types who reads the drawn fields as the run does."""
    items = [item for item in reviewing.choose(*of_run, most=1, audit=size).items if item.drawn]
    assert len(items) == size
    numbers = [int(item.scan.removesuffix(".png")) for item in items]
    return [
        {"scan": f"{number}.png", "page": 0, "field": "ballots", "value": "none" if number % 10 == 9 else 100 + number}
        for number in numbers
    ]


@pytest.mark.parametrize("size", [1, 20, ACCEPTED])
def test_the_error_is_that_of_the_fields_that_a_review_draws(
    of_run: tuple[Run, Published], tmp_path: Path, size: int
) -> None:
    rows = drawn(of_run, size)
    rows[-1]["value"] = "7"
    others = [{"scan": "80.png", "page": 0, "field": "ballots", "value": 5}]  # for review: says nothing of the accepted
    error = field_sample.given_back(*of_run, typed(tmp_path, others + rows[::-1])).sample_error
    assert error is not None
    assert (error.accepted, error.drawn, error.labelled, error.wrong) == (ACCEPTED, size, size, 1)
    assert (error.low, error.high) == sample_error.interval(1, size)


def test_a_field_without_a_value_is_not_counted_and_said(of_run: tuple[Run, Published], tmp_path: Path) -> None:
    rows = drawn(of_run, 20)
    location = typed(tmp_path, rows[:4] + [row | {"value": ""} for row in rows[4:6]] + rows[7:])
    published = field_sample.given_back(*of_run, location)
    error = published.sample_error
    assert error is not None
    assert (error.drawn, error.labelled, error.wrong) == (20, 17, 0)
    said = sample_error.text(published) or ""
    assert said.startswith("Of 60 accepted fields 20 were drawn at random, 17 of these have been labelled, and 0 of")
    assert "of all accepted fields are wrong" in said
    assert "3 rows have no label" in said


def test_fields_that_were_not_drawn_are_no_sample(of_run: tuple[Run, Published], tmp_path: Path) -> None:
    rows = drawn(of_run, ACCEPTED)
    with pytest.raises(InputError, match=r"--audit-labels .*: 3 accepted fields have a value, and they are no random"):
        field_sample.given_back(*of_run, typed(tmp_path, rows[-3:]))
    review = [{"scan": "80.png", "page": 0, "field": "ballots", "value": 5}]
    with pytest.raises(InputError, match="no accepted field of run night has a value"):
        field_sample.given_back(*of_run, typed(tmp_path, review))
    with pytest.raises(InputError, match=r"--audit-labels .*corrections.csv, line 2: no form has a field 'cups'"):
        field_sample.given_back(*of_run, typed(tmp_path, [rows[0] | {"field": "cups"}]))
    with pytest.raises(InputError, match="is a folder; give one file"):
        field_sample.given_back(*of_run, str(tmp_path))


def test_the_fields_of_a_run_with_forms_are_drawn_by_the_review(of_run: tuple[Run, Published]) -> None:
    with pytest.raises(InputError, match=r"--audit 20: run night has forms, .* jobs.review --audit 20; .*corrections"):
        sampling.draw_longest(*of_run, 20)
