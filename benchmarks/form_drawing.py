"""Printed forms whose every box is known, their siblings, and pages that are none of them.

A form is drawn at 200 dots per inch on A4. A seed gives each form its own sizes and wording; siblings that have the
same seed differ in what makes them siblings only. The upper left corner of a picture is (0, 0).
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import form_words as words_of
from benchmarks.form_printing import DOTS_PER_INCH, HEIGHT, WIDTH, Look, Print, font
from benchmarks.form_words import Words
from benchmarks.handwriting import Grey, Random
from mnist_batch.forms import marks
from mnist_batch.forms.form import Mark

LEFT, RIGHT = 130, 1524  # of what is printed
MARK_SIDE, MARK_MARGIN = 8.0, 10.0  # millimetres: of a mark, and from the edges of its page


@dataclass(frozen=True)
class FormDrawing:
    """A form as ``form.json`` holds it, and its blank pages: uint8 (H, W), or (H, W, 3) as BGR where it is coloured."""

    form_json: dict[str, Any]
    pictures: tuple[Grey, ...]

    @property
    def name(self) -> str:
        """The form's name."""
        return str(self.form_json["name"])

    def fields(self, page: int) -> list[dict[str, Any]]:
        """The fields on a page, counted from 0."""
        return [field for field in self.form_json["fields"] if field["page"] == page + 1]

    def corners(self, page: int) -> dict[tuple[str, int], NDArray[np.float64]]:
        """The corners of each cell of a page by field and position: (4, 2), clockwise from the upper left."""
        return {
            (field["name"], position): np.array([[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]], float)
            for field in self.fields(page)
            for position, (x, y, wide, high) in enumerate(field["cells"])
        }


@dataclass(frozen=True)
class Row:
    """A field to print: how many cells, whether they stand apart, and what ``form.json`` says of it."""

    name: str
    count: int
    apart: bool = False
    facts: tuple[tuple[str, Any], ...] = ()


def _row(name: str, count: int, apart: bool = False, **facts: Any) -> Row:
    return Row(name, count, apart, tuple(facts.items()))


def _number(most: int) -> dict[str, Any]:
    return {"least": 1, "most": most, "from": "right"}


def _amounts(*names: str, most: int = 5, apart: bool = False) -> tuple[Row, ...]:
    return tuple(_row(name, most, apart, digits=_number(most)) for name in names)


@dataclass(frozen=True)
class Design:
    """What a form is made of: its words, the rows of each section, where cells begin, the style of its cells, rules."""

    words: Words
    sections: tuple[tuple[Row, ...], ...]
    indent: int
    style: str
    rules: tuple[str, ...] = ()


COUNTS = (
    *_amounts("registered", "cards"),
    _row("ballots", 5, True, digits=_number(5), required=True),
    *_amounts("spoilt", "empty", most=4),
    _row("valid", 5, True, digits=_number(5), required=True),
    *_amounts("list_a", "list_b"),
    *_amounts("list_c", most=4),
)
TURNOUT = Design(
    words_of.TURNOUT,
    (
        (_row("station", 6, digits=6, required=True), _row("district", 3, True), _row("date", 8, True, digits=8)),
        COUNTS,
        (
            _row("account", 12, digits=12, check="luhn"),
            _row("reference", 10, True, digits=10, check="iso7064_mod97_10"),
        ),
    ),
    700,
    "boxes",
    ("valid = list_a + list_b + list_c", "ballots = valid + spoilt + empty"),
)
CLAIM = Design(
    words_of.CLAIM,
    (
        (_row("staff", 8, digits=8, check="luhn"), _row("bank", 12)),
        (_row("date", 8, digits=8), *_amounts("distance", most=4), _row("nights", 1)),
        (*_amounts("fares", "meals", "lodging", "parking"), *_amounts("total", most=6)),
    ),
    560,
    "comb",
    ("total = fares + meals + lodging + parking",),
)
STOCK = Design(
    words_of.STOCK,
    (
        (_row("depot", 4, digits=4, required=True), _row("aisle", 2), _row("bay", 3)),
        _amounts("bolts", "nuts", "washers", "screws", "hinges", "handles", "springs"),
        _amounts("sum", most=7),
    ),
    850,
    "lines",
    ("sum = bolts + nuts + washers + screws + hinges + handles + springs",),
)
ORDER = Design(
    words_of.ORDER,
    (
        (_row("customer", 9, digits=9, check="iso7064_mod97_10"),),
        tuple(_row(f"part_{number}", 7, number % 2 == 0, digits=7) for number in range(1, 8)),
        (_row("date", 8, True, digits=8), *_amounts("pieces", most=3)),
    ),
    480,
    "tinted",
)
METERS = Design(
    words_of.METERS,
    (
        (_row("household", 10, digits=10, check="luhn"), _row("reader", 4, True)),
        _amounts("power_by_day", "power_by_night", "gas", "heat", "water", "garden_water", most=7, apart=True),
        _amounts("kitchen_cold", "kitchen_hot", "bath_cold", "bath_hot", most=6),
        (_row("persons", 1), _row("rooms", 2, True), _row("telephone", 11)),
    ),
    640,
    "boxes",
)


