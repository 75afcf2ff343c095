"""Crops show cells upright with what is around them, however the page lay on the scanner."""

import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from mnist_batch.reports import crops

WIDTH, HEIGHT = 400, 300
CELLS = [(120, 100, 40, 50), (160, 100, 40, 50), (200, 100, 40, 50)]  # x, y, width, height


def page() -> NDArray[np.uint8]:
    """White paper with a row of cells, the first black, the last grey, and a mark right below the second."""
    paper = np.full((HEIGHT, WIDTH), 255, np.uint8)
    paper[100:150, 120:160], paper[100:150, 200:240], paper[155:165, 160:200] = 0, 128, 60
    return paper


def corners(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def placed(matrix: NDArray[np.float64]) -> list[list[float]]:
    points = np.array([corners(*cell) for cell in CELLS]).reshape(-1, 2)
    moved = np.hstack([points, np.ones((len(points), 1))]) @ matrix.T
    return [list(map(float, cell)) for cell in moved.reshape(-1, 8)]


def seen(crop: crops.Crop, number: int) -> NDArray[np.uint8]:
    """What a box of a crop is around, without its edge."""
    left, top, wide, high = crop.boxes[number]
    height, width = crop.picture.shape
    across, down = (round((left + wide * part) * width) for part in (0.2, 0.8)), (0.2, 0.8)
    x0, x1 = across
    y0, y1 = (round((top + high * part) * height) for part in down)
    return crop.picture[y0:y1, x0:x1]


@given(st.floats(0, 360), st.floats(0.5, 2))
def test_cells_are_upright_whichever_way_the_page_lay(degrees: float, scale: float) -> None:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    matrix[:, 2] += 300
    lain = np.asarray(cv2.warpAffine(page(), matrix, (1000, 1000), borderValue=255), np.uint8)
    crop = crops.around(lain, placed(matrix))
    assert [round(seen(crop, number).mean(), -1) for number in range(3)] == [0, 260, 130]  # to tens
    lefts, tops, wides, highs = np.array(crop.boxes).T
    assert (np.diff(lefts) > 0).all()
    assert np.ptp(tops) < 0.02
    assert np.allclose(wides * crop.picture.shape[1], 40 * scale, atol=2)
    assert np.allclose(highs * crop.picture.shape[0], 50 * scale, atol=2)
    below = crop.picture[
        round((tops[1] + 1.2 * highs[1]) * len(crop.picture)), round((lefts[1] + wides[1] / 2) * crop.picture.shape[1])
    ]
    assert below < 120  # what is around the cells is seen, too


def test_beyond_the_page_is_white() -> None:
    crop = crops.around(np.zeros((50, 40), np.uint8), [corners(0, 0, 40, 50)])
    assert crop.picture[0, 0] == crop.picture[-1, -1] == 255
    assert seen(crop, 0).max() == 0


@pytest.mark.parametrize("shape", [(3000, 2000), (10, 5000), (20, 20)])
def test_a_large_picture_is_reduced_and_keeps_its_proportions(shape: tuple[int, int]) -> None:
    picture = crops.whole(np.zeros(shape, np.uint8)).picture
    assert max(picture.shape) == min(crops.LONGEST, max(shape))
    assert picture.shape[0] * shape[1] == pytest.approx(picture.shape[1] * shape[0], rel=0.5 / min(picture.shape))


def test_a_crop_of_many_cells_at_a_high_resolution_is_reduced() -> None:
    cells = [corners(100 + 200 * number, 100, 200, 260) for number in range(15)]
    crop = crops.around(np.full((600, 4000), 200, np.uint8), cells)
    assert max(crop.picture.shape) == crops.LONGEST
    assert len(crop.boxes) == 15
