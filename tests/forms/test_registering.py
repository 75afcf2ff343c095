"""A page is registered to the form that it is of, where it lies, or to none; and each field where its frame is."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.form_drawing import FORMS, SIBLINGS, VERSIONS, FormDrawing, form
from benchmarks.form_filling import Page, mnist_digits
from benchmarks.form_pages import page_of
from benchmarks.form_printing import Print
from mnist_batch.forms.aligning import align
from mnist_batch.forms.candidates import FEW
from mnist_batch.forms.form import parse
from mnist_batch.forms.geometry import corners_of, mapped
from mnist_batch.forms.opening import OpenForm
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registering import register
from mnist_batch.forms.registration import FieldVerdict, Registration, Verdict

pytestmark = pytest.mark.long

KINDS = (
    "clean",
    "moderate",
    "scan 100 dpi",
    pytest.param("scan 300 dpi", marks=pytest.mark.slow),
    "turned 90",
    "turned 180",
    pytest.param("turned 270", marks=pytest.mark.slow),
    "skew to 10 degrees",
    "scale 0.7 to 1.4",
    "a third cut off",
    "uneven feed",
    "1 bit 200 dpi",
    "photocopy",
    "fax 204x196, pixels not square",
    "fax 204x98",
    "photo",
    "a black rectangle",
    "torn",
    "pen and stamps over print",
)
OFF = 4.0  # pixels at 150 dots per inch, that a cell may lie off


def grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


@cache
def references(name: str, looks: int = 0) -> tuple[Reference, ...]:
    drawing = form(name, looks)
    opened = parse(json.dumps(drawing.form_json).encode(), name)
    pictures = tuple(grey(picture) for picture in drawing.pictures)
    open_form = OpenForm(opened, f"digest of {name} {looks}", name, pictures)
    return tuple(Reference.of(open_form, page) for page in range(len(pictures)))


def page(name: str, kind: str, number: int = 0, of: int = 0) -> Page:
    return page_of(form(name), of, kind, mnist_digits(), 5, number)


def registered(page: Page, *names: str) -> Registration:
    return register(grey(page.picture), [each for name in names for each in references(name)])


def off(drawing: FormDrawing, page: Page, registration: Registration) -> list[float]:
    """How far the corners of the placed cells are from where they are, in pixels at 150 dots per inch."""
    distances = []
    for name, place in registration.fields.items():
        for (field, position), (x, y, width, height) in cells(drawing, page.page).items():
            if field == name and place.verdict is FieldVerdict.PLACED:
                truth = page.corners[field, position]
                size = np.sqrt(cv2.contourArea(truth.astype(np.float32)) / (width * height))
                there = mapped(place.matrix, corners_of(x, y, width, height))
                distances.append(float(np.hypot(*(there - truth).T).max() / size * 0.75))
    return distances


def cells(drawing: FormDrawing, page: int) -> dict[tuple[str, int], list[float]]:
    return {(field["name"], at): cell for field in drawing.fields(page) for at, cell in enumerate(field["cells"])}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_registered_and_its_cells_are_where_they_are(kind: str) -> None:
    spoiled = page("boxes", kind)
    registration = registered(spoiled, "boxes")
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert (registration.form, registration.version, registration.page) == ("boxes", "2026", 0)
    assert registration.turn == spoiled.turn
    assert max(off(form("boxes"), spoiled, registration)) < OFF
    kept = [name for name in registration.fields if all(cell[0] != name for cell in spoiled.hidden)]
    placed = [name for name in kept if registration.fields[name].verdict is FieldVerdict.PLACED]
    assert len(placed) >= 0.9 * len(kept) > 0


@pytest.mark.parametrize("name", ["boxes", "combs", "dense", "marked"])
def test_the_cells_of_a_field_are_where_a_machine_stretched_the_paper_to(name: str) -> None:
    uneven = page(name, "uneven feed")
    registration = registered(uneven, name)
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    errors = off(form(name), uneven, registration)
    assert np.median(errors) < 0.6
    assert np.percentile(errors, 90) < (0.5 if name == "dense" else 1.4)


@pytest.mark.parametrize(("looks", "name", "number"), [(650, "dense", 5), (10604, "lines", 0)])
def test_paper_that_was_fed_unevenly_is_not_taken_for_a_fax_that_lost_lines(looks: int, name: str, number: int) -> None:
    drawing = form(name, looks)
    uneven = page_of(drawing, 0, "uneven feed", mnist_digits(), looks, number)
    registration = register(grey(uneven.picture), references(name, looks))
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert max(off(drawing, uneven, registration)) < 1.2
    assert all(each.verdict is FieldVerdict.PLACED for each in registration.fields.values())


def test_fields_are_placed_where_the_corners_of_cells_beside_them_are_pale() -> None:
    drawing = form("boxes", 650)
    spoiled = page_of(drawing, 0, "moderate", mnist_digits(), 650, 0)
    registration = register(grey(spoiled.picture), references("boxes", 650))
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert max(off(drawing, spoiled, registration)) < OFF
    assert all(each.verdict is FieldVerdict.PLACED for each in registration.fields.values())


@pytest.mark.parametrize(
    ("looks", "name", "kind", "number"),
    [(10233, "dense", "photo", 20501), (10242, "coloured", "fax with lines lost", 20543)],
)
def test_no_cell_lies_where_another_is(looks: int, name: str, kind: str, number: int) -> None:
    drawing = form(name, looks)
    spoiled = page_of(drawing, 0, kind, mnist_digits(), looks, number)
    registration = register(grey(spoiled.picture), references(name, looks))
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert max(off(drawing, spoiled, registration)) < 20


@pytest.mark.parametrize(("name", "number"), [("lines", 0), ("boxes", 1), ("combs", 1), ("dense", 0)])
def test_fields_are_placed_where_a_fax_that_lost_lines_has_them(name: str, number: int) -> None:
    spoiled = page(name, "fax with lines lost", number)
    registration = registered(spoiled, name)
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert np.percentile(off(form(name), spoiled, registration), 99) < OFF
    placed = [each for each in registration.fields.values() if each.verdict is FieldVerdict.PLACED]
    assert len(placed) >= 0.95 * len(registration.fields) > 0


def test_the_pages_of_a_form_are_told_apart() -> None:
    for number in (0, 1):
        registration = registered(page("two_page", "moderate", of=number), "two_page", "boxes")
        assert (registration.form, registration.page) == ("two_page", number)


def test_a_version_whose_fields_lie_elsewhere_is_another_version() -> None:
    registration = registered(page("other_version", "moderate"), "boxes")
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert "displaced" in str(registration.reason)
    assert registration.fields == {}


def test_a_version_with_two_rows_swapped_is_another_version() -> None:
    registration = registered(page("rows swapped", "moderate"), "boxes")
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert "other words are printed beside" in str(registration.reason)
    assert registration.fields == {}


def list_of(labels: Sequence[str]) -> tuple[NDArray[np.uint8], Reference]:
    """A form of a row for each label, with words that are in several of them."""
    drawn, fields = Image.new("L", (1654, 2339), 255), []
    pen = ImageDraw.Draw(drawn)
    pen.text((142, 110), "Ward return", fill=0, font=ImageFont.load_default(55))
    pen.text((142, 197), "Counted by the officers on the evening of the poll", fill=0, font=ImageFont.load_default(27))
    for row, label in enumerate(labels):
        top = 354 + 236 * row
        pen.text((142, top + 24), label, fill=0, font=ImageFont.load_default(33))
        cells = [[945 + 71 * at, top, 71, 87] for at in range(4)]
        for x, y, wide, high in cells:
            pen.rectangle((x, y, x + wide, y + high), outline=0, width=3)
        fields.append({"name": label, "page": 1, "cells": cells})
    pages = [{"image": "page-1.png", "width": 1654, "height": 2339, "dots_per_inch": 200}]
    said = {"format": 1, "name": "ward", "pages": pages, "fields": fields}
    parsed, picture = parse(json.dumps(said).encode(), "ward"), np.array(drawn)
    return picture, Reference.of(OpenForm(parsed, " ".join(labels), "ward", (picture,)), 0)


def test_two_rows_that_were_swapped_are_no_second_sheet_though_their_words_are_alike() -> None:
    labels = ["Ward number", "Women who voted", "Men who voted", "All who voted", "Valid papers", "Spoiled papers"]
    _, reference = list_of(labels)
    swapped, _ = list_of([labels[0], labels[2], labels[1], *labels[3:]])
    registration = register(swapped, [reference])
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason


@pytest.mark.parametrize(
    ("name", "expected"), [("a row with another label", Verdict.OTHER_VERSION), ("boxes", Verdict.REGISTERED)]
)
def test_words_in_a_shadow_are_told_from_others(name: str, expected: Verdict) -> None:
    shaded = grey(form(name).pictures[0]).copy()
    height, width = shaded.shape
    shadow = shaded[height // 3 :, : width // 2]
    shadow[:] = 0.45 * shadow
    registration = register(shaded, references("boxes"))
    assert registration.verdict is expected, registration.reason


@pytest.mark.parametrize("level", [8, 110, 255])
def test_words_of_which_a_part_was_torn_off_or_blacked_out_are_no_other_words(level: int) -> None:
    spoiled = grey(form("boxes").pictures[0]).copy()
    height, width = spoiled.shape
    spoiled[: height // 2, : width // 6] = level
    registration = register(spoiled, references("boxes"))
    assert registration.verdict is Verdict.REGISTERED, registration.reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rows swapped", "other words are printed beside"),
        ("a row with another label", "other words are printed beside 'list_a'"),
        ("a longer field", "'spoilt' has a cell more"),
    ],
)
@pytest.mark.slow
def test_a_version_that_differs_in_a_row_is_another_version(name: str, said: str) -> None:
    registration = registered(page(name, "scan 100 dpi"), "boxes")
    assert registration.verdict is Verdict.OTHER_VERSION
    assert said in str(registration.reason)
    registration = registered(page("boxes", "photo"), name)
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.slow
def test_of_two_versions_the_one_that_the_page_is_of_is_taken(name: str) -> None:
    for drawn in (name, "boxes"):
        for number, kind in enumerate(("scan 100 dpi", "scan 300 dpi")):
            registration = registered(page(drawn, kind, number), name, "boxes")
            assert registration.verdict is Verdict.REGISTERED, (drawn, kind, registration.reason)
            assert registration.version == form(drawn).form_json["version"]


def test_a_cell_between_others_that_lost_its_lines_in_the_scanner_is_no_cell_less() -> None:
    faded = grey(form("lines").pictures[0]).copy()
    x, y, width, height = form("lines").fields(0)[-1]["cells"][2]
    faded[y + height // 2 : y + height + 5, x - 3 : x + width + 4] = 255
    registration = register(faded, references("lines"))
    assert registration.verdict is Verdict.REGISTERED, registration.reason


@pytest.mark.parametrize(("level", "expected"), [(190, Verdict.REGISTERED), (255, Verdict.OTHER_VERSION)])
def test_a_cell_at_an_end_is_missing_where_there_is_paper_and_not_where_its_lines_are_pale(
    level: int, expected: Verdict
) -> None:
    picture = grey(form("lines").pictures[0]).copy()
    x, y, width, height = form("lines").fields(0)[-1]["cells"][-1]
    cell = picture[y + height // 2 : y + height + 5, x + 5 : x + width + 5]
    np.maximum(cell, level, out=cell)
    assert register(picture, references("lines")).verdict is expected


@pytest.mark.parametrize(
    ("lower", "words", "expected"),
    [
        (14, None, Verdict.REGISTERED),  # pixels, 1.8 mm
        (0, "Bolts", Verdict.OTHER_VERSION),
        (0, "Pieces in all", Verdict.REGISTERED),
    ],
)
def test_a_label_may_lie_a_little_lower_but_a_shorter_word_is_another(
    lower: int, words: str | None, expected: Verdict
) -> None:
    drawing = form("coloured", 2)
    picture = grey(drawing.pictures[0]).copy()
    x, y, _, height = drawing.fields(0)[-1]["cells"][0]
    label = picture[y : y + height, 120 : x - 20]
    if words is None:
        label[:] = np.roll(label, lower, axis=0)
    else:
        printed = Print()
        printed.text((10, height // 2), words, anchor="lm")
        label[:] = printed.picture()[:height, : label.shape[1]]
    registration = register(picture, references("coloured", 2))
    assert registration.verdict is expected, registration.reason


def in_black_and_white(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(picture < 180, 0, 255).astype(np.uint8)


def test_fields_whose_tints_were_lost_are_where_the_print_around_has_them() -> None:
    drawing = form("coloured", 4)
    registration = register(in_black_and_white(grey(drawing.pictures[0])), references("coloured", 4))
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert {each.verdict for each in registration.fields.values()} == {FieldVerdict.PLACED}
    for each in registration.fields.values():
        assert np.abs(each.matrix - np.eye(3)).max() < 1


def test_one_frame_that_is_paler_than_the_others_is_found_by_its_lines() -> None:
    drawing = form("lines", 9502)
    reference = references("lines", 9502)[0]
    assert reference.tints is not None
    assert len(drawing.fields(0)) > 5 * len(reference.tints.fields)
    registration = register(grey(drawing.pictures[0]), [reference])
    assert min(each.frame for each in registration.fields.values()) > 0.9


@pytest.mark.parametrize("across", [0.0, 1.0, None])
def test_where_tints_were_lost_writing_between_or_beyond_cells_says_that_they_are_elsewhere(
    across: float | None,
) -> None:
    drawing = form("coloured", 2)
    picture = in_black_and_white(grey(drawing.pictures[0]))
    for field in drawing.fields(0):
        for x, y, width, height in field["cells"]:
            if across is None:  # a frame of lines, a little aside
                cv2.rectangle(picture, (x + 20, y + 9), (x + width + 20, y + height + 9), 0, 2)
            else:
                middle = round(x + (0.5 + across) * width) - (width // 2 if across == 0 else 0)
                cv2.line(picture, (middle, y + 8), (middle, y + height - 8), 0, 5)
    registration = register(picture, references("coloured", 2))
    assert registration.verdict is not Verdict.REGISTERED


def without_its_last_row(name: str) -> tuple[NDArray[np.uint8], Reference]:
    """A form without the row of cells at its foot, and the words beside them: its picture, and what is known of it."""
    drawing = form(name)
    last = max(drawing.fields(0), key=lambda field: float(field["cells"][0][1]))["cells"][0]
    kept = [field for field in drawing.form_json["fields"] if field["cells"][0][1] != last[1]]
    picture = grey(drawing.pictures[0]).copy()
    picture[last[1] - 9 : last[1] + last[3] + 9, 120:1530] = 255
    of_page = {**drawing.form_json, "pages": drawing.form_json["pages"][:1], "rules": [],
               "fields": [field for field in kept if field["page"] == 1]}  # fmt: skip
    parsed = parse(json.dumps(of_page).encode(), name)
    return picture, Reference.of(OpenForm(parsed, f"digest of less than {name}", name, (picture,)), 0)


@pytest.mark.parametrize("name", ["boxes", "combs", "two_page", "coloured"])
def test_a_row_of_cells_at_the_foot_is_missed_where_a_page_has_none_and_told_where_a_form_has_none(name: str) -> None:
    picture, reference = without_its_last_row(name)
    registration = register(grey(form(name).pictures[0]), [reference])
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert "a row of cells more is printed" in str(registration.reason)
    registration = register(picture, references(name))
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert "neither the cells of" in str(registration.reason)
    assert register(picture, [reference]).verdict is Verdict.REGISTERED


@pytest.mark.parametrize("name", ["boxes", "combs", "dense"])
def test_a_high_and_narrow_cell_less_is_told_though_the_line_beside_it_is_there(name: str) -> None:
    drawing = form(name)
    field = next(field for field in drawing.form_json["fields"] if field["name"] in ("registered", "bank", "r3_b"))
    picture = cv2.resize(grey(drawing.pictures[0]), None, fx=0.7, fy=1.0, interpolation=cv2.INTER_AREA)
    fields = [
        {**each, "cells": [[0.7 * x, y, 0.7 * wide, high] for x, y, wide, high in each["cells"]]}
        for each in drawing.fields(0)
    ]
    pages = [{**drawing.form_json["pages"][0], "width": picture.shape[1]}]
    parsed = parse(json.dumps({**drawing.form_json, "pages": pages, "fields": fields}).encode(), name)
    reference = Reference.of(OpenForm(parsed, f"digest of a narrow {name}", name, (picture,)), 0)
    assert register(picture, [reference]).verdict is Verdict.REGISTERED
    left, top, wide, high = field["cells"][-1]
    less = picture.copy()
    less[top - 4 : top + high + 5, round(0.7 * left) + 4 : round(0.7 * (left + wide)) + 5] = 255
    registration = register(less, [reference])
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert f"'{field['name']}' has a cell less" in str(registration.reason)


def test_cells_less_are_told_where_their_own_missing_print_is_most_of_what_is_near() -> None:
    """The page was taken for torn there, and the field of two cells less for shifted."""
    drawn = page_of(form("boxes", 10828), 0, "moderate", mnist_digits(), 10828, 1)
    registration = register(grey(drawn.picture), references("a longer field", 10828))
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert "'spoilt' has a cell less" in str(registration.reason)


def test_a_field_of_one_cell_is_told_from_one_of_two() -> None:
    drawing = form("combs")
    fields = [dict(field) for field in drawing.fields(0)]
    single = next(field for field in fields if field["name"] == "nights")
    (left, top, wide, high), picture = single["cells"][0], grey(drawing.pictures[0])
    double = picture.copy()
    cv2.rectangle(double, (left + wide, top), (left + 2 * wide, top + high), 16, 2)
    single["cells"] = [[left, top, wide, high], [left + wide, top, wide, high]]
    parsed = parse(json.dumps({**drawing.form_json, "fields": fields}).encode(), "combs")
    of_two = Reference.of(OpenForm(parsed, "digest of a form with two cells", "combs", (double,)), 0)
    for page_, known, change in ((double, references("combs"), "more"), (picture, [of_two], "less")):
        registration = register(page_, known)
        assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
        assert registration.reason is not None
        assert f"'nights' has a cell {change}" in registration.reason
    assert register(double, [of_two]).verdict is Verdict.REGISTERED


def test_a_cell_that_joins_two_fields_is_a_cell_more() -> None:
    drawing = form("boxes")
    picture, fields = grey(drawing.pictures[0]).copy(), [dict(field) for field in drawing.fields(0)]
    joined = next(field for field in fields if field["name"] == "account")
    cells = joined.pop("cells")
    left, top, wide, high = cells[5]
    picture[top - 4 : top + high + 5, left + 4 : left + wide - 3] = 255
    facts = {"name": "office", "page": 1}
    halves = [{**facts, "cells": cells[:5]}, {**facts, "name": "person", "cells": cells[6:]}]
    others = [field for field in fields if field is not joined]
    parsed = parse(json.dumps({**drawing.form_json, "fields": [*others, *halves]}).encode(), "boxes")
    parted = Reference.of(OpenForm(parsed, "digest of a form with a gap", "boxes", (picture,)), 0)
    registration = register(grey(drawing.pictures[0]), [parted])
    assert registration.verdict is Verdict.OTHER_VERSION
    assert "has a cell more" in str(registration.reason)
    assert register(picture, [parted]).verdict is Verdict.REGISTERED


def without(name: str, column: str) -> tuple[NDArray[np.uint8], Reference]:
    """A form without the cells of a column, whose names end so: its picture, and what is known of it."""
    drawing = form(name)
    picture = grey(drawing.pictures[0]).copy()
    kept = [field for field in drawing.fields(0) if not field["name"].endswith(column)]
    for field in drawing.fields(0):
        if field not in kept:
            (left, top, wide, high), (right, *_) = field["cells"][0], field["cells"][-1]
            picture[top - 8 : top + high + 9, left - 8 : right + wide + 9] = 255
    parsed = parse(json.dumps({**drawing.form_json, "fields": kept}).encode(), name)
    return picture, Reference.of(OpenForm(parsed, f"digest of {name} without {column}", name, (picture,)), 0)


@pytest.mark.parametrize("column", ["_a", "_d"])
def test_a_column_of_cells_is_missed_where_a_page_has_none_and_told_where_a_form_has_none(column: str) -> None:
    picture, reference = without("dense", column)
    registration = register(grey(form("dense").pictures[0]), [reference])
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    registration = register(picture, references("dense"))
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason
    assert f"no cells are printed in the column of 'r1{column}'" in str(registration.reason)
    assert register(picture, [reference]).verdict is Verdict.REGISTERED


@pytest.mark.parametrize("has_row", [False, True])
def test_a_row_is_missed_where_something_is_written_in_its_place_and_is_not_where_its_cells_are(has_row: bool) -> None:
    last = max(form("boxes").fields(0), key=lambda field: float(field["cells"][0][1]))["cells"]
    picture = grey(form("boxes").pictures[0]).copy() if has_row else without_its_last_row("boxes")[0]
    (left, top, _, high), right = last[0], last[-1][0] + last[-1][2]
    picture[top - 9 : top + high + 9, 120 : left - 9] = 255  # the words beside it are gone in either case
    way = np.linspace(0, 1, 400)
    waves = np.stack([left + (right - left) * way, top + high / 2 * (1 + 1.1 * np.sin(120 * way))], 1)
    cv2.polylines(picture, [waves.round().astype(np.int32)], False, 40, 6, cv2.LINE_AA)
    registration = register(picture, references("boxes"))
    assert registration.verdict is (Verdict.REGISTERED if has_row else Verdict.OTHER_VERSION), registration.reason


@pytest.mark.slow
@pytest.mark.parametrize("level", [128, 255])
def test_a_page_on_which_most_fields_are_not_found_is_not_registered(level: int) -> None:
    drawing, spoiled = form("boxes"), page("boxes", "clean")
    picture, missing = grey(spoiled.picture).copy(), [field["name"] for field in drawing.fields(0)][:8]
    for (field, _), corners in spoiled.corners.items():
        if field in missing:
            (left, top), (right, foot) = corners.min(axis=0).astype(int) - 6, corners.max(axis=0).astype(int) + 7
            picture[top:foot, left:right] = level
    registration = register(picture, references("boxes"))
    assert registration.verdict is Verdict.NOT_REGISTERED
    assert registration.reason == "Of 14 fields, 8 are not where boxes, version 2026, page 1 has them."
    assert registration.fields == {}


@pytest.mark.parametrize(
    ("looks", "kind", "number"), [(9027, "1 bit 200 dpi", 27), (9612, "photocopy", 4), (10055, "photo", 23)]
)
def test_other_cells_beside_the_same_print_are_another_version_where_most_of_their_frames_fit(
    looks: int, kind: str, number: int
) -> None:
    variant = page_of(form("variant", looks), 0, kind, mnist_digits(), looks, number)
    registration = register(grey(variant.picture), references("boxes", looks))
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason


@pytest.mark.slow
def test_of_two_versions_that_lie_alike_on_a_photo_the_right_one_is_taken() -> None:
    photo = page_of(form("boxes", 9015), 0, "photo", mnist_digits(), 9015, 2)
    known = [each for name in ("rows swapped", "boxes") for each in references(name, 9015)]
    registration = register(grey(photo.picture), known)
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert registration.version == form("boxes").form_json["version"]


@pytest.mark.parametrize(
    "kind", ["photocopy", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("moderate", "1 bit 200 dpi"))]
)
def test_the_same_cells_with_other_words_are_not_the_form(kind: str) -> None:
    registration = registered(page("other_language", kind), "boxes")
    assert registration.verdict is not Verdict.REGISTERED
    assert registration.fields == {}


def test_a_page_is_found_among_more_forms_than_are_compared_point_by_point() -> None:
    known = (*FORMS, *SIBLINGS)
    assert sum(len(references(name)) for name in known) > FEW
    for name, kind in (("boxes", "moderate"), ("other_language", "turned 90"), ("dense", "1 bit 200 dpi")):
        registration = registered(page(name, kind), *known)
        expected = form(name).form_json
        assert (registration.form, registration.version) == (expected["name"], expected["version"])
        assert registration.verdict is Verdict.REGISTERED, registration.reason


def test_versions_and_languages_are_told_apart_where_both_are_known() -> None:
    known = ("boxes", "other_version", "other_language")
    for name in known:
        registration = registered(page(name, "moderate"), *known)
        expected = form(name).form_json
        assert registration.verdict is Verdict.REGISTERED, registration.reason
        assert (registration.form, registration.version) == (expected["name"], expected["version"])


SHEETS = {
    "the same page": (("boxes", 0), ("boxes", 0), (0.02, 0.7)),
    "the other page": (("two_page", 0), ("two_page", 1), (-0.03, 0.65)),
    "another form": (("boxes", 0), ("combs", 0), (0.0, 0.6)),
    "most of another form": (("combs", 0), ("boxes", 0), (0.02, 0.3)),
    "beside it": (("boxes", 0), ("combs", 0), (1.02, 0.0)),
}


def over(below: NDArray[np.uint8], above: NDArray[np.uint8], across: float, down: float) -> NDArray[np.uint8]:
    """A sheet over another, displaced by these shares of its width and height."""
    one, other = grey(below), grey(above)
    left, top = round(across * one.shape[1]), round(down * one.shape[0])
    height, width = (one.shape[0], one.shape[1] if left < one.shape[1] else left + other.shape[1])
    moved = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    picture = np.full((height, width), 255, np.uint8)
    picture[: one.shape[0], : one.shape[1]] = one
    cv2.warpAffine(other, moved, (width, height), dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return picture


def two_sheets(sheets: str) -> Registration:
    (below, first), (above, second), (across, down) = SHEETS[sheets]
    known = [each for name in ("boxes", "combs", "two_page") for each in references(name)]
    one, other = page(below, "scan 100 dpi", 1, first), page(above, "scan 100 dpi", 2, second)
    return register(over(one.picture, other.picture, across, down), known)


@pytest.mark.parametrize("sheets", SHEETS)
@pytest.mark.slow
def test_two_sheets_on_a_page_are_told(sheets: str) -> None:
    registration = two_sheets(sheets)
    assert registration.verdict is Verdict.TWO_SHEETS, registration.reason


@pytest.mark.parametrize(
    ("below", "above", "across", "down"),
    [
        ("boxes", "boxes", 0.02, 0.7),
        ("marked", "marked", 0.03, 0.66),
        ("combs", "marked", 0.03, 0.56),
        ("dense", "two_page", 0.74, -0.15),
        ("boxes", "dense", 0.64, 0.77),
        pytest.param("marked", "two_page", -0.58, 0.04, marks=pytest.mark.slow),
        pytest.param("coloured", "lines", 0.0, -0.8, marks=pytest.mark.slow),
    ],
)
def test_a_part_of_another_sheet_is_told_by_its_print_alone(below: str, above: str, across: float, down: float) -> None:
    known = [replace(each, marks=()) for name in {below, above} for each in references(name)]
    one, other = (form(name).pictures[0] for name in (below, above))
    registration = register(over(one, other, across, down), known)
    assert registration.verdict is Verdict.TWO_SHEETS, registration.reason
    assert registration.fields == {}


def test_where_next_to_nothing_of_a_form_is_there_nothing_else_of_it_is_taken_for_covered() -> None:
    reference = references("boxes")[0]
    page = np.full_like(reference.picture, 255)
    height = page.shape[0]
    page[-height // 6 :] = reference.picture[-height // 6 :]
    aligned = align(reference, page, np.eye(3))
    assert aligned is not None
    assert aligned.is_found.sum() > 0
    assert aligned.of_all < 0.5


def test_two_forms_that_are_as_like_a_page_are_two_sheets_where_they_lie_beside_each_other() -> None:
    known = [each for name in ("lines", "combs") for each in references(name)]
    one, other = (form(name).pictures[0] for name in ("lines", "combs"))
    registration = register(over(one, other, 1.0, 0.0), known)
    assert registration.verdict is Verdict.TWO_SHEETS, registration.reason


@pytest.mark.slow
def test_a_table_beside_a_form_is_told_though_few_points_of_it_are_found() -> None:
    table, list_ = (
        page_of(form(name, 9017), 0, "scan 100 dpi", mnist_digits(), 9017, number).picture
        for name, number in (("dense", 10), ("lines", 11))
    )
    known = [each for name in ("dense", "lines") for each in references(name, 9017)]
    registration = register(over(table, list_, 1.02, 0.0), known)
    assert registration.verdict is Verdict.TWO_SHEETS, registration.reason


@pytest.mark.slow
def test_a_version_whose_rows_lie_a_pitch_lower_is_another_version() -> None:
    spoiled = page_of(form("other_version", 211), 0, "scan 150 dpi", mnist_digits(), 211, 2)
    registration = register(grey(spoiled.picture), references("boxes", 211))
    assert registration.verdict is Verdict.OTHER_VERSION, registration.reason


@pytest.mark.parametrize("name", ["letter", "invoice", "timetable"])
def test_a_stranger_is_of_no_form(name: str) -> None:
    registration = registered(page(name, "moderate"), "boxes", "two_page")
    assert registration.verdict is Verdict.UNKNOWN_FORM
    assert registration.fields == {}
    assert registration.reason


@pytest.mark.parametrize("is_erased", [False, True])
def test_in_a_hard_shadow_fields_are_placed_and_one_that_is_not_there_is_shifted(is_erased: bool) -> None:
    """In the shadow lines are as pale as noise is elsewhere; beside their paper they are as dark."""
    picture, field = grey(form("lines").pictures[0]).copy(), form("lines").fields(0)[3]
    (x, y, _, height), (left, _, width, _) = field["cells"][0], field["cells"][-1]
    if is_erased:
        picture[y - 9 : y + height + 9, x - 9 : left + width + 9] = 255
    shadow = picture[y - 200 : y + height + 200]
    shadow[:] = shadow * 0.3
    registration = register(picture, references("lines"))
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    lost = [name for name, place in registration.fields.items() if place.verdict is not FieldVerdict.PLACED]
    assert lost == ([field["name"]] if is_erased else [])


@pytest.mark.parametrize(("level", "verdict"), [(8, FieldVerdict.SHIFTED), (255, FieldVerdict.PLACED)])
def test_a_tint_that_dropped_out_is_told_from_one_that_is_blacked_out(level: int, verdict: FieldVerdict) -> None:
    picture, field = grey(form("coloured").pictures[0]).copy(), form("coloured").fields(0)[3]
    (x, y, _, height), (left, _, width, _) = field["cells"][0], field["cells"][-1]
    picture[y - 20 : y + height + 20, x - 20 : left + width + 20] = level
    registration = register(picture, references("coloured"))
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    assert registration.fields[field["name"]].verdict is verdict


def test_a_field_off_the_page_is_cut_off_and_the_others_are_placed() -> None:
    drawing, whole = form("boxes"), page("boxes", "clean")
    cut = whole.picture[: int(whole.corners["list_a", 0][:, 1].mean())]
    registration = register(cut, references("boxes"))
    assert registration.verdict is Verdict.REGISTERED
    for field in drawing.fields(0):
        lowest = max(whole.corners[field["name"], at][:, 1].max() for at in range(len(field["cells"])))
        expected = FieldVerdict.PLACED if lowest < len(cut) else FieldVerdict.CUT_OFF
        assert registration.fields[field["name"]].verdict is expected, field["name"]


@pytest.mark.parametrize("kind", ["moderate", "fax 204x98"])
def test_the_same_page_has_the_same_registration_again(kind: str) -> None:
    spoiled = page("boxes", kind)
    first, again = registered(spoiled, "boxes"), registered(spoiled, "boxes")
    assert first.matrix is not None
    assert again.matrix is not None
    assert np.array_equal(first.matrix, again.matrix)
    assert all(np.array_equal(place.matrix, again.fields[name].matrix) for name, place in first.fields.items())


STRANGE = {
    "one pixel": np.zeros((1, 1), np.uint8),
    "all black": np.zeros((1200, 900), np.uint8),
    "all white": np.full((1200, 900), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (1200, 900)).astype(np.uint8),
    "a line of pixels": np.full((3, 20_000), 255, np.uint8),
    "very wide": np.tile(np.arange(256, dtype=np.uint8), (300, 80)),
    "chequered": np.kron(np.indices((60, 45)).sum(axis=0) % 2 * 255, np.ones((20, 20))).astype(np.uint8),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_page_is_of_no_form(name: str) -> None:
    registration = register(STRANGE[name], references("boxes"))
    assert registration.verdict in (Verdict.UNKNOWN_FORM, Verdict.BLANK_PAGE)
    assert registration.reason
    assert registration.matrix is None


@pytest.mark.parametrize("margin", [0, 60])
@pytest.mark.parametrize("noise", [0, 6])
def test_a_page_that_is_black_is_said_to_be_black_and_not_blank(margin: int, noise: int) -> None:
    """Whatever is written there is lost: a lid left open, a lamp that failed, or a page that was blacked out."""
    black = np.full((1200, 900), 245, np.uint8)
    black[margin : 1200 - margin, margin : 900 - margin] = 10
    black = np.clip(black + np.random.default_rng(0).normal(0, noise, black.shape), 0, 255).astype(np.uint8)
    registration = register(black, references("boxes"))
    assert (registration.verdict, registration.reason) == (Verdict.UNKNOWN_FORM, "Most of the page is black.")


def test_a_back_through_which_the_front_shows_is_blank() -> None:
    for number in range(3):
        assert registered(page("boxes", "blank back", number), "boxes").verdict is Verdict.BLANK_PAGE
