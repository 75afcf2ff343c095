"""Cut the cells of a registered page: pictures of their writing, without the print and the ink of neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import strips
from mnist_batch.forms.crossing import Extent, Lean, Stroke, crossing
from mnist_batch.forms.form import Field
from mnist_batch.forms.owning import Owned, owned
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration
from mnist_batch.forms.sheets import NEXT, Sheet
from mnist_batch.forms.slashing import slashed
from mnist_batch.forms.writing import INKED, PALE, Writing
from mnist_batch.pixels.opencv import cv2
from mnist_batch.statuses import MEANINGS, Status

OUTSIDE = 0.15  # of a cell's sides that may lie beyond the edge of the page
SPECK = 0.09  # of a cell's height; a smaller piece of ink is no part of a digit, unless it is large beside the others
SMALLEST = 0.18  # of a cell's height; ink that is smaller is no digit
LITTLE = 0.025  # of a cell's area; so much ink in small pieces is a digit written in dots
MEAN = 0.7  # of the strongest ink of a stroke, on the mean of its pixels
ROOM = 0.15  # of a digit's longer side, around it on its picture
_OF_VERDICT = {FieldVerdict.CUT_OFF: Status.CUT_OFF, FieldVerdict.SHIFTED: Status.SHIFTED}

Grey = NDArray[np.uint8]
Numbers = NDArray[np.int64]


class Prepared(Protocol):
    """A page of a form as cells are cut with it: its fields, and the sheet with them."""

    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def sheet(self) -> Sheet: ...


@dataclass(frozen=True, eq=False)
class Cut:
    """A cell as it was cut from a page.

    ``corners``, float32 (4, 2), are those on the page, clockwise from the form's upper left; None if they lie nowhere.
    ``status`` is OK for a cell that is to be read, and only then there are ``pictures``: its readings, the likeliest
    first, uint8 (H, W) with dark ink on light paper. A second one without ink says that there may be no digit.
    ``reason`` is None where it is OK.
    """

    field: str
    position: int
    corners: NDArray[np.float32] | None
    status: Status
    reason: str | None = None
    pictures: tuple[Grey, ...] = ()


@dataclass(frozen=True, eq=False)
class _Content:
    """What is in a cell: its status, its pictures if it is to be read, and a single stroke that may be a 1."""

    status: Status
    pictures: tuple[Grey, ...] = ()
    stroke: Stroke | None = None

    def doubted(self) -> "_Content":
        """The same where there may be no digit: with a second reading without ink."""
        nothing = [np.full_like(picture, 255) for picture in self.pictures[:1]]
        return self if len(self.pictures) > 1 else replace(self, pictures=(*self.pictures, *nothing))


_Contents = Mapping[tuple[str, int], _Content]


def cut(page: Grey, registration: Registration, reference: Prepared) -> list[Cut]:
    """Every cell of every field of the form's page, in the form's order.

    ``page`` is a ``registered`` page, uint8 (H, W) or (H, W, 2): what the pen wrote, and everything (``colours.grey``).
    """
    places = {field.name: _place(field, registration) for field in reference.fields}
    matrices = {
        name: place.matrix
        for name, place in places.items()
        if place.verdict is FieldVerdict.PLACED and np.isfinite(place.matrix).all()
    }
    planes = [page] if page.ndim == 2 else [np.ascontiguousarray(page[:, :, plane]) for plane in (0, 1)]
    writings = [Writing.of(reference.sheet, plane, matrices) for plane in planes]
    readings = [_without_slashes(_contents(writing), reference.fields) for writing in writings]
    # Where the pen is of the colour of a stamp, the first plane has none of its writing.
    contents = readings[0] if 2 * _written(readings[0]) >= _written(readings[-1]) else readings[-1]
    return [
        _cut(field, position, places[field.name], page, contents)
        for field in reference.fields
        for position in range(len(field.cells))
    ]


def _without_slashes(contents: _Contents, fields: Sequence[Field]) -> _Contents:
    """The contents of cells in which slashes through unused cells are no 1s."""
    strokes = {cell: content.stroke for cell, content in contents.items() if content.stroke}
    if all(stroke.lean is Lean.UPRIGHT for stroke in strokes.values()):
        return contents
    statuses = {cell: content.status for cell, content in contents.items()}
    crossed = slashed(fields, statuses, strokes)
    return {cell: _Content(Status.CROSSED) if cell in crossed else content for cell, content in contents.items()}


def _place(field: Field, registration: Registration) -> FieldPlace:
    matrix = np.full((3, 3), np.nan) if registration.matrix is None else registration.matrix
    return registration.fields.get(field.name) or FieldPlace(FieldVerdict.PLACED, matrix)


def _written(contents: _Contents) -> int:
    return sum(content.status is not Status.BLANK for content in contents.values())


def _cut(field: Field, position: int, place: FieldPlace, page: Grey, contents: _Contents) -> Cut:
    x, y, width, height = field.cells[position]
    there = strips.mapped(place.matrix, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    corners = None if there is None else there.astype(np.float32)
    content = contents.get((field.name, position))
    status = _OF_VERDICT.get(place.verdict, Status.CUT_OFF)
    if place.verdict is FieldVerdict.PLACED and content and corners is not None and _is_on(page, corners):
        status = content.status
    pictures = content.pictures if content and status is Status.OK else ()
    return Cut(field.name, position, corners, status, None if status is Status.OK else MEANINGS[status], pictures)


def _is_on(page: Grey, corners: NDArray[np.float32]) -> bool:
    """Whether a cell lies on a page, but for a small part."""
    middle = corners.mean(axis=0)
    inner = middle + (1 - 2 * OUTSIDE) * (corners - middle)
    return bool(inner.min() >= 0 and (inner <= (page.shape[1], page.shape[0])).all())


def _contents(writing: Writing) -> _Contents:
    """What is in each cell of the strips that lie on a page, by field and position."""
    sheet = writing.sheet
    blank = _Content(Status.BLANK)
    contents = {
        (strip.field, position): blank
        for strip, seen in zip(sheet.strips, writing.seen, strict=True)
        for position in strip.positions
        if seen
    }
    if not writing.pen:
        return contents
    names = [(strip.field, position) for strip in sheet.strips for position in strip.positions]
    ink = owned(writing)
    kept = _without_specks(ink, sheet)
    pixels = np.flatnonzero(kept[ink.piece])
    owner = ink.owner[ink.piece[pixels]]
    order = pixels[np.argsort(owner, kind="stable")]
    ends = np.cumsum(np.bincount(owner, minlength=len(names)))
    pieces = np.zeros_like(writing.ink, np.int32)
    pieces[ink.y[pixels], ink.x[pixels]] = owner + 1
    soft = _soft(writing)
    beside = {one: other for pair in ink.parted for one, other in (pair, pair[::-1])}
    for cell in np.flatnonzero(np.diff(ends, prepend=0) >= 3).tolist():
        chosen = order[ends[cell - 1] if cell else 0 : ends[cell]]
        content = _content(_Ink(writing, soft, pieces), ink.x[chosen], ink.y[chosen], cell, beside.get(cell))
        contents[names[cell]] = content.doubted() if cell in ink.met else content
    for cell in ink.crossed:
        contents[names[cell]] = _Content(Status.CROSSED)
    return contents


def _without_specks(ink: Owned, sheet: Sheet) -> NDArray[np.bool_]:
    """Which pieces of ink are parts of what is in their cells: bool (P,)."""
    owner = np.maximum(ink.owner, 0)
    width, height = (sheet.boxes[:, 2:] - sheet.boxes[:, :2]).T
    area, long = (
        np.where(ink.owner >= 0, each, 0) for each in (ink.area, (ink.edges[:, 2:] - ink.edges[:, :2]).max(1))
    )
    largest, longest = np.zeros((2, len(height)), np.int64)
    np.maximum.at(largest, owner, area)
    kept = (ink.owner >= 0) & (
        area >= np.clip((SPECK * height[owner]) ** 2 / 2, 3, np.maximum(3, 0.06 * largest[owner]))
    )
    np.maximum.at(longest, owner, long)
    much = np.bincount(owner, np.where(kept, area, 0), len(height))
    empty = (longest < SMALLEST * height) & (much < LITTLE * width * height)
    return np.asarray(kept & ~empty[owner])


def _soft(writing: Writing) -> Grey:
    """The ink of a page with its soft edges, by how much it is darker than the paper."""
    near = cv2.dilate(writing.ink, NEXT)
    soft = cv2.max(writing.left, cv2.multiply(writing.dark, writing.ink))
    return np.asarray(cv2.multiply(soft, near), np.uint8)


@dataclass(frozen=True, eq=False)
class _Ink:
    """The ink of a page: the writing, its soft strength, and the cell of each pixel, plus one."""

    writing: Writing
    soft: Grey
    cells: NDArray[np.int32]


def _content(ink: _Ink, x: Numbers, y: Numbers, cell: int, touching: int | None) -> _Content:
    """What is in a cell with ink at these pixels; ``touching`` is the cell whose digit touches that of this one."""
    left, top, right, foot = ink.writing.sheet.boxes[cell].tolist()
    size = Extent(right - left, foot - top)
    if float(ink.soft[y, x].mean()) < MEAN * PALE * ink.writing.pen:
        return _Content(Status.BLANK)
    crossed = crossing(x - left, y - top, size)
    if crossed.certain:
        return _Content(Status.CROSSED)
    around = slice(max(0, int(y.min()) - 1), int(y.max()) + 2), slice(max(0, int(x.min()) - 1), int(x.max()) + 2)
    picture = _picture(ink, around, (cell,), size)
    if touching is not None:
        both = np.nonzero((ink.cells == cell + 1) | (ink.cells == touching + 1))
        around = slice(int(both[0].min()), int(both[0].max()) + 1), slice(int(both[1].min()), int(both[1].max()) + 1)
        return _Content(Status.OK, (picture, _picture(ink, around, (cell, touching), size)))
    content = _Content(Status.OK, (picture,), crossed.stroke)
    return content.doubted() if crossed.stroke and crossed.stroke.lean is Lean.SLASH else content


def _picture(ink: _Ink, around: tuple[slice, slice], cells: tuple[int, ...], size: Extent) -> Grey:
    """The ink of a cell, or of two together, on even paper."""
    there = ink.cells[around]
    own = (there == cells[0] + 1).view(np.uint8)
    for other in cells[1:]:
        own = own | (there == other + 1).view(np.uint8)
    reach = cv2.subtract(cv2.dilate(own, NEXT), (there > 0).view(np.uint8)) | own
    digit = cv2.multiply(ink.soft[around], reach)
    faintest = 0.5 * ink.writing.noise + 0.25 * INKED * float(digit.max())
    return _on_paper(cv2.threshold(digit, faintest, 0, cv2.THRESH_TOZERO)[1], int(0.5 * size.height))


def _on_paper(digit: Grey, least: int) -> Grey:
    """A digit on even paper, with room around it; no side is shorter than ``least``."""
    height, width = digit.shape
    room = 4 + int(ROOM * max(height, width))
    wide, high = max(least, width + 2 * room), max(least, height + 2 * room)
    picture = np.full((high, wide), 255, np.uint8)
    y, x = (high - height) // 2, (wide - width) // 2
    cv2.subtract(255, digit, dst=picture[y : y + height, x : x + width])
    return picture
