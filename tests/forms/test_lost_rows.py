"""Rows of print are found where they lie on a page that lost lines, and nowhere else if it lost none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.forms.geometry import mapped
from mnist_batch.forms.lost_rows import MOST, LostRows, displaced_rows

HEIGHT, WIDTH = 600, 400


def words(random: np.random.Generator) -> NDArray[np.float32]:
    """Lines of words as dark marks, with nothing between them."""
    dark = np.zeros((HEIGHT, WIDTH), np.float32)
    for top in range(20, HEIGHT - 20, 18):
        marks = random.uniform(0, 1, WIDTH // 4) < 0.5
        dark[top : top + 6] = 150 * np.repeat(marks, 4) * (random.uniform(0, 1, (6, WIDTH)) < 0.7)
    return dark


def without(dark: NDArray[np.float32], lost: list[tuple[int, int]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A page without some rows, and by how much the others lie lower."""
    kept = np.ones(HEIGHT, bool)
    for start, count in lost:
        kept[start : start + count] = False
    page = np.zeros_like(dark)
    page[: kept.sum()] = dark[kept]
    return page, -np.cumsum(~kept)


@pytest.mark.parametrize("lost", [[(200, 3)], [(150, 2), (300, 4)], [(90, 3), (93, 3), (400, 2)]])
@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_rows_are_found_where_they_lie_on_a_page_that_lost_some(lost: list[tuple[int, int]], slope: float) -> None:
    random = np.random.default_rng(5)
    printed = words(random)
    page, lower = without(printed, lost)
    page += 100 * (random.uniform(0, 1, page.shape) < 0.01)
    if slope:  # both lie on the reference as a page does that was fed a little askew
        down = np.rint(slope * (np.arange(WIDTH) - WIDTH / 2)).astype(int)
        printed, page = (
            np.stack([np.roll(each[:, x], by) for x, by in enumerate(down)], 1) for each in (printed, page)
        )
    found = displaced_rows(printed, page, slope)
    assert found is not None
    inked = np.asarray(printed[:, WIDTH // 2 - 4 : WIDTH // 2 + 4].any(axis=1))
    for start, count in lost:  # beside the rows that are gone, it may be either
        inked[max(0, start - 8) : start + count + 8] = False
    assert inked.sum() > 100
    rows = np.flatnonzero(inked)
    there = found.at(np.c_[np.full(len(rows), WIDTH / 2), rows + 0.5])
    assert np.abs(there - lower[rows]).max() <= 1


def test_a_page_that_lost_none_is_left_as_it_is() -> None:
    random = np.random.default_rng(5)
    printed = words(random)
    assert displaced_rows(printed, printed + 100 * (random.uniform(0, 1, printed.shape) < 0.02), 0.0) is None
    assert displaced_rows(printed, np.zeros_like(printed), 0.0) is None


def test_other_words_do_not_move_rows_farther_than_a_fax_loses_lines() -> None:
    found = displaced_rows(words(np.random.default_rng(5)), words(np.random.default_rng(6)), 0.0)
    assert found is None or np.abs(found.lower).max() <= MOST


def test_a_box_across_lost_rows_is_moved_and_made_lower() -> None:
    lower = np.where(np.arange(HEIGHT) < 300, 0.0, -6.0)
    rows = LostRows(lower, 0.0, WIDTH / 2)
    corners = np.array([[50.0, 270.0], [350.0, 330.0]])
    assert mapped(rows.across(corners), corners).tolist() == [[50.0, 270.0], [350.0, 324.0]]
    below = corners + np.array([0.0, 100.0])
    assert mapped(rows.across(below), below).tolist() == [[50.0, 364.0], [350.0, 424.0]]


def test_a_page_is_restored_with_its_rows_where_they_should_be() -> None:
    random = np.random.default_rng(5)
    printed = words(random)
    page, lower = without(printed, [(250, 4)])
    restored = LostRows(lower.astype(np.float64), 0.0, WIDTH / 2).restored((255 - page).astype(np.uint8))
    kept = np.r_[0:249, 255:HEIGHT]
    assert np.array_equal(255 - restored[kept], printed[kept].astype(np.uint8))
