"""Forms that are alike: versions of one form, and forms of one family, told apart by what differs."""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.aligning import SURE, Aligned
from mnist_batch.forms.candidates import Candidate
from mnist_batch.forms.geometry import Grey, inverse, seen_from
from mnist_batch.forms.patches import REPEATED, SIDE, Found
from mnist_batch.forms.references import Reference
from mnist_batch.pixels.opencv import cv2

FAR = 96  # pixels, 24 mm: of two rows of fields
SAME_SHIFT = 3.0  # pixels, that print of one version may be displaced differently from its neighbours
LEAST_SHIFT = 4.0  # millimetres; a fax that has lost lines is displaced by less
# Patches of print, of those that tell, and of those that are missing, that are displaced alike in another version.
SEVERAL, SHARE, OF_MISSING = 4, 0.12, 0.4
BESIDE = 4  # pixels around a place where the form may have the same print again

PIECE, PIECES = 24, 12  # pixels of the pieces in which two forms differ most, and how many of them are compared
DIFFERENT = 25.0  # grey levels, on average over a piece
CLEARLY = 0.08  # by how much the pieces must be more like the one form's than like the other's


def displaced(reference: Reference, aligned: Aligned) -> tuple[float, float] | None:
    """By how many millimetres a part of the form's print is displaced as one; None if none is."""
    far = aligned.far(reference, FAR)
    missing, far = len(far.alike), far.only(far.alike >= SURE)
    far = far.only(~_is_repeated(reference, far))
    shifts = far.shifts / reference.pixels_per_millimetre
    if not len(shifts):
        return None
    near = np.hypot(*(shifts[:, None] - shifts[None]).transpose(2, 0, 1)) * reference.pixels_per_millimetre
    alike = near <= SAME_SHIFT
    most = int(alike.sum(axis=1).argmax())
    shift = np.median(shifts[alike[most]], axis=0)
    least = max(SEVERAL, min(SHARE * int(aligned.telling.sum()), OF_MISSING * missing))
    if int(alike[most].sum()) < least or np.hypot(*shift) < LEAST_SHIFT:
        return None
    return float(shift[0]), float(shift[1])


def _is_repeated(reference: Reference, far: Found) -> NDArray[np.bool_]:
    """Which patches the form has itself where they were found, as a table has one row after the other."""
    repeated, half = np.zeros(len(far.middles), bool), SIDE // 2
    for number, (middle, place) in enumerate(zip(far.middles, far.places, strict=True)):
        (x, y), (left, top) = middle.astype(int), np.maximum(place.round().astype(int) - half - BESIDE, 0)
        own = reference.picture[y - half : y + half, x - half : x + half]
        there = reference.picture[top : top + SIDE + 2 * BESIDE, left : left + SIDE + 2 * BESIDE]
        if min(there.shape) >= SIDE:
            repeated[number] = cv2.matchTemplate(there, own, cv2.TM_CCOEFF_NORMED).max() >= REPEATED
    return repeated


def likelier(one: Candidate, other: Candidate) -> Candidate | None:
    """Which of two forms a page is of, by the pieces in which their print differs most; None if it does not say."""
    advantage = _advantage(one, other) - _advantage(other, one)
    return None if abs(advantage) < CLEARLY else one if advantage > 0 else other


def _advantage(one: Candidate, other: Candidate) -> float:
    """By how much a page is more like one form than like another, where the one has print that the other has not."""
    shape = one.reference.picture.shape
    between = inverse(other.aligned.matrix) @ one.aligned.matrix
    theirs = seen_from(other.reference.picture, between, shape)
    hidden = cv2.bitwise_or(one.reference.written, seen_from(other.reference.written, between, shape, 0))
    difference = cv2.absdiff(_soft(one.reference.picture), _soft(theirs))
    difference[cv2.dilate(hidden, np.ones((7, 7), np.uint8)) > 0] = 0
    mean = cv2.blur(difference.astype(np.float32), (PIECE, PIECE))
    mean[: PIECE // 2] = mean[-PIECE // 2 :] = mean[:, : PIECE // 2] = mean[:, -PIECE // 2 :] = 0
    better = []
    for _ in range(PIECES):
        _, most, _, (x, y) = cv2.minMaxLoc(mean)
        if most < DIFFERENT:
            break
        rows, columns = slice(y - PIECE // 2, y + PIECE // 2), slice(x - PIECE // 2, x + PIECE // 2)
        seen = one.aligned.seen[rows, columns]
        better.append(_alike(seen, one.reference.picture[rows, columns]) - _alike(seen, theirs[rows, columns]))
        mean[max(0, y - PIECE) : y + PIECE, max(0, x - PIECE) : x + PIECE] = 0
    return float(np.mean(better)) if better else 0.0


def _soft(picture: Grey) -> Grey:
    soft: Grey = cv2.GaussianBlur(picture, (0, 0), 1.0)
    return soft


def _alike(piece: Grey, other: Grey) -> float:
    one, two = (_soft(each).astype(np.float64) - float(each.mean()) for each in (piece, other))
    size = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum() / size) if size > 1e-6 else 0.0
