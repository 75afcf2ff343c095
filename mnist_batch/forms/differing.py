"""What a page has otherwise than a form that it is like: other words beside a field, or a cell more or less."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import captions
from mnist_batch.forms.aligning import BLACK
from mnist_batch.forms.candidates import Candidate
from mnist_batch.forms.form import Field
from mnist_batch.forms.frames import PAPER
from mnist_batch.forms.registration import FieldVerdict
from mnist_batch.pixels.opencv import cv2

GONE, THERE, MOSTLY = 0.45, 0.95, 0.8  # of the lines of a cell that is not there, of one that is, and of most cells
AROUND = 24.0  # pixels around the middle of a cell


def difference(candidate: Candidate, page: tuple[int, ...]) -> str | None:
    """A clause that says what a page of this shape has otherwise than the form; None if nothing was found."""
    other = captions.others(candidate.reference.captions, candidate.aligned, page)
    if other:
        return f"other words are printed beside {_nearest(candidate, other[0].middle)!r}"
    return _cells(candidate)


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
        if name not in visible or not len(own) or np.median(own) < MOSTLY:
            continue
        if own.min() < GONE and _is_seen(candidate, lines.middle(int(np.flatnonzero(cells)[own.argmin()]))):
            return f"{name!r} has a cell less"
        more = shares[(lines.fields == number) & lines.more]
        if len(more) and more.max() >= THERE:
            return f"{name!r} has a cell more"
    return None


def _is_seen(candidate: Candidate, middle: NDArray[np.float64]) -> bool:
    """Whether the page was not torn or blacked out around a place."""
    (left, top), (right, foot) = np.maximum(middle - AROUND, 0).astype(int), (middle + AROUND).astype(int)
    seen = candidate.aligned.seen
    thick = cv2.morphologyEx(seen[top:foot, left:right], cv2.MORPH_CLOSE, np.ones((PAPER, PAPER), np.uint8))
    is_black = bool((thick < BLACK * np.percentile(seen[::8, ::8], 75)).any())
    return not is_black and candidate.aligned.shift_near(middle) is not None
