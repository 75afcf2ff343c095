"""The forms that a page may be of, laid onto it: by marks, or by points of print that look alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mnist_batch.forms import features, marks
from mnist_batch.forms.aligning import WELL, Aligned, align
from mnist_batch.forms.features import POINTS, Agreed, Features
from mnist_batch.forms.form import Field
from mnist_batch.forms.geometry import Grey, Matrix, fitted, inverse, mapped
from mnist_batch.forms.placing import place
from mnist_batch.forms.ranking import ranking_of
from mnist_batch.forms.references import Reference, at_size
from mnist_batch.forms.registration import FieldPlace, FieldVerdict
from mnist_batch.pixels.opencv import cv2

SMALLEST, LONGEST = 64, 3000  # pixels of a side of what is looked at
MARKED = 1.8  # times the usual area is what marks are looked for on
LARGEST = 1.5  # times its size is a small page looked at
FEW = 8  # references that are compared with a page point by point; of more the likest
IN_FULL = 5  # references that are laid onto a page, of those that are like it
LESS = 0.4  # of the points of the likest reference: one with fewer is not laid onto the page
PARTLY = 0.5  # of the patches of a reference; where so few are found, another sheet may lie on the page
MARGIN = 0.25  # by how much the best form must be better than the next, or else be told from it by what differs
EXPLAINED = 0.9  # the score from which a page is so well explained that only what comes near to that is looked into


class Attempt(NamedTuple):
    """How points are found, on what share of the usual area, how many times too near rows lie, and how many points."""

    method: str
    size: float = 1.0
    aspect: float = 1.0
    points: int = POINTS


FIRST = Attempt("orb", points=600)
# The rows of a coarse fax are half as far apart as its columns, though its tags may not say so.
ATTEMPTS = (
    Attempt("marks", size=MARKED),
    FIRST,
    Attempt("orb"),
    Attempt("orb", size=1.6),
    Attempt("orb", size=0.6),
    Attempt("sift", size=0.35),  # enlarged copies, and what is left of a page
    Attempt("sift"),
    Attempt("orb", aspect=204 / 98),
    Attempt("orb", aspect=204 / 196),
    Attempt("sift", aspect=204 / 98),
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A reference laid onto a page: how many points agree on it, how they were found, and where its fields lie."""

    reference: Reference
    aligned: Aligned
    inliers: int
    method: str
    fields: dict[str, FieldPlace]

    @property
    def matrix(self) -> Matrix:
        """The map from the picture of the form to the page."""
        return np.asarray(self.aligned.matrix @ self.reference.matrix)

    @property
    def has_shifted(self) -> bool:
        """Whether there are fields that were not found."""
        return any(each.verdict is FieldVerdict.SHIFTED for each in self.fields.values())

    def framed(self) -> list[str]:
        """The fields whose printed frames were found."""
        return [name for name in self.placed() if self._has(name)]

    def missing(self) -> list[str]:
        """The fields whose frames were not found, though the print around them was."""
        return [
            field.name
            for field in self._shifted()
            if self._has(field.name) and self.aligned.shift_near(self.reference.middle_of(field)) is not None
        ]

    def placed(self) -> list[str]:
        """The fields that were found."""
        return [name for name, each in self.fields.items() if each.verdict is FieldVerdict.PLACED]

    def shifted(self) -> list[str]:
        """The fields that were not found, though they lie on the page and are not blacked out."""
        return [field.name for field in self._shifted()]

    def _shifted(self) -> list[Field]:
        return [
            field
            for field in self.reference.fields
            if self.fields[field.name].verdict is FieldVerdict.SHIFTED
            and not self.aligned.is_black(self.reference.box_of(field))
        ]

    def _has(self, field: str) -> bool:
        return field in self.reference.frames

    @property
    def score(self) -> float:
        """How well the page is explained: by its print, and by the frames that should be there."""
        framed, missing = len(self.framed()), len(self.missing())
        visible = min(1.0, self.aligned.visible / PARTLY)
        return self.aligned.printed * visible * (framed + 1) / (framed + missing + 1)

    def explains(self, printed: float) -> bool:
        """Whether at least this share of the form's print was found, of a form that mostly lies on the page."""
        return self.aligned.printed >= printed and self.aligned.visible >= PARTLY


