"""The benchmark's pages are as their seed says, and their cells lie where the truth has them."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks import form_crossing, form_pages, form_reading, form_registering, forms
from benchmarks import form_disturbing as steps
from benchmarks.form_disturbing import Sheet
from benchmarks.form_filling import Page, Written, luhn
from benchmarks.form_pages import (
    FORMS,
    KINDS,
    SIBLINGS,
    Manner,
    digits_of,
    disturbed,
    filled,
    form,
    page_of,
    write_form,
    write_stack,
)
from benchmarks.form_reading import Cells
from benchmarks.form_registering import Job
from benchmarks.handwriting import Digits
from mnist_batch.forms.cutting import Cut
from mnist_batch.forms.opening import open_form
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration, Verdict
from mnist_batch.forms.spans import CellAnswer, FieldStatus
from mnist_batch.forms.values import FieldValue
from mnist_batch.learning import digits
from mnist_batch.reports import form_check
from mnist_batch.schemas.facts import FieldThresholds
from mnist_batch.statuses import Status
from tests.support import ROOT

WRITTEN = Digits(*(array[:300] for array in digits.mnist("test")))
MOVES: dict[str, tuple[Callable[[Sheet], None], ...]] = {
    "laid": (steps.laid,),
    "finer": (steps.laid, partial(steps.scanned_at, dots_per_inch=300)),
    "coarser": (partial(steps.scanned_at, dots_per_inch=150), steps.laid),
    "quarter turn": (partial(steps.turned, degrees=90),),
    "three quarters": (steps.laid, partial(steps.turned, degrees=270)),
    "cut": (partial(steps.cut, share=0.67),),
    "stretched": (steps.stretched, steps.laid),
    "photographed": (steps.photographed,),
    "faxed": (partial(steps.faxed, rows=196),),
    "rows lost": (steps.lines_lost, steps.laid),
}


@pytest.mark.parametrize("name", MOVES)
def test_a_dot_is_found_where_the_truth_has_the_corner(name: str) -> None:
    cells = dict(list(form("boxes").corners(0).items())[::7])
    picture = np.full((2339, 1654), 255, np.uint8)
    for corners in cells.values():
        cv2.circle(picture, tuple(int(each) for each in corners[2]), 9, 0, -1)
    page = disturbed(
        Page(picture, "boxes", 0, {}, {cell: at + 0.5 for cell, at in cells.items()}),
        MOVES[name],
        np.random.default_rng(7),
    )
    edges, seen = np.array(page.picture.shape[1::-1]) - 12, 0
    for cell, corners in page.corners.items():
        at = corners[2] - 0.5  # where the middles of pixels are whole numbers, as in the arrays
        if (at < 12).any() or (at > edges).any():
            continue
        x, y = np.round(at).astype(int)
        dark = 255.0 - page.picture[y - 11 : y + 12, x - 11 : x + 12]
        dark[dark < 0.55 * dark.max()] = 0  # the shadow of a hand
        rows, columns = np.mgrid[-11:12, -11:12]
        found = np.array([(dark * columns).sum(), (dark * rows).sum()]) / dark.sum() + (x, y)
        assert np.linalg.norm(found - at) < 1
        assert page.at(cells[cell] + 0.5)[2] == pytest.approx(corners[2])
        seen += 1
    assert seen > 5


@pytest.mark.parametrize("kind", ["moderate", "photo", "fax 204x98, pixels not square"])
def test_a_page_depends_on_its_seed_and_number_alone(kind: str) -> None:
    first, again, other = (page_of(form("combs"), 0, kind, WRITTEN, 3, number) for number in (1, 1, 2))
    assert np.array_equal(first.picture, again.picture)
    assert first.truth == again.truth
    assert not np.array_equal(first.picture[:900, :900], other.picture[:900, :900])


@pytest.mark.parametrize("name", FORMS)
def test_what_is_written_is_what_the_truth_says(name: str) -> None:
    drawing, random = form(name, 1), np.random.default_rng(1)
    page = filled(drawing, 0, WRITTEN, random, Manner(empty=0, struck=0))
    assert page.ink is not None
    empty = np.where(page.ink > 128, 0, 1)
    for each in drawing.fields(0):
        labels = page.truth[each["name"]].labels
        assert len(labels) == len(each["cells"])
        for label, (x, y, wide, high) in zip(labels, each["cells"], strict=True):
            middle = empty[y + 6 : y + high - 6, x + 6 : x + wide - 6]
            assert middle.all() or label != "blank" or middle.mean() > 0.8  # a neighbour reaches in
            assert not middle.all() or label == "blank"
    if name == "boxes":
        number = {field: int(written.value or 0) for field, written in page.truth.items()}
        assert number["valid"] == number["list_a"] + number["list_b"] + number["list_c"] > 0
        assert luhn(page.truth["account"].value or "")


@pytest.mark.parametrize("name", [*FORMS, *SIBLINGS])
def test_a_form_is_one_that_the_product_can_open(name: str, tmp_path: Path) -> None:
    write_form(form(name), tmp_path)
    opened = open_form(str(tmp_path))
    assert opened.form.name == form(name).name
    assert {field.name for field in opened.form.fields_of(0)} == {each["name"] for each in form(name).fields(0)}


def test_siblings_share_their_looks_and_differ_where_they_must() -> None:
    cells = {name: {each["name"]: each["cells"] for each in form(name).fields(0)} for name in
             ("boxes", "other_version", "other_language")}  # fmt: skip
    assert cells["other_language"] == cells["boxes"]
    assert set(cells["other_version"]) - set(cells["boxes"]) == {"proxies"}
    assert cells["other_version"]["cards"] == cells["boxes"]["cards"]
    lower = cells["other_version"]["ballots"][0][1] - cells["boxes"]["ballots"][0][1]
    assert lower > 50


def test_cells_that_a_black_rectangle_covers_are_hidden() -> None:
    page = page_of(form("dense"), 0, "a black rectangle", WRITTEN, 0, 0)
    assert 5 < len(page.hidden) < 150
    for cell, corners in page.corners.items():
        (x, y), (right, low) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
        assert cell in page.hidden or (page.picture[y:low, x:right] < 30).mean() < 0.5  # the frame, a digit, and ink


def test_a_page_is_judged_by_its_form_and_by_where_its_cells_are() -> None:
    job = Job("boxes", 0, 0, "scan 150 dpi", 0, 0, ("boxes",))
    outcome = form_registering.looked_at(job)
    assert (outcome.verdict, outcome.right, outcome.wrong) == ("registered", True, False)
    assert 0 < np.median(outcome.errors) < 1.5
    drawing = form("boxes")
    page = page_of(drawing, 0, "clean", WRITTEN, 0, 0)
    shifted = np.array([[1, 0, 40], [0, 1, 0], [0, 0, 1.0]])
    for version, matrix in (("2026", shifted), ("2027", np.eye(3)), ("2026", np.eye(3))):
        places = {each["name"]: FieldPlace(FieldVerdict.PLACED, matrix) for each in drawing.fields(0)}
        found = Registration(Verdict.REGISTERED, form="boxes", page=0, version=version, matrix=matrix, fields=places)
        judged = form_registering.judged(job, page, drawing, found, np.ones(2), "registered", 0)
        assert judged.wrong == (version == "2027" or matrix is shifted)


def test_what_is_read_is_counted_beside_what_is_written() -> None:
    cut = Cut("station", 0, None, Status.OK, None, (255 - WRITTEN.pictures[0],))
    blank, crossed = (Cut("station", at, None, Status.BLANK) for at in (1, 2))
    cells = Cells((str(WRITTEN.labels[0]), "blank", "crossed"), (cut, blank, crossed), (cut.pictures[0], None, None))
    figures = form_reading.figures(lambda cells: np.array([WRITTEN.labels[0] if it else -1 for it in cells]), [cells])
    assert (figures["digits"], figures["perfect"], figures["right"], figures["wrong"]) == (1, 1, 1, 0)
    assert (figures["blank"], figures["blank_read_as_digits"], figures["crossed"]) == (1, 0, 1)


def test_cells_told_as_crossed_are_counted_beside_digits_taken_for_it() -> None:
    labels = ("crossed", "crossed", "crossed", "7", "7")
    answers = (Status.CROSSED, Status.OK, Status.BLANK, Status.OK, Status.CROSSED)
    cells = [
        form_check.Cell(Cut("station", at, None, status), CellAnswer(status, doubted=at == 3))
        for at, status in enumerate(answers)
    ]
    page = Page(np.zeros((9, 9), np.uint8), "boxes", 0, {"station": Written(labels)}, {})
    wrong, right = (FieldValue("station", FieldStatus.OK, None, True, value, 1.0) for value in ("177", "77"))
    checked = form_check.Checked(Registration(Verdict.REGISTERED), {}, tuple(cells), (wrong, right))
    counts = form_crossing.cells(page, checked) + form_crossing.fields(page, checked, FieldThresholds(0.5))
    assert counts == {
        **{"crossed": 3, "told": 1, "taken_for_clear_digits": 1, "digits": 2, "digits_taken_for_crossed": 1},
        **{"fields": 2, "accepted": 2, "accepted_wrong": 1},
    }


@pytest.mark.parametrize("void", ["slash", "z"])
def test_unused_cells_are_crossed_in_a_way_that_the_truth_names(void: str) -> None:
    manner = Manner(unused=1, free=4, empty=0.5, void=void, strangers=(0, 1))
    page = filled(form("boxes"), 0, WRITTEN, np.random.default_rng(1), manner)
    labels = {(name, at): label for name, it in page.truth.items() for at, label in enumerate(it.labels)}
    assert "blank" not in labels.values()
    assert page.ink is not None
    for cell, label in labels.items():
        (left, top), (right, foot) = page.corners[cell][[0, 2]].astype(int)
        assert label.isdigit() or page.ink[top:foot, left:right].any()
    assert any(not it.value for it in page.truth.values()), "empty fields are crossed, too"


def test_a_stack_holds_every_page_with_its_resolution(tmp_path: Path) -> None:
    drawing, file = form("boxes"), tmp_path / "stack.tif"
    pages = [page_of(drawing, 0, kind, WRITTEN, 0, 0) for kind in ("fax 204x98, pixels not square", "scan 150 dpi")]
    write_stack(pages, file)
    with Image.open(file) as stack:
        for at, page in enumerate(pages):
            stack.seek(at)
            assert stack.info["dpi"] == page.dots_per_inch
            assert np.array_equal(np.asarray(stack.convert("L")), page.picture)


def test_a_pdf_holds_every_page_as_a_jpeg(tmp_path: Path) -> None:
    pages = [page_of(form("boxes"), 0, "scan 100 dpi", WRITTEN, 0, number) for number in range(2)]
    write_stack(pages, tmp_path / "stack.pdf")
    content = (tmp_path / "stack.pdf").read_bytes()
    assert content.count(b"/DCTDecode") == 2
    assert b"/Count 2" in content


def test_digits_come_from_a_table_too(tmp_path: Path) -> None:
    ring = np.full((64, 40), 245, np.uint8)
    cv2.circle(ring, (20, 30), 12, 90, 4)
    png = bytes(cv2.imencode(".png", ring)[1])
    table = pa.table({"png": [png, png], "label": pa.array([0, 0], pa.int8()), "part": ["train", "calibrate"]})
    pq.write_table(table, tmp_path / "digits.parquet")
    found = digits_of(tmp_path / "digits.parquet", "train")
    assert (found.pictures.shape, found.labels.tolist()) == ((1, 64, 64), [0])
    assert found.pictures[0, 32, 32 + 12] > 200  # the ring's ink, 12 pixels right of its middle
    assert found.pictures[0, 32, 32] == found.pictures[0, 2, 2] == 0


@pytest.mark.parametrize("part", forms.PARTS)
def test_the_tables_of_the_page_on_forms_are_what_was_measured(part: str) -> None:
    measured = json.loads(forms.RESULTS.read_text())[part]
    shown = (ROOT / "docs/forms.md").read_text().split(f"<!-- {part} -->")[1].strip()
    assert shown == forms.PARTS[part][1](measured["pages"])


def test_every_kind_is_rendered_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small: list[Any] = []
    monkeypatch.setattr(form_pages, "mnist_digits", lambda: WRITTEN)
    monkeypatch.setattr(form_pages, "page_of", lambda *its: small.append(its[2]) or Page(
        np.full((40, 30), 255, np.uint8), "boxes", 0, {}, {}, kind=its[2]))  # fmt: skip
    form_pages.main(["--out", str(tmp_path), "--kinds", "all", "--pages", str(len(KINDS))])
    assert small == list(KINDS)
    assert {"boxes", "truth.csv", "contact.png"} < {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("0*.*"))) == len(KINDS)
