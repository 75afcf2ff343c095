"""Choose where marks are printed on a page: in its corners, or as near to them as nothing else is printed."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.forms import marks
from mnist_batch.forms.form import MARK_IDS, Box, Form, Mark
from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

SIDE, MARGIN = 5.0, 7.0  # millimetres: of a mark at least, and from the edges of the page, where printers do not print
QUIET = 1.5  # cells of free paper around a mark
CORNERS = "upper left", "upper right", "lower right", "lower left"
_PRINTED = 24  # grey levels from the paper


def ids(name: str, version: str | None, page: int) -> tuple[int, ...]:
    """The ids of the four marks of a form's page, clockwise from the upper left; other forms mostly have others."""
    digest = hashlib.blake2b(f"{name}\n{version or ''}".encode(), digest_size=8).digest()
    first = (int.from_bytes(digest, "big") + page) % (MARK_IDS // len(CORNERS))
    return tuple(len(CORNERS) * first + corner for corner in range(len(CORNERS)))


def marked(form: Form, pictures: Sequence[Grey], dots_per_inch: Sequence[float]) -> tuple[Form, list[Grey]]:
    """The form with four marks on each page, and its pictures, uint8 (H, W), with them.

    ``dots_per_inch`` is that of each picture. Raises InputError if a page has no room for a mark.
    """
    pages, drawn = [], []
    if with_marks := [number for number, page in enumerate(form.pages, 1) if page.marks]:
        raise InputError(
            f"--print-marks: page {with_marks[0]} of the form {form.name!r} has marks; to move them, make the form "
            "anew of a page without marks"
        )
    for number, (page, picture) in enumerate(zip(form.pages, pictures, strict=True)):
        cells = [cell for field in form.fields_of(number) for cell in field.cells]
        names = ids(form.name, form.version, number)
        placed = _placed(picture, cells, names, dots_per_inch[number], number)
        pages.append(replace(page, marks=placed))
        drawn.append(marks.draw(picture, placed))
    return replace(form, pages=tuple(pages)), drawn


def _placed(
    picture: Grey, cells: Sequence[Box], names: Sequence[int], dots_per_inch: float, page: int
) -> tuple[Mark, ...]:
    # A mark of whole pixels is sharp.
    cell = int(np.ceil(SIDE * dots_per_inch / 25.4 / marks.CELLS))
    side, room = cell * marks.CELLS, int(np.ceil(cell * (marks.CELLS + 2 * QUIET)))
    free = _free(picture, cells, room, round(MARGIN * dots_per_inch / 25.4 - QUIET * cell))
    height, width = free.shape
    placed = []
    for name, corner, (x, y) in zip(names, CORNERS, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        quarter = np.s_[y * height // 2 : (1 + y) * height // 2, x * width // 2 : (1 + x) * width // 2]
        rows, columns = np.nonzero(free[quarter])
        if not len(rows):
            raise InputError(
                f"--print-marks: page {page + 1} has no free place of {room / dots_per_inch * 25.4:.0f} x "
                f"{room / dots_per_inch * 25.4:.0f} mm in its {corner} quarter for a mark; leave such a place there"
            )
        rows, columns = rows + quarter[0].start, columns + quarter[1].start
        nearest = np.argmin(np.hypot(columns - x * (width - 1), rows - y * (height - 1)))
        left, top = (int(at[nearest]) + (room - side) // 2 for at in (columns, rows))
        right, foot = left + side, top + side
        placed.append(Mark(name, ((left, top), (right, top), (right, foot), (left, foot))))
    return tuple(placed)


def _free(picture: Grey, cells: Sequence[Box], room: int, margin: int) -> NDArray[np.bool_]:
    """Whether a square with its upper left at each pixel has nothing printed and no cell in it: (H, W) of bool."""
    paper = int(np.percentile(picture[::4, ::4], 80))
    used = (picture < paper - _PRINTED).astype(np.uint8)
    used = cv2.morphologyEx(used, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)) if used.mean() > 0.3 else used
    for x, y, width, height in cells:
        used[max(round(y), 0) : round(y + height), max(round(x), 0) : round(x + width)] = 1
    margin = max(margin, 0)
    if margin:
        used[:margin] = used[-margin:] = used[:, :margin] = used[:, -margin:] = 1
    sums = cv2.integral(used)
    if min(picture.shape) <= room:
        return np.zeros(picture.shape, np.bool_)
    free = np.zeros(picture.shape, np.bool_)
    counts = sums[room:, room:] - sums[:-room, room:] - sums[room:, :-room] + sums[:-room, :-room]
    free[: counts.shape[0], : counts.shape[1]] = counts == 0
    return free
