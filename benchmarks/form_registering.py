"""How pages are registered: by kind of disturbance, with siblings and strangers that must be refused."""

import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import form_pages
from benchmarks.form_disturbing import as_grey, projected
from benchmarks.form_drawing import FORMS, SIBLINGS, STRANGERS, FormDrawing, form
from benchmarks.form_filling import Cell, Page, Points
from benchmarks.form_printing import DOTS_PER_INCH
from benchmarks.handwriting import Digits, Grey
from mnist_batch.forms.form import parse
from mnist_batch.forms.opening import OpenForm
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registering import register
from mnist_batch.forms.registration import FieldVerdict, Registration, Verdict
from mnist_batch.pixels import colours, tiff_pages
from mnist_batch.pixels.opencv import MAX_PIXELS

REPORTED_AT = 150  # dots per inch
# What is left of these pages may be too little to register; what is registered must be right all the same.
SPOILED = ("enlarged copy", "a third cut off", "torn", "a black rectangle", "two sheets at once")


@dataclass(frozen=True)
class Outcome:
    """What became of a page: its verdict, whether that is right, and how far cells are from the truth.

    ``errors`` are of the corners of the visible cells whose field is placed, in pixels at 150 dpi. ``wrong``: the page
    was registered as another form, or with such a cell off by more than half its width. ``lost`` are the visible fields
    that were not placed, of ``fields``.
    """

    kind: str
    form: str
    number: int
    verdict: str
    reason: str
    right: bool
    wrong: bool
    errors: NDArray[np.float32]
    lost: int
    fields: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """A page to look at, and the forms that are open: names and seeds of ``form_pages.form``."""

    drawing: str
    looks: int
    page: int
    kind: str
    seed: int
    number: int
    open: tuple[str, ...]


def opened(drawing: FormDrawing) -> OpenForm:
    """A drawn form as the product opens it."""
    parsed = parse(json.dumps(drawing.form_json).encode(), drawing.name)
    return OpenForm(parsed, drawing.name, drawing.name, tuple(as_grey(picture) for picture in drawing.pictures))


@cache
def references(names: tuple[str, ...], looks: int) -> tuple[Reference, ...]:
    """The pages of forms."""
    forms = [opened(form(name, looks)) for name in names]
    return tuple(Reference.of(each, page) for each in forms for page in range(len(each.pictures)))


@cache
def digits() -> Digits:
    """The digits that pages are filled in with, of MNIST."""
    return form_pages.mnist_digits()


def decoded(page: Page) -> tuple[Grey, Points]:
    """The page as the product decodes it, and by how much that enlarged it (across, down)."""
    if page.dots_per_inch[0] == page.dots_per_inch[1]:
        return (page.picture if page.picture.ndim == 2 else colours.grey(page.picture)), np.ones(2)
    file = io.BytesIO()
    form_pages.write_tiff([page], file)
    picture = tiff_pages.readers(file.getvalue(), 1, MAX_PIXELS)[0][0]()
    return picture, np.array(picture.shape[1::-1]) / page.picture.shape[1::-1]


def cells_of(drawing: FormDrawing, found: Registration, page: int) -> dict[Cell, Points]:
    """Where a registration has the corners of the cells whose fields are placed."""
    return {
        cell: projected(found.fields[cell[0]].matrix, corners)
        for cell, corners in drawing.corners(page).items()
        if found.fields[cell[0]].verdict is FieldVerdict.PLACED
    }


def _is(found: Registration, drawing: FormDrawing, page: int) -> bool:
    """Whether a page was found to be this page of this form."""
    return (found.form, found.version, found.page) == (drawing.name, drawing.form_json["version"], page)


def looked_at(job: Job, failures: Path | None = None) -> Outcome:
    """Render a page and register it."""
    drawing = form(job.drawing, job.looks)
    page = form_pages.page_of(drawing, job.page, job.kind, digits(), job.seed, job.number)
    picture, factor = decoded(page)
    known = references(job.open, job.looks)
    grey = picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., 1])
    start = time.process_time()
    found = register(grey, known)
    seconds = time.process_time() - start
    expected = page.expected if job.drawing in job.open else "refused"
    outcome = judged(job, page, drawing, found, factor, expected, seconds)
    if failures and (outcome.wrong or not outcome.right):
        _show(failures, job, picture, page, drawing, found, factor)
    return outcome


def judged(
    job: Job, page: Page, drawing: FormDrawing, found: Registration, factor: Points, expected: str, seconds: float
) -> Outcome:
    """What a registration is worth: ``expected`` is a verdict, or ``refused`` for any but ``registered``."""
    registered = found.verdict is Verdict.REGISTERED
    same = _is(found, drawing, job.page)
    right = (found.verdict == expected and (same or not registered)) or (expected == "refused" and not registered)
    errors: NDArray[np.float32] = np.zeros(0, np.float32)
    wrong, lost, fields = registered and (not same or expected != "registered"), 0, 0
    if registered and not wrong:
        there, flat = cells_of(drawing, found, job.page), drawing.corners(job.page)
        visible = {cell: corners for cell, corners in page.corners.items() if cell not in page.hidden}
        off = {
            cell: np.linalg.norm(_scaled(corners, factor) - there[cell], axis=1)
            / np.sqrt(_area(_scaled(corners, factor)) / _area(flat[cell]))
            for cell, corners in visible.items()
            if cell in there
        }
        wrong = any(each.max() > np.ptp(flat[cell][:, 0]) / 2 for cell, each in off.items())
        errors = (np.array([*off.values()]).ravel() * REPORTED_AT / DOTS_PER_INCH).astype(np.float32)
        seen = {cell[0] for cell in visible} - {cell[0] for cell in page.hidden}
        fields, lost = len(seen), sum(found.fields[name].verdict is not FieldVerdict.PLACED for name in seen)
    verdict, reason = str(found.verdict), found.reason or ""
    return Outcome(
        job.kind, job.drawing, job.number, verdict, reason, right, bool(wrong), errors, lost, fields, seconds
    )


