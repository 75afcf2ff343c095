"""How many boxes are found when a form is made of a page, how many that are none, and how they are grouped.

Boxes that have nothing but a light tint are lost where a page is made black and white or is copied: these are counted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np

from benchmarks import form_disturbing as steps
from benchmarks.form_disturbing import Sheet, as_grey, moved_by, projected, turned_by
from benchmarks.form_drawing import FORMS, STRANGERS, form
from benchmarks.form_filling import Page, Points, filled
from benchmarks.form_pages import disturbed
from benchmarks.form_registering import digits
from mnist_batch.forms.form import Box
from mnist_batch.forms.proposing import Proposal, propose

SAME = 0.65  # of the area of two boxes together that both have
RIM, DARKER, PRINTED = 0.12, 10, 0.03  # of a cell; levels below paper; of the rim of the cells of a field, that is seen


def _scanned(sheet: Sheet) -> None:
    steps.laid(sheet, 1.8)
    steps.scanned_at(sheet, float(sheet.random.choice([150, 200, 300])))
    steps.blurred(sheet)
    steps.noisy(sheet)


def _one_bit(sheet: Sheet) -> None:
    _scanned(sheet)
    steps.bilevel(sheet)


STATES = {"as printed": (), "scanned": (_scanned,), "1 bit": (_one_bit,), "photocopied": (_scanned, steps.copied)}


def proposed(pages: int, seed: int) -> dict[str, Any]:
    """The figures of blank pages in each state, of pages that are filled in, and of pages without cells."""
    results = {state: _of_pages(FORMS, state, pages, seed, False) for state in STATES}
    for state in ("scanned", "1 bit", "photocopied"):
        results[f"filled in, {state}"] = _of_pages(FORMS, state, pages, seed, True)
    results["letters, invoices, timetables"] = _of_pages(STRANGERS, "scanned", pages, seed, False)
    return results


def _of_pages(names: Iterable[str], state: str, pages: int, seed: int, written: bool) -> dict[str, int]:
    total = {"pages": 0, "boxes": 0, "lost": 0, "found": 0, "false": 0, "fields": 0, "grouped": 0}
    for number in range(pages):
        for name in names:
            drawing = form(name, seed + number)
            for page, picture in enumerate(drawing.pictures):
                random = np.random.default_rng([seed, number, page])
                blank = Page(picture, name, page, {}, drawing.corners(page))
                one = filled(drawing, page, digits(), random) if written else blank
                seen = disturbed(one, STATES[state], random)
                proposal = propose(as_grey(seen.picture), seen.dots_per_inch[0])
                for key, count in compared(seen, proposal).items():
                    total[key] += count
    return total


def compared(page: Page, proposal: Proposal) -> dict[str, int]:
    """What of a page's cells was found."""
    high, wide = page.picture.shape[:2]
    back = moved_by(0.5, 0.5) @ turned_by(-proposal.skew, ((wide - 1) / 2, (high - 1) / 2)) @ moved_by(-0.5, -0.5)
    fields: dict[str, list[Box]] = {}
    for (field, _), corners in page.corners.items():
        fields.setdefault(field, []).append(_around(projected(back, corners)))
    cells = [cell for field in proposal.fields for cell in field]
    true = [cell for field in fields.values() for cell in field]
    pairs = np.array([[shared(one, other) >= SAME for other in cells] for one in true]).reshape(len(true), len(cells))
    grouped = sum(
        any(len(field) == len(one) and all(map(_same, field, one)) for one in proposal.fields)
        for field in fields.values()
    )
    return {
        "pages": 1,
        "boxes": len(true),
        "lost": lost(page),
        "found": int(pairs.any(axis=1).sum()),
        "false": int((~pairs.any(axis=0)).sum()),
        "fields": len(fields),
        "grouped": grouped,
    }


def lost(page: Page) -> int:
    """The cells of the fields of which nothing is to be seen: no rim of a cell has print."""
    grey, shares = as_grey(page.picture), dict[str, list[float]]()
    seen = grey < float(np.median(grey)) - DARKER
    for (field, _), corners in page.corners.items():
        rim, middle = np.zeros(grey.shape, np.uint8), corners.mean(0)
        for part, value in ((1 + RIM, 1), (1 - RIM, 0)):
            cv2.fillPoly(rim, [np.round(middle + part * (corners - middle)).astype(np.int32)], value)
        left, top, wide, high = cv2.boundingRect(rim)
        there = np.s_[top : top + high, left : left + wide]
        shares.setdefault(field, []).append(float(seen[there][rim[there] > 0].mean()))
    return sum(len(each) for each in shares.values() if np.median(each) < PRINTED)


def _around(corners: Points) -> Box:
    """A box in the middle of a quadrangle, with sides as long as its."""
    (x, y), wide, high = corners.mean(0), np.ptp(corners[:2, 0]), np.ptp(corners[1:3, 1])
    return Box(float(x - wide / 2), float(y - high / 2), float(wide), float(high))


def _same(one: Box, other: Box) -> bool:
    return shared(one, other) >= SAME


def shared(one: Box, other: Box) -> float:
    """The area of two boxes together, as the share that both have."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(wide, 0) * max(high, 0)
    return both / (one.width * one.height + other.width * other.height - both)


def table(results: Mapping[str, Mapping[str, int]]) -> str:
    """The figures as docs/forms.md shows them."""
    lines = ["| pages | boxes found | not to be seen | found that are none | fields whole |", "|---" * 5 + "|"]
    for name, found in results.items():
        boxes, fields = (
            f"{found[part]:,} of {found[whole]:,}" for part, whole in (("found", "boxes"), ("grouped", "fields"))
        )
        lines.append(f"| {name} ({found['pages']}) | {boxes} | {found['lost']} | {found['false']} | {fields} |")
    return "\n".join(lines)
