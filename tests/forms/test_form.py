"""A form.json is read as it was meant, or refused with a sentence that names the place, the rule and the value."""

import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from mnist_batch import forms
from mnist_batch.errors import InputError
from mnist_batch.forms import checks
from mnist_batch.forms.checks import Check
from mnist_batch.forms.form import (
    MARK_IDS,
    SIDES,
    Box,
    Digits,
    Field,
    Form,
    FormPage,
    Mark,
    as_json,
    parse,
)
from tests.support import ROOT

SCHEMA = json.loads((Path(forms.__file__).parent.parent / "data/form.schema.json").read_text())
VALID = Draft202012Validator(SCHEMA)
FIELDS: list[Any] = [{"name": "ballots", "page": 1, "cells": [[10, 20, 30, 40], [40, 20, 30, 40]]}]
LEAST: dict[str, Any] = {
    "format": 1,
    "name": "turnout",
    "pages": [{"image": "page-1.png", "width": 400, "height": 300}],
    "fields": FIELDS,
}


def refusal(said: Any) -> str:
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    with pytest.raises(InputError) as refused:
        parse(content, "--form turnout/form.json")
    message = str(refused.value)
    assert message.startswith("--form turnout/form.json")
    return message.removeprefix("--form turnout/form.json")


def changed(place: str, value: Any) -> Any:
    """The least form, with another value at a place such as fields[0].name; ... is a key taken away."""
    said: Any = deepcopy(LEAST)
    keys = [int(key) if key.isdigit() else key for key in re.findall(r"\w+", place)]
    inner = said
    for key in keys[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return said


def test_the_least_form_may_have_any_number_of_digits_from_either_side_and_be_empty() -> None:
    form = parse(json.dumps(LEAST).encode(), "form.json")
    cells = (Box(10, 20, 30, 40), Box(40, 20, 30, 40))
    field = Field("ballots", 0, cells, Digits(1, 2, "either"), required=False, check=None)
    assert form == Form("turnout", None, (FormPage("page-1.png", 400, 300),), (field,))
    assert form.fields_of(0) == (field,)


def test_a_number_of_digits_is_exactly_so_many() -> None:
    form = parse(json.dumps(changed("fields[0].digits", 2)).encode(), "form.json")
    assert form.fields[0].digits == Digits(2, 2, "either")


def test_what_is_said_of_digits_need_not_be_all() -> None:
    form = parse(json.dumps(changed("fields[0].digits", {"from": "right"})).encode(), "form.json")
    assert form.fields[0].digits == Digits(1, 2, "right")


def test_a_byte_order_mark_is_no_mistake() -> None:
    content = json.dumps(LEAST).encode()
    assert parse(b"\xef\xbb\xbf" + content, "form.json") == parse(content, "form.json")


def test_neighbours_may_share_their_border() -> None:
    said = changed("fields[0].cells", [[10, 20, 32, 40], [40, 20, 32, 40]])
    assert len(parse(json.dumps(said).encode(), "form.json").fields[0].cells) == 2


# Structure: what the schema refuses, too.
STRUCTURE = {
    "pages": ("pages", ..., ": 'pages' is missing; the keys that are needed here are format, name, pages, fields"),
    "no object": ("pages[0]", 3, ": pages[0]: expected an object, {...}, got 3"),
    "unknown": ("feilds", [], ": feilds: unknown key \"feilds\"; is it meant to be 'fields'?"),
    "unlike": ("xyz", [], 'unknown key "xyz"; the keys here are format, name, pages, fields, version, rules'),
    "of a field": ("fields[0].checks", "luhn", "unknown key \"checks\"; is it meant to be 'check'?"),
    "later": ("format", 2, ": format: the file has 2, and this version reads 1: it needs a newer version"),
    "earlier": ("format", 0, ": format: expected 1, got 0"),
    "name": ("name", 7, ": name: expected a text in double quotes, got 7"),
    "version": ("version", 2026, ": version: expected a text in double quotes, got 2026"),
    "blank": ("name", " ", "expected a text in double quotes that is not empty"),
    "long": ("name", "n" * 101, 'expected at most 100 characters, got 101: "nnn'),
    "no pages": ("pages", [], ": pages: expected a list of pages that is not empty, got []"),
    "no fields": ("fields", [], ": fields: expected a list of fields that is not empty, got []"),
    "no cells": (
        "fields[0].cells",
        [],
        ': fields[0].cells (of "ballots"): expected a list of cells that is not empty, got []',
    ),
    "no list": ("fields[0].cells", 4, "expected a list of cells, [...], got 4"),
    "three": (
        "fields[0].cells[1]",
        [1, 2, 3],
        ': fields[0].cells[1] (of "ballots"): expected 4 numbers, [x, y, width, height], got 3: [1, 2, 3]',
    ),
    "a text": (
        "fields[0].cells[0][2]",
        "9",
        'cells[0][2] (of "ballots"): expected a number from 0 to 100,000, got "9"',
    ),
    "negative": ("fields[0].cells[0][0]", -1, "expected a number from 0 to 100,000, got -1"),
    "huge": ("fields[0].cells[0][0]", 10**400, "expected a number from 0 to 100,000, got 1000"),
    "boolean": ("fields[0].cells[0][0]", True, "expected a number from 0 to 100,000, got true"),
    "half a pixel": ("pages[0].width", 400.5, ": pages[0].width: expected a whole number from 1 to 100,000, got 400.5"),
    "page 0": ("fields[0].page", 0, "expected 1, got 0; the form has 1 page, counted from 1"),
    "no digits": ("fields[0].digits", 0, "expected a whole number from 1 to 2, got 0; the field has 2 cells"),
    "few digits": ("fields[0].digits", {"least": 0}, "a field that is not required may be empty in any case"),
    "from": (
        "fields[0].digits",
        {"from": "rihgt"},
        'expected a side: left, right, either, got "rihgt"; is it meant to be',
    ),
    "required": ("fields[0].required", "yes", 'expected true or false, without quotes, got "yes"'),
    "check": ("fields[0].check", "luhm", "expected the name of a check: luhn, mod10_ean"),
    "check's name": ("fields[0].check", {"weights": [1]}, "'name' is missing"),
    "weights": (
        "fields[0].check",
        {"name": "mod11_weights", "weights": [1.5]},
        "expected a whole number from 0 to 1,000",
    ),
    "rules": ("rules", "a = b", ": rules: expected a list of rules, [...]"),
    "rule": ("rules", [""], ": rules[0]: expected a text in double quotes that is not empty"),
    "traversal": ("pages[0].image", "../../etc/passwd", "expected the name of a picture in the directory of the form"),
    "other slash": ("pages[0].image", "..\\page.png", "expected the name of a picture in the directory of the form"),
    "mark's corners": ("pages[0].marks", [{"id": 1, "corners": [[0, 0]]}], "expected 4 corners, got 1"),
    "mark's id": ("pages[0].marks", [{"id": MARK_IDS, "corners": [[0, 0], [9, 0], [9, 9], [0, 9]]}], "from 0 to 999"),
    "resolution": ("pages[0].dots_per_inch", 0, "expected a number from 10 to 10,000, got 0"),
}
# What its parts say of each other, which no schema can check.
SENSE = {
    "beyond": (
        "fields[0].cells[1]",
        [380, 20, 30, 40],
        "[380, 20, 30, 40] reaches beyond page 1, which is 400 x 300 pixels",
    ),
    "flat": ("fields[0].cells[1]", [40, 20, 0, 40], "expected a width and a height of at least 4 pixels of"),
    "parts of the page": ("fields[0].cells[1]", [0.1, 0.2, 0.05, 0.08], "at least 4 pixels of the page's picture, got"),
    "copied": (
        "fields[0].cells[1]",
        [12, 20, 30, 40],
        "covers more than half of fields[0].cells[0], [10, 20, 30, 40]; each cell has a place of its own",
    ),
    "inside": ("fields[0].cells[1]", [15, 25, 5, 5], "covers more than half of fields[0].cells[0]"),
    "a copied field": (
        "fields",
        [*FIELDS, {"name": "voters", "page": 1, "cells": [[90, 20, 30, 40], [38, 22, 30, 40]]}],
        ': fields[1].cells[1] (of "voters"): [38, 22, 30, 40] covers more than half of fields[0].cells[1] '
        '(of "ballots"), [40, 20, 30, 40]; each cell has a place of its own',
    ),
    "page": ("fields[0].page", 2, "expected 1, got 2; the form has 1 page, counted from 1"),
    "digits": ("fields[0].digits", 3, "expected a whole number from 1 to 2, got 3; the field has 2 cells"),
    "most": ("fields[0].digits", {"most": 3}, 'digits.most (of "ballots"): expected a whole number from 1 to 2'),
    "least": ("fields[0].digits", {"least": 2, "most": 1}, "expected 1, got 2; most is 1"),
    "twice": ("fields", FIELDS * 2, ': fields[1].name: "ballots" is also fields[0].name; rename one of them'),
    "pictures": ("pages", LEAST["pages"] * 2, ': pages[1].image: "page-1.png" is also pages[0].image'),
    "no weights": ("fields[0].check", "mod11_weights", 'expected weights, as in {"name": "mod11_weights", "weights"'),
    "whose": ("fields[0].check", {"name": "luhn", "weights": [2]}, "luhn has no weights; leave them out"),
    "rule": (
        "rules",
        ["ballots < 90", "balots < 90"],
        ": rules[1]: 'balots < 90', character 1: there is no field 'balots'; is it meant to be 'ballots'?",
    ),
    "too few weights": (
        "fields[0].check",
        {"name": "mod11_weights", "weights": [1]},
        'fields[0].check (of "ballots"): 1 weight for a number of 2 digits; give a weight for each digit',
    ),
    "weights of nothing": (
        "fields[0].check",
        {"name": "mod11_weights", "weights": [3, 0, 11]},
        'fields[0].check (of "ballots"): every number passes: all weights are divisible by 11',
    ),
    "nothing but check digits": (
        "fields[0].check",
        "iso7064_mod97_10",
        "iso7064_mod97_10 needs 3 digits at least, and the number has 2 at most",
    ),
    "control": ("fields[0].name", "a\nb", 'without control characters and without blanks at its ends, got "a\\nb"'),
    "surrogate": ("name", "\ud800", "without control characters and without blanks at its ends"),
    "itself": ("pages[0].image", "form.json", "expected the name of a picture in the directory of the form"),
    "counterclockwise": (
        "pages[0].marks",
        [{"id": 1, "corners": [[0, 0], [0, 9], [9, 9], [9, 0]]}],
        "expected four corners clockwise, beginning with the mark's own upper left",
    ),
    "crossed": ("pages[0].marks", [{"id": 1, "corners": [[0, 0], [9, 9], [9, 0], [0, 9]]}], "expected four corners"),
    "off": ("pages[0].marks", [{"id": 1, "corners": [[0, 0], [500, 0], [9, 9], [0, 9]]}], "a number from 0 to 400"),
    "same id": (
        "pages[0].marks",
        [{"id": 1, "corners": [[0, 0], [9, 0], [9, 9], [0, 9]]}] * 2,
        "two marks have the id 1",
    ),
}


@pytest.mark.parametrize("mistake", STRUCTURE)
def test_a_mistake_of_structure_is_named_and_the_schema_refuses_it_too(mistake: str) -> None:
    place, value, message = STRUCTURE[mistake]
    said = changed(place, value)
    assert message in refusal(said)
    assert not VALID.is_valid(said)


@pytest.mark.parametrize("mistake", SENSE)
def test_a_mistake_of_sense_is_named(mistake: str) -> None:
    place, value, message = SENSE[mistake]
    said = changed(place, value)
    assert message in refusal(said)
    assert VALID.is_valid(said)  # else it is a mistake of structure, and belongs there


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ", line 1, column 1: not JSON: Expecting value"),
        (b"{'format': 1}", ", line 1, column 2: not JSON: Expecting property name enclosed in double quotes"),
        (b'{"format": 1,}', ", line 1, column 1"),
        (b'{"format": 1}\n{}', ", line 2, column 1: not JSON: Extra data"),
        (b"[]", ": expected an object, {...}, got []"),
        (
            b'{"name": 1, "name": 2}',
            ', line 1, column 13: the key "name" stands twice in one object; remove one of the',
        ),
        (b'{"a": {"b": "}", "c": "c: \\"", "b": 1}}', ', line 1, column 32: the key "b" stands twice'),
        (b'{"a": {"b": [1]}, "b": 2,\n  "\\u0061": 3}', ', line 2, column 3: the key "a" stands twice'),
        (b'{"format": NaN}', ", line 1, column 12: NaN is no number that can be used; write a finite number"),
        (b'{"NaN": "NaN",\n "format": [NaN]}', ", line 2, column 13: NaN is no number"),
        (b'{"name": 99,\n "format": 1e999}', ", line 2, column 12: 1e999 is no number"),
        (b'{"x": 9,\n "format": ' + b"9" * 5000 + b"}", ", line 2, column 12: a number has thousands of digits"),
        (b'{"format": 1e999-5', ", line 1, column 12: 1e999 is no number"),
        (b'{"format": -Infinity}', ": -Infinity is no number"),
        (b'{"format": 1e999}', ": 1e999 is no number"),
        (b'{"format": ' + b"9" * 5000 + b"}", ": a number has thousands of digits"),
        (b'{"name": "caf\xe9"}', ": byte 13 is not UTF-8; save it as UTF-8"),
        ('{"name": "x"}'.encode("utf-16"), ": expected a text in UTF-8, got UTF-16; save it as UTF-8"),
        (b"[" * 100_000, ": lists or objects lie too deep in each other"),
        (b"\x89PNG\r\n\x1a\n", ": byte 0 is not UTF-8"),
    ],
)
def test_what_is_not_json_is_named(content: bytes, message: str) -> None:
    assert message in refusal(content)


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=100).filter(
    lambda name: name == name.strip()
)
IMAGES = st.from_regex(r"[a-z0-9 _.-]{1,40}\.png", fullmatch=True).filter(lambda name: name == name.strip())
WIDTH, HEIGHT = 4_000, 3_000


