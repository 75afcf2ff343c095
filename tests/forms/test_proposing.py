"""Boxes are found on blank pages of any resolution, and what is none is not taken for one."""

import cv2
import numpy as np
import pytest

from benchmarks import form_pages, form_proposing
from mnist_batch.forms import boxes, proposing, rows, straightening
from mnist_batch.forms.form import Box
from mnist_batch.forms.proposing import Proposal, Reason

pytestmark = pytest.mark.long

Cell = tuple[float, float, float, float]


def blank(name: str, dots_per_inch: float = 200, page: int = 0, skew: float = 0, bilevel: bool = False) -> np.ndarray:
    picture = form_pages.form(name).pictures[page]
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    factor, (height, width) = dots_per_inch / 200, grey.shape
    grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    if skew:
        height, width = grey.shape
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -skew, 1)
        grey = cv2.warpAffine(grey, matrix, (width, height), borderValue=255)
    return (grey > 180).astype(np.uint8) * 255 if bilevel else grey


def fields_of(name: str, dots_per_inch: float = 200, page: int = 0) -> list[list[Box]]:
    fields = form_pages.form(name).fields(page)
    return [[Box(*(part * dots_per_inch / 200 for part in cell)) for cell in field["cells"]] for field in fields]


def shared(one: Box, other: Box) -> float:
    """The area of two boxes together, as the share that both have."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(width, 0) * max(height, 0)
    return both / (one.width * one.height + other.width * other.height - both)


def found(proposal: Proposal, fields: list[list[Box]], least: float = 0.65) -> tuple[int, int]:
    """How many true cells were found, and how many cells are none."""
    cells = [cell for field in proposal.fields for cell in field]
    true = [cell for field in fields for cell in field]
    hits = {at for cell in true for at, other in enumerate(cells) if shared(cell, other) >= least}
    return sum(any(shared(cell, other) >= least for other in cells) for cell in true), len(cells) - len(hits)


@pytest.mark.parametrize(
    ("name", "dots_per_inch", "skew", "bilevel"),
    [
        ("boxes", 75, 0, False),
        ("boxes", 600, 0, True),
        ("combs", 150, -0.8, True),
        ("lines", 200, 1.9, False),
        ("dense", 100, 0, True),
        ("coloured", 300, 1.2, False),
    ],
)
def test_each_cell_of_a_blank_form_is_found_and_nothing_else(
    name: str, dots_per_inch: float, skew: float, bilevel: bool
) -> None:
    fields = fields_of(name, dots_per_inch)
    proposal = proposing.propose(blank(name, dots_per_inch, 0, skew, bilevel), dots_per_inch)
    assert proposal.skew == pytest.approx(skew, abs=0.04)
    hits, false = found(proposal, fields)
    assert hits >= 0.95 * sum(map(len, fields))
    assert false == 0
    assert len(proposal.fields) == len(fields)  # in the same order, from top to bottom
    assert sum(len(one) == len(other) for one, other in zip(proposal.fields, fields, strict=True)) >= 0.95 * len(fields)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("boxes", "scan 150 dpi"),
        ("combs", "1 bit 300 dpi"),
        ("lines", "scan 200 dpi"),
        ("coloured", "scan 200 dpi"),
        ("marked", "1 bit 200 dpi"),
    ],
)
def test_the_cells_of_a_page_that_is_filled_in_are_found_and_nothing_else(name: str, kind: str) -> None:
    """With digits over the lines, crosses, stamps and signatures, a little askew."""
    page = form_pages.page_of(form_pages.form(name), 0, kind, form_pages.mnist_digits(), 77, 0)
    result = form_proposing.compared(page, proposing.propose(page.picture, page.dots_per_inch[0]))
    assert result["found"] >= 0.95 * result["boxes"] > 0
    assert result["false"] == 0
    assert result["grouped"] >= 0.9 * result["fields"]


@pytest.mark.parametrize("name", ["letter", "invoice", "timetable"])
def test_a_page_without_boxes_for_digits_has_no_fields(name: str) -> None:
    assert proposing.propose(blank(name, 150), 150).fields == ()


def test_what_is_left_out_is_said_with_its_reason() -> None:
    page = np.full((1000, 1654), 255, np.uint8)
    for at in range(4):
        cv2.rectangle(page, (200 + 50 * at, 200), (250 + 50 * at, 265), 0, 2)  # a field
        cv2.rectangle(page, (200, 400 + 60 * at), (230, 430 + 60 * at), 0, 2)  # a column of boxes to tick
    cv2.rectangle(page, (600, 400), (1000, 460), 0, 2)
    for at, letter in enumerate("OD0B"):
        cv2.putText(page, letter, (200 + 130 * at, 900), cv2.FONT_HERSHEY_SIMPLEX, 4, 0, 14)  # a logo
    proposal = proposing.propose(page, 200)
    assert [len(field) for field in proposal.fields] == [4]
    reasons = [each.reason for each in proposal.left_out]
    assert sorted(reasons) == sorted([Reason.SMALL] * 4 + [Reason.WIDE])


def test_a_page_of_unknown_resolution_is_as_wide_as_a4() -> None:
    page = blank("two_page", 110, 1)
    sizes = [len(field) for field in fields_of("two_page", 110, 1)]
    assert [len(field) for field in proposing.propose(page).fields] == sizes


@pytest.mark.parametrize("picture", [np.full((800, 600), 255, np.uint8), np.zeros((40, 9), np.uint8)])
def test_an_empty_page_has_neither_skew_nor_fields(picture: np.ndarray) -> None:
    assert straightening.skew_of(picture) == 0
    proposal = proposing.propose(picture, 100)
    assert (proposal.fields, proposal.left_out) == ((), ())
    assert (proposal.picture == picture).all()


def numbered(page: np.ndarray, x: int, y: int) -> None:
    """A grid of numbers to tick, as lotteries have."""
    for number in range(24):
        left, top = x + 40 * (number % 6), y + 48 * (number // 6)
        cv2.rectangle(page, (left, top), (left + 40, top + 48), 0, 2)
        cv2.putText(page, str(number + 1), (left + 6, top + 32), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1, cv2.LINE_AA)


def test_numbers_to_tick_are_no_cells_and_digits_written_in_a_field_are() -> None:
    page = np.full((1200, 1654), 255, np.uint8)
    numbered(page, 200, 200)
    for at, (top, size) in enumerate([(60, 1.6), (52, 1.2), (64, 1.9), (50, 1.4), (58, 1.1)]):
        cv2.rectangle(page, (200 + 50 * at, 700), (250 + 50 * at, 768), 0, 2)
        cv2.putText(page, "7", (212 + 50 * at, 700 + top), cv2.FONT_HERSHEY_SIMPLEX, size, 0, 3, cv2.LINE_AA)
    proposal = proposing.propose(page, 200)
    assert [len(field) for field in proposal.fields] == [5]
    assert [each.reason for each in proposal.left_out] == [Reason.PRINT] * 24


def test_white_combs_in_a_large_tinted_field_are_found() -> None:
    """As on a bank transfer: a field of a tint larger than any box."""
    page = np.full((1000, 1654), 255, np.uint8)
    page[60:900, 60:1600] = 225
    for y, count in ((300, 22), (440, 11)):
        page[y : y + 64, 90 : 90 + 60 * count] = 255
        cv2.line(page, (90, y + 64), (90 + 60 * count, y + 64), 0, 2)
        for at in range(1, count):
            cv2.line(page, (90 + 60 * at, y + 40), (90 + 60 * at, y + 64), 0, 2)
    proposal = proposing.propose(page, 200)
    assert [len(field) for field in proposal.fields] == [22, 11]
    bilevel = proposing.propose((page > 128).astype(np.uint8) * 255, 200)
    assert [len(field) for field in bilevel.fields] == [22, 11]


def test_a_digit_with_a_loop_in_a_tinted_box_is_no_wall_between_two_boxes() -> None:
    page = np.full((500, 900), 255, np.uint8)
    fields = [[Box(100 + 84 * at, y, 70, 90) for at in range(6)] for y in (60, 200, 340)]
    for box in (cell for field in fields for cell in field):
        page[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = 225
    for field, at in zip(fields, (3, 1, 4), strict=True):
        middle = int(field[at].x + 35), int(field[at].y + 45)
        cv2.ellipse(page, middle, (16, 26), 0, 0, 360, 30, 5)
    proposal = proposing.propose(page, 200)
    assert found(proposal, fields) == (18, 0)
    assert [len(field) for field in proposal.fields] == [6, 6, 6]


def boxed(page: np.ndarray, x: int, y: int, count: int, wide: int = 50, high: int = 66) -> None:
    for at in range(count):
        cv2.rectangle(page, (x + wide * at, y), (x + wide * (at + 1), y + high), 0, 2)


def test_the_loops_of_a_scribble_over_a_line_are_no_ticks() -> None:
    page = np.full((1000, 1654), 255, np.uint8)
    boxed(page, 200, 100, 5)
    cv2.line(page, (200, 600), (760, 600), 0, 2)
    cv2.line(page, (900, 600), (1300, 600), 0, 2)
    for at in range(9):
        cv2.line(page, (900 + 50 * at, 600), (900 + 50 * at, 582), 0, 2)  # a baseline with ticks
    for at in (0, 18, 41, 63, 115, 134, 187, 227, 245, 295, 380, 420, 460):
        cv2.ellipse(page, (200 + at, 590), (9, 12), 0, 0, 180, 60, 4, cv2.LINE_AA)
    assert [len(field) for field in proposing.propose(page, 200).fields] == [5, 8]


def test_a_1_beside_a_tick_is_no_border_of_a_cell() -> None:
    """After a group of digits there is more room, and a 1 in it may be where an even step would end."""
    page = np.full((600, 1654), 255, np.uint8)
    cv2.rectangle(page, (200, 200), (648, 266), 0, 2)
    starts = [200, 250, 300, 351, 424, 474, 524, 574]
    for x in starts[1:]:
        cv2.line(page, (x, 266), (x, 240), 0, 2)
    cv2.line(page, (374, 264), (374, 215), 40, 3)
    [field] = proposing.propose(page, 200).fields
    assert [cell.x for cell in field] == pytest.approx(starts, abs=3)


def test_a_box_goes_on_to_the_ends_of_its_lines_and_not_to_a_stroke_that_looks_like_its_side() -> None:
    page = np.full((600, 1654), 255, np.uint8)
    cv2.rectangle(page, (200, 200), (600, 266), 0, 2)
    cv2.rectangle(page, (700, 200), (1000, 266), 0, 2)
    cv2.line(page, (275, 266), (275, 200), 40, 5)
    masks = boxes.Masks.of(page)
    assert boxes.widened(Box(275, 200, 325, 66), masks) == pytest.approx((200, 200, 400, 66), abs=2)
    assert boxes.widened(Box(200, 200, 75, 66), masks) == pytest.approx((200, 200, 400, 66), abs=2)
    assert boxes.widened(Box(700, 200, 300, 66), masks) == (700, 200, 300, 66)


def test_a_cell_that_was_found_beside_its_place_is_moved_into_its_row() -> None:
    page = np.full((600, 1654), 255, np.uint8)
    places = [Box(200 + 62 * at, 200, 50, 66) for at in range(5)]
    alone = Box(500, 400, 50, 66)  # where others stand says nothing of it
    for x, y, wide, high in [*places, alone]:
        cv2.rectangle(page, (x, y), (x + wide, y + high), 0, 2)
    masks = boxes.Masks.of(page)
    for at, aside in ((4, (-12, 0)), (0, (12, 0)), (2, (0, 16)), (1, (2, 1))):
        cell = places[at]._replace(x=places[at].x + aside[0], y=places[at].y + aside[1])
        found = rows.in_line([*places[:at], cell, *places[at + 1 :], alone], masks)
        assert found[at] == (cell if at == 1 else places[at])
        assert [*found[:at], *found[at + 1 :]] == [*places[:at], *places[at + 1 :], alone]


@pytest.mark.parametrize("share", [0.12, 0.4, 0.9])
def test_boxes_in_a_screen_of_dots_are_found(share: float) -> None:
    """As a scanner in black and white makes it of a tint: light, dense, or nearly black."""
    page, random = np.full((700, 1654), 255, np.uint8), np.random.default_rng(4)
    tint = (random.random((90, 470)) < share).astype(np.uint8)
    for y, gap in ((100, 0), (300, 12)):
        field = tint[:, : 6 * (50 + gap) + 16]
        for at in range(6):
            field = field.copy()
            field[11:79, 11 + (50 + gap) * at : 55 + (50 + gap) * at] = 0
        page[y : y + 90, 300 : 300 + field.shape[1]] = 255 * (1 - field)
    cv2.putText(page, "427", (318, 165), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 0, 5)
    proposal = proposing.propose(page, 200)
    assert [len(field) for field in proposal.fields] == [6, 6]
    assert proposal.black_and_white
    true = [[Box(308 + (50 + gap) * at, y + 8, 50, 74) for at in range(6)] for y, gap in ((100, 0), (300, 12))]
    assert found(proposal, true, 0.6) == (12, 0)
    assert proposal.skew == 0
    assert (proposal.picture == page).all()  # with its dots


def test_a_stroke_in_a_tint_of_dots_makes_no_narrower_cell() -> None:
    page, random = np.full((500, 1654), 255, np.uint8), np.random.default_rng(4)
    field = (random.random((82, 376)) < 0.4).astype(np.uint8)
    for at in range(6):
        field[11:71, 11 + 60 * at : 65 + 60 * at] = 0
    page[100:182, 300:676] = 255 * (1 - field)
    for at in (1, 2, 4, 5):
        cv2.line(page, (342 + 60 * at, 106), (342 + 60 * at, 176), 0, 7)
    proposal = proposing.propose(page, 200)
    assert found(proposal, [[Box(308 + 60 * at, 108, 60, 66) for at in range(6)]], 0.6)[1] == 0
    assert {each.reason for each in proposal.left_out} <= {Reason.DOTS}
