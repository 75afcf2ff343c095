"""Strokes are kept where lines are only suspected, and a page has a second reading where the rules are in doubt."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmarks import handwriting, hard_cells, refusals
from benchmarks.handwriting import Digits
from mnist_batch.learning import digits
from mnist_batch.pixels import bitmaps, drawn_boxes, ink
from mnist_batch.pixels.normalising import SIDE, examine, examine_all, normalise

Grey = NDArray[np.uint8]

WRITTEN = Digits(*(array[:2000] for array in digits.mnist("test")))


def kept(page: Grey, digit_ink: Grey) -> float:
    """The share of a digit's ink that is taken for the digit in a page's first reading."""
    first = ink.find_ink(page)
    if first is None:
        return 0.0
    x, y, width, height = first.part
    taken = np.zeros(page.shape[:2], np.uint8)
    taken[y : y + height, x : x + width] = cv2.resize(first.digit, (width, height), interpolation=cv2.INTER_NEAREST)
    taken = cv2.dilate(taken, np.ones((3, 3), np.uint8))
    return float(taken[digit_ink > 200].mean())


def shares(name: str, count: int = 150) -> NDArray[np.float64]:
    cells = hard_cells.cells(name, count, 11, WRITTEN)
    return np.array([kept(hard_cells.grey_page(cell), cell.ink) for cell in cells])


@pytest.mark.parametrize(("name", "lost"), [("cut out tightly", 0.05), ("a ring by hand", 0.02), ("on a rule", 0.05)])
def test_no_stroke_of_a_digit_is_taken_for_a_line(name: str, lost: float) -> None:
    assert (shares(name) < 0.93).mean() <= lost


@pytest.mark.parametrize("digit", [2, 5, 7])
def test_the_bar_of_a_digit_that_is_cut_out_tightly_stays(digit: int) -> None:
    """A bar along the edge of its page was a line, and a 7 a 1."""
    whole = []
    for picture in WRITTEN.pictures[WRITTEN.labels == digit][:60]:
        large = np.where(cv2.resize(picture, (84, 84), interpolation=cv2.INTER_CUBIC) > 127, 255, 0).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(large)
        digit_ink = large[y : y + height, x : x + width]
        whole.append(kept(255 - digit_ink, digit_ink))
    assert (np.array(whole) > 0.97).mean() >= 0.97


def test_a_line_that_may_be_a_stroke_gives_two_readings_and_a_plain_page_one() -> None:
    seven = np.full((60, 40), 255, np.uint8)
    seven[1:6, 1:39] = 0
    cv2.line(seven, (32, 6), (14, 59), 0, 6)
    first, second = examine_all(seven)
    assert first.box is not None
    assert second.box is not None
    assert first.box[2:] == (38, 59)  # with its bar
    assert second.box[3] < 59
    page = np.full((64, 64), 230, np.uint8)
    page[12:52, 12:52] -= cv2.resize(WRITTEN.pictures[0], (40, 40)) // 2
    assert len(examine_all(page)) == 1
    page[3:5] = 40  # a line that touches nothing
    assert len(examine_all(page)) == 1


def most_kept(page: Grey) -> float:
    """The share of all ink on a page that is taken for the digit in the reading that keeps most of it."""
    return max((float(each.digit.sum() / each.mask.sum()) for each in ink.readings(page)), default=0.0)


@pytest.mark.parametrize("quarters", range(4))
def test_a_digit_that_is_cut_out_tightly_is_whole_in_one_reading(quarters: int) -> None:
    """The bar and the stem of a 7 on two edges were lines in every reading, and what was left was a 1."""
    cells = hard_cells.cells("cut out tightly", 300, 16, WRITTEN)
    pages = [np.rot90(cell.page, quarters).copy() for cell in cells if min(cell.page.shape) >= 28]
    assert np.mean([most_kept(page) >= 0.93 for page in pages]) >= 0.99


def test_a_stroke_that_lies_apart_in_a_digit_that_is_cut_out_tightly_is_kept_in_one_reading() -> None:
    """The foot of this 2 was a neighbour's stroke, and what was left was a 7; beside a whole digit it is one."""
    page = np.full((64, 64), 255, np.uint8)
    cv2.polylines(page, [np.array([[30, 9], [50, 5], [57, 14], [46, 36]], np.int32)], False, 0, 6)
    whole = page.copy()
    cv2.line(page, (3, 58), (44, 51), 0, 8)
    assert most_kept(page) == 1
    wide = cv2.copyMakeBorder(whole, 20, 20, 20, 20, cv2.BORDER_CONSTANT, value=255)
    cv2.line(wide, (0, 80), (16, 76), 0, 8)
    assert len(examine_all(wide)) == 1


