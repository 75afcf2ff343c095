"""Nights with forms: files of pages are known by their bytes; numbers that come late go to the reports of fields."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks import form_pages
from jobs import night, verify
from tests.support import stacks
from tests.support.running import Capture, ran

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A form, and four filled-in pages of it."""
    form, _, pages = stacks.stack(tmp_path_factory.mktemp("drawn"), ["clean"] * 4)
    return form, pages


def table(out: Path, name: str, run: str) -> list[dict[str, Any]]:
    return [row for row in pq.read_table(out / name, partitioning=None).to_pylist() if row["run"] == run]


def write_truth(path: Path, pages: dict[str, list[Any]]) -> None:
    """The numbers in the fields of files of pages."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scan", "page", "field", "value"])
        for name, of_file in pages.items():
            for number, page in enumerate(of_file):
                known = {field: written.value for field, written in page.truth.items() if written.value is not None}
                rows.writerows([name, number, field, value or "none"] for field, value in known.items())


@pytest.mark.slow
def test_files_of_pages_are_known_repeated_and_new_as_single_scans_are(
    drawn: tuple[Path, list[Any]], tmp_path: Path, capsys: Capture
) -> None:
    form, pages = drawn
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    form_pages.write_stack(pages[:2], folder / "two.pdf")
    form_pages.write_stack(pages[2:3], folder / "grows.pdf")
    asked = [folder, "--form", form, "--out", out, "--max-unreadable", 0.5]
    code, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    assert (code, first["scans"]["scored"]) == (0, 2)
    fields = len(table(out, "fields", first["run_id"]))
    (folder / "two.pdf").rename(folder / "renamed.pdf")
    form_pages.write_stack(pages[2:], folder / "grows.pdf")  # by a page
    form_pages.write_stack(pages[3:], folder / "same.pdf")
    shutil.copy(folder / "same.pdf", folder / "twice.pdf")
    code, _, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert code == 0
    assert second["scans"] == {
        **{"listed": 4, "known": 0, "former": 0, "held": 0, "moved": 1, "repeated": 1, "scored": 2}
    }
    found = {(row["scan"], row["page"]): row["status"] for row in table(out, "pages", second["run_id"])}
    registered = dict.fromkeys([("grows.pdf", 0), ("grows.pdf", 1), ("same.pdf", 0)], "registered")
    assert found == {("renamed.pdf", 0): "known", ("twice.pdf", 0): "repeated", **registered}
    scans = {row["scan"] for row in table(out, "fields", second["run_id"])}
    assert scans == {"grows.pdf", "same.pdf"}
    assert len(table(out, "fields", second["run_id"])) == fields
    assert second["fields"]["fields"] == fields
    assert ran(capsys, verify, "--out", out)[0] == 0
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert (code, summary["state"], summary["scans"]["known"]) == (0, "nothing_new", 4)


@pytest.mark.slow
def test_numbers_that_come_late_make_the_report_of_fields_anew(
    drawn: tuple[Path, list[Any]], tmp_path: Path, capsys: Capture
) -> None:
    form, pages = drawn
    folder, out, truth = tmp_path / "in", tmp_path / "out", tmp_path / "truth.csv"
    folder.mkdir()
    form_pages.write_stack(pages[:2], folder / "two.pdf")
    asked = [folder, "--form", form, "--out", out, "--max-unreadable", 0.5]
    code, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    assert (code, first["fields"].get("labelled")) == (0, 0), first
    form_pages.write_stack(pages[2:3], folder / "new.pdf")
    (folder / "two.pdf").rename(folder / "renamed.pdf")
    write_truth(truth, {"two.pdf": pages[:1], "new.pdf": pages[2:3]})
    asked += ["--labels", truth]
    code, _, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert code == 0, second
    [late] = second["late_truth"]
    assert (late["run_id"], late["labelled_before"]) == (first["run_id"], 0)
    assert late["labelled"] > 0
    labels = table(out, "field_labels", first["run_id"])
    assert {(row["scan"], row["page"]) for row in labels} == {("two.pdf", 0)}
    assert ran(capsys, verify, "--out", out)[0] == 0
    assert ran(capsys, night, *asked, "--run-date", "2026-11-23")[2]["late_truth"] == []
    write_truth(truth, {"two.pdf": pages[:2], "new.pdf": pages[2:3]})
    _, _, third = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert third["late_truth"][0]["labelled"] > late["labelled"]
    labels = table(out, "field_labels", first["run_id"])
    assert {(row["scan"], row["page"]) for row in labels} == {("two.pdf", 0), ("two.pdf", 1)}
    # A file whose answer is in an earlier run has no fields: its numbers change no report.
    said = {path: path.read_bytes() for path in out.glob("runs/*/run.json")}
    write_truth(truth, {"renamed.pdf": pages[:2], "two.pdf": pages[:2]})
    for date in ("2026-11-24", "2026-11-25"):
        assert ran(capsys, night, *asked, "--run-date", date)[2]["late_truth"] == []
    assert said == {path: path.read_bytes() for path in out.glob("runs/*/run.json")}
    assert ran(capsys, verify, "--out", out)[0] == 0
