"""The labels of cells follow from the number of their field where it is known which cell holds which digit."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mnist_batch.forms import truth
from mnist_batch.forms.form import SIDES, Box, Digits, Field
from mnist_batch.schemas.tables import NO_DIGIT


def field(cells: int, side: str) -> Field:
    return Field("f", 0, tuple(Box(10 * at, 0, 10, 10) for at in range(cells)), Digits(1, cells, side))


@pytest.mark.parametrize(
    ("side", "number", "labels"),
    [
        ("right", "07", [-1, 0, 7]),
        ("left", "07", [0, 7, -1]),
        ("either", "07", [None, None, None]),
        ("either", "107", [1, 0, 7]),
        ("right", "107", [1, 0, 7]),
        ("left", "", [-1, -1, -1]),
        ("either", "", [-1, -1, -1]),
        ("right", "1234", [None, None, None]),
    ],
)
def test_a_number_in_three_cells(side: str, number: str, labels: list[int | None]) -> None:
    assert truth.cell_labels(field(3, side), number) == labels


@given(st.integers(1, 8), st.sampled_from(SIDES), st.text("0123456789", max_size=9))
def test_there_is_a_label_for_each_cell_and_the_digits_are_those_of_the_number(
    cells: int, side: str, number: str
) -> None:
    labels = truth.cell_labels(field(cells, side), number)
    assert len(labels) == cells
    if None not in labels:
        assert "".join(str(label) for label in labels if label != NO_DIGIT) == number