def struck(digit: Grey, thickness: float, rise: float = 0) -> Grey:
    """A digit in a cell with a straight line through it from edge to edge."""
    cover = np.zeros((110, 100), np.float32)
    cover[20:90, 15:85] = cv2.resize(digit, (70, 70)) / np.float32(255)
    line = handwriting.stroke(cover.shape, [(-2, 54 + rise), (102, 54 - rise)], thickness)
    return np.asarray(235 - 190 * np.maximum(cover, line), np.uint8)


@pytest.mark.parametrize("direction", [np.asarray, np.transpose])
def test_a_stroke_by_pen_through_a_digit_from_edge_to_edge_stays_in_one_reading(
    direction: Callable[[Grey], Grey],
) -> None:
    """It cancels the digit, and was left out as a scanner's streak is, which is thinner."""
    pictures = [picture for picture in WRITTEN.pictures[:60] if np.ptp(picture.max(axis=1).nonzero()[0]) >= 18]
    for thickness in (4, 5, 7):
        pages = [direction(struck(picture, thickness, 1.5)).copy() for picture in pictures]
        assert np.mean([most_kept(page) > 0.95 for page in pages]) >= 0.95
    streaked = [direction(struck(picture, thickness)).copy() for picture in pictures for thickness in (1, 2)]
    assert np.mean([len(examine_all(page)) == 1 for page in streaked]) >= 0.95


def open_4(lean: int, thickness: int) -> Grey:
    """A 4 whose first stroke stands apart, without room around it."""
    four = np.zeros((200, 200), np.uint8)
    for start, end in (((60 + lean, 20), (50, 70)), ((30, 110), (150, 108)), ((130 + lean, 25), (115, 180))):
        cv2.line(four, start, end, 255, thickness, cv2.LINE_AA)
    x, y, width, height = cv2.boundingRect(four)
    return four[y : y + height, x : x + width]


@pytest.mark.parametrize("room", [10, 20, 40])
@pytest.mark.parametrize(("lean", "thickness"), [(0, 9), (20, 9), (40, 16)])
def test_the_first_stroke_of_an_open_4_is_not_framed_by_its_other_strokes(room: int, lean: int, thickness: int) -> None:
    """Its bar and stem were a frame around its first stroke, which was a 1."""
    digit_ink = np.pad(open_4(lean, thickness), room)
    assert kept(255 - digit_ink, digit_ink) > 0.97


@pytest.mark.parametrize("quarters", range(4))
def test_a_stroke_at_an_edge_that_lies_within_the_digit_is_kept_in_one_reading(quarters: int) -> None:
    """The first stroke of a 4 that is cut off above was taken for a neighbour's, without a doubt."""
    page = 255 - np.rot90(np.pad(open_4(20, 9), ((0, 30), (30, 30))), quarters)
    inked = [int(reading.digit.sum()) for reading in ink.readings(np.ascontiguousarray(page))]
    assert len(inked) == 2
    assert inked[1] > 1.1 * inked[0]


def test_hardly_any_plain_page_has_a_second_reading() -> None:
    doubtful = sum(len(examine_all(picture)) > 1 for picture in WRITTEN.pictures)
    assert doubtful <= 0.01 * len(WRITTEN.pictures)


LIKE = {
    "a grid as black as the digit": 0.9,
    "a scanner's streak": 0.95,
    "a hard shadow": 0.95,
    "a ring by hand": 0.97,
    "a wide cut with a neighbour": 0.9,
    "a dark frame smaller than the digit": 0.8,
    "pink or green marker": 0.85,
}


@pytest.mark.parametrize("name", LIKE)
def test_what_lies_on_a_digit_or_beside_it_is_left_out(name: str) -> None:
    cells = hard_cells.cells(name, 100, 12, WRITTEN)
    pairs = [(normalise(hard_cells.grey_page(cell)), normalise(cell.ink)) for cell in cells]
    alike = np.array([_alike(one, other) for one, other in pairs])
    assert (alike > 0.75).mean() >= LIKE[name]


def shaded(page: Grey, darkest: float) -> Grey:
    """A page in light that falls from left to right to that share."""
    return (page * np.linspace(1, darkest, page.shape[1])).astype(np.uint8)


