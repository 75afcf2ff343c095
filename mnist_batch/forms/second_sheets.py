"""A second sheet on a page: print of a form that lies elsewhere than the form that was found there has it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import features, marks
from mnist_batch.forms.aligning import NEIGHBOURS, Aligned, align
from mnist_batch.forms.candidates import FEW, LARGEST, LESS, LONGEST, MARKED, SMALLEST, Candidate
from mnist_batch.forms.features import LEAST, Agreed, Features
from mnist_batch.forms.frames import FAINTEST, INKED, darkness_of
from mnist_batch.forms.geometry import Grey, Matrix, corners_of, inverse, mapped
from mnist_batch.forms.patches import SIDE
from mnist_batch.forms.ranking import ranking_of
from mnist_batch.forms.references import Reference, at_size
from mnist_batch.pixels.opencv import cv2

WHOLE = 0.92  # of a form's patches; a page that has more of them has no room for a sheet on top, but where it is bare
ROOM = 0.15  # of the area of the form; where the page has so much beside the form, there may be another
POINTS = 1500  # of the page, of which those are compared that the form does not explain
STRANGE = 0.4  # of the ink around a place: where so much is none of the form's, the form does not explain it
# Of the form's print: with less ink than so much that it does not explain, no other sheet lies on a page on which all
# patches of the form were found; with less than a little, none where those were found that tell.
MUCH, LITTLE = 0.07, 0.02
TRACE = 0.01  # of the form's print; with less ink that it does not explain, print was moved, and no sheet added
SHEET = 0.25  # of the form's print; where there is so much other ink, other ways may find a sheet
APART = 8.0  # millimetres between the two sheets' middles, or degrees between their directions
NEW, TWICE = 5, 3  # patches of the second sheet where the first explains nothing; patches that are there twice
WHOLLY = 0.75  # of its patches where the first explains nothing; of sparse print few tell by themselves, but all do
ELSEWHERE = 2.0  # sides of a mark, from where the form has it
TRIED = 3  # maps


@dataclass(frozen=True, eq=False)
class SecondSheet:
    """A form as it lies on the page a second time, or another form; ``twice``: print is there that is printed once.

    Without ``twice`` it is the same form, a part of which lies elsewhere.
    """

    reference: Reference
    aligned: Aligned
    twice: bool


def second_sheet(page: Grey, references: Sequence[Reference], first: Candidate) -> SecondSheet | None:
    """The sheet that lies on the page besides the first; None if there is none."""
    aligned, unexplained = first.aligned, _Unexplained(first)
    larger, room = _room(page, first)
    much = MUCH if aligned.of_all >= WHOLE else LITTLE
    if aligned.printed * aligned.visible >= WHOLE and room < ROOM and unexplained.share < much:
        return None
    found = _found(page, _maps(page, larger, references, first, unexplained), first, unexplained)
    added = unexplained.share + _beside(page, larger, first)
    if found is None and added >= SHEET:
        found = _found(page, _maps(page, larger, references, first, unexplained, "sift"), first, unexplained)
    if found is not None and found.reference is first.reference and added < TRACE:
        return replace(found, twice=False)
    return found


def _found(
    page: Grey, maps: Sequence[tuple[Reference, Matrix]], first: Candidate, unexplained: "_Unexplained"
) -> SecondSheet | None:
    """The first of the forms that lies where a map has it, apart from the first form."""
    for reference, matrix in maps:
        found = align(reference, page, matrix, every=1)
        if found is None or not lies_apart(first, reference, found.matrix):
            continue
        there = unexplained.at(mapped(found.matrix, found.sought.middles))
        new = there & found.is_found
        wholly = int(new.sum()) >= max(LEAST, WHOLLY * int(there.sum()))
        if wholly or int((new & found.telling).sum()) >= NEW:
            return SecondSheet(reference, found, reference is not first.reference or _is_twice(first, found))
    return None


def other_mark(page: Grey, references: Sequence[Reference], first: Candidate) -> int | None:
    """The number of a mark that lies on the page where the first form has none; None if there is none.

    It is one of an open form. Of others there must be two: one may be a likeness.
    """
    known = {mark.id for reference in references for mark in reference.marks}
    if not known:
        return None
    small, to_small = at_size(page, features.AREA * MARKED, largest=LARGEST)
    printed = [(name, mapped(to_small @ first.aligned.matrix, [at])[0]) for name, at in first.reference.printed_marks]
    others = {
        mark.id
        for mark in marks.seen(small, 1 + max(known))
        if not any(name == mark.id and _is_near(mark, at) for name, at in printed)
    }
    return min(others & known or others) if others & known or len(others) > 1 else None


def _is_near(mark: marks.Seen, place: NDArray[np.float64]) -> bool:
    return float(np.hypot(*(mark.middle - place))) <= ELSEWHERE * mark.side


def _room(page: Grey, first: Candidate) -> tuple[float, float]:
    """The area of the page, and of what of it lies beside the form, in areas of the form."""
    form = mapped(first.aligned.matrix, first.reference.corners).astype(np.float32)
    whole = corners_of(0, 0, page.shape[1], page.shape[0]).astype(np.float32)
    covered, _ = cv2.intersectConvexConvex(form, whole)
    area = cv2.contourArea(form)
    return page.size / area, (page.size - covered) / area


def _beside(page: Grey, larger: float, first: Candidate) -> float:
    """How much ink there is beside the form, of as much as the form itself has."""
    small, to_small = at_size(page, features.AREA * max(1.0, larger))
    reference, aligned = first.reference, first.aligned
    ink = (darkness_of(small) >= INKED * aligned.gain * reference.print.darkness).astype(np.uint8)
    form = mapped(to_small @ aligned.matrix, reference.corners)
    cv2.fillConvexPoly(ink, form.round().astype(np.int32), 0)
    own = (
        int((reference.darkness >= FAINTEST).sum()) * cv2.contourArea(form.astype(np.float32)) / reference.picture.size
    )
    return cv2.countNonZero(ink) / max(1.0, own)


class _Unexplained:
    """Where on a page there is ink that a form laid onto it does not explain."""

    def __init__(self, first: Candidate) -> None:
        reference, aligned = first.reference, first.aligned
        self.aligned, self.to_first = aligned, inverse(aligned.matrix)
        self.ink = (aligned.dark >= INKED * aligned.gain * reference.print.darkness).astype(np.uint8)
        self.others = self.ink & reference.unprinted
        self.share = cv2.countNonZero(self.others) / max(1, int((reference.darkness >= FAINTEST).sum()))

    @cached_property
    def strange(self) -> NDArray[np.bool_]:
        """Around which pixels much of the ink is not the form's."""
        others, ink = (cv2.blur(255 * each, (SIDE, SIDE)) for each in (self.others, self.ink))
        return np.asarray(others >= np.maximum(STRANGE * ink, 1))

    def at(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points, (n, 2), of the page the form does not explain."""
        here = mapped(self.to_first, points)
        rows, columns = here[:, 1].astype(int), here[:, 0].astype(int)
        height, width = self.strange.shape
        inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
        strange = self.strange[rows.clip(0, height - 1), columns.clip(0, width - 1)]
        telling = self.aligned.telling
        away = np.hypot(*(self.aligned.sought.middles[telling][None] - here[:, None]).transpose(2, 0, 1))
        nearest = np.argsort(away, axis=1, kind="stable")[:, :NEIGHBOURS]
        lost = 2 * self.aligned.is_found[telling][nearest].sum(axis=1) < nearest.shape[1]
        return np.asarray(~inside | strange | lost)


def _maps(
    page: Grey,
    larger: float,
    references: Sequence[Reference],
    first: Candidate,
    unexplained: _Unexplained,
    method: str = "orb",
) -> list[tuple[Reference, Matrix]]:
    """The maps of forms to what the first one does not explain, apart from it, the likelier first."""
    small, to_small = at_size(page, features.AREA * max(1.0, larger))
    if not SMALLEST <= min(small.shape) <= max(small.shape) <= LONGEST:
        return []
    from_small, is_fine = inverse(to_small), method == "sift"
    points = (features.fine if is_fine else features.binary)(small, round(POINTS * max(1.0, larger)))
    points = points.only(unexplained.at(mapped(from_small, points.points)))
    few: Sequence[int] = range(len(references))
    every: tuple[Features, ...] = tuple(each.fine_features if is_fine else each.features for each in references)
    if len(few) > FEW:
        few = ranking_of(every).likest(points, FEW)
    found: list[tuple[Agreed, Reference]] = []
    for number in few:
        found += [(each, references[number]) for each in features.agreed(every[number], points)]
    found = [each for each in found if lies_apart(first, each[1], from_small @ each[0].matrix)]
    found.sort(key=lambda each: -each[0].inliers)
    likely = [each for each in found if each[0].inliers >= LESS * found[0][0].inliers]
    return [(reference, from_small @ each.matrix) for each, reference in likely[:TRIED]]


def lies_apart(first: Candidate, reference: Reference, matrix: Matrix) -> bool:
    """Whether a form lies elsewhere on the page than the first, not only a little stretched."""
    ours, theirs = (
        mapped(each, form.corners) for each, form in ((first.aligned.matrix, first.reference), (matrix, reference))
    )
    to_first = inverse(first.aligned.matrix)
    ours, theirs = mapped(to_first, ours), mapped(to_first, theirs)
    off = float(np.hypot(*(ours.mean(axis=0) - theirs.mean(axis=0)))) / first.reference.pixels_per_millimetre
    ways = [np.degrees(np.arctan2(*(each[1] - each[0])[::-1])) for each in (ours, theirs)]
    turned = abs((ways[1] - ways[0] + 180) % 360 - 180)
    return off >= APART or turned >= APART


def _is_twice(first: Candidate, second: Aligned) -> bool:
    """Whether print that a form has once is found where the one map has it and where the other has it."""
    found = [
        {tuple(middle) for middle in each.sought.middles[each.is_found & each.telling]}
        for each in (first.aligned, second)
    ]
    return len(found[0] & found[1]) >= TWICE
