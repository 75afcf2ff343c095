"""A run as CSV: every row once, with what a spreadsheet would make of its texts in mind."""

import csv
import os
import stat
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch.errors import InputError
from mnist_batch.intake import labels
from mnist_batch.reports import spreadsheet
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import FormFacts
from tests.support import field_run, run_facts

ROWS = [
    ("=1+1.png", "ok", 3, 0.5, 3, "review"),
    ('a "b", c\n.png', "ok", 4, 0.999, 5, "accept"),
    ("é/-x.png", "ok", 4, 1.0, None, "accept"),
    ("d.png", "blank", None, None, 7, "review"),
    ("e.png", "empty", None, None, None, "review"),
    ("f.png", "ok", 6, 0.7, tables.NO_DIGIT, "review"),
]


SAID = run_facts.published()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of two parts with ``ROWS``."""
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    folder = Path(run.table_folder("predictions"))
    folder.mkdir(parents=True)
    for number, rows in enumerate((ROWS[:2], ROWS[2:])):
        columns: dict[str, object] = {name: [None] * len(rows) for name in tables.PREDICTIONS.names}
        names = ("scan", "status", "digit", "confidence", "label", "decision")
        columns |= dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        columns |= {
            "source": ["/in"] * len(rows),
            "page": [0] * len(rows),
            "content": [b"0123456789abcdef"] * len(rows),
        }
        columns |= {"model": ["m"] * len(rows)}
        schema = [item.with_nullable(True) for item in tables.PREDICTIONS]
        pq.write_table(pa.table(columns, schema=pa.schema(schema)), folder / f"part-{number:05}.parquet")
    return run


def test_every_row_is_in_the_file_and_no_text_is_a_formula(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "night.csv"
    assert spreadsheet.write(run, SAID, path) == len(ROWS)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfnight,run,scan,source,")
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["scan"] for row in found] == ["'=1+1.png", *(row[0] for row in ROWS[1:])]
    assert [row["digit"] for row in found] == ["3", "4", "4", "", "", "6"]
    assert [row["label"] for row in found] == ["3", "5", "", "7", "", "none"]
    assert {(row["night"], row["run"]) for row in found} == {("2026-11-21", "night")}
    assert found[0]["content"] == b"0123456789abcdef".hex()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["night.csv"]


def test_what_was_written_is_understood_as_labels(run: Run, tmp_path: Path) -> None:
    spreadsheet.write(run, SAID, tmp_path / "night.csv")
    pages = {("/in", row[0]): 1 for row in ROWS} | {("/more", ROWS[0][0]): 1}
    truth = labels.match_labels(pages, labels.LabelFile(str(tmp_path / "night.csv")))
    assert truth == {("/in", row[0], 0): row[4] for row in ROWS if row[4] is not None}


@pytest.mark.parametrize(
    ("rows", "scans"),
    [
        ("review", ["'=1+1.png", "d.png", "e.png", "f.png"]),
        ("mistakes", [ROWS[1][0], "f.png"]),
        ("unread", ["e.png"]),
    ],
)
def test_some_of_the_rows(run: Run, tmp_path: Path, rows: str, scans: list[str]) -> None:
    path = tmp_path / "some.csv"
    path.write_text("what was there")
    assert spreadsheet.write(run, SAID, path, rows) == len(scans)
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [row["scan"] for row in csv.DictReader(file)] == scans


def test_the_fields_of_a_run_with_forms_say_which_rules_fail(tmp_path: Path) -> None:
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    failed = ["a = b", "a < 5"]
    fields = [
        field_run.field_of("a.png", "ballots", "review", "045", rules_failed=failed),
        field_run.field_of("a.png", "spoilt", "accept", None, status="empty", label=""),
    ]
    for name, schema, rows in (
        ("predictions", tables.PREDICTIONS, field_run.cells_of("a.png", b"0123456789abcdef")),
        ("fields", tables.FIELDS, fields),
        ("pages", tables.PAGES, [{"scan": "a.png", "status": "registered"}]),
    ):
        field_run.write_table(run, name, schema, rows, tmp_path / "in")
    said = replace(SAID, forms=(FormFacts("turnout", None, "forms/turnout", "cafe"),))
    assert spreadsheet.write(run, said, tmp_path / "fields.csv") == 2
    with (tmp_path / "fields.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["value"] for row in found] == ["045", ""]
    assert [row["rules_failed"] for row in found] == ["a = b; a < 5", ""]
    assert [row["label"] for row in found] == ["", "none"]


def test_a_file_that_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--csv 's3://bucket/x.csv': a CSV file is written to a disk"):
        spreadsheet.write(run, SAID, "s3://bucket/x.csv")
    with pytest.raises(InputError, match=r"--csv '.*nowhere/x.csv': cannot be written \(No such file or directory\)"):
        spreadsheet.write(run, SAID, tmp_path / "nowhere/x.csv")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written \(Not a directory\); give another file"):
        spreadsheet.write(run, SAID, tmp_path / "file/x.csv")
    (tmp_path / "file").unlink()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        spreadsheet.write(run, SAID, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]


def test_a_pipe_is_written_to_and_a_link_stays_one(run: Run, tmp_path: Path) -> None:
    pipe, whole, link = tmp_path / "pipe", tmp_path / "whole.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(whole)
    whole.touch()
    spreadsheet.write(run, SAID, link)
    assert link.is_symlink()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # what is written fits what a pipe holds
    assert spreadsheet.write(run, SAID, pipe) == len(ROWS)
    assert os.read(reader, 1 << 16) == whole.read_bytes()
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
