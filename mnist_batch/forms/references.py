"""A page of a form, prepared once per process: what is printed on it, and what of that pages are compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import captions, features, frames, marks, patches
from mnist_batch.forms.added_rows import Probe, probes
from mnist_batch.forms.captions import Caption
from mnist_batch.forms.cell_lines import CellLines
from mnist_batch.forms.features import Features
from mnist_batch.forms.form import Field, Mark
from mnist_batch.forms.frames import Frame, darkness_of
from mnist_batch.forms.geometry import Grey, Matrix, corners_of, inverse, mapped, resized, scaling, shrunk
from mnist_batch.forms.patches import Patch
from mnist_batch.forms.sheets import Sheet
from mnist_batch.forms.tints import Tints
from mnist_batch.pixels.opencv import cv2

if TYPE_CHECKING:
    from mnist_batch.forms.opening import OpenForm

AREA = 970_000  # pixels of the pictures that are compared: those of an A4 page at 100 dots per inch
LONG_SIDE = 297.0  # millimetres of a page whose resolution is not known
NEAR = 13  # pixels around print, in which its ink may lie
FAINTLY = 0.1  # of the print of a patch: if no more is black, it may be lost where tints are
INSET = 0.14  # of a cell's sides; within, there is writing, and nothing printed


class Print(NamedTuple):
    """Where some of the print of a picture is, int (n,) each, and how much darker than its paper, in the median."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    darkness: float


