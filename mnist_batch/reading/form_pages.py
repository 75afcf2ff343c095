"""From a page to the cells of the form that it is of: registered, cut, and normalised cell by cell."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnist_batch.errors import InputError
from mnist_batch.forms import cutting, opening, registering
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registration import Registration, Verdict
from mnist_batch.pixels import colours
from mnist_batch.pixels.decoding import Grey
from mnist_batch.reading import readings
from mnist_batch.schemas.facts import FormFacts
from mnist_batch.statuses import MEANINGS, Status

STATUSES = {
    Verdict.NOT_REGISTERED: Status.NOT_REGISTERED,
    Verdict.UNKNOWN_FORM: Status.UNKNOWN_FORM,
    Verdict.OTHER_VERSION: Status.OTHER_VERSION,
    Verdict.TWO_SHEETS: Status.TWO_SHEETS,
    Verdict.BLANK_PAGE: Status.BLANK_PAGE,
}


def prepare(forms: Sequence[FormFacts]) -> list[Reference]:
    """What pages are compared with: every page of these forms. Raises InputError for a form that has changed."""
    references = []
    for facts in forms:
        opened = opening.open_form(facts.location)
        if opened.digest != facts.digest:
            raise InputError(
                f"--form {facts.location} changed while the run was at work: {opened.digest}, not {facts.digest}; "
                "restore it, or run the command again with the form as it is now"
            )
        references += [Reference.of(opened, page) for page in range(len(opened.form.pages))]
    return references


def cells(page: Grey, references: Sequence[Reference], started: float, shown_side: int = 0) -> list[dict[str, Any]]:
    """The rows of a page: one for each cell of the form that it is of, or one that says why there are none.

    Each row has the columns of ``preprocessing.Page`` that are not the scan's. Of a page with two inks
    (``colours.grey``) the form is found by both together. ``started`` is when its reading began.
    """
    whole = colours.whole(page)
    found = registering.register(whole, references)
    if found.verdict != Verdict.REGISTERED:
        status = STATUSES[found.verdict]
        rows: list[dict[str, Any]] = [{"status": status, "reason": found.reason or MEANINGS[status]}]
    else:
        key = found.form, found.version, found.page
        [reference] = [each for each in references if (each.form, each.version, each.page) == key]
        rows = _cells(cutting.cut(page, found, reference), shown_side)
    for row in rows:
        row["form"] = found.form if found.verdict == Verdict.REGISTERED else None
    rows[0]["registration"] = _facts(found, whole, time.perf_counter() - started)
    return rows


def _cells(cuts: Sequence[cutting.Cut], shown_side: int) -> list[dict[str, Any]]:
    read = iter(readings.rows_of([cut.pictures for cut in cuts if cut.status == Status.OK], shown_side))
    rows = []
    for cut in cuts:
        row: dict[str, Any] = {"field": cut.field, "position": cut.position, "cell": _place(cut.corners)}
        row |= {"status": cut.status, "reason": cut.reason}
        rows.append(row | (next(read) if cut.status == Status.OK else {}))
    return rows


def _place(corners: Any) -> dict[str, Any] | None:
    """The box around the four corners of a cell, and the corners; None where it lies off the page."""
    if corners is None:
        return None
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    (x, y), (width, height) = low.astype(int).tolist(), (high - low).astype(int).tolist()
    return {"x": x, "y": y, "width": width, "height": height, "corners": corners.ravel().astype(np.float32).tolist()}


def _facts(found: Registration, page: Grey, seconds: float) -> dict[str, Any]:
    """How a page was registered, as ``tables.REGISTRATION``."""
    known = found.verdict == Verdict.REGISTERED
    return {
        "status": str(found.verdict),
        "reason": found.reason,
        "version": found.version if known else None,
        "form_page": found.page if known else None,
        "turn": found.turn if known else None,
        "residual": found.residual,
        "printed": found.printed,
        "inliers": found.inliers,
        "method": found.method,
        "matrix": None if found.matrix is None else found.matrix.ravel().tolist(),
        "width": page.shape[1],
        "height": page.shape[0],
        "seconds": seconds,
    }
