"""Marks drawn on a form are found on its pages, and say which page it is and how it lies."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.form_drawing import corner_marks
from mnist_batch.forms import marks
from mnist_batch.forms.form import Box, Digits, Field, Form, FormPage, Mark
from mnist_batch.forms.opening import OpenForm
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registering import register
from mnist_batch.forms.registration import FieldVerdict, Verdict

WIDTH, HEIGHT, DOTS = 1240, 1754, 150
FIELD = Field("total", 0, tuple(Box(500 + 60 * at, 800, 60, 70) for at in range(5)), Digits(1, 5))


def picture(*drawn: Mark) -> np.ndarray:
    """A page with nothing but one field and marks."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for x, y, width, height in FIELD.cells:
        cv2.rectangle(page, (int(x), int(y)), (int(x + width), int(y + height)), 0, 2)
    return marks.draw(page, drawn)


def reference(name: str, first: int) -> Reference:
    drawn = corner_marks(WIDTH, HEIGHT, DOTS, first)
    form = Form(name, None, (FormPage("page-1.png", WIDTH, HEIGHT, DOTS, drawn),), (FIELD,))
    return Reference.of(OpenForm(form, name, name, (picture(*drawn),)), 0)


@pytest.mark.parametrize("first", [0, 60, 900])
@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_marks_that_were_drawn_are_found(first: int, size: float) -> None:
    drawn = corner_marks(WIDTH, HEIGHT, DOTS, first)
    scanned = cv2.resize(picture(*drawn), None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    found = marks.find(np.asarray(scanned, np.uint8))
    assert sorted(found) == [mark.id for mark in drawn]
    for mark in drawn:
        assert np.abs(found[mark.id] - np.multiply(mark.corners, size)).max() < 1


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_page_of_nothing_but_a_field_is_registered_by_its_marks(lost: int) -> None:
    known = reference("first", 0), reference("second", 4)
    upside_down = np.ascontiguousarray(picture(*known[1].marks[lost:])[::-1, ::-1])
    found = register(upside_down, known)
    assert found.verdict is Verdict.REGISTERED, found.reason
    assert (found.form, found.turn, found.method) == ("second", 180, "marks")
    assert found.fields["total"].verdict is FieldVerdict.PLACED
    assert found.matrix is not None
    assert np.allclose(found.matrix @ (0, 0, 1), (WIDTH, HEIGHT, 1), atol=2)


def test_a_mark_that_is_there_twice_says_nothing() -> None:
    one, other, *_ = corner_marks(WIDTH, HEIGHT, DOTS)
    assert sorted(marks.find(picture(one, replace(other, id=one.id)))) == []


def test_a_mark_that_is_found_twice_where_it_lies_is_one() -> None:
    corners = np.array([[0, 0], [40, 0], [40, 40], [0, 40]], np.float64)
    same, elsewhere, other = (marks.Seen(3, corners + by) for by in (2, 60, 0))
    assert marks.each_once([marks.Seen(3, corners), same, elsewhere, other._replace(id=4)]) == [
        marks.Seen(3, corners),
        elsewhere,
        other._replace(id=4),
    ]


def lower(page: np.ndarray, mark: Mark, down: int) -> np.ndarray:
    """The page with a mark drawn so many pixels lower, too."""
    return marks.draw(page, [replace(mark, corners=tuple((x, y + down) for x, y in mark.corners))])


OTHER_SHEETS = {
    "the same form": (0, 1),
    "another form that is open": (4, 1),
    "two marks of a form that is not open": (8, 2),
}


@pytest.mark.parametrize("other", OTHER_SHEETS)
def test_a_page_with_marks_of_another_sheet_is_of_two_sheets(other: str) -> None:
    known = reference("first", 0), reference("second", 4)
    first, count = OTHER_SHEETS[other]
    page = picture(*known[0].marks)
    for mark in corner_marks(WIDTH, HEIGHT, DOTS, first)[:count]:
        page = lower(page, mark, 900)
    for seen in (page, np.ascontiguousarray(page[::-1, ::-1])):
        found = register(seen, known)
        assert found.verdict is Verdict.TWO_SHEETS, found.reason
        assert f"mark {first} of another sheet" in str(found.reason)
        assert found.fields == {}


@pytest.mark.parametrize(("number", "kept", "down"), [(0, 1, 60), (8, 0, 900)])
def test_a_mark_that_lies_a_little_off_or_that_no_form_has_is_no_other_sheet(number: int, kept: int, down: int) -> None:
    known = reference("first", 0), reference("second", 4)
    page = lower(picture(*known[0].marks[kept:]), corner_marks(WIDTH, HEIGHT, DOTS, number)[0], down)
    found = register(page, known)
    assert found.verdict is Verdict.REGISTERED, found.reason


def test_marks_that_are_printed_on_a_form_without_being_named_are_its_own() -> None:
    whole = reference("first", 0)
    unnamed = replace(reference("unnamed", 0), marks=whole.marks[2:])
    found = register(picture(*whole.marks), (unnamed, reference("second", 4)))
    assert (found.verdict, found.form) == (Verdict.REGISTERED, "unnamed"), found.reason
