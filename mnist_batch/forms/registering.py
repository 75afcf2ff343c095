"""Which form a page is of, and where the form lies on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnist_batch.forms import features
from mnist_batch.forms.aligning import WELL, Aligned, align
from mnist_batch.forms.blankness import is_blank
from mnist_batch.forms.geometry import Grey, Matrix, inverse, turn_of
from mnist_batch.forms.placing import place
from mnist_batch.forms.references import Reference, at_size
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration, Verdict

SMALLEST = 64  # pixels of a side, below which a page has nothing to compare
LARGEST = 1.5  # times its size is a small page looked at
LONGEST = 3000  # pixels of a side of what is looked at
IN_FULL = 3  # references that are compared with a page in full, of those that are like it
PRINTED = 0.5  # of what is printed on the form must be found on a page
FRAMED = 0.5  # of the fields whose frames are printed must be found
# How points are found, on what share of the usual area, and how many times too near the rows of a page lie: those of
# a coarse fax are half as far apart as its columns, though its tags may not say so.
ATTEMPTS = (
    ("orb", 1.0, 1.0),
    ("orb", 1.5, 1.0),
    ("orb", 0.65, 1.0),
    ("sift", 1.0, 1.0),
    ("orb", 1.0, 204 / 98),
    ("orb", 1.0, 204 / 196),
    ("sift", 1.0, 204 / 98),
)
MARGIN = 0.08  # by which the best form must be better than the next


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A reference laid onto a page: the map of its form's picture, and where its fields are."""

    reference: Reference
    aligned: Aligned
    inliers: int
    method: str
    matrix: Matrix
    fields: dict[str, FieldPlace]

    @property
    def framed(self) -> float:
        """The share of the visible frames that were found; 1 if none is printed."""
        framed = [
            place.verdict is FieldVerdict.PLACED
            for name, place in self.fields.items()
            if name in self.reference.frames and place.verdict is not FieldVerdict.CUT_OFF
        ]
        return float(np.mean(framed)) if framed else 1.0

    @property
    def score(self) -> float:
        return self.aligned.printed * self.framed


def register(page: Grey, references: Sequence[Reference]) -> Registration:
    """Compare a page, grey with light paper, uint8 (H, W), with the pages of forms; it may hold anything."""
    if min(page.shape) < SMALLEST:
        return Registration(Verdict.UNKNOWN_FORM, f"The page is only {page.shape[1]} x {page.shape[0]} pixels large.")
    best: list[_Candidate] = []
    for number, (method, size, aspect) in enumerate(ATTEMPTS):
        found = _candidates(page, references, method, size, aspect)
        if found and (not best or found[0].score > best[0].score):
            best = found
        if best and best[0].aligned.printed >= PRINTED and best[0].framed >= FRAMED:
            break
        if number == 0 and is_blank(page):
            return Registration(Verdict.BLANK_PAGE, "Nothing is printed or written on the page.")
    return _verdict(best)


def _candidates(
    page: Grey, references: Sequence[Reference], method: str, size: float, aspect: float
) -> list[_Candidate]:
    """The references that a page is like, as they lie on it, the best first."""
    small, to_small = at_size(page, features.AREA * size, aspect, LARGEST)
    if not SMALLEST <= min(small.shape) <= max(small.shape) <= LONGEST:
        return []
    kind = features.binary if method == "orb" else features.fine
    theirs, from_small = kind(small), inverse(to_small)
    like = []
    for reference in references:
        agreed = features.agreed(reference.features if method == "orb" else reference.fine_features, theirs)
        if agreed:
            like.append((agreed, reference))
    like.sort(key=lambda each: -each[0][0].inliers)
    found: list[_Candidate] = []
    for agreed, reference in like[:IN_FULL]:
        if not found or agreed[0].inliers > 0.3 * found[0].inliers:
            aligned = _aligned(reference, page, [from_small @ each.matrix for each in agreed])
            if aligned is not None:
                matrix = aligned.matrix @ reference.matrix
                fields = {field.name: place(field, reference, aligned, page.shape) for field in reference.fields}
                found.append(_Candidate(reference, aligned, agreed[0].inliers, method, matrix, fields))
    return sorted(found, key=lambda candidate: -candidate.score)


def _aligned(reference: Reference, page: Grey, matrices: Sequence[Matrix]) -> Aligned | None:
    """The reference on the page by the first map, or by another if that finds more of the print."""
    best: Aligned | None = None
    for matrix in matrices:
        if best is None or best.printed < WELL:
            aligned = align(reference, page, matrix)
            if aligned is not None and (best is None or aligned.printed > best.printed + 0.05):
                best = aligned
    return best


def _verdict(found: Sequence[_Candidate]) -> Registration:
    if not found:
        return Registration(Verdict.UNKNOWN_FORM, "The page is like none of the forms.")
    best = found[0]
    reference, aligned = best.reference, best.aligned
    verdict, reason = Verdict.REGISTERED, None
    if aligned.printed < PRINTED:
        verdict = Verdict.NOT_REGISTERED
        reason = f"Only {aligned.printed:.0%} of what is printed on the form was found on the page."
    elif best.framed < FRAMED:
        verdict, reason = Verdict.NOT_REGISTERED, "Most of the fields' frames are not where the form has them."
    elif len(found) > 1 and best.score - found[1].score < MARGIN:
        verdict = Verdict.UNKNOWN_FORM
        reason = f"The page is as much like {found[1].reference.form} as like {reference.form}."
    return Registration(
        verdict=verdict,
        reason=reason,
        form=reference.form,
        page=reference.page,
        matrix=best.matrix,
        version=reference.version,
        turn=turn_of(best.matrix, (reference.width / 2, reference.height / 2)),
        residual=aligned.residual / reference.matrix[0, 0],
        printed=aligned.printed,
        inliers=best.inliers,
        method=best.method,
        fields=best.fields if verdict is Verdict.REGISTERED else {},
    )
