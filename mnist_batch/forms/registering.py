"""Which form a page is of, and where the form lies on it."""

from collections.abc import Sequence

import numpy as np

from mnist_batch.forms.blankness import is_black, is_blank
from mnist_batch.forms.candidates import ATTEMPTS, FIRST, MARGIN, SMALLEST, Candidate, candidates
from mnist_batch.forms.differing import difference
from mnist_batch.forms.geometry import Grey, mapped, turn_of
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registration import Registration, Verdict
from mnist_batch.forms.second_sheets import lies_apart, other_mark, second_sheet
from mnist_batch.forms.stretching import stretched
from mnist_batch.forms.versions import displaced, likelier

PRINTED = 0.6  # of what is printed on the form must be found on a page
SURELY = 0.75  # of what is printed; where less is found, other ways may find more
WHOLLY = 0.97  # of what is printed; where less is found, a part of it may lie elsewhere
VISIBLE = 0.4  # of the form must lie on a page: of less, another sheet may be on it
FRAMED = 0.5  # of the fields that should be there must be
# The cells of a page are others if less of the frames that were found is there, in the median, and a quarter of them
# lies farther off than this. Of a page that has lost parts of its frames, what is left of them lies right.
WHOLE, ASIDE_MILLIMETRES = 0.9, 0.15


def register(page: Grey, references: Sequence[Reference]) -> Registration:
    """Compare a page, grey with light paper, uint8 (H, W), with the pages of forms; it may hold anything."""
    if min(page.shape) < SMALLEST:
        return Registration(Verdict.UNKNOWN_FORM, f"The page is only {page.shape[1]} x {page.shape[0]} pixels large.")
    best: list[Candidate] = []
    for attempt in ATTEMPTS:
        if best and best[0].explains(SURELY if attempt.aspect == 1 else PRINTED):
            break
        found = candidates(page, references, attempt)
        if found and (not best or found[0].score > best[0].score):
            best = found
        if attempt is FIRST and not best and is_black(page):
            return Registration(Verdict.UNKNOWN_FORM, "Most of the page is black.")
        if attempt is FIRST and not best and is_blank(page):
            return Registration(Verdict.BLANK_PAGE, "Nothing is printed or written on the page.")
    if not best:
        return Registration(Verdict.UNKNOWN_FORM, "The page is like none of the forms.")
    return _judged(best, page, references)


def _judged(best: Sequence[Candidate], page: Grey, references: Sequence[Reference]) -> Registration:
    """The verdict on a page that is like forms, the likest first."""
    near = [each for each in best if each.score > best[0].score - MARGIN]
    differ = [difference(each, page.shape) if each.aligned.printed >= PRINTED else None for each in near]
    alike = [each for each, differs in zip(near, differ, strict=True) if differs is None]
    if not alike:
        differs = f"The page differs from {_name(near[0])}: {differ[0]}."
        apart = _apart(near[0], page, references, differs)
        return _said(*(apart or (Verdict.OTHER_VERSION, differs)), near[0])
    candidate = alike[0]
    for other in alike[1:]:
        winner = likelier(candidate, other)
        if winner is None and lies_apart(candidate, other.reference, other.aligned.matrix):
            return _said(*_two_sheets(candidate, other.reference), candidate)
        if winner is None:
            reason = f"The page is as much like {_name(other)} as like {_name(candidate)}."
            return _said(Verdict.UNKNOWN_FORM, reason, candidate)
        candidate = winner
    return _said(*(_apart(candidate, page, references) or _found(candidate)), candidate)