def _heading(page: Print, random: Random, words: Words, edition: str) -> int:
    """Print a title, the edition, an emblem and what to do; say where they end."""
    page.draw.ellipse((LEFT, 90, LEFT + 86, 176), outline="#101010", width=4)
    page.draw.polygon([(LEFT + 20, 152), (LEFT + 44, 106), (LEFT + 68, 152)], "#202020")
    page.text((LEFT + 112, 92), words.title, 50, bold=True)
    page.text((LEFT + 112, 152), words.edition.format(edition), 24)
    page.text((RIGHT, 104), words.edition.format(edition).split(",")[0].split()[-1], 58, bold=True, anchor="ra")
    page.rule((LEFT, 196), (RIGHT, 196), 3)
    chosen = [words.sentences[at] for at in random.permutation(len(words.sentences))[:4]]
    return page.paragraph((LEFT, 214), RIGHT - LEFT, " ".join(chosen)) + 14


def _section(page: Print, y: int, title: str) -> int:
    page.draw.rectangle((LEFT, y, RIGHT, y + 38), "#d8d8d8")
    page.text((LEFT + 12, y + 19), title, 26, bold=True, anchor="lm")
    return y + 54


def _rows(page: Print, y: int, rows: Sequence[Row], look: Look, words: Words, indent: int) -> int:
    """Print fields below each other, each label with dots that lead to its cells."""
    for row in rows:
        groups = (2, 2) if row.name == "date" else ()
        cells = look.cells(LEFT + indent, y, row.count, row.apart, groups)
        if cells[-1][0] + look.wide > RIGHT:
            cells = look.cells(RIGHT - cells[-1][0] - look.wide + LEFT + indent, y, row.count, row.apart, groups)
        label = words.label(row.name)
        middle, start = y + look.high // 2, LEFT + font(26).getlength(label) + 14
        page.text((LEFT, middle), label, 26, anchor="lm")
        for x in range(round(start), cells[0][0] - 16, 12):
            page.draw.ellipse((x, middle + 8, x + 2, middle + 10), "#303030")
        page.field(row.name, cells, look.style, look.line, **dict(row.facts))
        y += look.pitch
    return y + 8


def _foot(page: Print, random: Random, words: Words, y: int) -> None:
    """Print the place to sign, the office's own box, and small print, where there is room below ``y``."""
    bottom = HEIGHT - 90
    y = max(y + 20, bottom - 300)
    page.box((LEFT, y, 560, bottom - 60 - y), 2)
    page.text((LEFT + 12, y + 10), words.office_use, 20)
    page.rule((LEFT + 640, bottom - 110), (RIGHT, bottom - 110), 2)
    page.text((LEFT + 640, bottom - 102), words.signature, 20)
    small = [words.sentences[at] for at in random.permutation(len(words.sentences))[:2]]
    page.paragraph((LEFT, bottom - 44), RIGHT - LEFT, " ".join(small), 18)


def _page(
    random: Random, design: Design, parts: Sequence[int], number: int = 0, edition: str = "2026", colour: bool = False
) -> Print:
    """A page with some of a design's sections."""
    page, look, words = Print(number, colour), Look.of(random, design.style), design.words
    y = _heading(page, random, words, edition)
    for part in parts:
        y = _rows(page, _section(page, y, words.sections[part]), design.sections[part], look, words, design.indent)
    if sum(len(design.sections[part]) for part in parts) < 8:
        y = page.paragraph((LEFT, y + 20), RIGHT - LEFT, " ".join(words.sentences))
    _foot(page, random, words, y)
    return page


def _of(name: str, random: Random, design: Design, edition: str = "2026", colour: bool = False) -> FormDrawing:
    """A form of one page."""
    page = _page(random, design, range(len(design.sections)), edition=edition, colour=colour)
    return _json(name, edition, [page], design.rules)


def _two_pages(random: Random) -> FormDrawing:
    pages = [_page(random, METERS, parts, at, f"2026, page {at + 1} of 2") for at, parts in enumerate(((0, 1), (2, 3)))]
    return _json("two_page", "2026", pages)