@st.composite
def any_form(draw: st.DrawFn) -> Form:
    images = draw(st.lists(IMAGES, min_size=1, max_size=3, unique=True))
    corners = st.builds(
        lambda x, y, side: ((x, y), (x + side, y), (x + side, y + side), (x, y + side)),
        st.integers(0, 1000) | st.floats(0, 1000),
        st.integers(0, 1000),
        st.integers(1, 100),
    )
    marks = st.lists(st.builds(Mark, st.integers(0, MARK_IDS - 1), corners), max_size=3, unique_by=lambda mark: mark.id)
    resolution = st.none() | st.floats(10, 10_000)
    pages = [FormPage(name, WIDTH, HEIGHT, draw(resolution), tuple(draw(marks))) for name in images]
    fields = draw(st.lists(any_field(len(pages)), min_size=1, max_size=4, unique_by=lambda field: field.name))
    fields = [below(field, 700 * at) for at, field in enumerate(fields)]
    named = [f'"{field.name}" >= 0' for field in fields if '"' not in field.name]
    rules = draw(st.lists(st.sampled_from(named), max_size=2)) if named else []
    return Form(draw(NAMES), draw(st.none() | NAMES), tuple(pages), tuple(fields), tuple(rules))


def below(field: Field, pixels: int) -> Field:
    """The field in a row of its own, so many pixels farther down."""
    return replace(field, cells=tuple(cell._replace(y=cell.y + pixels) for cell in field.cells))