def candidates(page: Grey, references: Sequence[Reference], attempt: Attempt) -> list[Candidate]:
    """The references that a page is like, as they lie on it, the best first."""
    if attempt.method == "marks":
        references = [reference for reference in references if reference.marks]
    if not references:
        return []
    small, to_small = at_size(page, features.AREA * attempt.size, attempt.aspect, LARGEST)
    if not SMALLEST <= min(small.shape) <= max(small.shape) <= LONGEST:
        return []
    agreed = zip(_agreed(attempt, small, references), references, strict=True)
    like = sorted((each for each in agreed if each[0]), key=lambda each: -each[0][0].inliers)
    from_small, found, least = inverse(to_small), list[Candidate](), 0.0
    for maps, reference in like[:IN_FULL]:
        if maps[0].inliers >= LESS * like[0][0][0].inliers:
            # Versions of one form are told by what differs, which says nothing of a version that was not laid at all.
            is_version = any(_is_version(reference, each.reference) for each in found)
            wanted = 0.0 if is_version else least
            aligned = _aligned(reference, page, [from_small @ each.matrix for each in maps], wanted)
            if aligned is not None and aligned.printed >= wanted:
                fields = {field.name: place(field, reference, aligned, page.shape) for field in reference.fields}
                found.append(Candidate(reference, aligned, maps[0].inliers, attempt.method, fields))
                least = max(least, found[-1].score - MARGIN if found[-1].score >= EXPLAINED else 0.0)
    return sorted(found, key=lambda each: -each.score)


def _is_version(one: Reference, other: Reference) -> bool:
    return (one.form, one.page) == (other.form, other.page)


def _agreed(attempt: Attempt, page: Grey, references: Sequence[Reference]) -> list[list[Agreed]]:
    """For each reference the maps to a page that an attempt leads to, the likelier first."""
    if attempt.method == "marks":
        return _by_marks(page, references)
    if attempt.method == "orb":
        return _by_points([reference.features for reference in references], features.binary(page, attempt.points))
    return _by_points([reference.fine_features for reference in references], features.fine(page, attempt.points))


def _by_points(references: Sequence[Features], page: Features) -> list[list[Agreed]]:
    """The maps that pairs of points lead to; of many references only for the likest."""
    few = list(range(len(references)))
    if len(few) > FEW:
        few = ranking_of(tuple(references)).likest(page, FEW)
    return [features.agreed(each, page) if number in few else [] for number, each in enumerate(references)]


def _by_marks(page: Grey, references: Sequence[Reference]) -> list[list[Agreed]]:
    """The maps that the corners of marks lead to; those of fewer than two marks say too little."""
    found = marks.find(page, 1 + max(mark.id for reference in references for mark in reference.marks))
    every = []
    for reference in references:
        seen = [mark for mark in reference.marks if mark.id in found]
        here = mapped(reference.matrix, [corner for mark in seen for corner in mark.corners])
        there = np.array([corner for mark in seen for corner in found[mark.id]]).reshape(-1, 2)
        maps = [fitted(here, there, np.ones(len(here)))] if len(seen) >= 2 else []
        if len(seen) >= 3:
            homography, _ = cv2.findHomography(here, there, 0)
            maps += [] if homography is None else [np.asarray(homography, np.float64)]
        every.append([Agreed(matrix, len(here)) for matrix in maps if features.is_likely(matrix, here)])
    return every


def _aligned(reference: Reference, page: Grey, matrices: Sequence[Matrix], least: float) -> Aligned | None:
    """The reference on the page by the first map, or by another if that finds more of the print."""
    best: Aligned | None = None
    for matrix in matrices[:1] if least else matrices:
        if best is None or best.printed < WELL or best.of_all < PARTLY:
            aligned = align(reference, page, matrix, least)
            if aligned is not None and (best is None or aligned.of_all > best.of_all + 0.05):
                best = aligned
    return best