@pytest.mark.parametrize("darkest", [1, 0.95, 0.9, 0.85, 0.8, 0.7])
@pytest.mark.parametrize(
    ("name", "least"), [("thin faint pencil", 0.87), ("in a corner of a large cell", 0.95), ("broken strokes", 0.9)]
)
def test_a_digit_is_found_in_any_light(name: str, least: float, darkest: float) -> None:
    """Polarity was told by the light where ink is fainter, and by noise where there is ink in a corner only."""
    cells = hard_cells.cells(name, 60, 14, WRITTEN)
    pages = [shaded(hard_cells.grey_page(cell), darkest) for cell in cells]
    shares = np.array([kept(page, cell.ink) for page, cell in zip(pages, cells, strict=True)])
    assert (shares > 0.75).mean() >= least


@pytest.mark.parametrize("darkest", [1, 0.95, 0.9, 0.85, 0.8, 0.7])
def test_remains_of_a_box_are_blank_in_any_light(darkest: float) -> None:
    random = np.random.default_rng(15)
    pages = [shaded(refusals.bordered(random), darkest) for _ in range(60)]
    assert np.mean([ink.find_ink(page) is None for page in pages]) >= 0.93


def test_a_stroke_that_runs_along_the_line_of_a_box_is_no_line() -> None:
    """The stem of this 4 was taken away with the line that it lies on, and what was left was a 6."""
    page = np.random.default_rng(0).integers(232, 245, (64, 64)).astype(np.uint8)
    for stroke in ([(56, 20), (56, 48)], [(44, 20), (42, 38), (56, 38)]):
        cv2.polylines(page, [np.array(stroke, np.int32)], False, 60, 2)
    alone = normalise(page)
    cv2.rectangle(page, (6, 8), (57, 55), 60)
    difference = float(np.abs(normalise(page).astype(int) - alone).mean())
    assert difference < 8


def test_no_digit_is_a_box() -> None:
    pages = [cv2.resize(picture, (64, 64), interpolation=cv2.INTER_CUBIC) for picture in WRITTEN.pictures]
    masks = [np.asarray(page > 100).view(np.uint8) for page in pages]
    grid = bitmaps.grid((64, 64))
    assert not any(drawn_boxes.find(grid, grid.packed(mask)) for mask in masks)


@pytest.mark.parametrize("thickness", [1, 2])
def test_a_box_is_found_though_its_digit_is_larger(thickness: int) -> None:
    """Pixels of the box are its lines, but where strokes cross them."""
    grid, found = bitmaps.grid((64, 64)), []
    for picture in WRITTEN.pictures[:100]:
        digit = np.asarray(cv2.resize(picture, (46, 46), interpolation=cv2.INTER_AREA) > 127).view(np.uint8)
        digit, box = np.pad(digit, 9), np.zeros((64, 64), np.uint8)
        cv2.rectangle(box, (20, 19), (43, 45), 1, thickness)
        both = drawn_boxes.find(grid, grid.packed(digit | box))
        lines = np.zeros_like(box) if both is None else grid.unpacked(both.lines)
        assert not (lines & ~(box | digit)).any()
        found.append((lines & box & ~digit).sum() / (box & ~digit).sum())
    assert np.mean(np.array(found) > 0.6) >= 0.6


def _alike(one: Grey, other: Grey) -> float:
    shifted = (np.roll(other, by, (0, 1)) for by in np.ndindex(3, 3))
    rolled = np.roll(one, 1, (0, 1)).ravel()
    return max(float(np.corrcoef(rolled, each.ravel())[0, 1]) for each in shifted) if one.any() else 0.0


def turned(page: Grey) -> Grey:
    return np.ascontiguousarray(page.T)


def negative(page: Grey) -> Grey:
    return 255 - page


@pytest.mark.parametrize("change", [turned, negative])
def test_a_grid_is_left_out_whatever_its_direction_and_polarity(change: Callable[[Grey], Grey]) -> None:
    cells = hard_cells.cells("a grid as black as the digit", 40, 13, WRITTEN)
    alike = [_alike(normalise(change(cell.page)), normalise(change(cell.ink))) for cell in cells]
    if change is negative:
        alike = [_alike(normalise(change(cell.page)), normalise(cell.ink)) for cell in cells]
    assert np.mean(np.array(alike) > 0.75) >= 0.85


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90))))
def test_any_page_has_one_to_a_few_readings_the_first_of_which_is_its_picture(page: Grey) -> None:
    readings = examine_all(page)
    assert 1 <= len(readings) <= 4
    assert np.array_equal(readings[0].picture, examine(page).picture)
    assert all(each.picture.shape == (SIDE, SIDE) for each in readings)
    assert all(each.picture.any() for each in readings[1:])
