"""How cells are told that somebody crossed through, by the way in which they did; and what becomes of their fields."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import form_pages
from benchmarks.form_drawing import FORMS, form
from benchmarks.form_filling import CROSSED, Manner, Page
from benchmarks.form_registering import decoded, digits, opened
from benchmarks.form_voids import VOIDS
from mnist_batch.forms.registration import Verdict
from mnist_batch.models import bundle, field_rule
from mnist_batch.reports import form_check
from mnist_batch.schemas.facts import FieldThresholds
from mnist_batch.statuses import Status

TARGET_ERROR = 0.01
WAYS: Mapping[str, Manner] = {
    "slash or x, cell by cell": Manner(unused=0.8, strangers=(0, 1)),
    **{void: Manner(unused=0.8, free=4, empty=0.15, strangers=(0, 1), void=void) for void in VOIDS},
    "none": Manner(unused=0, strangers=(0, 1)),
    "none, digits joined": Manner(unused=0, joined=0.5, over_frame=0.3, strangers=(0, 1)),
}
Figures = dict[str, Any]


def crossings(pages: int, seed: int, kinds: Sequence[str]) -> Figures:
    """The figures of each way of crossing: so many pages, of every form and kind in turn."""
    calibration = bundle.open_bundle(bundle.SHIPPED).facts.calibration
    if calibration is None:
        raise ValueError("the bundle that ships is not calibrated; run jobs.calibrate")
    rule = field_rule.thresholds(calibration, TARGET_ERROR)
    found = {}
    for way, manner in WAYS.items():
        counts = Counter[str]()
        for number in range(pages):
            drawing = form(list(FORMS)[number % len(FORMS)], seed)
            page = form_pages.page_of(drawing, 0, kinds[number % len(kinds)], digits(), seed, number, manner)
            checked = form_check.check(decoded(page)[0], [opened(drawing)], bundle.SHIPPED)
            if checked.registration.verdict is Verdict.REGISTERED:
                counts.update(cells(page, checked))
                counts.update(fields(page, checked, rule))
        found[way] = {"pages": pages, **dict(sorted(counts.items()))}
    return found


def cells(page: Page, checked: form_check.Checked) -> Counter[str]:
    """What became of the crossed cells and of the digits on a page."""
    counts = Counter[str]()
    for cell in checked.cells:
        at, status = (cell.cut.field, cell.cut.position), cell.answer.status
        if at in page.hidden or status in (Status.CUT_OFF, Status.SHIFTED):
            continue
        label = page.truth[at[0]].labels[at[1]]
        if label == CROSSED:
            clear = status == Status.OK and not cell.answer.doubted
            counts.update({"crossed": 1, "told": status == Status.CROSSED, "taken_for_clear_digits": clear})
        elif label.isdigit():
            counts.update({"digits": 1, "digits_taken_for_crossed": status == Status.CROSSED})
    return counts


def fields(page: Page, checked: form_check.Checked, rule: FieldThresholds) -> Counter[str]:
    """How many fields are accepted, and how many of these are wrong."""
    accepted = [value for value in checked.values if field_rule.accepts(rule, value)]
    wrong = [value for value in accepted if (value.value or "") != page.truth[value.field].value]
    return Counter({"fields": len(checked.values), "accepted": len(accepted), "accepted_wrong": len(wrong)})


def table(results: Mapping[str, Any]) -> str:
    """The figures as docs/forms.md shows them."""
    lines = [
        "| unused cells | crossed | told, % | read as clear digits "
        "| digits | taken for crossed | fields | accepted | of them wrong |",
        "|---" * 9 + "|",
    ]
    for way, of in results.items():
        crossed, digits_ = of.get("crossed", 0), of.get("digits", 0)
        told = f"{100 * of['told'] / crossed:.1f}" if crossed else ""
        counts = [
            f"{of.get(name, 0):,}" for name in ("digits_taken_for_crossed", "fields", "accepted", "accepted_wrong")
        ]
        clear = of.get("taken_for_clear_digits", 0)
        lines.append(" | ".join([f"| {way}", f"{crossed:,}", told, f"{clear}", f"{digits_:,}", *counts]) + " |")
    return "\n".join(lines)
