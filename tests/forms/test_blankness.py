"""A page is blank whatever paper and scanner leave on it, and is not if something is written there."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.forms.blankness import is_blank

Page = NDArray[np.uint8]


def paper() -> Page:
    noise = np.random.default_rng(1).normal(0, 4, (2339, 1654))
    return np.clip(244 + noise, 0, 255).astype(np.uint8)


def with_specks(page: Page) -> None:
    random = np.random.default_rng(2)
    for _ in range(300):
        x, y = int(random.integers(page.shape[1] - 4)), int(random.integers(page.shape[0] - 4))
        page[y : y + 3, x : x + 3] = 30


def with_dark_edges(page: Page) -> None:
    page[:, :50] = 20
    page[-35:] = 10


def with_holes(page: Page) -> None:
    for y in (860, 1480):
        cv2.circle(page, (95, y), 24, 15, -1)


def with_a_streak(page: Page) -> None:
    page[:, 700:703] = 40


def with_print_showing_through(page: Page) -> None:
    behind = np.full_like(page, 255)
    for y in range(200, 2200, 60):
        cv2.putText(behind, "what is printed on the front of it", (100, y), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 0, 3)
    through = cv2.GaussianBlur(behind[:, ::-1], (0, 0), 3)
    page[:] = page - (0.12 * (255 - through)).astype(np.uint8)


LEFT_BY_MACHINES = (with_specks, with_dark_edges, with_holes, with_a_streak, with_print_showing_through)


@pytest.mark.parametrize("left", [*LEFT_BY_MACHINES, None])
def test_what_paper_and_scanners_leave_is_blank(left: object) -> None:
    page = paper()
    for leave in LEFT_BY_MACHINES if left is None else [left]:
        leave(page)
    assert is_blank(page)
    assert is_blank(np.where(page < 128, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("grey", [30, 150])
def test_a_line_in_ink_or_pencil_is_not_blank(grey: int) -> None:
    page = paper()
    for leave in LEFT_BY_MACHINES:
        leave(page)
    path = np.array([500, 1500]) + np.cumsum(np.random.default_rng(3).normal((14, 0), 22, (24, 2)), axis=0)
    cv2.polylines(page, [path.astype(np.int32)], False, grey, 5, cv2.LINE_AA)
    assert not is_blank(page)
