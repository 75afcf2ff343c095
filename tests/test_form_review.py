"""What is for review of pages of forms, from the pages to the corrections and back."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import report, review, score
from mnist_batch.forms import opening
from mnist_batch.intake.field_values import EMPTY
from mnist_batch.reports import sample_error
from tests.support import stacks
from tests.support.running import Capture, ran


@pytest.mark.long
def test_fields_for_review_are_shown_upright_and_their_corrections_go_back(
    without_ray: None, tmp_path: Path, capsys: Capture
) -> None:
    form, truth, _ = stacks.stack(tmp_path, ["turned 180", "photo"])
    arguments = [tmp_path / "pages", "--form", form, "--out", tmp_path / "out", "--run-id", "night"]
    code, _, scored = ran(capsys, score, *arguments, "--target-error", 0.01, "--trust-anyway", "--max-unreadable", 1)
    assert code == 0
    code, _, summary = ran(capsys, review, "--out", tmp_path / "out", "--run", "night", "--to", tmp_path / "review")
    assert code == 0
    (found,) = re.findall(r'id="pack">(.*?)</script>', (tmp_path / "review/review.html").read_text(), re.DOTALL)
    items: list[dict[str, Any]] = json.loads(found)["items"]
    assert len(items) == summary["items"] == scored["fields"]["review"] > 5
    cells = {field.name: len(field.cells) for field in opening.open_form(str(form)).form.fields}
    for item in items:
        assert len(item["boxes"]) == item["digits"] == cells[item["row"]["field"]]
        lefts, tops = ([box[at] for box in item["boxes"]] for at in (0, 1))
        assert lefts == sorted(lefts)
        assert max(tops) - min(tops) < 0.05  # upright, though one page lay upside down
    with truth.open(newline="") as file:
        known = {(row["scan"], row["field"]): row["value"] for row in csv.DictReader(file)}
    rows = [item["row"] | {"value": known.get((item["row"]["scan"], item["row"]["field"]), "")} for item in items]
    with (tmp_path / "corrections.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["scan", "page", "field", "value", "source"])
        writer.writeheader()
        writer.writerows(rows)
    code, _, _ = ran(
        capsys, report, "--out", tmp_path / "out", "--run", "night", "--labels", tmp_path / "corrections.csv"
    )
    assert code == 0
    kept = pq.read_table(tmp_path / "out/field_labels", partitioning=None).to_pylist()
    assert {(row["scan"], row["field"], row["value"] or EMPTY) for row in kept} == {
        (row["scan"], row["field"], row["value"]) for row in rows if row["value"]
    }
    assert kept

    of_run = ["--out", tmp_path / "out", "--run", "night"]
    code, _, summary = ran(capsys, review, *of_run, "--to", tmp_path / "audit", "--audit", 8)
    (found,) = re.findall(r'id="pack">(.*?)</script>', (tmp_path / "audit/review.html").read_text(), re.DOTALL)
    items = json.loads(found)["items"]
    drawn = [item["row"] for item in items if item["drawn"]]
    assert len(drawn) == summary["drawn"] == 8
    with (tmp_path / "audit.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["scan", "page", "field", "value", "source"])
        writer.writeheader()
        for item in (item["row"] for item in items):
            value = known.get((item["scan"], item["field"]), EMPTY)
            if item == drawn[3]:
                value = "9" if value == EMPTY else EMPTY  # the person differs from what was read
            writer.writerow(item | {"value": "" if item == drawn[5] else value})
    code, printed, last = ran(capsys, report, *of_run, "--audit-labels", tmp_path / "audit.csv")
    assert code == 0
    stated = last["sample_error"]
    assert (stated["accepted"], stated["drawn"], stated["labelled"]) == (scored["fields"]["accepted"], 8, 7)
    assert stated["wrong"] == 1
    assert (stated["low"], stated["high"]) == sample_error.interval(1, 7)
    assert json.loads((tmp_path / "out/runs/night/run.json").read_text())["sample_error"] == stated
    sentence = f"Of {stated['accepted']} accepted fields 8 were drawn at random, 7 of these have been labelled"
    assert sentence in printed
    assert sentence in (tmp_path / "out/runs/night/report.html").read_text()
