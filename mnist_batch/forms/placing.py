"""Where each field of a form lies on a page: its own frame is looked for around where the page's map has it."""

import numpy as np

from mnist_batch.forms import frames
from mnist_batch.forms.aligning import Aligned, Tinted
from mnist_batch.forms.form import Field
from mnist_batch.forms.geometry import Matrix, corners_of, mapped, moving
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registration import FieldPlace, FieldVerdict

VANISHED = 0.35  # of a faint frame: it dropped out in the scanner, if no more is there
OUTSIDE = 0.1  # of a cell's side that may lie beyond the edge of the page


def place(field: Field, reference: Reference, aligned: Aligned, page: tuple[int, ...]) -> FieldPlace:
    """Where a field lies on a page of this shape."""
    there = aligned.matrix_at(reference.box_of(field))
    whole = np.asarray(there @ reference.matrix)
    if _is_cut_off(field, whole, page):
        return FieldPlace(FieldVerdict.CUT_OFF, whole, frame=0.0)
    prior = aligned.shift_near(reference.middle_of(field))
    if prior is None:
        return FieldPlace(FieldVerdict.SHIFTED, whole, frame=0.0)
    frame = reference.frames.get(field.name)
    if frame is None:
        return FieldPlace(FieldVerdict.PLACED, _moved(there, prior, reference), _in_form(prior, reference))
    is_faint = frame.is_faint(reference.print.darkness)
    reach = int(np.ceil(frames.REACH * reference.pixels_per_millimetre))
    sought = frames.seek(frame, aligned, prior, reach)
    if is_faint and aligned.tints is Tinted.DOUBTED:
        return FieldPlace(FieldVerdict.SHIFTED, whole, frame=sought.share)
    # Of a tint that was lost single dots may be left, which are alike anywhere.
    is_gone = aligned.tints is Tinted.LOST or (not sought.is_found and sought.share < VANISHED)
    if is_faint and is_gone and not sought.is_black:
        return FieldPlace(
            FieldVerdict.PLACED, _moved(there, prior, reference), _in_form(prior, reference), sought.share
        )
    if not sought.is_found:
        return FieldPlace(FieldVerdict.SHIFTED, whole, frame=sought.share)
    return FieldPlace(
        FieldVerdict.PLACED, _moved(there, sought.shift, reference), _in_form(sought.shift, reference), sought.share
    )


def _moved(matrix: Matrix, shift: tuple[float, float], reference: Reference) -> Matrix:
    """The map of the form's picture to the page, for what lies moved by a shift on the reference's picture."""
    return np.asarray(matrix @ moving(*shift) @ reference.matrix)


def _in_form(shift: tuple[float, float], reference: Reference) -> tuple[float, float]:
    """A shift in pixels of the form's picture."""
    return shift[0] / float(reference.matrix[0, 0]), shift[1] / float(reference.matrix[1, 1])


def _is_cut_off(field: Field, matrix: Matrix, page: tuple[int, ...]) -> bool:
    """Whether a part of a cell that counts lies beyond the edge of a page of this shape."""
    x, y, width, height = np.array(field.cells).T
    least = 1 - 2 * OUTSIDE
    corners = corners_of(x + OUTSIDE * width, y + OUTSIDE * height, least * width, least * height)
    across, down = mapped(matrix, corners.transpose(2, 0, 1).reshape(-1, 2)).T
    return bool(across.min() < 0 or down.min() < 0 or across.max() > page[1] or down.max() > page[0])
