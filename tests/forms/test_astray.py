"""A field that was found where smooth paper cannot have it is not read: it may be the next row's line."""

import numpy as np
import pytest

from benchmarks.form_drawing import form
from benchmarks.form_pages import mnist_digits, page_of
from benchmarks.form_registering import opened
from mnist_batch.forms.astray import astray
from mnist_batch.forms.geometry import corners_of, mapped
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registering import register
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Verdict


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.of(opened(form("dense", 5)), 0)


def waved(reference: Reference, moved: dict[str, float]) -> dict[str, FieldPlace]:
    """The fields on paper that was fed unevenly, some of them found so many pixels lower than they lie."""
    size = float(reference.matrix[0, 0])
    places = {}
    for field in reference.fields:
        x, y = reference.middle_of(field) / reference.picture.shape[::-1]
        shift = 2 * np.sin(5 * y + x), 4 * np.sin(5 * y + 2 * x) + moved.get(field.name, 0.0)
        places[field.name] = FieldPlace(FieldVerdict.PLACED, np.eye(3), (shift[0] / size, shift[1] / size))
    return places


@pytest.mark.parametrize("moved", [{}, {"r1_a": 9.0}, {"r12_b": -9.0}, {"r23_d": -9.0, "r24_d": -8.0, "r25_d": -8.0}])
def test_only_what_lies_where_smooth_paper_cannot_have_it_is_astray(
    reference: Reference, moved: dict[str, float]
) -> None:
    assert astray(waved(reference, moved), reference) == set(moved)


def test_fields_that_were_not_found_say_nothing(reference: Reference) -> None:
    moved = {f"r{row}_{column}": 30.0 for row in range(1, 6) for column in "abcd"}
    places = waved(reference, moved)
    refused = {name: FieldPlace(FieldVerdict.SHIFTED, np.eye(3), places[name].shift) for name in moved}
    assert astray(places | refused, reference) == set()


def test_of_few_fields_none_is_astray() -> None:
    few = Reference.of(opened(form("marked", 5)), 0)
    name = few.fields[0].name
    assert astray(waved(few, {name: 30.0}), few) == set()


def test_fields_whose_lines_were_taken_for_those_of_the_next_row_are_shifted() -> None:
    drawing = form("dense", 10610)
    page = page_of(drawing, 0, "uneven feed", mnist_digits(), 10610, 1)
    registration = register(page.picture, [Reference.of(opened(drawing), 0)])
    assert registration.verdict is Verdict.REGISTERED, registration.reason
    places = registration.fields
    for (field, position), corners in page.corners.items():
        if places[field].verdict is FieldVerdict.PLACED:
            cell = next(each for each in drawing.fields(0) if each["name"] == field)["cells"][position]
            assert np.hypot(*(mapped(places[field].matrix, corners_of(*cell)) - corners).T).max() < 3
    assert sum(each.verdict is FieldVerdict.PLACED for each in places.values()) >= 0.95 * len(places)
