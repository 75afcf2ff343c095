"""How one page is read with forms, as a picture: where the cells fall, and what was read in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import cutting, marks, registering, values
from mnist_batch.forms.cutting import Cut
from mnist_batch.forms.form import Form
from mnist_batch.forms.making import write_on
from mnist_batch.forms.opening import OpenForm
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration, Verdict
from mnist_batch.forms.spans import CellAnswer
from mnist_batch.forms.values import CheckResult, FieldValue
from mnist_batch.models import vetting
from mnist_batch.models.answers import Answers, Model, ModelSpec, Others
from mnist_batch.models.bundle import open_bundle
from mnist_batch.pixels import colours, normalising
from mnist_batch.pixels.opencv import cv2
from mnist_batch.statuses import REFUSALS, Status

Grey = NDArray[np.uint8]

READ, NOTHING, DOUBTFUL, LOST, MARK = (150, 90, 20), (160, 160, 160), (0, 140, 240), (30, 30, 210), (200, 0, 180)  # BGR
_COLOURS = {Status.OK: READ, Status.BLANK: NOTHING, Status.CROSSED: DOUBTFUL} | dict.fromkeys(REFUSALS, DOUBTFUL)


@dataclass(frozen=True)
class Cell:
    """A cell as it was cut, what became of it, and the digit in it with its confidence; both None where none is."""

    cut: Cut
    answer: CellAnswer
    digit: int | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Checked:
    """A page compared with forms; of a page that is not registered there are no cells and no values."""

    registration: Registration
    marks: Mapping[int, NDArray[np.float64]]
    cells: tuple[Cell, ...] = ()
    values: tuple[FieldValue, ...] = ()


def check(page: Grey, forms: Sequence[OpenForm], model: str) -> Checked:
    """Register a page, uint8 (H, W) or (H, W, 2) (``colours.grey``), and read its cells with the bundle ``model``."""
    whole = colours.whole(page)
    references = [Reference.of(form, number) for form in forms for number in range(len(form.form.pages))]
    found = registering.register(whole, references)
    names = {mark.id for reference in references for mark in reference.marks}
    seen = {name: corners for name, corners in marks.find(whole).items() if name in names}
    if found.verdict != Verdict.REGISTERED:
        return Checked(found, seen)
    key = found.form, found.version, found.page
    [reference] = [each for each in references if (each.form, each.version, each.page) == key]
    [form] = [each.form for each in forms if (each.form.name, each.form.version) == key[:2]]
    cells = read_cells(cutting.cut(page, found, reference), model)
    return Checked(found, seen, tuple(cells), tuple(_values(form, reference, cells)))


def read_cells(cuts: Sequence[Cut], model: str) -> list[Cell]:
    """The cells of a page as the bundle ``model`` reads them."""
    readings = {
        at: [seen.picture for picture in cut.pictures for seen in normalising.examine_all(picture)]
        for at, cut in enumerate(cuts)
        if cut.status == Status.OK
    }
    vetting.vet(open_bundle(model))
    cells = [Cell(cut, CellAnswer(cut.status)) for cut in cuts]
    if readings:
        # As in a run with a target error, where numbers of several digits need more than the first net certifies.
        answers = Model.open(ModelSpec(model, asks_first=False)).answers(*Others.split(list(readings.values())))
        for number, at in enumerate(readings):
            cells[at] = _answered(cuts[at], answers, number)
    return cells


def _answered(cut: Cut, answers: Answers, at: int) -> Cell:
    status, refused, doubted = answers.statuses[at], float(answers.refusal_share[at]), bool(answers.doubted[at])
    found = status == Status.OK
    digit, confidence = (int(answers.digit[at]), float(answers.confidence[at])) if found else (None, None)
    return Cell(cut, CellAnswer.of(status, answers.probabilities[at], refused, doubted, confidence), digit, confidence)


def _values(form: Form, reference: Reference, cells: Sequence[Cell]) -> list[FieldValue]:
    of_field: dict[str, list[CellAnswer]] = {field.name: [] for field in reference.fields}
    for cell in cells:
        of_field[cell.cut.field].append(cell.answer)
    return values.values_of_copy(form, [(field, of_field[field.name]) for field in reference.fields])


def facts(checked: Checked) -> dict[str, Any]:
    """What was found on a page, for the last line of the job."""
    found = checked.registration
    summary = {
        "verdict": str(found.verdict),
        "reason": found.reason,
        "form": found.form,
        "version": found.version,
        "form_page": found.page,
        "turn": found.turn,
        "residual": found.residual,
        "printed": found.printed,
        "inliers": found.inliers,
        "method": found.method,
        "marks": sorted(checked.marks),
    }
    return summary | {"fields": [_of_field(value, checked) for value in checked.values]}


def _of_field(value: FieldValue, checked: Checked) -> dict[str, Any]:
    place = checked.registration.fields.get(value.field)
    own = [cell for cell in checked.cells if cell.cut.field == value.field]
    return {
        "field": value.field,
        "place": str(place.verdict) if place else None,
        "shift": [round(float(part), 2) for part in place.shift] if place else None,
        "frame": round(float(place.frame), 3) if place else None,
        "status": str(value.status),
        "reason": value.reason,
        "value": value.value,
        "confidence": value.confidence,
        "check": value.check,
        "rules_failed": value.rules_failed,
        "cells": [{"status": cell.answer.status, "digit": cell.digit, "confidence": cell.confidence} for cell in own],
    }


def lines(checked: Checked) -> list[str]:
    """What was found on a page, for people."""
    found = checked.registration
    said = [f"verdict: {found.verdict}" + (f" ({found.reason})" if found.reason else "")]
    if found.form is not None and found.page is not None:
        version = f", version {found.version}" if found.version else ""
        said.append(f"form: {found.form}{version}, page {found.page + 1}")
        said.append(f"turn: {found.turn} degrees")
    if found.residual is not None:
        said.append(f"residual: {found.residual:.2f} pixels of the form's picture")
    if found.printed is not None:
        said.append(f"printed: {found.printed:.0%} of what is printed on the form was found")
    if found.inliers is not None:
        said.append(f"inliers: {found.inliers} points, by {found.method}; marks: {len(checked.marks)}")
    return said + [_said(value, found.fields.get(value.field)) for value in checked.values]


def _said(value: FieldValue, place: FieldPlace | None) -> str:
    number = f"{value.value} (confidence {value.confidence:.4f})" if value.value is not None else str(value.status)
    said = [f"{value.field}: {number}"]
    if place and place.verdict == FieldVerdict.PLACED:
        said.append(f"placed, shifted by {np.hypot(*place.shift):.1f} pixels")
    elif place and place.verdict != str(value.status):
        said.append(str(place.verdict))
    said += [value.reason] if value.reason else []
    said += ["its check digit is wrong"] if value.check == CheckResult.FAILED else []
    said += [f"the rule fails: {rule}" for rule in value.rules_failed]
    return "  " + "; ".join(said)


def draw(page: Grey, checked: Checked) -> Grey:
    """The page, upright, with its cells as they fall and what was read in each: uint8 (H, W, 3), BGR.

    A small diamond is print of the form that was found there, a small cross print that was not.
    """
    turns, size = checked.registration.turn // 90, page.shape[1::-1]
    whole = np.rot90(colours.whole(page), turns)
    drawn: Grey = cv2.cvtColor(np.ascontiguousarray(whole), cv2.COLOR_GRAY2BGR)
    unit = max(1, round(min(drawn.shape[:2]) / 900))
    for points, shape, colour in (
        (checked.registration.landmarks, cv2.MARKER_DIAMOND, READ),
        (checked.registration.missing, cv2.MARKER_TILTED_CROSS, LOST),
    ):
        for x, y in np.round(_upright(points, size, turns)).astype(int).tolist():
            cv2.drawMarker(drawn, (x, y), colour, shape, 4 * unit, unit)
    for corners in checked.marks.values():
        _outline(drawn, _upright(corners, size, turns), MARK, 2 * unit)
    shown = [(cell, _upright(cell.cut.corners, size, turns)) for cell in checked.cells if cell.cut.corners is not None]
    for cell, corners in shown:
        _outline(drawn, corners, _colour(cell), 2 * unit)
    for cell, corners in shown:
        x, foot = round(float(corners[:, 0].min())), round(float(corners[:, 1].max()))
        if cell.digit is not None:
            write_on(drawn, (x + 6 * unit, foot + 11 * unit), str(cell.digit), _colour(cell), 0.4 * unit, unit)
        elif cell.answer.status != Status.BLANK:
            write_on(drawn, (x, foot + 8 * unit), str(cell.answer.status), _colour(cell), 0.25 * unit, unit)
    for value in checked.values:
        own = [corners for cell, corners in shown if cell.cut.field == value.field]
        others = [corners for cell, corners in shown if cell.cut.field != value.field]
        if own:
            _name(drawn, np.concatenate(own), others, value, unit)
    said = [line for line in lines(checked) if line.startswith(("verdict:", "residual:"))]
    for number, line in enumerate(said):
        write_on(drawn, (10 * unit, (14 + 15 * number) * unit), line, READ if shown else LOST, 0.45 * unit, unit)
    return drawn


def _name(drawn: Grey, corners: NDArray[Any], others: Sequence[NDArray[Any]], value: FieldValue, unit: int) -> None:
    """Write the name and number of a field beside its cells, or above them where those of ``others`` are in the way."""
    number = f"{value.value} {value.confidence:.2f}" if value.value is not None else str(value.status)
    text, colour = f"{value.field}: {number}", READ if value.clear else DOUBTFUL
    (left, top), (right, foot) = (np.round(each).astype(int).tolist() for each in (corners.min(0), corners.max(0)))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * unit, unit)
    x, y = right + 6 * unit, (top + foot) // 2
    first, last = np.array([x, y - height]), np.array([x + width, y + height])
    is_free = not any((each.min(0) < last).all() and (each.max(0) > first).all() for each in others)
    at = (x, y) if is_free and last[0] < drawn.shape[1] else (left, top - 3 * unit)
    write_on(drawn, at, text, colour, 0.4 * unit, unit)


def _colour(cell: Cell) -> tuple[int, int, int]:
    return _COLOURS.get(Status(cell.answer.status), LOST)


def _upright(corners: NDArray[Any], size: tuple[int, int], turns: int) -> NDArray[np.float64]:
    """Points of a page of this width and height once it was turned counter-clockwise by quarter turns."""
    (width, height), points = size, np.asarray(corners, np.float64)
    for _ in range(turns):
        points, width, height = np.stack([points[:, 1], width - points[:, 0]], axis=1), height, width
    return points


def _outline(drawn: Grey, corners: NDArray[Any], colour: tuple[int, int, int], width: int) -> None:
    cv2.polylines(drawn, [np.round(corners).astype(np.int32)], True, colour, width, cv2.LINE_AA)
