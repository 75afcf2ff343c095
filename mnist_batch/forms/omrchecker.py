"""A form from the template.json of OMRChecker: its blocks of digits, a cell for each of their labels.

OMRChecker reads bubbles, a column of ten for each digit. A cell is the whole column, since the file does not say where
people write; so the cells have to be moved to the boxes in which they do.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import floor

from mnist_batch.errors import InputError
from mnist_batch.forms import json_values
from mnist_batch.forms.form import LONGEST_SIDE, MOST_FIELDS, Box, Digits, Field, Form, FormPage, as_json, parse
from mnist_batch.forms.json_values import Value
from mnist_batch.store import locations

_DIGITS = [str(digit) for digit in range(10)]
_TYPES = {"QTYPE_INT": (_DIGITS, "vertical"), "QTYPE_INT_FROM_1": ([*_DIGITS[1:], "0"], "vertical")}
_CROPPING = ("CropPage", "CropOnMarkers", "CropOnLogo")


@dataclass(frozen=True)
class Imported:
    """A form, and sentences on what of the template it does not have and what has to be checked."""

    form: Form
    remarks: tuple[str, ...]


def open_template(location: str, name: str, page: FormPage, flag: str = "--from-omrchecker") -> Imported:
    """``from_template`` of a file, by path or URI; raises InputError, naming the flag, if there is none."""
    filesystem, path = locations.resolve(location)
    if not locations.info(filesystem, path).is_file:
        raise InputError(f"{flag} {location}: there is no such file; give the template.json of OMRChecker")
    return from_template(locations.read(filesystem, path), f"{flag} {location}", name, page)


def from_template(content: bytes, where: str, name: str, page: FormPage) -> Imported:
    """The form that a template.json describes, on a picture of its page, which may have another size.

    ``where`` names the file in messages and ``name`` is the form's. Raises InputError.
    """
    top = json_values.read(content, where)
    said = top.any_members()
    for key in ("bubbleDimensions", "fieldBlocks"):
        if key not in said:
            raise top.refused(f"{key!r} is missing; give a template.json of OMRChecker, of 2023 or later")
    size = _pair(_either(top, said, "pageDimensions", "templateDimensions"))
    cells: dict[str, Box | None] = {}  # by label; None where the bubbles are not for digits
    for block in said["fieldBlocks"].any_members().values():
        for label, area in _areas(block, said).items():
            if label in cells:
                raise block.refused(f"the label {label!r} stands in two blocks; rename one of them")
            cells[label] = area and _scaled(block, area, size, page)
    if not any(cells.values()):
        raise said["fieldBlocks"].refused("none of the blocks has bubbles for digits, so there is no number to read")
    form = Form(name, None, (page,), _fields(cells, said.get("customLabels")))
    left_out = [label for label, cell in cells.items() if cell is None]
    return Imported(parse(as_json(form), f"{where}, as a form"), _remarks(said, left_out))


def _either(value: Value, said: Mapping[str, Value], *keys: str) -> Value:
    """The member of an object with the first of these keys that it has."""
    for key in keys:
        if key in said:
            return said[key]
    raise value.refused(f"{' or '.join(map(repr, keys))} is missing")


def _pair(value: Value) -> tuple[float, float]:
    across, down = value.items("numbers", 2, 2)
    return across.number(1, LONGEST_SIDE), down.number(1, LONGEST_SIDE)


def _labels(value: Value) -> list[str]:
    """The labels of a list; ``q1..4`` stands for q1, q2, q3 and q4."""
    labels: list[str] = []
    for each in value.items("labels"):
        label = each.name()
        found = re.fullmatch(r"(.*?)(\d{1,6})\.{2,3}(\d{1,6})", label)
        if not found:
            labels.append(label)
            continue
        first, last = int(found[2]), int(found[3])
        if not first <= last < first + MOST_FIELDS:
            raise each.wrong(f"a range of at most {MOST_FIELDS:,} labels, as in q1..4")
        labels += [f"{found[1]}{number}" for number in range(first, last + 1)]
    if doubled := next((label for label, times in Counter(labels).items() if times > 1), None):
        raise value.refused(f"the label {doubled!r} stands twice; remove one of the two")
    return labels


def _areas(block: Value, top: Mapping[str, Value]) -> dict[str, Box | None]:
    """The bubbles of each label of a block, as one box in pixels of the template; None if they are not for digits."""
    said = block.any_members()
    labels = _labels(_either(block, said, "fieldLabels"))
    values, direction = _bubbles(said, top)
    if not values or not set(values) <= set(_DIGITS):
        return dict.fromkeys(labels)
    x, y = (part.number(0, LONGEST_SIDE) for part in _either(block, said, "origin").items("numbers", 2, 2))
    width, height = _pair(said.get("bubbleDimensions", top["bubbleDimensions"]))
    length = (len(values) - 1) * _either(block, said, "bubblesGap").number(0, LONGEST_SIDE)
    starts = _starts(_either(block, said, "labelsGap"), len(labels))
    if direction == "vertical":
        return {label: Box(x + start, y, width, length + height) for label, start in zip(labels, starts, strict=True)}
    return {label: Box(x, y + start, length + width, height) for label, start in zip(labels, starts, strict=True)}


def _bubbles(block: Mapping[str, Value], top: Mapping[str, Value]) -> tuple[list[str], str]:
    """The values of the bubbles of a label, and whether they lie below or beside each other."""
    kind = block.get("bubbleFieldType", block.get("fieldType"))
    own = top["customBubbleFieldTypes"].any_members() if "customBubbleFieldTypes" in top else {}
    values, direction = _TYPES.get(str(kind.said), ([], "vertical")) if kind else ([], "vertical")
    for said in (own[str(kind.said)].any_members() if kind and str(kind.said) in own else {}, block):
        if "bubbleValues" in said:
            values = [value.text() for value in said["bubbleValues"].items("values")]
        if "direction" in said:
            direction = said["direction"].one_of(("vertical", "horizontal"), "a direction")
    return values, direction


def _starts(gap: Value, labels: int) -> list[float]:
    if isinstance(gap.said, list):
        gaps = [each.number(0, LONGEST_SIDE) for each in gap.items("numbers", labels - 1, labels - 1)]
    else:
        gaps = [gap.number(0, LONGEST_SIDE)] * (labels - 1)
    return list(accumulate(gaps, initial=0.0))


def _scaled(block: Value, area: Box, size: tuple[float, float], page: FormPage) -> Box:
    width, height = size
    if area.x + area.width > width or area.y + area.height > height:
        raise block.refused(f"its bubbles reach beyond the page, which is {width:g} x {height:g}")
    across, down = page.width / width, page.height / height
    # Rounded down: a cell at the edge of the page stays on it.
    return Box(
        *(floor(part * 100) / 100 for part in (area.x * across, area.y * down, area.width * across, area.height * down))
    )


def _fields(cells: Mapping[str, Box | None], custom: Value | None) -> tuple[Field, ...]:
    """A field for each of ``customLabels``, which join labels, and for each label that none of them has."""
    fields: dict[str, list[str]] = {}
    joined: set[str] = set()
    for name, value in (custom.any_members() if custom else {}).items():
        fields[name] = _labels(value)
        for label in fields[name]:
            if label not in cells:
                raise value.refused(f"the label {label!r} is in none of the blocks")
        joined.update(fields[name])
    named = [*fields.items(), *((label, [label]) for label in cells if label not in joined)]
    boxes = [(name, tuple(cell for label in labels if (cell := cells[label]))) for name, labels in named]
    return tuple(Field(name, 0, cells_, Digits(1, len(cells_))) for name, cells_ in boxes if cells_)


def _remarks(said: Mapping[str, Value], left_out: Sequence[str]) -> tuple[str, ...]:
    remarks = ["a cell is the whole column of bubbles of a digit; move each to the box in which people write it"]
    if left_out:
        shown = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        remarks.append(f"left out, since their bubbles are not for digits: {shown}")
    steps = said["preProcessors"].items("steps", least=0) if "preProcessors" in said else []
    cropping = [
        step.said["name"] for step in steps if isinstance(step.said, dict) and step.said.get("name") in _CROPPING
    ]
    if cropping:
        remarks.append(
            f"the blocks are measured on what {' and '.join(cropping)} cut out of the page; "
            "the picture has to be cut in the same way"
        )
    return tuple(remarks)
