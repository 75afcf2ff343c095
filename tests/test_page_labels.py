"""Each page of a TIFF may have its own label: from the file to the row, and back."""

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import export, report, score
from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scans
from mnist_batch.intake.labels import attach_labels, parse_labels
from tests.support.ruler import picture_of, write_scan
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long

PAGES = (3, 1, 4)  # the digits of form.tif


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A TIFF of three pages and a plain scan."""
    write_scan(tmp_path / "in/plain.png", 5)
    first, *others = (Image.fromarray(picture_of(digit)) for digit in PAGES)
    first.save(tmp_path / "in/form.tif", save_all=True, append_images=others)
    return tmp_path / "in"


def labels_of(folder: Path, run_id: str, table: str = "predictions") -> dict[tuple[str, int], int | None]:
    [path] = (folder.parent / "out" / table).glob(f"*/run_id={run_id}")
    return {(row["scan"], row["page"]): row["label"] for row in pq.read_table(path, partitioning=None).to_pylist()}


def scored(
    capsys: Capture, folder: Path, model: str, truth: str, *more: object, run_id: str = "night"
) -> dict[str, Any]:
    (folder.parent / "truth.csv").write_text(truth)
    arguments = [folder, "--model", model, "--out", folder.parent / "out", "--labels", folder.parent / "truth.csv"]
    code, _, summary = ran(capsys, score, *arguments, "--run-id", run_id, *more)
    assert code == 0, summary
    return summary


def test_pages_have_labels_of_their_own_and_scans_have_one_for_all(
    folder: Path, ruler: str, without_ray: None, capsys: Capture
) -> None:
    truth = "scan,page,label\nform.tif,0,3\nform.tif,2,none\nplain.png,,5\n"
    summary = scored(capsys, folder, ruler, truth)
    assert labels_of(folder, "night") == {
        ("form.tif", 0): 3,
        ("form.tif", 1): None,
        ("form.tif", 2): -1,
        ("plain.png", 0): 5,
    }
    assert (summary["labelled"], summary["accuracy"]) == (2, 1.0)
    scored(capsys, folder, ruler, "scan,label\nform.tif,3\n", run_id="whole")
    assert labels_of(folder, "whole", "labels") == {("form.tif", page): 3 for page in range(3)}


def test_late_labels_of_pages_reach_their_rows_only(
    folder: Path, ruler: str, without_ray: None, capsys: Capture, tmp_path: Path
) -> None:
    scored(capsys, folder, ruler, "scan,label\nplain.png,5\n")
    again = ["--out", tmp_path / "out", "--run", "night", "--labels", tmp_path / "late.csv"]
    (tmp_path / "late.csv").write_text("scan;page;label\nform.tif;1;1\nform.tif;2;9\n")
    code, _, summary = ran(capsys, report, *again)
    assert (code, summary["labelled"], summary["accuracy"]) == (0, 2, 0.5)
    assert labels_of(folder, "night", "labels") == {("form.tif", 1): 1, ("form.tif", 2): 9}
    code, _, summary = ran(capsys, report, *again[:4])  # those of the last report are kept, page by page
    assert (code, summary["labelled"], summary["accuracy"]) == (0, 2, 0.5)
    (tmp_path / "late.csv").write_text("scan,page,label\nform.tif,3,1\n")
    code, _, summary = ran(capsys, report, *again)
    assert code == 2
    assert "line 2: page is 3; 'form.tif' has 3 pages, from 0" in summary["error"]


def test_a_table_of_the_system_is_a_label_file(
    folder: Path, ruler: str, without_ray: None, capsys: Capture, tmp_path: Path
) -> None:
    """What jobs.export wrote, labelled by a person in a spreadsheet, goes back to the rows that it came from."""
    scored(capsys, folder, ruler, "scan,label\nplain.png,5\n")
    where = ["--out", tmp_path / "out", "--run", "night"]
    assert ran(capsys, export, *where, "--csv", tmp_path / "rows.csv")[0] == 0
    with (tmp_path / "rows.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"label": row["digit"]} for row in rows)
    code, _, summary = ran(capsys, report, *where, "--labels", tmp_path / "rows.csv")
    assert (code, summary["labelled"], summary["accuracy"]) == (0, 4, 1.0)


def test_a_label_of_a_page_that_its_scan_does_not_have_is_counted(
    folder: Path, ruler: str, without_ray: None, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "torn.tif").write_bytes(b"II*\0")  # of which nobody knows how many pages it had
    truth = "scan,page,label\nform.tif,2,4\nform.tif,7,1\nplain.png,1,5\ntorn.tif,1,1\n"
    summary = scored(capsys, folder, ruler, truth, "--max-unreadable", 1)
    assert (summary["labelled"], summary["accuracy"]) == (1, 1.0)
    assert "--labels: 2 labels not used, for pages that their scans do not have; pages count from 0" in caplog.text


def test_a_scan_that_is_retried_keeps_the_labels_of_the_rows_it_had(
    folder: Path, ruler: str, without_ray: None, away: set[str], capsys: Capture, tmp_path: Path
) -> None:
    """One row stands for a scan that is away, so the label of its first page is what is known."""
    away.add("form.tif")
    truth = "scan,page,label\nform.tif,0,3\nform.tif,1,1\n"
    scored(capsys, folder, ruler, truth, "--max-unreadable", 1)
    away.clear()
    code, _, summary = ran(capsys, score, "--retry", "night", "--out", tmp_path / "out")
    assert (code, summary["rows"]) == (0, 3)
    assert list(labels_of(folder, "night-retry").values()) == [3, None, None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("form.tif,0,3\nform.tif,0.0,3\n", r"line 3: page 0 of 'form.tif' is labelled 3 twice; keep one row"),
        ("form.tif,0,3\nform.tif,,3\n", r"line 3: 'form.tif' is labelled with a page and without one"),
        ("form.tif,,3\nform.tif,1,3\n", r"line 3: 'form.tif' is labelled with a page and without one"),
        ("form.tif,-1,3\n", r"line 2: page is '-1'; it has to be a number from 0, or empty"),
        ("form.tif,first,3\n", r"line 2: page is 'first'"),
    ],
)
def test_pages_that_contradict_each_other_are_refused(folder: Path, tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "truth.csv").write_text(f"scan,page,label\n{rows}")
    with pytest.raises(InputError, match=message):
        attach_labels(listing.list_scans([str(folder)]), parse_labels(str(tmp_path / "truth.csv")))


def test_a_label_of_a_page_makes_another_listing(folder: Path, tmp_path: Path) -> None:
    listed, digests = listing.list_scans([str(folder)]), set()
    for row in ("form.tif,0,3", "form.tif,1,3", "form.tif,,3", "form.tif,0,4"):
        (tmp_path / "truth.csv").write_text(f"scan,page,label\n{row}\n")
        digests.add(scans.digest(attach_labels(listed, parse_labels(str(tmp_path / "truth.csv")))))
    assert len(digests) == 4
