"""Cut the cells of a registered page: pictures of their writing, without the print and the ink of neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import strips
from mnist_batch.forms.form import Field
from mnist_batch.forms.owning import Piece, pieces_of
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration
from mnist_batch.forms.strips import Strip
from mnist_batch.forms.writing import Writing
from mnist_batch.statuses import MEANINGS, Status

Grey = NDArray[np.uint8]

PALEST = 20  # grey levels between paper and ink of a pen
OUTSIDE = 0.15  # of a cell's sides that may lie beyond the edge of the page
_OF_VERDICT = {FieldVerdict.CUT_OFF: Status.CUT_OFF, FieldVerdict.SHIFTED: Status.SHIFTED}


class Prepared(Protocol):
    """A page of a form as cells are cut with it: its fields, and their strips in the same order."""

    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def strips(self) -> tuple[Strip, ...]: ...


@dataclass(frozen=True, eq=False)
class Cut:
    """A cell as it was cut from a page.

    ``corners``, float32 (4, 2), are those on the page, clockwise from the form's upper left; None if they lie nowhere.
    ``status`` is OK for a cell that is to be read, and only then there are ``pictures``: its readings, the likeliest
    first, uint8 (H, W) with dark ink on light paper. ``reason`` is None where it is OK.
    """

    field: str
    position: int
    corners: NDArray[np.float32] | None
    status: Status
    reason: str | None = None
    pictures: tuple[Grey, ...] = ()


def cut(page: Grey, registration: Registration, reference: Prepared) -> list[Cut]:
    """Every cell of every field of the form's page, in the form's order.

    ``page`` is a ``registered`` page, uint8 (H, W) or (H, W, 2): what the pen wrote, and everything (``colours.grey``).
    """
    places = {field.name: _place(field, registration) for field in reference.fields}
    corners = {field.name: [_corners(places[field.name], box) for box in field.cells] for field in reference.fields}
    planes = [page] if page.ndim == 2 else [np.ascontiguousarray(page[:, :, plane]) for plane in (0, 1)]
    readings = [_read(plane, places, reference.strips) for plane in planes]
    pieces = max(readings, key=lambda each: sum(piece.status is not Status.BLANK for piece in each.values()))
    if len(readings) > 1 and 2 * _written(readings[0]) >= _written(readings[1]):
        pieces = readings[0]
    return [
        _cut(field.name, position, corners[field.name][position], places[field.name], page, pieces)
        for field in reference.fields
        for position in range(len(field.cells))
    ]


def _written(pieces: dict[tuple[str, int], Piece]) -> int:
    return sum(piece.status is not Status.BLANK for piece in pieces.values())


def _place(field: Field, registration: Registration) -> FieldPlace:
    matrix = np.eye(3) * np.nan if registration.matrix is None else registration.matrix
    return registration.fields.get(field.name) or FieldPlace(FieldVerdict.PLACED, matrix)


def _corners(place: FieldPlace, box: tuple[float, float, float, float]) -> NDArray[np.float32] | None:
    x, y, width, height = box
    there = strips.mapped(place.matrix, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    return None if there is None else there.astype(np.float32)


def _read(page: Grey, places: dict[str, FieldPlace], every: Sequence[Strip]) -> dict[tuple[str, int], Piece]:
    """What is written in the cells of the strips that lie on a page."""
    writings = []
    for strip in every:
        place = places[strip.field]
        if place.verdict is FieldVerdict.PLACED:
            seen = strips.seen(page, place.matrix @ strip.matrix, strip.size)
            if seen is not None:
                writings.append(Writing.of(strip, strips.darkness(seen)))
    pen = _pen(writings, 128 if _is_bilevel(page) else PALEST)
    return {
        (writing.strip.field, position): piece
        for writing in writings
        for position, piece in zip(writing.strip.positions, pieces_of(writing, pen), strict=True)
    }


def _pen(writings: Sequence[Writing], palest: float) -> float:
    """How strong the ink usually is in the cells of a page that are written in; 0 if none is."""
    strongest = np.concatenate([np.zeros(0, np.int64), *(writing.strongest for writing in writings)])
    strong = strongest[strongest >= max(palest, 0.35 * strongest.max(initial=0))]
    return float(np.median(strong)) if len(strong) else 0.0


def _is_bilevel(page: Grey) -> bool:
    """Whether a page is black and white only."""
    some = page[::7, ::7]
    return bool(np.count_nonzero((some > 20) & (some < 235)) < 0.002 * some.size)


def _cut(
    field: str,
    position: int,
    corners: NDArray[np.float32] | None,
    place: FieldPlace,
    page: Grey,
    pieces: dict[tuple[str, int], Piece],
) -> Cut:
    piece = pieces.get((field, position))
    status = Status.CUT_OFF
    pictures: tuple[Grey, ...] = ()
    if place.verdict is not FieldVerdict.PLACED:
        status = _OF_VERDICT[place.verdict]
    elif piece is not None and corners is not None and _is_on(page, corners):
        status, pictures = piece.status, piece.pictures
    return Cut(field, position, corners, status, None if status is Status.OK else MEANINGS[status], pictures)


def _is_on(page: Grey, corners: NDArray[np.float32]) -> bool:
    """Whether a cell lies on a page, but for a small part."""
    middle = corners.mean(axis=0)
    inner = middle + (1 - 2 * OUTSIDE) * (corners - middle)
    return bool((inner >= 0).all() and (inner <= (page.shape[1], page.shape[0])).all())