@dataclass(frozen=True, eq=False)
class Reference:
    """A page of a form. ``picture`` is what is printed on it, at the size at which pages are compared with it.

    ``width`` and ``height`` are those of the form's own picture, and ``matrix`` maps its pixels to those of
    ``picture``, of which ``pixels_per_millimetre`` make a millimetre on paper. ``written`` is set where cells are.
    ``frames`` has the printed frames of the fields by name; a field without one is not in it. ``captions`` are the
    words near fields. ``sheet`` is for cutting the cells.
    """

    form: str
    version: str | None
    page: int
    digest: str
    width: int
    height: int
    matrix: Matrix
    pixels_per_millimetre: float
    picture: Grey
    written: Grey
    fields: tuple[Field, ...]
    marks: tuple[Mark, ...]
    features: Features
    patches: tuple[Patch, ...]
    frames: Mapping[str, Frame]
    captions: tuple[Caption, ...]
    sheet: Sheet

    @classmethod
    def of(cls, form: "OpenForm", page: int) -> "Reference":
        """Prepare a page of a form, counted from 0."""
        facts, fields, full = form.form.pages[page], form.form.fields_of(page), form.pictures[page]
        small, matrix = at_size(full, AREA)
        dots = facts.dots_per_inch or max(full.shape) / LONG_SIDE * 25.4
        boxes = {field.name: [mapped(matrix, corners_of(*cell)) for cell in field.cells] for field in fields}
        picture, written = _printed(small, [box for of_field in boxes.values() for box in of_field])
        millimetre = dots / 25.4 * matrix[0, 0]
        frames = {name: Frame.of(picture, of_field, millimetre) for name, of_field in boxes.items()}
        return cls(
            form=form.form.name,
            version=form.form.version,
            page=page,
            digest=form.digest,
            width=full.shape[1],
            height=full.shape[0],
            matrix=matrix,
            pixels_per_millimetre=millimetre,
            picture=picture,
            written=written,
            fields=fields,
            marks=facts.marks,
            features=_features(picture, written, features.binary),
            patches=patches.of(picture, _with_marks(written, facts.marks, matrix)),
            frames={name: frame for name, frame in frames.items() if frame is not None},
            captions=captions.of(picture, [box for of_field in boxes.values() for box in of_field], millimetre),
            sheet=Sheet.of(full, fields),
        )

    def box_of(self, field: Field) -> NDArray[np.float64]:
        """The upper left and lower right corners of a field on ``picture``, (2, 2)."""
        return self._boxes[field.name]

    @cached_property
    def _boxes(self) -> Mapping[str, NDArray[np.float64]]:
        every = {
            field.name: mapped(self.matrix, np.concatenate([corners_of(*cell) for cell in field.cells]))
            for field in self.fields
        }
        return {name: np.array([corners.min(axis=0), corners.max(axis=0)]) for name, corners in every.items()}

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """The corners (4, 2) of ``picture``."""
        height, width = self.picture.shape
        return corners_of(0, 0, width, height)

    def middle_of(self, field: Field) -> NDArray[np.float64]:
        """Where the middle of a field is on ``picture``."""
        return np.asarray(self.box_of(field).mean(axis=0))

    @cached_property
    def printed_marks(self) -> tuple[tuple[int, NDArray[np.float64]], ...]:
        """The marks on ``picture``, those that ``form.json`` does not name too: the number and the middle of each."""
        named = [(mark.id, mapped(self.matrix, mark.corners).mean(axis=0)) for mark in self.marks]
        return (*named, *((mark.id, mark.middle) for mark in marks.seen(self.picture)))

    @cached_property
    def print(self) -> Print:
        """A sample of the darkest print."""
        dark = self.darkness
        inked = dark[dark > frames.FAINTEST]
        if not inked.size:
            return Print(np.zeros(0, np.intp), np.zeros(0, np.intp), 1.0)
        rows, columns = np.nonzero(dark >= 0.6 * np.percentile(inked, 90))
        every = max(1, len(rows) // 4000)
        rows, columns = rows[::every], columns[::every]
        return Print(rows, columns, float(np.median(dark[rows, columns])))

    @cached_property
    def darkness(self) -> NDArray[np.float32]:
        """How much darker than its paper the print is."""
        return darkness_of(self.picture)

    @cached_property
    def tints(self) -> Tints | None:
        """The faint frames, which a page may have lost; None if there are none."""
        return Tints.of(self.frames, self.print.darkness, self.written, self.darkness)

    def are_faint(self, middles: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether patches, by their middles, (n, 2), hold hardly any print but faint print."""
        columns, rows = middles.astype(np.intp).T
        return np.asarray(self._faint[rows, columns])

    @cached_property
    def _faint(self) -> NDArray[np.bool_]:
        inked, black = (
            cv2.blur((self.darkness >= level).astype(np.float32), (patches.SIDE, patches.SIDE))
            for level in (frames.FAINTEST, frames.FAINT * self.print.darkness)
        )
        return np.asarray(black < FAINTLY * inked)

    @cached_property
    def unprinted(self) -> Grey:
        """1 where neither print nor a cell is near, else 0: ink of a page is not the form's there, nor an answer."""
        near = cv2.dilate((self.darkness >= frames.FAINTEST).astype(np.uint8), np.ones((NEAR, NEAR), np.uint8))
        answers = cv2.dilate((self.written > 0).astype(np.uint8), np.ones((2 * NEAR, 2 * NEAR), np.uint8))
        return np.asarray(1 - (near | answers), np.uint8)

    @cached_property
    def cell_lines(self) -> CellLines:
        """The lines of each cell."""
        return CellLines.of(self._cell_boxes, self.frames, self.darkness)

    @cached_property
    def probes(self) -> Sequence[Probe]:
        """Cells that are looked for where the form is empty."""
        return probes(self._cell_boxes, self.frames, self.darkness, self.written)

    @property
    def _cell_boxes(self) -> Mapping[str, Sequence[NDArray[np.float64]]]:
        """The upper left and lower right corners of the cells of each field on ``picture``."""
        return {
            field.name: [mapped(self.matrix, corners_of(*cell))[[0, 2]] for cell in field.cells]
            for field in self.fields
        }

    @cached_property
    def fine_features(self) -> Features:
        """Features for pages on which the others are not found; they take long, and few pages need them."""
        return _features(self.picture, self.written, features.fine)


def _with_marks(written: Grey, marks: tuple[Mark, ...], matrix: Matrix) -> Grey:
    """Where cells and marks are: marks are found by themselves, and a page may have lost some."""
    hidden = written.copy()
    for mark in marks:
        cv2.fillPoly(hidden, [mapped(matrix, mark.corners).round().astype(np.int32)], 255)
    return hidden


def _features(picture: Grey, written: Grey, kind: Callable[[Grey], Features]) -> Features:
    """The features of what is printed; where cells are, those of a form that is filled in are of its writer."""
    small, to_small = at_size(picture, features.AREA)
    return features.without(features.moved(kind(small), inverse(to_small)), written)


def at_size(picture: Grey, area: float, down: float = 1.0, largest: float = 1.0) -> tuple[Grey, Matrix]:
    """A picture made so small (or at most so many times larger) that it has an area in pixels, and the map to it.

    ``down`` is how many times farther apart its rows shall be than its columns.
    """
    size = min(largest, float(np.sqrt(area / (picture.size * down))))
    times = max(1, int(1 / (size * max(down, 1.0)) + 0.05))
    small = shrunk(picture, times)
    resized_, matrix = resized(small, size * times, size * times * down)
    return resized_, matrix @ scaling(1 / times, 1 / times)


def _printed(small: Grey, boxes: list[NDArray[np.float64]]) -> tuple[Grey, Grey]:
    """The picture without what is written in its cells, and where cells are."""
    picture, written = small.copy(), np.zeros_like(small)
    for box in boxes:
        (left, top), (right, foot) = box[0], box[2]
        across, down = INSET * (right - left) + 1, INSET * (foot - top) + 1
        rows = slice(max(0, round(top + down)), max(0, round(foot - down)))
        columns = slice(max(0, round(left + across)), max(0, round(right - across)))
        inside = picture[rows, columns]
        if inside.size:
            written[rows, columns] = 255
            inside[:] = np.percentile(inside, 85)
    return picture, written
