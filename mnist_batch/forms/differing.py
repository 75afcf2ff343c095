"""What a page has otherwise than a form that it is like: other words beside a field, or a cell more or less."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import added_rows, captions, frames
from mnist_batch.forms.aligning import BLACK
from mnist_batch.forms.candidates import Candidate
from mnist_batch.forms.captions import Caption
from mnist_batch.forms.form import Field
from mnist_batch.forms.frames import PAPER
from mnist_batch.forms.registration import FieldVerdict
from mnist_batch.pixels.opencv import cv2

GONE, THERE, MOSTLY = 0.25, 0.95, 0.8  # of the lines of a cell that is not there, of one that is, and of most cells
PALE = 0.2  # of the darkness that lines should have: thin ones in black and white, or in a shadow, have no more
BARE = 0.2  # of the frame of a field; where no more is inked than beside it and so much, it is not printed
AROUND = 24.0  # pixels around the middle of a cell
SEVERAL, NEARLY = 3, 0.9  # fields in a line, and of them: where so many are bare, the form of the page has no such line


def difference(candidate: Candidate, page: tuple[int, ...]) -> str | None:
    """A clause that says what a page of this shape has otherwise than the form; None if nothing was found."""
    other, gone = captions.others(candidate.reference.captions, candidate.aligned, page)
    if other:
        return f"other words are printed beside {_nearest(candidate, other[0].middle)!r}"
    return _cells(candidate) or _rows(candidate, gone)


def _rows(candidate: Candidate, gone: Sequence[Caption]) -> str | None:
    """What is otherwise with the rows of cells: one more, where the form is empty, or one that is not there."""
    reference, aligned = candidate.reference, candidate.aligned
    middle = added_rows.added(reference.probes, aligned.dark, aligned.gain)
    if middle is not None:
        return f"a row of cells more is printed near {_nearest(candidate, middle)!r}"
    bare = [field for field in reference.fields if gone and _is_bare(candidate, field, gone)]
    for field in bare:
        low, high = reference.box_of(field)
        in_row = [each for each in reference.fields if low[1] < reference.middle_of(each)[1] < high[1]]
        # Where the page was torn, print above or below is gone, too, or other fields of the row are there.
        kept = aligned.sought.middles[aligned.is_found & aligned.telling, 1]
        if all(each in bare for each in in_row) and (kept < low[1]).any() and (kept > high[1]).any():
            return f"neither the cells of {field.name!r} nor the words beside them are printed"
    return _lines_less(candidate)


def _lines_less(candidate: Candidate) -> str | None:
    """A row or a column of several fields of which nearly none is printed, on a page that has most others."""
    reference, missing = candidate.reference, candidate.missing()
    if not SEVERAL <= len(missing) <= len(candidate.placed()):
        return None
    bare = [field for field in reference.fields if field.name in missing and _is_unprinted(candidate, field)]
    for axis, line in enumerate(("column", "row")):
        for field in bare:
            low, high = reference.box_of(field)[:, axis]
            in_line = [each for each in reference.fields if low < reference.middle_of(each)[axis] < high]
            if len(in_line) >= SEVERAL and sum(each in bare for each in in_line) >= NEARLY * len(in_line):
                return f"no cells are printed in the {line} of {field.name!r}"
    return None


def _is_bare(candidate: Candidate, field: Field, gone: Sequence[Caption]) -> bool:
    """Whether there is paper, and nothing else, where the form has a field and words beside it."""
    reference = candidate.reference
    (left, top), (right, foot) = reference.box_of(field)
    beside = [each for each in reference.captions if top <= each.middle[1] <= foot]
    if not beside or any(each not in gone for each in beside):
        return False
    first = min(left, *(each.middle[0] for each in beside))
    return _is_unprinted(candidate, field) and not _is_black(candidate, np.array([[first, top], [right, foot]]))


def _is_unprinted(candidate: Candidate, field: Field) -> bool:
    """Whether no more is inked where the lines of a field should be than beside them, and not by black."""
    reference = candidate.reference
    frame = reference.frames.get(field.name)
    if frame is None:
        return False
    reach = int(frames.REACH * reference.pixels_per_millimetre)
    sought = frames.seek(frame, candidate.aligned, (0.0, 0.0), reach)
    return sought.share - sought.beside < BARE and not _is_black(candidate, reference.box_of(field))


def _nearest(candidate: Candidate, middle: NDArray[np.float64]) -> str:
    """The field beside which a place is: rather one in the same row."""

    def away(field: Field) -> float:
        low, high = candidate.reference.box_of(field)
        beyond = np.maximum(np.maximum(low - middle, middle - high), 0)
        return float(beyond[0] + 10 * beyond[1])

    return min(candidate.reference.fields, key=away).name


def _cells(candidate: Candidate) -> str | None:
    """What is otherwise with the cells of a field: one that is not there, or one more at either end."""
    reference, lines = candidate.reference, candidate.reference.cell_lines
    size = float(reference.matrix[0, 0])
    visible = {
        name: (place.shift[0] * size, place.shift[1] * size)
        for name, place in candidate.fields.items()
        if place.verdict is not FieldVerdict.CUT_OFF
    }
    shares = lines.shares(candidate.aligned.dark, candidate.aligned.gain, visible)
    for number, name in enumerate(lines.names):
        cells = (lines.fields == number) & ~lines.more
        own = shares[cells]
        if name not in visible or not len(own):
            continue
        end = 0 if own[0] < own[-1] else -1  # between others a cell has but lost its lines in the scanner
        if np.median(np.delete(own, end) if len(own) > 1 else own) < MOSTLY:
            continue
        last = int(np.flatnonzero(cells)[end])
        if own[end] < GONE and _is_seen(candidate, last, shares):
            pale = lines.shares(candidate.aligned.dark, candidate.aligned.gain, visible, PALE)
            if pale[cells][end] < GONE:
                return f"{name!r} has a cell less"
        more = shares[(lines.fields == number) & lines.more]
        if len(more) and more.max() >= THERE:
            return f"{name!r} has a cell more"
    return None


def _is_seen(candidate: Candidate, cell: int, shares: NDArray[np.float64]) -> bool:
    """Whether the page was not torn or blacked out around a cell that is gone, by these ``shares`` of all cells."""
    middle = candidate.reference.cell_lines.middle(cell)
    if _is_black(candidate, np.array([middle - AROUND, middle + AROUND])):
        return False
    return candidate.aligned.shift_near(middle) is not None or _lies_between(candidate, middle, shares)


def _lies_between(candidate: Candidate, middle: NDArray[np.float64], shares: NDArray[np.float64]) -> bool:
    """Whether the next cells above and below a place are there: a tear does not leave both.

    Print near a cell that is not there may hardly be found, since some of it is that of the cell.
    """
    lines = candidate.reference.cell_lines
    own = np.flatnonzero(~lines.more)
    away = np.array([lines.middle(cell) for cell in own.tolist()]) - middle
    in_column = np.abs(away[:, 0]) <= AROUND
    sides = (in_column & (away[:, 1] < -AROUND), in_column & (away[:, 1] > AROUND))
    return all(side.any() and shares[own[side][np.abs(away[side, 1]).argmin()]] >= MOSTLY for side in sides)


def _is_black(candidate: Candidate, box: NDArray[np.float64]) -> bool:
    """Whether something in a box, given by two corners, is no paper but black."""
    (left, top), (right, foot) = np.maximum(box, 0).astype(int)
    inside = candidate.aligned.seen[top:foot, left:right]
    thick = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((PAPER, PAPER), np.uint8))
    return bool((thick < BLACK * candidate.aligned.light).any())
