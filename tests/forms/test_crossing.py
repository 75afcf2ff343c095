"""A stroke or an X through a cell is told from a digit."""

import numpy as np
import pytest

from benchmarks import form_voids
from mnist_batch.forms.crossing import Crossing, Extent, Lean, crossing
from mnist_batch.pixels.opencv import cv2

CELL = Extent(48, 64)


def judged(*strokes: list[tuple[float, float]] | np.ndarray, thick: int = 4) -> Crossing:
    """What is said of strokes, whose points are shares of the cell."""
    ink = np.zeros((104, 288), np.uint8)
    for points in strokes:
        cv2.polylines(ink, [np.round(np.array(points) * CELL + 20).astype(np.int32)], False, 1, thick)
    y, x = np.nonzero(ink)
    return crossing(x - 20, y - 20, CELL)


@pytest.mark.parametrize("thick", [2, 4, 6])
@pytest.mark.parametrize("void", form_voids.EACH)
def test_what_is_drawn_through_an_unused_cell(void: str, thick: int) -> None:
    certain = {"slash": {False}, "short slash": {False}, "dash": {False, True}, "backslash": {True}, "x": {True}}
    for seed in range(20):
        strokes = form_voids.strokes(void, [(0, 0, *CELL)], np.random.default_rng(seed))
        found = judged(*(points / CELL for points in strokes), thick=thick)
        assert found.certain in certain[void]
        assert found.certain or (found.stroke is not None and found.stroke.lean == void.removeprefix("short "))


def test_a_level_stroke_is_not_wider_than_its_cell_and_joined_digits_are() -> None:
    assert judged([(0.02, 0.5), (0.98, 0.5)]).certain
    joined = [(at + x, y) for at in range(4) for x, y in ((0.1, 0.3), (0.6, 0.3), (0.3, 0.75), (0.9, 0.5))]
    assert judged(joined) == Crossing(False)


def test_a_stroke_that_meets_a_frame_is_straight_all_the_same() -> None:
    met = judged([(0.1, 0.92), (0.9, 0.1)], [(0.8, 0.1), (1.0, 0.1)], thick=2)
    assert met.stroke is not None
    assert met.stroke.lean is Lean.SLASH


def test_1s_are_no_slashes_unless_they_lean_as_much() -> None:
    assert judged([(0.5, 0.1), (0.45, 0.9)]).stroke.lean is Lean.UPRIGHT
    assert judged([(0.25, 0.9), (0.65, 0.1)]) == Crossing(False)
    assert judged([(0.1, 0.5), (0.85, 0.1), (0.8, 0.9)]) == Crossing(False), "an upstroke and a stem"


def test_a_short_stroke_that_falls_is_no_digit_and_one_that_rises_may_be_a_1() -> None:
    assert judged([(0.2, 0.25), (0.8, 0.75)]).certain
    falling = judged([(0.35, 0.1), (0.4, 0.4), (0.5, 0.7), (0.7, 0.9)], thick=5)
    assert not falling.certain, "a 1 with a foot"
    rising = judged([(0.25, 0.75), (0.75, 0.25)]).stroke
    assert rising is not None
    assert (rising.lean, rising.across) == (Lean.SLASH, False)
    assert judged([(0.4, 0.1), (0.6, 0.9)]).stroke.lean is Lean.UPRIGHT


@pytest.mark.parametrize("thick", [8, 9, 10])
def test_a_thick_short_slash_may_be_one_and_is_none_for_certain(thick: int) -> None:
    stroke = judged([(0.25, 0.8), (0.75, 0.2)], thick=thick).stroke
    assert stroke is not None
    assert (stroke.lean, stroke.thick) == (Lean.SLASH, True)
    assert not judged([(0.25, 0.2), (0.75, 0.8)], thick=thick).certain, "what falls is not judged by this"


def test_a_level_stroke_beside_the_middle_is_no_dash() -> None:
    assert judged([(0.2, 0.1), (0.8, 0.1)]) == Crossing(False)