def _scaled(corners: Points, factor: Points) -> Points:
    return np.asarray(corners * factor)


def _area(corners: Points) -> float:
    return float(cv2.contourArea(corners.astype(np.float32)))


def _show(
    folder: Path, job: Job, picture: Grey, page: Page, drawing: FormDrawing, found: Registration, factor: Points
) -> None:
    """Draw the truth in red and what was found in green."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = cv2.cvtColor(picture if picture.ndim == 2 else picture[..., 1].copy(), cv2.COLOR_GRAY2BGR)
    boxes = [(_scaled(corners, factor), (0, 0, 255)) for corners in page.corners.values()]
    if found.verdict is Verdict.REGISTERED and _is(found, drawing, job.page):
        boxes += [(corners, (0, 170, 0)) for corners in cells_of(drawing, found, job.page).values()]
    for corners, colour in boxes:
        cv2.polylines(seen, [np.round(corners * 8).astype(np.int32)], True, colour, 2, cv2.LINE_AA, 3)
    said = [f"{job.kind}: {found.verdict} as {found.form} {found.version} page {found.page}", found.reason or ""]
    said.append(f"printed {found.printed}  inliers {found.inliers}  residual {found.residual}  {found.method}")
    for at, line in enumerate(said):
        cv2.putText(seen, line, (20, 40 + 40 * at), cv2.FONT_HERSHEY_SIMPLEX, 1, (200, 0, 0), 2)
    name = f"{job.drawing}-{job.kind}-{job.seed}-{job.number}".replace(" ", "_").replace("/", "_")
    cv2.imwrite(str(folder / f"{name}.png"), seen)


def registration_jobs(pages: int, seed: int, kinds: Sequence[str]) -> Iterator[Job]:
    """Pages of every form, in turn, of every kind, with all forms open."""
    faces = [(name, page) for name in FORMS for page in range(len(form(name).pictures))]
    for kind in kinds:
        for number in range(pages):
            name, page = faces[number % len(faces)]
            yield Job(name, seed, page, kind, seed, number, tuple(FORMS))


REFUSED_KINDS = ("clean", "moderate", "scan 150 dpi", "1 bit 200 dpi", "photocopy", "fax 204x98", "turned 180", "photo")
CHOICES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "another version, only the old one open": (("other_version",), ("boxes",)),
    "the old version, only the new one open": (("boxes",), ("other_version",)),
    "another language, only one open": (("other_language",), ("boxes",)),
    "strangers": (tuple(STRANGERS), tuple(FORMS)),
    "a variant of the form, only one open": (("variant",), ("boxes",)),
    "versions and languages, all open": (("boxes", *SIBLINGS), ("boxes", *SIBLINGS)),
}


def choice_jobs(name: str, pages: int, seed: int) -> Iterator[Job]:
    """Pages of siblings and strangers."""
    drawn, open_forms = CHOICES[name]
    for number in range(pages):
        kind = REFUSED_KINDS[number // len(drawn) % len(REFUSED_KINDS)]
        yield Job(drawn[number % len(drawn)], seed, 0, kind, seed, number, open_forms)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of some pages."""
    errors = np.concatenate([each.errors for each in outcomes])
    median, p99 = np.percentile(errors, (50, 99)).round(2).tolist() if len(errors) else (None, None)
    return {
        "pages": len(outcomes),
        "right": sum(each.right and not each.wrong for each in outcomes),
        "wrong": sum(each.wrong for each in outcomes),
        "verdicts": dict(Counter(each.verdict for each in outcomes).most_common()),
        "median": median,
        "p99": p99,
        "lost_fields": round(sum(each.lost for each in outcomes) / max(sum(each.fields for each in outcomes), 1), 4),
        "seconds": round(float(np.median([each.seconds for each in outcomes])), 3),
    }


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as docs/forms.md shows them."""
    lines = ["| pages | right | wrong | cells off, median | 99 % | fields lost | CPU, s |", "|---" * 7 + "|"]
    for name, found in results.items():
        off = [f"{found[key]:.1f}" if found[key] is not None else "" for key in ("median", "p99")]
        lost = f"{100 * found['lost_fields']:.1f} %" if found["median"] is not None else ""
        share = f"{found['right']:,} of {found['pages']:,}"
        lines.append(f"| {name} | {share} | {found['wrong']} | {' | '.join(off)} | {lost} | {found['seconds']:.2f} |")
    return "\n".join(lines)


def by_kind(pages: int, seed: int, kinds: Sequence[str], failures: Path | None = None) -> dict[str, Any]:
    """The figures of each kind, of all that are not spoiled, and of all."""
    found = [looked_at(job, failures) for job in registration_jobs(pages, seed, kinds)]
    figures = {kind: summary([each for each in found if each.kind == kind]) for kind in kinds}
    if whole := [each for each in found if each.kind not in SPOILED]:
        figures["all but the spoiled"] = summary(whole)
    return figures | {"all": summary(found)}


def choices(pages: int, seed: int, failures: Path | None = None) -> dict[str, Any]:
    """The figures of siblings and strangers."""
    return {name: summary([looked_at(job, failures) for job in choice_jobs(name, pages, seed)]) for name in CHOICES}
