"""One stroke through several cells says that they are unused; digits that are joined do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import form_voids
from mnist_batch.forms.voiding import voided
from mnist_batch.pixels.opencv import cv2

WIDE, HIGH, COUNT = 48, 64, 4
BOXES = np.array([(20 + at * WIDE, 20, 20 + (at + 1) * WIDE, 20 + HIGH) for at in range(COUNT)])
Grey = NDArray[np.uint8]
THREE_DIGITS = {  # written in one go, as points in shares of three cells
    "7s whose bars are joined": [
        *((0.05, 0.2), (0.28, 0.2), (0.15, 0.9), (0.28, 0.2), (0.6, 0.2), (0.48, 0.9), (0.6, 0.2)),
        *((0.95, 0.2), (0.8, 0.9)),
    ],
    "1s on one line": [(0.16, 0.1), (0.16, 0.9), (0.5, 0.9), (0.5, 0.1), (0.5, 0.9), (0.83, 0.9), (0.83, 0.1)],
    "1s with upstrokes": [
        *((0.05, 0.5), (0.2, 0.1), (0.2, 0.9), (0.38, 0.5), (0.53, 0.1), (0.53, 0.9), (0.7, 0.5)),
        *((0.86, 0.1), (0.86, 0.9)),
    ],
}


def drawn(strokes: list[NDArray[np.float64]], thick: int = 4) -> Grey:
    ink = np.zeros((HIGH + 40, 40 + COUNT * WIDE), np.uint8)
    for points in strokes:
        cv2.polylines(ink, [np.round(points).astype(np.int32)], False, 1, thick)
    return ink


def void_of(ink: Grey) -> tuple[set[int], set[int]] | None:
    y, x = np.nonzero(ink)
    found = voided(x, y, ((x - 20) // WIDE).clip(0, COUNT - 1), BOXES)
    return found and (set(found.crossed), set(found.met))


def over(first: int, count: int) -> list[tuple[int, int, int, int]]:
    return [(20 + at * WIDE, 20, WIDE, HIGH) for at in range(first, first + count)]


@pytest.mark.parametrize("thick", [2, 4, 7])
@pytest.mark.parametrize("void", form_voids.OVER_ALL)
def test_a_stroke_through_cells_crosses_them_and_no_other(void: str, thick: int) -> None:
    for seed in range(10):
        for first, count in ((0, 3), (1, 3), (0, 4), (0, 2)):
            strokes = form_voids.strokes(void, over(first, count), np.random.default_rng(seed))
            assert void_of(drawn(strokes, thick)) == (set(range(first, first + count)), set())


@pytest.mark.parametrize("thick", [2, 4, 7])
@pytest.mark.parametrize("name", THREE_DIGITS)
def test_digits_that_are_joined_are_not_crossed(name: str, thick: int) -> None:
    ink = drawn([np.array(THREE_DIGITS[name]) * (3 * WIDE, HIGH) + 20], thick)
    assert cv2.connectedComponents(ink)[0] == 2
    found = void_of(ink)
    assert found is None or not found[0]


@pytest.mark.parametrize("thick", [4, 9, 14])
def test_round_digits_that_touch_are_not_crossed(thick: int) -> None:
    """Thick ones are straight enough for a bar; so are flat loops."""
    loops = [
        np.array(
            [(20 + (at + 0.5) * WIDE + 22 * np.cos(way), 60 + 12 * np.sin(way)) for way in np.linspace(0, 6.3, 40)]
        )
        for at in range(3)
    ]
    ink = drawn(loops, thick)
    assert cv2.connectedComponents(ink)[0] == 2
    found = void_of(ink)
    assert found is None or not found[0]


def test_a_digit_that_a_stroke_runs_into_is_met() -> None:
    bar = np.array([(22.0, 52.0), (20 + 3.4 * WIDE, 50.0)])
    zero = np.array([(20 + 3.5 * WIDE + 15 * np.cos(at), 52 + 25 * np.sin(at)) for at in np.linspace(0, 6.3, 40)])
    assert void_of(drawn([bar, zero])) == ({0, 1, 2}, {3})


def test_a_zigzag_through_two_cells_that_runs_into_a_digit_may_be_two_1s() -> None:
    zigzag = np.array([(24, 74), (40, 30), (70, 74), (90, 30), (130, 60)], float)
    zero = np.array([(20 + 2.6 * WIDE + 15 * np.cos(at), 52 + 25 * np.sin(at)) for at in np.linspace(0, 6.3, 40)])
    assert void_of(drawn([zigzag, zero])) == (set(), {0, 1, 2})


def test_a_1_that_a_stroke_runs_into_is_met() -> None:
    falling, one = np.array([(24, 26), (20 + 3.1 * WIDE, 76)]), np.array([(20 + 3.1 * WIDE, 76), (20 + 3.8 * WIDE, 26)])
    assert void_of(drawn([falling, one])) == ({0, 1, 2}, {3})


def test_a_stroke_within_a_cell_is_none_of_several() -> None:
    for void in form_voids.EACH:
        assert void_of(drawn(form_voids.strokes(void, over(1, 1), np.random.default_rng(1)))) is None
