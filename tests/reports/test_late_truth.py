"""Labels that come with a later night: each goes to the bytes that it is given for, whatever lay at its path before."""

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import night, verify
from tests.support.ruler import write_scan
from tests.support.running import Capture, ran

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]


@pytest.fixture
def asked(tmp_path: Path, ruler: str) -> list[Any]:
    """A command on three scans, 0.png to 2.png, with labels."""
    for digit in range(3):
        write_scan(tmp_path / f"in/{digit}.png", digit)
    (tmp_path / "truth.csv").write_text("scan,label\n0.png,0\n")
    return [tmp_path / "in", "--model", ruler, "--out", tmp_path / "out", "--labels", tmp_path / "truth.csv"]


def labels_of(out: Path, run: str) -> dict[str, int]:
    """The labels of the report of a run."""
    rows = pq.read_table(out / "labels", partitioning=None).to_pylist()
    return {row["scan"]: row["label"] for row in rows if row["run"] == run}


@pytest.mark.parametrize("known_at_once", [True, False])
def test_the_label_of_a_scan_that_was_changed_is_none_of_what_lay_there_before(
    known_at_once: bool, asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    out, truth = tmp_path / "out", tmp_path / "truth.csv"
    _, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    write_scan(tmp_path / "in/0.png", 7, confidence=0.9)
    if known_at_once:
        truth.write_text("scan,label\n0.png,7\n")
    _, _, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    truth.write_text("scan,label\n0.png,7\n1.png,1\n")
    _, _, third = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert labels_of(out, first["run_id"]) == {"0.png": 0, "1.png": 1}
    assert labels_of(out, second["run_id"]) == {"0.png": 7}
    told = {each["run_id"]: (each["labelled"], each["accuracy"]) for each in third["late_truth"]}
    expected = {first["run_id"]: (2, 1.0), **({} if known_at_once else {second["run_id"]: (1, 1.0)})}
    assert (second["late_truth"], told) == ([], expected) if known_at_once else (told == expected)
    assert ran(capsys, night, *asked, "--run-date", "2026-11-24")[2]["late_truth"] == []
    assert ran(capsys, verify, "--out", out)[0] == 0


def test_a_scan_that_was_touched_or_changed_back_has_its_label_where_its_answer_is(
    asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    out, scan = tmp_path / "out", tmp_path / "in/1.png"
    _, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    before = scan.read_bytes()
    write_scan(scan, 7, confidence=0.9)
    _, _, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    scan.write_bytes(before)
    os.utime(tmp_path / "in/2.png", ns=(1, 1))
    (tmp_path / "truth.csv").write_text("scan,label\n1.png,1\n2.png,2\n")
    _, _, third = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert third["scans"]["moved"] == 2
    assert labels_of(out, first["run_id"]) == {"0.png": 0, "1.png": 1, "2.png": 2}
    assert labels_of(out, second["run_id"]) == {}
    assert ran(capsys, night, *asked, "--run-date", "2026-11-24")[2]["late_truth"] == []


def test_labels_are_added_by_a_night_that_is_held_as_well_and_its_last_line_says_so(
    asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    _, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    for number in range(10):
        write_scan(tmp_path / f"in/new-{number}.png", 3, confidence=0.4 + number / 20)
    wrong = "".join(f"new-{number}.png,4\n" for number in range(10))
    (tmp_path / "truth.csv").write_text(f"scan,label\n1.png,1\n{wrong}")
    code, printed, held = ran(capsys, night, *asked, "--run-date", "2026-11-22", "--min-accuracy", 0.9)
    assert (code, held["state"], held["alerts"]) == (4, "held", [])
    [late] = held["late_truth"]
    assert (late["run_id"], late["labelled_before"], late["labelled"]) == (first["run_id"], 1, 2)
    assert "2 instead of 1" in printed
    assert labels_of(tmp_path / "out", first["run_id"]) == {"0.png": 0, "1.png": 1}


def test_labels_of_earlier_scans_that_contradict_each_other_do_not_hide_what_became_of_tonight(
    asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    ran(capsys, night, *asked, "--run-date", "2026-11-21")
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    (tmp_path / "truth.csv").write_text("scan,label\nnew.png,3\n1.png,1\n1.png,2\n")
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert (code, summary["status"], summary["state"], summary["rows"]) == (2, "failed", "published", 1)
    assert "'1.png' is labelled 1 and 2" in summary["error"]
