"""What is written in cells does not stay in the picture of a form, and what is printed does."""

import cv2
import numpy as np
import pytest

from benchmarks import form_pages
from mnist_batch.forms import erasing
from mnist_batch.forms.form import Box


def cells_of(name: str) -> list[list[Box]]:
    return [[Box(*cell) for cell in field["cells"]] for field in form_pages.form(name).fields(0)]


@pytest.mark.parametrize("name", ["boxes", "combs", "lines"])
def test_the_cells_of_a_filled_page_become_those_of_the_blank_one(name: str) -> None:
    drawing, fields = form_pages.form(name), cells_of(name)
    page = form_pages.filled(drawing, 0, form_pages.mnist_digits(), np.random.default_rng(5))
    erased, count = erasing.without_writing(page.picture, fields)
    written = sum(label.isdigit() for field in page.truth.values() for label in field.labels)
    assert count >= written > 20
    before = after = 0
    for box in (cell for field in fields for cell in field):
        where = np.s_[round(box.y) : round(box.y + box.height), round(box.x) : round(box.x + box.width)]
        before += int((np.abs(page.picture[where].astype(int) - drawing.pictures[0][where]) > 40).sum())
        after += int((np.abs(erased[where].astype(int) - drawing.pictures[0][where]) > 40).sum())
    assert after < 0.1 * before


@pytest.mark.parametrize("name", ["boxes", "combs", "lines"])
def test_a_blank_page_stays_as_it_is(name: str) -> None:
    blank = form_pages.form(name).pictures[0]
    erased, count = erasing.without_writing(blank, cells_of(name))
    assert count == 0
    assert (erased == blank).all()


def test_a_flat_digit_is_taken_out_and_small_print_in_a_cell_stays() -> None:
    page = np.full((120, 300), 255, np.uint8)
    cells = [Box(20 + 80 * at, 10, 80, 100) for at in range(3)]
    cv2.polylines(page, [np.array([[70, 46], [40, 50], [44, 62], [62, 66], [36, 74]])], False, 20, 4)
    cv2.putText(page, "kg", (125, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 60, 1, cv2.LINE_AA)
    erased, count = erasing.without_writing(page, [cells])
    assert count == 1
    assert (erased[:, :100] == 255).all()
    assert (erased[:, 100:] == page[:, 100:]).all()
