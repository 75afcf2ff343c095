"""What a thick pen wrote has a second reading with thinner strokes, and nothing else has one for that reason."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmarks import hard_cells
from benchmarks.handwriting import Digits
from mnist_batch.learning import digits
from mnist_batch.pixels import thick_pens
from mnist_batch.pixels.normalising import examine, examine_all

Grey = NDArray[np.uint8]

WRITTEN = Digits(*(array[:2000] for array in digits.mnist("test")))


def nine(pen: int, side: int, paper: int = 235, ink: int = 60) -> Grey:
    """A 9 on a page of 120 pixels, reduced to ``side``, whose loop a pen of 20 pixels fills but for a few."""
    page = np.full((120, 120), paper, np.uint8)
    cv2.circle(page, (60, 42), 12, ink, pen, cv2.LINE_AA)
    cv2.line(page, (72, 42), (66, 92), ink, pen, cv2.LINE_AA)
    return cv2.resize(page, (side, side), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("side", [120, 64, 40])
@pytest.mark.parametrize(("paper", "ink"), [(235, 60), (15, 240)])
def test_a_loop_that_a_thick_pen_filled_is_lighter_in_a_second_reading(side: int, paper: int, ink: int) -> None:
    page = nine(20, side, paper, ink)
    first, second = examine_all(page)
    assert np.array_equal(first.picture, examine(page).picture)
    loop = slice(7, 12), slice(11, 15)
    assert first.picture[loop].min() > 200
    assert second.picture[loop].min() < 100
    widths = thick_pens.stroke_widths(np.stack([first.picture, second.picture]))
    assert widths[1] < 0.7 * widths[0]
    assert len(examine_all(nine(10, side, paper, ink))) == 1  # a pen that is not thick


def test_a_digit_of_thick_and_thin_strokes_is_of_no_thick_pen() -> None:
    """A thin stroke would vanish with the edges of the thick ones: the reading would be of less than the digit."""
    page = nine(20, 120)
    assert len(examine_all(page)) == 2
    cv2.line(page, (48, 42), (20, 80), 60, 8, cv2.LINE_AA)
    assert len(examine_all(page)) == 1


def test_most_digits_of_a_felt_marker_have_a_second_reading() -> None:
    pages = [hard_cells.grey_page(cell) for cell in hard_cells.cells("felt marker", 100, 12, WRITTEN)]
    assert np.mean([len(examine_all(page)) == 2 for page in pages]) >= 0.75


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12))))
def test_the_strokes_of_a_picture_are_as_wide_beside_others_as_alone(pictures: Grey) -> None:
    framed = np.pad(pictures, ((0, 0), (1, 1), (1, 1))).astype(int)
    edge = sum(np.abs(np.diff(framed, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2))
    widths = 2 * thick_pens.EVERY_DIRECTION * pictures.sum(axis=(1, 2), dtype=int) / np.maximum(edge, 1)
    assert np.array_equal(thick_pens.stroke_widths(pictures), widths)
