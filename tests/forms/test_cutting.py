"""Cells cut from pages whose every cell is known."""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.forms.cutting import Cut, cut
from mnist_batch.forms.form import Box, Digits, Field
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration, Verdict
from mnist_batch.forms.sheets import Sheet
from mnist_batch.pixels import normalising
from mnist_batch.statuses import MEANINGS, Status

Grey = NDArray[np.uint8]

WIDE, HIGH, COUNT = 50, 66, 5
SHEET = (640, 420)
STYLES = ("boxes", "apart", "comb", "baseline", "dotted", "pale", "tinted", "hints", "none")


@dataclass(frozen=True)
class Prepared:
    fields: tuple[Field, ...]
    sheet: Sheet


def form(style: str) -> tuple[Grey, tuple[Field, ...]]:
    """A form of two fields below each other, and its picture at 200 dots per inch."""
    picture = np.full((SHEET[1], SHEET[0]), 255, np.uint8)
    fields = []
    cv2.putText(picture, "Votes cast", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1, 20, 2)
    for name, top in (("upper", 100), ("lower", 200)):
        gap = 12 if style in ("apart", "tinted") else 0
        cells = tuple(Box(250 + at * (WIDE + gap), top, WIDE, HIGH) for at in range(COUNT))
        draw(picture, cells, style)
        fields.append(Field(name, 0, cells, Digits(1, COUNT)))
    return picture, tuple(fields)


def draw(picture: Grey, cells: tuple[Box, ...], style: str) -> None:
    ends = (int(cells[0].x), int(cells[-1].x + WIDE))
    top, foot = int(cells[0].y), int(cells[0].y + HIGH)
    if style == "tinted":
        picture[top - 8 : foot + 8, ends[0] - 8 : ends[1] + 8] = 205
    for cell in cells:
        x = int(cell.x)
        if style in ("boxes", "apart", "pale", "hints"):
            cv2.rectangle(picture, (x, top), (x + WIDE, foot), 190 if style == "pale" else 20, 2)
        if style == "tinted":
            picture[top + 3 : foot - 3, x + 3 : x + WIDE - 3] = 255
        if style == "hints":
            cv2.putText(picture, "D", (x + 18, foot - 20), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 200, 2)
        if style == "comb":
            cv2.line(picture, (x, foot), (x, foot - 22), 20, 2)
    if style in ("comb", "baseline"):
        cv2.line(picture, (ends[0], foot), (ends[1], foot), 20, 2)
    if style == "comb":
        cv2.line(picture, (ends[1], foot), (ends[1], foot - 22), 20, 2)
    if style == "dotted":
        for x in range(ends[0], ends[1], 6):
            cv2.circle(picture, (x, foot), 1, 20, -1)


def prepared(style: str) -> tuple[Grey, Prepared]:
    picture, fields = form(style)
    return picture, Prepared(fields, Sheet.of(picture, fields))


def on_white(reference: Prepared) -> Prepared:
    """The same fields where nothing is printed."""
    return Prepared(reference.fields, Sheet.of(np.full(SHEET[::-1], 255, np.uint8), reference.fields))


def seven(page: Grey, cell: Box, level: int = 40, thick: int = 4, off: tuple[int, int] = (0, 0)) -> None:
    """Write a 7 into a cell, or beside it."""
    x, y = int(cell.x) + off[0], int(cell.y) + off[1]
    cv2.polylines(
        page, [np.array([(x + 12, y + 14), (x + 38, y + 14), (x + 22, y + 52)])], False, level, thick, cv2.LINE_AA
    )


def unlike(one: Cut, other: Cut) -> float:
    """How unlike two cells are as the model sees them, in grey levels; one may lie a pixel beside the other."""
    first, second = (normalising.normalise(each.pictures[0]).astype(float) for each in (one, other))
    shifts = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    return min(float(np.abs(first - np.roll(second, shift, (0, 1))).mean()) for shift in shifts)


SCANS = [(dots, bits) for dots in (100, 200, 300, 600) for bits in (8, 1)]