def _dense(random: Random) -> Print:
    """A table of 25 rows and 4 columns of three cells each."""
    page, wide, high = Print(), int(random.integers(50, 56)), int(random.integers(58, 62))
    page.text((LEFT, 80), "Daily takings of the stalls", 44, bold=True)
    page.text((LEFT, 140), "Sheet M-3, edition 2026. One figure in each box; amounts in whole coins.", 24)
    lefts = [LEFT + 240 + column * (3 * wide + 120) for column in range(4)]
    for column, x in enumerate(lefts):
        page.text((x + 1.5 * wide, 232), ("Morning", "Noon", "Evening", "Total")[column], 26, anchor="ms")
    places = ("Fish", "Bread", "Fruit", "Flowers", "Cheese", "Tea", "Books", "Cloth", "Tools", "Toys")
    for row in range(25):
        y = 250 + row * (high + 18)
        page.text((LEFT, y + high / 2), f"{row + 1:2}  {places[int(random.integers(len(places)))]}", 26, anchor="lm")
        for column, x in enumerate(lefts):
            cells = [[x + at * wide, y, wide, high] for at in range(3)]
            page.field(f"r{row + 1}_{'abcd'[column]}", cells, "boxes", digits=_number(3))
    page.box((LEFT - 14, 190, RIGHT - LEFT + 28, 250 + 25 * (high + 18) - 190), 3)
    return page


def _marked(random: Random) -> FormDrawing:
    """A form with next to nothing on it but marks in its corners."""
    page, look = Print(), Look.of(random, "boxes")
    page.text((LEFT, 260), words_of.METERS.title, 40, bold=True)
    _rows(page, 400, (*METERS.sections[0], *METERS.sections[3]), look, words_of.METERS, 640)
    drawing = _json("marked", "2026", [page])
    printed = corner_marks(WIDTH, HEIGHT, DOTS_PER_INCH, 4 * int(random.integers(10)))
    drawing.form_json["pages"][0]["marks"] = [
        {"id": mark.id, "corners": list(map(list, mark.corners))} for mark in printed
    ]
    return replace(drawing, pictures=(marks.draw(drawing.pictures[0], printed),))


def corner_marks(width: int, height: int, dots_per_inch: float, first: int = 0) -> tuple[Mark, ...]:
    """Four marks for the corners of a page of this size in pixels, clockwise, with ids that begin with ``first``."""
    side, margin = (millimetres * dots_per_inch / 25.4 for millimetres in (MARK_SIDE, MARK_MARGIN))
    left, top, right, foot = margin, margin, width - margin - side, height - margin - side
    corners = ((left, top), (right, top), (right, foot), (left, foot))
    return tuple(
        Mark(first + number, ((x, y), (x + side, y), (x + side, y + side), (x, y + side)))
        for number, (x, y) in enumerate(corners)
    )


def _later(random: Random) -> Random:
    """The generator after a draw, so that all it decides differs."""
    random.random()
    return random


def _json(name: str, version: str | None, pages: Sequence[Print], rules: Sequence[str] = ()) -> FormDrawing:
    described = [
        {"image": f"page-{at + 1}.png", "width": WIDTH, "height": HEIGHT, "dots_per_inch": DOTS_PER_INCH}
        for at in range(len(pages))
    ]
    fields = [field for page in pages for field in page.fields]
    form_json = {"format": 1, "name": name, "version": version, "pages": described, "fields": fields}
    return FormDrawing(form_json | ({"rules": list(rules)} if rules else {}), tuple(page.picture() for page in pages))


def _letter(random: Random) -> Print:
    page, y = Print(), 620
    page.text((LEFT, 120), "Harbour Supplies and Sons", 40, bold=True)
    for line in ("14 Quay Street", "Old Town", "2 March 2026"):
        page.text((LEFT, 220 + 40 * ("14 Quay Street", "Old Town", "2 March 2026").index(line)), line, 28)
    for _ in range(int(random.integers(3, 6))):
        chosen = random.permutation(len(words_of.CLAIM.sentences))[:4]
        y = page.paragraph((LEFT, y), RIGHT - LEFT, " ".join(words_of.CLAIM.sentences[at] for at in chosen), 28) + 30
    page.text((LEFT, y + 60), "Yours faithfully", 28)
    return page


