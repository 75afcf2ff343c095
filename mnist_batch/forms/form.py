"""A form: its pages, and the fields whose cells hold one digit each.

A form is a directory with ``form.json`` and a picture of each page. Coordinates are pixels of the page's picture, whose
upper left corner is (0, 0).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mnist_batch.errors import InputError
from mnist_batch.forms import checks, json_values, rules
from mnist_batch.forms.checks import Check
from mnist_batch.forms.json_values import Value
from mnist_batch.wording import counted

FORMAT = 1
FILE = "form.json"
SIDES = ("left", "right", "either")
MOST_PAGES, MOST_FIELDS, MOST_RULES = 1_000, 10_000, 1_000  # of a form
MOST_CELLS = 100  # of a field
LONGEST_SIDE = 100_000  # pixels
LEAST_SIDE = 4  # pixels of a cell; no digit is to be read in less, and shares of a page are less
MARK_IDS = 1_000
MOST_SHARED = 0.5  # of a cell; neighbours share their border, and a cell or field that was copied shares everything


class Box(NamedTuple):
    """A cell on the picture of its page."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Mark:
    """An ArUco mark printed on a page: its id, and its four corners clockwise from its own upper left."""

    id: int
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FormPage:
    """A page of a form: the file of its picture, blank or filled in, the picture's size, and its marks.

    ``dots_per_inch`` is the resolution of the picture, None where it is not known.
    """

    image: str
    width: int
    height: int
    dots_per_inch: float | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Digits:
    """How many digits a field may have, unless it is empty, and from which of its ends they are written.

    ``written_from`` is ``left``, ``right`` or ``either``.
    """

    least: int
    most: int
    written_from: str = "either"


@dataclass(frozen=True)
class Field:
    """A number on a form: the boxes of its cells in writing order, on the page ``page``, counted from 0.

    A ``required`` field may not be empty.
    """

    name: str
    page: int
    cells: tuple[Box, ...]
    digits: Digits
    required: bool = False
    check: Check | None = None


@dataclass(frozen=True)
class Form:
    """A form: ``rules`` are sentences across its fields, such as ``total = a + b``."""

    name: str
    version: str | None
    pages: tuple[FormPage, ...]
    fields: tuple[Field, ...]
    rules: tuple[str, ...] = ()

    def fields_of(self, page: int) -> tuple[Field, ...]:
        """The fields on a page, counted from 0."""
        return tuple(field for field in self.fields if field.page == page)


def parse(content: bytes, where: str) -> Form:
    """The form that a ``form.json`` describes; ``where`` names the file in messages.

    Raises InputError, which names the place in the file, the rule, the value and what to do, for whatever is wrong.
    """
    top = json_values.read(content, where)
    format_ = top.any_members().get("format")
    if format_ and isinstance(format_.said, int) and format_.said > FORMAT:
        newer = f"the file has {format_.said}, and this version reads {FORMAT}: it needs a newer version of mnist_batch"
        raise format_.refused(newer)
    said = top.members(("format", "name", "pages", "fields"), ("version", "rules"))
    said["format"].whole(FORMAT, FORMAT)
    pages = tuple(map(_page, said["pages"].items("pages", most=MOST_PAGES)))
    images = [value.any_members()["image"] for value in said["pages"].items("pages")]
    _once(images, [page.image for page in pages], "give each page a picture of its own")
    values = said["fields"].items("fields", most=MOST_FIELDS)
    fields = tuple(_field(value, pages) for value in values)
    _once([value.any_members()["name"] for value in values], [field.name for field in fields], "rename one of them")
    for page in range(len(pages)):
        own = [at for at, field in enumerate(fields) if field.page == page]
        _apart([(said, box) for at in own for said, box in zip(_said_cells(values[at]), fields[at].cells, strict=True)])
    return Form(
        name=said["name"].name(),
        version=said["version"].name() if "version" in said else None,
        pages=pages,
        fields=fields,
        rules=_rules(said["rules"], [field.name for field in fields]) if "rules" in said else (),
    )


def _rules(value: Value, names: list[str]) -> tuple[str, ...]:
    """The rules of a form whose fields have these names."""
    texts = []
    for said in value.items("rules", least=0, most=MOST_RULES):
        text = said.text()
        try:
            texts.append(rules.parse(text, names).text)
        except InputError as error:
            raise said.refused(str(error)) from None
    return tuple(texts)


