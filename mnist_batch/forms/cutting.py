"""Cut the cells of a registered page: pictures of their writing, without the print and the ink of neighbours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

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
    return [each for field in reference.fields for each in _cuts(field, places[field.name], page, contents)]


def _without_slashes(contents: _Contents, fields: Sequence[Field]) -> _Contents:
    """The contents of cells in which slashes through unused cells are no 1s."""
    strokes = {cell: content.stroke for cell, content in contents.items() if content.stroke}
    if all(stroke.lean is Lean.UPRIGHT for stroke in strokes.values()):
        return contents
    statuses = {cell: content.status for cell, content in contents.items()}
    found = slashed(fields, statuses, strokes)
    doubted = {cell: contents[cell].doubted() for cell in found.doubted}
    return {**contents, **doubted, **dict.fromkeys(found.crossed, _Content(Status.CROSSED))}


def _place(field: Field, registration: Registration) -> FieldPlace:
    matrix = np.full((3, 3), np.nan) if registration.matrix is None else registration.matrix
    return registration.fields.get(field.name) or FieldPlace(FieldVerdict.PLACED, matrix)


def _written(contents: _Contents) -> int:
    return sum(content.status is not Status.BLANK for content in contents.values())


def _cuts(field: Field, place: FieldPlace, page: Grey, contents: _Contents) -> Iterator[Cut]:
    """The cells of a field, in writing order."""
    x, y, width, height = np.array(field.cells, np.float64).T
    edges = np.stack([x, y, x + width, y, x + width, y + height, x, y + height], axis=1).reshape(-1, 4, 2)
    together = strips.mapped(place.matrix, edges.reshape(-1, 2))
    alone = [strips.mapped(place.matrix, each) for each in edges] if together is None else together.reshape(-1, 4, 2)
    corners = [None if each is None else each.astype(np.float32) for each in alone]
    for position, (there, is_on) in enumerate(zip(corners, _are_on(page, corners), strict=True)):
        content = contents.get((field.name, position))
        status = _OF_VERDICT.get(place.verdict, Status.CUT_OFF)
        if place.verdict is FieldVerdict.PLACED and content and is_on:
            status = content.status
        pictures = content.pictures if content and status is Status.OK else ()
        yield Cut(field.name, position, there, status, None if status is Status.OK else MEANINGS[status], pictures)


def _are_on(page: Grey, corners: Sequence[NDArray[np.float32] | None]) -> NDArray[np.bool_]:
    """Whether each cell lies on a page, but for a small part."""
    some = np.array([np.full((4, 2), -1, np.float32) if each is None else each for each in corners])
    middle = some.mean(axis=1, keepdims=True)
    inner = middle + (1 - 2 * OUTSIDE) * (some - middle)
    return np.asarray(((inner >= 0) & (inner <= (page.shape[1], page.shape[0]))).all(axis=(1, 2)))


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
    order = pixels[np.argsort(owner.astype(np.min_scalar_type(len(names))), kind="stable")]  # small numbers sort faster
    inked = _Ink.of(writing, ink.x[order], ink.y[order], np.bincount(owner, minlength=len(names)))
    beside = {one: other for pair in ink.parted for one, other in (pair, pair[::-1])}
    for cell in np.flatnonzero(inked.counts >= 3).tolist():
        content = _content(inked, cell, beside.get(cell))
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
    """The ink of a page: the writing, its soft strength, and the cell of each pixel of the sheet, plus one.

    ``x`` and ``y`` are those of the pixels, cell by cell, and ``counts`` and ``ends`` how many each has and where they
    end. ``edges``, int (N, 4), are the least x and y of each cell, and the largest. ``strength`` is the mean of it.
    """

    writing: Writing
    soft: Grey
    cells: NDArray[Any]
    x: Numbers
    y: Numbers
    counts: Numbers
    ends: Numbers
    edges: Numbers
    strength: NDArray[np.float64]

    @classmethod
    def of(cls, writing: Writing, x: Numbers, y: Numbers, counts: Numbers) -> "_Ink":
        """The ink of cells, each of which has so many of these pixels."""
        soft, ends = _soft(writing), np.cumsum(counts)
        cells = np.zeros(writing.ink.shape, np.min_scalar_type(len(counts)))
        cells[y, x] = np.repeat(np.arange(1, len(counts) + 1), counts)
        edges, strength = np.zeros((len(counts), 4), np.int64), np.zeros(len(counts))
        inked = np.flatnonzero(counts)
        if len(inked):
            starts = (ends - counts)[inked]
            outermost = ((np.minimum, x), (np.minimum, y), (np.maximum, x), (np.maximum, y))
            edges[inked] = np.stack([edge.reduceat(at, starts) for edge, at in outermost], axis=1)
            strength[inked] = np.add.reduceat(soft[y, x].astype(np.int64), starts) / counts[inked]
        return cls(writing, soft, cells, x, y, counts, ends, edges, strength)


def _content(ink: _Ink, cell: int, touching: int | None) -> _Content:
    """What is in a cell; ``touching`` is the cell whose digit touches that of this one."""
    left, top, right, foot = ink.writing.sheet.boxes[cell].tolist()
    size = Extent(right - left, foot - top)
    if ink.strength[cell] < MEAN * PALE * ink.writing.pen:
        return _Content(Status.BLANK)
    own = slice(ink.ends[cell] - ink.counts[cell], ink.ends[cell])
    crossed = crossing(ink.x[own] - left, ink.y[own] - top, size)
    if crossed.certain:
        return _Content(Status.CROSSED)
    left, top, right, foot = ink.edges[cell].tolist()
    around = slice(max(0, top - 1), foot + 2), slice(max(0, left - 1), right + 2)
    picture = _picture(ink, around, (cell,), size)
    if touching is not None:
        both = ink.edges[[cell, touching] if ink.counts[touching] else [cell]]
        (left, top), (right, foot) = both[:, :2].min(axis=0).tolist(), both[:, 2:].max(axis=0).tolist()
        second = _picture(ink, (slice(top, foot + 1), slice(left, right + 1)), (cell, touching), size)
        return _Content(Status.OK, (picture, second))
    return _Content(Status.OK, (picture,), crossed.stroke)


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