@st.composite
def any_field(draw: st.DrawFn, pages: int) -> Field:
    number = draw(st.integers(1, 6))
    x, y = draw(st.floats(0, 1000)), draw(st.integers(0, 400) | st.floats(0, 400))
    width, height = draw(st.integers(4, 300) | st.floats(4, 300)), draw(st.floats(4, 300))
    cells = tuple(Box(x + at * width, y, width, height) for at in range(number))
    least = draw(st.integers(1, number))
    digits = Digits(least, draw(st.integers(least, number)), draw(st.sampled_from(SIDES)))
    possible = [each for each in checks.NAMES if checks.check_digits(each) < digits.most]
    name = draw(st.sampled_from([None, *possible]))
    weights = tuple(draw(st.lists(st.integers(1, 10), min_size=digits.most))) if name == "mod11_weights" else ()
    check = Check(name, weights) if name else None
    return Field(draw(NAMES), draw(st.integers(0, pages - 1)), cells, digits, draw(st.booleans()), check)


@given(any_form())
def test_what_is_written_reads_back_equal_and_the_schema_accepts_it(form: Form) -> None:
    content = as_json(form)
    assert parse(content, "form.json") == form
    VALID.validate(json.loads(content))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)), st.data())
def test_whatever_stands_somewhere_is_read_or_refused_with_a_sentence(value: Any, data: st.DataObject) -> None:
    places = ["name", "pages", "pages[0]", "pages[0].image", "pages[0].width", "pages[0].marks", "fields", "fields[0]"]
    places += ["fields[0].cells", "fields[0].cells[0]", "fields[0].cells[0][3]", "fields[0].digits", "fields[0].check"]
    said = changed(data.draw(st.sampled_from(places)), value)
    try:
        form = parse(json.dumps(said).encode(), "form.json")
    except InputError as refused:
        assert str(refused).startswith("form.json")
    else:
        VALID.validate(said)
        assert parse(as_json(form), "form.json") == form