def _invoice(random: Random) -> Print:
    page, y = Print(), 700
    page.text((RIGHT, 120), f"Invoice {int(random.integers(1000, 9999))}", 48, bold=True, anchor="ra")
    page.paragraph((LEFT, 260), 600, "Market Hall Ltd. 3 Bridge Road. Bank account 0049 2231 7780.", 28)
    for _ in range(int(random.integers(8, 16))):
        page.rule((LEFT, y), (RIGHT, y), 2)
        page.text((LEFT + 10, y + 14), words_of.ORDER.sentences[int(random.integers(6))][:44], 26)
        page.text((RIGHT - 10, y + 14), f"{random.uniform(1, 999):.2f}", 26, anchor="ra")
        y += 60
    for x in (LEFT, RIGHT - 240, RIGHT):
        page.rule((x, 700), (x, y), 2)
    page.rule((LEFT, y), (RIGHT, y), 2)
    return page


def _timetable(random: Random) -> Print:
    page, columns, rows = Print(), int(random.integers(6, 12)), int(random.integers(20, 30))
    page.text((LEFT, 100), "Times of departure", 44, bold=True)
    wide, high = (RIGHT - LEFT) / columns, 2000 / rows
    for row in range(rows):
        for column in range(columns):
            x, y = LEFT + column * wide, 200 + row * high
            page.box((round(x), round(y), round(wide), round(high)), 2)
            page.text((x + wide / 2, y + high / 2), f"{random.integers(5, 24):02}:{random.integers(60):02}", 24,
                      anchor="mm")  # fmt: skip
    return page


FORMS: dict[str, Callable[[Random], FormDrawing]] = {
    "boxes": lambda random: _of("boxes", random, TURNOUT),
    "combs": lambda random: _of("combs", random, CLAIM),
    "two_page": _two_pages,
    "lines": lambda random: _of("lines", random, STOCK),
    "dense": lambda random: _json("dense", "2026", [_dense(random)]),
    "marked": _marked,
    "coloured": lambda random: _of("coloured", random, ORDER, colour=bool(random.integers(2))),
}
# Of boxes: a field is inserted in another version, so that those below lie lower; the edition in German has the same
# boxes; a variant has the same words, but cells of another size and style.
INSERTED = (*COUNTS[:2], _row("proxies", 4, digits=_number(4)), *COUNTS[2:])
SECTIONS = (TURNOUT.sections[0], INSERTED, TURNOUT.sections[2])
SIBLINGS: dict[str, Callable[[Random], FormDrawing]] = {
    "other_version": lambda random: _of("boxes", random, replace(TURNOUT, sections=SECTIONS), "2027"),
    "other_language": lambda random: _of("boxes_german", random, replace(TURNOUT, words=words_of.TURNOUT_IN_GERMAN)),
    "variant": lambda random: _of("boxes_variant", _later(random), replace(TURNOUT, style="comb", indent=690)),
}


def _version(
    number: int, *counts: Row, indent: int = TURNOUT.indent, last: Sequence[Row] = ()
) -> Callable[[Random], FormDrawing]:
    """A version of boxes with other rows in its second section, more after its last, or with cells elsewhere."""
    sections = (TURNOUT.sections[0], counts, (*TURNOUT.sections[2], *last))
    design = replace(TURNOUT, sections=sections, indent=indent, rules=())
    return lambda random: _of("boxes", random, design, f"20{number}")


# Versions of boxes that differ in little else than the edition: what was found wrong, each in one way.
VERSIONS: dict[str, Callable[[Random], FormDrawing]] = {
    "rows swapped": _version(27, COUNTS[1], COUNTS[0], *COUNTS[2:]),
    "a row with another label": _version(28, *COUNTS[:6], *_amounts("proxies"), *COUNTS[7:]),
    "a row left out": _version(29, *COUNTS[:4], *COUNTS[5:]),
    "two rows added": _version(30, *COUNTS[:3], *_amounts("officers", "hours", most=4), *COUNTS[3:]),
    "a row added at the end of a section": _version(31, *COUNTS, *_amounts("officers")),
    "a longer field": _version(32, *COUNTS[:3], *_amounts("spoilt", most=6), *COUNTS[4:]),
    "columns moved": _version(33, *COUNTS, indent=TURNOUT.indent - 60),
    "a row added at the foot": _version(34, *COUNTS, last=_amounts("officers", most=4)),
}
STRANGERS: dict[str, Callable[[Random], FormDrawing]] = {
    "letter": lambda random: _json("letter", None, [_letter(random)]),
    "invoice": lambda random: _json("invoice", None, [_invoice(random)]),
    "timetable": lambda random: _json("timetable", None, [_timetable(random)]),
}


@cache
def form(name: str, seed: int = 0) -> FormDrawing:
    """A form of ``FORMS``, a sibling or version of ``boxes``, or a stranger: the same for the same seed."""
    likeness = "boxes" if name in SIBLINGS or name in VERSIONS else name
    return (FORMS | SIBLINGS | VERSIONS | STRANGERS)[name](np.random.default_rng([zlib.crc32(likeness.encode()), seed]))