def _once(values: list[Value], names: list[str], remedy: str) -> None:
    first: dict[str, Value] = {}
    for name, value in zip(names, values, strict=True):
        if name in first:
            raise value.refused(f"{json_values.shown(name)} is also {first[name].place}; {remedy}")
        first[name] = value


def _page(value: Value) -> FormPage:
    said = value.members(("image", "width", "height"), ("dots_per_inch", "marks"))
    image = said["image"].name()
    if image in (".", "..", FILE) or re.search(r"[/\\]", image):
        raise said["image"].wrong("the name of a picture in the directory of the form, without a folder")
    width, height = (said[side].whole(1, LONGEST_SIDE) for side in ("width", "height"))
    marks = [_mark(mark, width, height) for mark in said["marks"].items("marks", least=0)] if "marks" in said else []
    for number, mark in enumerate(marks):
        if mark.id in [other.id for other in marks[:number]]:
            raise said["marks"].refused(f"two marks have the id {mark.id}; each mark of a page has an id of its own")
    resolution = said["dots_per_inch"].number(10, 10_000) if "dots_per_inch" in said else None
    return FormPage(image, width, height, resolution, tuple(marks))


def _mark(value: Value, width: int, height: int) -> Mark:
    said = value.members(("id", "corners"))
    corners = [corner.items("numbers, [x, y]", 2, 2) for corner in said["corners"].items("corners", 4, 4)]
    points = tuple((x.number(0, width), y.number(0, height)) for x, y in corners)
    for at in range(4):
        (ax, ay), (bx, by), (cx, cy) = (points[(at + step) % 4] for step in range(3))
        if (bx - ax) * (cy - by) - (by - ay) * (cx - bx) <= 0:
            raise said["corners"].wrong("four corners clockwise, beginning with the mark's own upper left")
    return Mark(said["id"].whole(0, MARK_IDS - 1), points)


def _field(value: Value, pages: tuple[FormPage, ...]) -> Field:
    said = value.members(("name", "page", "cells"), ("digits", "required", "check"))
    name = said["name"].name()
    said = {key: Value(part.said, part.file, part.place, name) for key, part in said.items()}
    page = said["page"].whole(1, len(pages), f"the form has {counted(len(pages), 'page')}, counted from 1")
    cells = _cells(said["cells"], pages[page - 1], page)
    digits = _digits(said["digits"], len(cells)) if "digits" in said else Digits(1, len(cells))
    return Field(
        name=name,
        page=page - 1,
        cells=cells,
        digits=digits,
        required=said["required"].yes_or_no() if "required" in said else False,
        check=_check(said["check"], digits.most) if "check" in said else None,
    )


def _cells(value: Value, page: FormPage, number: int) -> tuple[Box, ...]:
    values = value.items("cells", most=MOST_CELLS)
    cells = []
    for said in values:
        x, y, width, height = said.items("numbers, [x, y, width, height]", 4, 4)
        box = Box(*(part.number(0, LONGEST_SIDE) for part in (x, y, width, height)))
        if min(box.width, box.height) < LEAST_SIDE:
            raise said.wrong(f"a width and a height of at least {LEAST_SIDE} pixels of the page's picture")
        if box.x + box.width > page.width or box.y + box.height > page.height:
            size = f"{page.width:,} x {page.height:,} pixels"
            raise said.refused(
                f"{json_values.shown(said.said)} reaches beyond page {number}, which is {size}; "
                "a cell is [x, y, width, height] in pixels of the page's picture"
            )
        cells.append(box)
    return tuple(cells)


def _said_cells(field: Value) -> list[Value]:
    """The cells of a field as they are written."""
    said = field.any_members()
    name = str(said["name"].said)
    return [replace(cell, of=name) for cell in said["cells"].items("cells")]


def _apart(cells: Sequence[tuple[Value, Box]]) -> None:
    """Refuse the first cell of a page that covers more than half of one that is written before it."""
    from_left = sorted(range(len(cells)), key=lambda at: cells[at][1].x)
    covering: list[tuple[int, int]] = []
    for place, at in enumerate(from_left):
        cell = cells[at][1]
        for other_at in from_left[place + 1 :]:
            other = cells[other_at][1]
            if other.x >= cell.x + cell.width:
                break
            if _shared(cell, other) > MOST_SHARED * min(cell.width * cell.height, other.width * other.height):
                covering.append((max(at, other_at), min(at, other_at)))
    if covering:
        said, before = (cells[at][0] for at in min(covering))
        of = f' (of "{before.of}")' if before.of != said.of else ""
        raise said.refused(
            f"{json_values.shown(said.said)} covers more than half of {before.place}{of}, "
            f"{json_values.shown(before.said)}; each cell has a place of its own"
        )