def test_a_cell_is_written_on_one_line_and_texts_stay_as_they_are() -> None:
    form = parse(json.dumps(changed("name", "[ 1, 2 ]")).encode(), "form.json")
    lines = as_json(form).decode().splitlines()
    assert "        [10, 20, 30, 40]," in lines
    assert '  "name": "[ 1, 2 ]",' in lines


def test_the_example_in_the_documentation_is_a_form() -> None:
    page = (ROOT / "docs/forms.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    form = parse(example.encode(), "form.json")
    VALID.validate(json.loads(example))
    assert form.fields[0].check == Check("luhn")
    assert form.fields[1].digits == Digits(1, 3, "right")
    assert form.fields[3].page == 1
    assert form.rules == ("voters = women + men",)


def test_the_documentation_names_every_key_and_check() -> None:
    page = (ROOT / "docs/forms.md").read_text()
    keys = {
        *SCHEMA["properties"],
        *(key for part in SCHEMA["$defs"].values() for key in part.get("properties", {})),
        *checks.NAMES,
    }
    assert {key for key in keys if f"`{key}`" not in page and f'"{key}"' not in page} == set()


def test_the_messages_in_the_documentation_are_the_real_ones() -> None:
    page = (ROOT / "docs/forms.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    said = json.loads(example)
    short, misspelt = deepcopy(said), {**said, "feilds": []}
    short["fields"][3]["cells"][2].pop()
    for mistake in (short, misspelt):
        assert f"    --form turnout/form.json{refusal(mistake)}\n" in page


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_knows_the_words_of_the_parser() -> None:
    assert tuple(SCHEMA["$defs"]["check_name"]["enum"]) == checks.NAMES
    assert tuple(SCHEMA["$defs"]["digits"]["properties"]["from"]["enum"]) == SIDES