def _apart(
    candidate: Candidate, page: Grey, references: Sequence[Reference], differs: str | None = None
) -> tuple[Verdict, str] | None:
    """The verdict on a page on which print lies elsewhere than the form has it; None if all is where it should be.

    ``differs`` says how the page differs from the form, where that is known.
    """
    printed = candidate.aligned.printed
    if printed < PRINTED / 2:
        return None
    if printed < WHOLLY or candidate.has_shifted:
        shift = displaced(candidate.reference, candidate.aligned)
        if shift is not None:
            said = f"A part of the print of {_name(candidate)} is displaced by {_millimetres(shift)} on the page."
            return Verdict.OTHER_VERSION, said
    mark = other_mark(page, references, candidate)
    if mark is not None:
        said = f"{_name(candidate)} lies on the page, and mark {mark} of another sheet where the form has no such mark."
        return Verdict.TWO_SHEETS, said
    second = second_sheet(page, references, candidate)
    if second is not None and second.twice:
        return _two_sheets(candidate, second.reference)
    if second is not None:
        return (
            Verdict.OTHER_VERSION,
            differs or f"A part of the print of {_name(candidate)} lies elsewhere on the page.",
        )
    return None


def _two_sheets(candidate: Candidate, other: Reference) -> tuple[Verdict, str]:
    return Verdict.TWO_SHEETS, f"{_name(candidate)} and {_name_of(other)} lie on the page, apart from each other."


def _found(candidate: Candidate) -> tuple[Verdict, str | None]:
    """The verdict on a page that has nothing otherwise than the form: whether enough of it was found."""
    aligned, placed, shifted = candidate.aligned, len(candidate.placed()), len(candidate.shifted())
    if aligned.printed >= PRINTED and _has_other_cells(candidate):
        return Verdict.OTHER_VERSION, f"The cells on the page are others than those of {_name(candidate)}."
    if aligned.printed < PRINTED:
        said = f"Only {aligned.printed:.0%} of what is printed on {_name(candidate)} was found on the page."
    elif aligned.visible < VISIBLE:
        said = f"Only {aligned.visible:.0%} of {_name(candidate)} lies on the page."
    elif placed < FRAMED * (placed + shifted):
        said = f"Of {placed + shifted} fields, {shifted} are not where {_name(candidate)} has them."
    else:
        return Verdict.REGISTERED, None
    return Verdict.NOT_REGISTERED, said


def _has_other_cells(candidate: Candidate) -> bool:
    """Whether other cells are printed beside the same words: of most frames a part fits, somewhere near."""
    reference = candidate.reference
    size = reference.pixels_per_millimetre / float(reference.matrix[0, 0])
    inked = {name for name, frame in reference.frames.items() if not frame.is_faint(reference.print.darkness)}
    places = [candidate.fields[name] for name in candidate.placed() if name in inked]
    if not places or np.median([each.frame for each in places]) >= WHOLE:
        return False
    return bool(np.percentile([np.hypot(*each.shift) for each in places], 75) > ASIDE_MILLIMETRES * size)


def _name(candidate: Candidate) -> str:
    return _name_of(candidate.reference)


def _name_of(reference: Reference) -> str:
    version = f", version {reference.version}" if reference.version else ""
    return f"{reference.form}{version}, page {reference.page + 1}"


def _millimetres(shift: tuple[float, float]) -> str:
    across, down = shift
    ways = [(abs(across), "right" if across > 0 else "left"), (abs(down), "down" if down > 0 else "up")]
    return " and ".join(f"{size:.0f} mm {way}" for size, way in ways if size >= 1)


def _said(verdict: Verdict, reason: str | None, candidate: Candidate) -> Registration:
    reference, aligned = candidate.reference, candidate.aligned
    places = mapped(aligned.matrix, aligned.sought.middles)
    return Registration(
        verdict=verdict,
        reason=reason,
        form=reference.form,
        version=reference.version,
        page=reference.page,
        matrix=candidate.matrix,
        turn=turn_of(candidate.matrix, (reference.width / 2, reference.height / 2)),
        residual=aligned.residual / float(reference.matrix[0, 0]),
        printed=aligned.printed,
        inliers=candidate.inliers,
        method=candidate.method,
        fields=stretched(candidate.fields, reference, aligned) if verdict is Verdict.REGISTERED else {},
        landmarks=places[aligned.is_found],
        missing=places[~aligned.is_found],
    )