def scanned(page: Grey, dots_per_inch: int, bits: int = 8) -> tuple[Grey, Registration]:
    """A page as a scanner sees it, a little turned, and where the form lies on it."""
    factor = dots_per_inch / 200
    cos, sin = factor * np.cos(0.012), factor * np.sin(0.012)
    matrix = np.array([[cos, -sin, 9 * factor], [sin, cos, 5 * factor], [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    between = np.linalg.inv(half) @ matrix @ half
    size = round(680 * factor), round(460 * factor)
    if factor < 1:
        page = cv2.GaussianBlur(page, (0, 0), 0.45 / factor)
    seen = cv2.warpAffine(page, between[:2], size, flags=cv2.INTER_LINEAR, borderValue=255)
    noise = np.random.default_rng(5).normal(0, 4, seen.shape)
    seen = (seen * 0.96 + noise).clip(0, 255).astype(np.uint8)
    if bits == 1:
        seen = np.where(seen > 170, 255, 0).astype(np.uint8)
    return seen, registered(matrix)


def registered(matrix: NDArray[np.float64], **verdicts: FieldVerdict) -> Registration:
    places = {name: FieldPlace(verdicts.get(name, FieldVerdict.PLACED), matrix) for name in ("upper", "lower")}
    return Registration(Verdict.REGISTERED, matrix=matrix, fields=places)


def by_cell(cuts: list[Cut]) -> dict[tuple[str, int], Cut]:
    return {(each.field, each.position): each for each in cuts}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("dots", "bits"), SCANS)
def test_every_cell_of_a_blank_form_is_blank(style: str, dots: int, bits: int) -> None:
    picture, reference = prepared(style)
    cuts = cut(*scanned(picture, dots, bits), reference)
    assert [each.status for each in cuts] == [Status.BLANK] * 2 * COUNT
    assert all(each.reason == MEANINGS[Status.BLANK] and not each.pictures for each in cuts)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("dots", "bits"), [(100, 1), (200, 8), (300, 1), (600, 8)])
def test_a_digit_comes_out_as_if_it_were_written_on_white_paper(style: str, dots: int, bits: int) -> None:
    picture, reference = prepared(style)
    white = np.full_like(picture, 255)
    for page in (picture, white):
        for field in reference.fields:
            seven(page, field.cells[1])
            seven(page, field.cells[3], off=(4, 6))
    found = by_cell(cut(*scanned(picture, dots, bits), reference))
    wanted = by_cell(cut(*scanned(white, dots, bits), on_white(reference)))
    for cell, each in found.items():
        assert each.status == wanted[cell].status == (Status.OK if cell[1] in (1, 3) else Status.BLANK)
        if each.pictures:
            assert unlike(each, wanted[cell]) < (12 if dots == 100 else 8)


@pytest.mark.parametrize("light", [0.25, 0.6])
def test_a_digit_in_a_shadow_comes_out_as_beside_it(light: float) -> None:
    picture, reference = prepared("boxes")
    for cell in (field.cells[at] for field in reference.fields for at in (1, 3)):
        cv2.putText(picture, "8", (int(cell.x) + 6, int(cell.y) + 54), cv2.FONT_HERSHEY_SIMPLEX, 1.8, 60, 8)
    page, registration = scanned(picture, 200)
    page[190:] = page[190:] * light
    found = by_cell(cut(page, registration, reference))
    assert [found["lower", at].status for at in range(COUNT)] == [found["upper", at].status for at in range(COUNT)]
    assert all(unlike(found["lower", at], found["upper", at]) < 8 for at in (1, 3))


def test_every_cell_comes_out_once_in_the_forms_order() -> None:
    picture, reference = prepared("boxes")
    for verdicts in ({}, {"upper": FieldVerdict.SHIFTED}, {"lower": FieldVerdict.CUT_OFF}):
        page, registration = scanned(picture, 200)
        cuts = cut(page, registered(registration.matrix, **verdicts), reference)
        assert [(each.field, each.position) for each in cuts] == [
            (name, at) for name in ("upper", "lower") for at in range(COUNT)
        ]
        for name, verdict in verdicts.items():
            statuses = {each.status for each in cuts if each.field == name}
            assert statuses == {Status(verdict.value)}


def test_a_cell_does_not_depend_on_what_stands_in_other_fields() -> None:
    picture, reference = prepared("boxes")
    seven(picture, reference.fields[0].cells[2])
    other = picture.copy()
    for at in range(COUNT):
        seven(other, reference.fields[1].cells[at], thick=6, off=(0, -20))
    (alone, registration), (together, _) = scanned(picture, 200), scanned(other, 200)
    first, second = (cut(page, registration, reference)[:COUNT] for page in (alone, together))
    assert [each.status for each in first] == [each.status for each in second]
    assert first[2].status == Status.OK
    assert np.array_equal(first[2].pictures[0], second[2].pictures[0])


@pytest.mark.parametrize("off", [(0, 24), (0, -24), (18, 0), (-18, 0)])
def test_a_digit_that_leaves_its_cell_keeps_its_strokes(off: tuple[int, int]) -> None:
    picture, reference = prepared("boxes")
    white = np.full_like(picture, 255)
    for page in (picture, white):
        seven(page, reference.fields[0].cells[2], thick=5, off=off)
    found = cut(*scanned(picture, 200), reference)
    wanted = cut(*scanned(white, 200), on_white(reference))
    assert [each.status for each in found[:COUNT]] == [each.status for each in wanted[:COUNT]]
    [ours], [theirs] = ([each for each in some if each.status == Status.OK] for some in (found, wanted))
    assert ours.position == theirs.position == 2
    assert unlike(ours, theirs) < 12


def test_a_faint_digit_is_read_and_what_shows_through_is_not() -> None:
    picture, reference = prepared("boxes")
    cells = reference.fields[0].cells
    for at in (0, 1):
        seven(picture, cells[at], level=30)
    seven(picture, cells[2], level=150)
    seven(picture, cells[4], level=225)
    statuses = [each.status for each in cut(*scanned(picture, 200), reference)[:COUNT]]
    assert statuses == [Status.OK, Status.OK, Status.OK, Status.BLANK, Status.BLANK]


def test_strokes_through_empty_cells_are_crossed() -> None:
    picture, reference = prepared("boxes")
    for at, strokes in enumerate((["\\"], ["\\", "/"], ["-"])):
        x, y = int(reference.fields[0].cells[at].x), int(reference.fields[0].cells[at].y)
        ends = {"\\": ((6, 8), (44, 58)), "/": ((6, 58), (44, 8)), "-": ((2, 32), (48, 35))}
        for stroke in strokes:
            (a, b), (c, d) = ends[stroke]
            cv2.line(picture, (x + a, y + b), (x + c, y + d), 40, 4, cv2.LINE_AA)
    statuses = [each.status for each in cut(*scanned(picture, 200), reference)[:COUNT]]
    assert statuses == [Status.CROSSED] * 3 + [Status.BLANK] * 2


def bar(page: Grey, cells: tuple[Box, ...], first: int, last: int) -> None:
    """Draw a level stroke from one cell to another."""
    y = int(cells[0].y) + HIGH // 2
    cv2.line(page, (int(cells[first].x) + 6, y + 2), (int(cells[last].x) + WIDE - 6, y - 3), 40, 4, cv2.LINE_AA)


@pytest.mark.parametrize("style", ["boxes", "comb", "dotted", "tinted", "none"])
@pytest.mark.parametrize(("dots", "bits"), SCANS)
def test_a_stroke_through_several_cells_crosses_them_and_the_others_are_read(style: str, dots: int, bits: int) -> None:
    picture, reference = prepared(style)
    upper, lower = (field.cells for field in reference.fields)
    bar(picture, upper, 0, 2)
    seven(picture, upper[4])
    bar(picture, lower, 0, 4)
    cuts = by_cell(cut(*scanned(picture, dots, bits), reference))
    statuses = ["crossed"] * 3 + ["blank", "ok"]
    assert [cuts["upper", at].status for at in range(COUNT)] == statuses
    assert len(cuts["upper", 4].pictures) == 1
    assert [cuts["lower", at].status for at in range(COUNT)] == ["crossed"] * COUNT


def test_a_digit_into_which_a_stroke_runs_is_read_and_doubted() -> None:
    picture, reference = prepared("boxes")
    cells = reference.fields[0].cells
    bar(picture, cells, 0, 2)
    seven(picture, cells[3], off=(-6, 18))
    cv2.line(picture, (int(cells[2].x) + 40, 132), (int(cells[3].x) + 26, 132), 40, 4)
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert [each.status for each in cuts] == [Status.CROSSED] * 3 + [Status.OK, Status.BLANK]
    assert not normalising.normalise(cuts[3].pictures[1]).any()


@pytest.mark.parametrize("count", range(2, COUNT + 1))
def test_digits_that_are_joined_in_a_row_are_parted_and_doubted(count: int) -> None:
    picture, reference = prepared("boxes")
    cells = reference.fields[0].cells[:count]
    for cell in cells:
        seven(picture, cell)
    for one, other in pairwise(cells):
        cv2.line(picture, (int(one.x) + 22, 152), (int(other.x) + 30, 136), 40, 4)
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert [len(each.pictures) for each in cuts] == [2] * count + [0] * (COUNT - count)


def test_slashes_in_unused_cells_are_crossed_and_1s_that_lean_as_much_are_doubted() -> None:
    for first, expected in ((0, [0, 0, 1, 1, 1]), (2, [1, 1, 2, 2, 1])):
        picture, reference = prepared("boxes")
        for at, cell in enumerate(reference.fields[0].cells):
            x, y = int(cell.x), int(cell.y)
            if at in (first, first + 1):
                cv2.line(picture, (x + 6, y + 58), (x + 44, y + 8), 40, 4, cv2.LINE_AA)
            else:
                seven(picture, cell)
        cuts = cut(*scanned(picture, 200), reference)[:COUNT]
        assert [len(each.pictures) for each in cuts] == expected
        assert [each.status == Status.CROSSED for each in cuts] == [not count for count in expected]


def test_digits_that_touch_are_parted_and_doubted() -> None:
    picture, reference = prepared("boxes")
    cells = reference.fields[0].cells
    seven(picture, cells[1], off=(8, 0))
    seven(picture, cells[2], off=(-10, 0))
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert [each.status for each in cuts] == [Status.BLANK, Status.OK, Status.OK, Status.BLANK, Status.BLANK]
    wide = [picture.shape[1] for each in cuts[1:3] for picture in each.pictures]
    assert len(wide) == 4
    assert wide[1] > wide[0]
    assert wide[3] > wide[2]


def round_digit(page: Grey, cell: Box, right: int) -> None:
    """Write a 6 into a cell, or over its edge: its bowl reaches so far to the right."""
    x, y = int(cell.x), int(cell.y)
    cv2.ellipse(page, (x + right - 12, y + 42), (12, 13), 0, 0, 360, 40, 4, cv2.LINE_AA)
    cv2.line(page, (x + right - 24, y + 42), (x + right - 12, y + 8), 40, 4, cv2.LINE_AA)


@pytest.mark.parametrize("lean", [0, 5])
@pytest.mark.parametrize("style", ["boxes", "baseline"])
def test_a_digit_that_strays_from_its_cell_and_touches_the_next_one_is_parted_from_it(style: str, lean: int) -> None:
    """A 1 on the edge of its cell was a part of the digit before it, and its own cell was blank."""
    picture, reference = prepared(style)
    cells = reference.fields[0].cells
    x, y = int(cells[1].x), int(cells[1].y)
    wide_seven = np.array([(x + 5, y + 14), (x + 46 + lean, y + 14), (x + 24, y + 52)])
    cv2.polylines(picture, [wide_seven], False, 40, 4, cv2.LINE_AA)
    cv2.line(picture, (x + 48, y + 54), (x + 50 + lean, y + 6), 40, 4, cv2.LINE_AA)
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert [len(each.pictures) for each in cuts] == [0, 2, 2, 0, 0]


@pytest.mark.parametrize("thick", [6, 9])
@pytest.mark.parametrize("lean", [-6, 0, 10])
def test_a_1_on_the_edge_between_two_cells_is_not_cut_lengthwise(lean: int, thick: int) -> None:
    picture, reference = prepared("baseline")
    cell = reference.fields[0].cells[2]
    x, y = int(cell.x), int(cell.y)
    cv2.line(picture, (x - lean // 2, y + 52), (x + lean // 2 + 1, y + 8), 40, thick, cv2.LINE_AA)
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert sorted(len(each.pictures) for each in cuts) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("over", [4, 10])
def test_a_single_digit_that_reaches_over_the_edge_of_its_cell_is_one(over: int) -> None:
    picture, reference = prepared("boxes")
    cells = reference.fields[0].cells
    round_digit(picture, cells[1], WIDE + over)
    seven(picture, cells[3], off=(over, 0))
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert [len(each.pictures) for each in cuts] == [0, 1, 0, 1, 0]


def beside_a_line(away: int) -> tuple[Grey, Grey, Prepared]:
    """Two digits whose long strokes stand so far from the line between their cells; on a form, and on white paper."""
    picture, reference = prepared("boxes")
    white = np.full_like(picture, 255)
    edge, top = int(reference.fields[0].cells[2].x), int(reference.fields[0].cells[2].y)
    for page in (picture, white):
        for side in (-1, 1):
            x = edge + side * away
            path = np.array([(x, top + 16), (x, top + 50), (x + side * 26, top + 50)])
            cv2.polylines(page, [path], False, 40, 4, cv2.LINE_AA)
    return picture, white, reference


def test_a_line_between_two_digits_that_do_not_touch_it_is_of_neither() -> None:
    picture, white, reference = beside_a_line(6)
    found = cut(*scanned(picture, 200), reference)[:COUNT]
    wanted = cut(*scanned(white, 200), on_white(reference))[:COUNT]
    for ours, theirs in zip(found[1:3], wanted[1:3], strict=True):
        assert len(ours.pictures) == 1
        assert unlike(ours, theirs) < 6


@pytest.mark.parametrize("dots", [150, 200, 300])
@pytest.mark.parametrize("away", [4, 5])
def test_digits_that_meet_in_the_line_between_them_keep_their_strokes(away: int, dots: int) -> None:
    picture, white, reference = beside_a_line(away)
    found = cut(*scanned(picture, dots), reference)[:COUNT]
    wanted = cut(*scanned(white, dots), on_white(reference))[:COUNT]
    for ours, theirs in zip(found[1:3], wanted[1:3], strict=True):
        assert len(ours.pictures) == 2
        assert unlike(ours, theirs) < 10


def test_a_flat_0_that_touches_the_digit_before_it_is_parted_from_it() -> None:
    picture, reference = prepared("boxes")
    cells = reference.fields[0].cells
    seven(picture, cells[1], off=(10, 10))
    cv2.ellipse(picture, (int(cells[2].x) + 22, 134), (24, 13), 0, 0, 360, 40, 4, cv2.LINE_AA)
    cuts = cut(*scanned(picture, 200), reference)[:COUNT]
    assert [len(each.pictures) for each in cuts] == [0, 2, 2, 0, 0]


def test_a_rising_stroke_may_be_a_1_and_is_doubted() -> None:
    picture, reference = prepared("boxes")
    cell = reference.fields[0].cells[0]
    x, y = int(cell.x), int(cell.y)
    cv2.line(picture, (x + 6, y + 58), (x + 44, y + 8), 40, 4, cv2.LINE_AA)
    first = cut(*scanned(picture, 200), reference)[0]
    assert first.status == Status.OK
    assert len(first.pictures) == 2
    assert not normalising.normalise(first.pictures[1]).any()


STRANGE = {
    "zero": np.zeros((3, 3)),
    "nan": np.full((3, 3), np.nan),
    "tiny": np.diag([0.05, 0.05, 1.0]),
    "huge": np.diag([500.0, 500.0, 1.0]),
    "far off": np.array([[1, 0, 1e5], [0, 1, -1e5], [0, 0, 1.0]]),
    "mirrored": np.diag([-1.0, 1, 1]),
    "through infinity": np.array([[1, 0, 0], [0, 1, 0], [-1 / 300, 0, 1.0]]),
    "flat": np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]]),
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("shape", [(460, 680), (1, 1), (3, 700)])
def test_a_strange_matrix_never_raises(name: str, shape: tuple[int, int]) -> None:
    picture, reference = prepared("boxes")
    page = np.resize(picture, shape)
    cuts = cut(page, registered(STRANGE[name]), reference)
    assert len(cuts) == 2 * COUNT
    if name not in ("tiny", "huge", "flat"):
        assert {each.status for each in cuts} == {Status.CUT_OFF}
    assert cut(page, replace(registered(STRANGE[name]), fields={}), reference)


def test_a_page_without_a_place_for_a_field_uses_that_of_the_page() -> None:
    picture, reference = prepared("boxes")
    seven(picture, reference.fields[0].cells[0])
    page, registration = scanned(picture, 200)
    cuts = cut(page, replace(registration, fields={}), reference)
    assert [each.status for each in cuts[:2]] == [Status.OK, Status.BLANK]


def test_the_pens_plane_is_read_unless_the_writing_is_on_the_other() -> None:
    picture, reference = prepared("boxes")
    plain, registration = scanned(picture, 200)
    seven(picture, reference.fields[0].cells[0])
    written, _ = scanned(picture, 200)
    for planes in ((written, written), (plain, written)):
        cuts = cut(np.dstack(planes), registration, reference)
        assert [each.status for each in cuts[:2]] == [Status.OK, Status.BLANK]


def test_writing_on_the_forms_own_picture_is_not_taken_for_print() -> None:
    blank, reference = prepared("boxes")
    filled = blank.copy()
    for cell in reference.fields[0].cells:
        seven(filled, cell, thick=5)
    of_filled = Prepared(reference.fields, Sheet.of(filled, reference.fields))
    cuts = cut(*scanned(filled, 200), of_filled)
    assert [each.status for each in cuts[:COUNT]] == [Status.OK] * COUNT
    assert [each.status for each in cut(*scanned(blank, 200), of_filled)] == [Status.BLANK] * 2 * COUNT


CELLS = {
    "tiny": [Box(10 + 4 * at, 10, 3, 3) for at in range(100)],
    "at the edges": [Box(0, 0, 50, 60), Box(590, 360, 50, 60)],
    "the whole page": [Box(0, 0, 640, 420)],
    "flat": [Box(0, 10, 640, 2)],
    "upright": [Box(10, 0, 1.5, 420)],
    "less than a pixel": [Box(0.3, 0.4, 0.2, 0.1)],
    "below each other": [Box(100, 10 + 40 * at, 30, 38) for at in range(10)],
    "scattered": [Box(10, 10, 30, 38), Box(500, 300, 30, 38), Box(10, 300, 30, 38)],
    "unequal": [Box(10, 10, 30, 38), Box(45, 10, 5, 5), Box(200, 200, 60, 80)],
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_any_size_come_out_of_any_page(name: str) -> None:
    picture, _ = form("boxes")
    fields = (Field("odd", 0, tuple(CELLS[name]), Digits(1, len(CELLS[name]))),)
    reference = Prepared(fields, Sheet.of(picture, fields))
    noise = np.random.default_rng(1).integers(0, 256, picture.shape, np.uint8)
    for page in (picture, noise, np.zeros_like(picture)):
        for matrix in (np.eye(3), np.array([[1.2, 0.2, 8], [-0.3, 0.9, 20], [1e-4, 1e-4, 1]])):
            cuts = cut(page, Registration(Verdict.REGISTERED, matrix=matrix), reference)
            assert [each.position for each in cuts] == list(range(len(CELLS[name])))
            for each in cuts:
                assert bool(each.pictures) == (each.status == Status.OK)
                assert all(normalising.normalise(shown).shape == (28, 28) for shown in each.pictures)