def _shared(one: Box, other: Box) -> float:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(width, 0) * max(height, 0)


def _digits(value: Value, cells: int) -> Digits:
    has = f"the field has {counted(cells, 'cell')}"
    if not isinstance(value.said, dict):
        exactly = value.whole(1, cells, has)
        return Digits(exactly, exactly)
    said = value.members((), ("least", "most", "from"))
    most = said["most"].whole(1, cells, has) if "most" in said else cells
    least = 1
    if "least" in said:
        least = said["least"].whole(1, most, f"most is {most}; a field that is not required may be empty in any case")
    return Digits(least, most, said["from"].one_of(SIDES, "a side") if "from" in said else "either")


def _check(value: Value, digits: int) -> Check:
    """The check of a field whose number has at most so many digits."""
    if not isinstance(value.said, dict):
        return _weighed(value, value.one_of(checks.NAMES, "the name of a check"), (), digits)
    said = value.members(("name",), ("weights",))
    name = said["name"].one_of(checks.NAMES, "the name of a check")
    weights = said["weights"].items("weights", most=MOST_CELLS) if "weights" in said else []
    return _weighed(value, name, tuple(weight.whole(0, 1_000) for weight in weights), digits)


def _weighed(value: Value, name: str, weights: tuple[int, ...], digits: int) -> Check:
    if name == checks.WEIGHTED and not weights:
        raise value.wrong('weights, as in {"name": "mod11_weights", "weights": [4, 3, 2, 1]}')
    if name != checks.WEIGHTED and weights:
        raise value.refused(f"{name} has no weights; leave them out")
    if digits <= checks.check_digits(name):
        raise value.refused(
            f"{name} needs {counted(checks.check_digits(name) + 1, 'digit')} at least, and the number has "
            f"{digits} at most; leave the check out, or add the cells that are missing"
        )
    if weights and len(weights) < digits:
        raise value.refused(
            f"{counted(len(weights), 'weight')} for a number of {counted(digits, 'digit')}; give a weight for each "
            "digit in writing order, the check digit's among them"
        )
    if weights and not any(weight % checks.WEIGHTED_MODULUS for weight in weights[-digits:]):
        raise value.refused(f"every number passes: all weights are divisible by {checks.WEIGHTED_MODULUS}")
    return Check(name, weights)


def as_json(form: Form) -> bytes:
    """A form as the bytes of its ``form.json``, which ``parse`` reads back equal."""
    said: dict[str, Any] = {"format": FORMAT, "name": form.name}
    if form.version is not None:
        said["version"] = form.version
    said["pages"] = [_page_said(page) for page in form.pages]
    said["fields"] = [_field_said(field) for field in form.fields]
    if form.rules:
        said["rules"] = form.rules
    text = json.dumps(said, indent=2, ensure_ascii=False)
    # A cell stands on one line. No text of JSON holds a line break, so that only lists of numbers are found here.
    text = re.sub(r"\[\n\s+([-+.,\deE\s]+?)\n\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    return text.encode() + b"\n"


def _page_said(page: FormPage) -> dict[str, Any]:
    said: dict[str, Any] = {"image": page.image, "width": page.width, "height": page.height}
    if page.dots_per_inch is not None:
        said["dots_per_inch"] = _number(page.dots_per_inch)
    if page.marks:
        said["marks"] = [
            {"id": mark.id, "corners": [list(map(_number, corner)) for corner in mark.corners]} for mark in page.marks
        ]
    return said


def _field_said(field: Field) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": field.name,
        "page": field.page + 1,
        "cells": [list(map(_number, cell)) for cell in field.cells],
    }
    digits = field.digits
    if digits == Digits(digits.most, digits.most):
        said["digits"] = digits.most
    elif digits != Digits(1, len(field.cells)):
        said["digits"] = {"least": digits.least, "most": digits.most, "from": digits.written_from}
    if field.required:
        said["required"] = True
    if field.check is not None:
        weights = list(field.check.weights)
        said["check"] = {"name": field.check.name, "weights": weights} if weights else field.check.name
    return said


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value
