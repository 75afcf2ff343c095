"""Printed forms whose every box is known, their siblings, and pages that are none of them.

A form is drawn at 200 dots per inch on A4. A seed gives each form its own sizes and wording; siblings that have the
same seed differ in what makes them siblings only. Coordinates are OpenCV's: a whole number is the middle of a pixel.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.form_words import ENGLISH, GERMAN, Words
from benchmarks.handwriting import Grey, Random

DOTS_PER_INCH = 200
WIDTH, HEIGHT = 1654, 2339
LEFT, RIGHT = 130, 1524  # of what is printed
COLOURED_INK = (238, 188, 150)  # drops out in the red of a scanner


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


class Print:
    """A page being printed: text, rules and cells, and the fields on it so far."""

    def __init__(self, number: int = 0, colour: bool = False) -> None:
        self.number = number
        self.image = Image.new("RGB" if colour else "L", (WIDTH, HEIGHT), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.fields: list[dict[str, Any]] = []

    def text(self, at: tuple[float, float], words: str, size: int = 26, bold: bool = False, anchor: str = "la") -> None:
        """Print words; ``anchor`` is Pillow's."""
        self.draw.text(at, words, "#101010", font(size), anchor, stroke_width=0.6 if bold else 0)

    def paragraph(self, at: tuple[int, int], width: int, words: str, size: int = 24) -> int:
        """Print words as lines of at most ``width``, and say where the next line would be."""
        line, y = "", at[1]
        for word in words.split():
            longer = f"{line} {word}".strip()
            if line and font(size).getlength(longer) > width:
                self.text((at[0], y), line, size)
                line, y = word, y + round(1.35 * size)
            else:
                line = longer
        self.text((at[0], y), line, size)
        return y + round(1.35 * size)

    def box(self, box: Sequence[float], width: int = 2, fill: Any = None, outline: Any = "#101010") -> None:
        """Print a box whose line has its middle at the box's edges."""
        x, y, wide, high = box
        half = (width - 1) // 2
        outer = (x - half, y - half, x + wide + width - 1 - half, y + high + width - 1 - half)
        self.draw.rectangle(outer, fill, outline if width else None, width)

    def rule(self, start: tuple[float, float], end: tuple[float, float], width: int = 2) -> None:
        """Print a line."""
        self.draw.line((start, end), "#101010", width)

    def field(self, name: str, cells: Sequence[Sequence[int]], style: str, width: int = 2, **facts: Any) -> None:
        """Print the cells of a field and note it; ``style`` is one of ``STYLES``."""
        STYLES[style](self, cells, width)
        self.fields.append({"name": name, "page": self.number + 1, "cells": [list(cell) for cell in cells], **facts})

    def picture(self) -> Grey:
        """The page: uint8 (H, W), or (H, W, 3) as BGR."""
        return np.ascontiguousarray(np.asarray(self.image)[..., ::-1] if self.image.mode == "RGB" else self.image)


@cache
def font(size: int) -> Any:
    """Pillow's own font, in pixels."""
    return ImageFont.load_default(size)


def _frames(page: Print, cells: Sequence[Sequence[int]], width: int) -> None:
    for cell in cells:
        page.box(cell, width)


def _comb(page: Print, cells: Sequence[Sequence[int]], width: int) -> None:
    x, y, _, high = cells[0]
    page.box((x, y, cells[-1][0] + cells[-1][2] - x, high), width)
    for left, *_ in cells[1:]:
        page.rule((left, y + high), (left, y + 0.62 * high), width)


def _lines(page: Print, cells: Sequence[Sequence[int]], width: int) -> None:
    x, y, _, high = cells[0]
    end = cells[-1][0] + cells[-1][2]
    page.rule((x, y + high), (end, y + high), width)
    for left in [*(cell[0] for cell in cells), end]:
        page.rule((left, y + high), (left, y + 0.75 * high), width)


def _tinted(page: Print, cells: Sequence[Sequence[int]], _: int) -> None:
    colour = COLOURED_INK if page.image.mode == "RGB" else 214
    x, y, _, high = cells[0]
    page.box((x - 8, y - 8, cells[-1][0] + cells[-1][2] - x + 16, high + 16), 0, colour)
    for left, top, wide, tall in cells:
        page.box((left + 3, top + 3, wide - 6, tall - 6), 0, "white")


STYLES: dict[str, Callable[[Print, Sequence[Sequence[int]], int], None]] = {
    "boxes": _frames,
    "comb": _comb,
    "lines": _lines,
    "tinted": _tinted,
}


@dataclass(frozen=True)
class Look:
    """How the cells of a form look, in pixels; ``gap`` is between the cells that stand apart."""

    style: str
    wide: int
    high: int
    pitch: int
    gap: int
    line: int

    @classmethod
    def of(cls, random: Random, style: str) -> "Look":
        """Sizes as a seed gives them."""
        wide, high = int(random.integers(46, 60)), int(random.integers(60, 74))
        return cls(style, wide, high, high + int(random.integers(20, 28)), int(random.integers(8, 16)),
                   int(random.integers(2, 4)))  # fmt: skip

    def cells(self, x: int, y: int, count: int, apart: bool = False, groups: Sequence[int] = ()) -> list[list[int]]:
        """The boxes of a field from its upper left; after each of the first ``groups`` of cells is a wider gap."""
        gap = self.gap if apart and self.style in ("boxes", "tinted") else 0
        ends, cells = set(np.cumsum(groups).tolist()), []
        for at in range(count):
            x += 24 if at in ends else 0
            cells.append([x, y, self.wide, self.high])
            x += self.wide + gap
        return cells


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


STATION = (_row("station", 6, digits=6, required=True), _row("district", 3, True), _row("date", 8, True, digits=8))
COUNTS = (
    _row("registered", 5, digits=_number(5)),
    _row("cards", 5, digits=_number(5)),
    _row("ballots", 5, True, digits=_number(5), required=True),
    _row("spoilt", 4, digits=_number(4)),
    _row("empty", 4, digits=_number(4)),
    _row("valid", 5, True, digits=_number(5), required=True),
    _row("list_a", 5, digits=_number(5)),
    _row("list_b", 5, digits=_number(5)),
    _row("list_c", 4, digits=_number(4)),
)
ACCOUNT = (
    _row("account", 12, digits=12, check="luhn"),
    _row("reference", 10, True, digits=10, check="iso7064_mod97_10"),
)
HOURS = (_row("officers", 1), _row("hours", 3, True), _row("minutes", 2))
RULES = ("valid = list_a + list_b + list_c", "ballots = valid + spoilt + empty")


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


def _rows(page: Print, y: int, rows: Sequence[Row], look: Look, words: Words, indent: int = 700) -> int:
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


def _turnout(
    random: Random, style: str, words: Words = ENGLISH, edition: str = "2026", inserted: bool = False
) -> Print:
    """A return on one page, in a style of cell; ``inserted``: with one field more, below which all lies lower."""
    page, look = Print(colour=style == "tinted" and bool(random.integers(2))), Look.of(random, style)
    y = _heading(page, random, words, edition)
    counts = (*COUNTS[:2], _row("proxies", 4, digits=_number(4)), *COUNTS[2:]) if inserted else COUNTS
    for title, rows in zip(words.sections, (STATION, counts, ACCOUNT), strict=False):
        y = _rows(page, _section(page, y, title), rows, look, words)
    _foot(page, random, words, y)
    return page


def _two_pages(random: Random) -> list[Print]:
    """The return on two pages."""
    look, pages = Look.of(random, "boxes"), [Print(0), Print(1)]
    for page, parts in zip(pages, ((0, 1), (2, 3)), strict=True):
        y = _heading(page, random, ENGLISH, f"2026, page {page.number + 1} of 2")
        for part in parts:
            rows = (STATION, COUNTS, ACCOUNT, HOURS)[part]
            y = _rows(page, _section(page, y, ENGLISH.sections[part]), rows, look, ENGLISH)
        if page.number == 1:
            y = page.paragraph((LEFT, y + 20), RIGHT - LEFT, " ".join(ENGLISH.sentences))
        _foot(page, random, ENGLISH, y)
    return pages


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
        chosen = random.permutation(len(ENGLISH.sentences))[:4]
        y = page.paragraph((LEFT, y), RIGHT - LEFT, " ".join(ENGLISH.sentences[at] for at in chosen), 28) + 30
    page.text((LEFT, y + 60), "Yours faithfully", 28)
    return page


def _invoice(random: Random) -> Print:
    page, y = Print(), 700
    page.text((RIGHT, 120), f"Invoice {int(random.integers(1000, 9999))}", 48, bold=True, anchor="ra")
    page.paragraph((LEFT, 260), 600, "Market Hall Ltd. 3 Bridge Road. Bank account 0049 2231 7780.", 28)
    for _ in range(int(random.integers(8, 16))):
        page.rule((LEFT, y), (RIGHT, y), 2)
        page.text((LEFT + 10, y + 14), ENGLISH.sentences[int(random.integers(10))][:44], 26)
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
    "boxes": lambda random: _json("boxes", "2026", [_turnout(random, "boxes")], RULES),
    "combs": lambda random: _json("combs", "2026", [_turnout(random, "comb")], RULES),
    "two_page": lambda random: _json("two_page", "2026", _two_pages(random), RULES),
    "lines": lambda random: _json("lines", "2026", [_turnout(random, "lines")], RULES),
    "dense": lambda random: _json("dense", "2026", [_dense(random)]),
    "coloured": lambda random: _json("coloured", "2026", [_turnout(random, "tinted")], RULES),
}
SIBLINGS: dict[str, Callable[[Random], FormDrawing]] = {
    "other_version": lambda random: _json(
        "boxes", "2027", [_turnout(random, "boxes", edition="2027", inserted=True)], RULES),
    "other_language": lambda random: _json("boxes_german", "2026", [_turnout(random, "boxes", GERMAN)], RULES),
}  # fmt: skip
STRANGERS: dict[str, Callable[[Random], FormDrawing]] = {
    "letter": lambda random: _json("letter", None, [_letter(random)]),
    "invoice": lambda random: _json("invoice", None, [_invoice(random)]),
    "timetable": lambda random: _json("timetable", None, [_timetable(random)]),
}


@cache
def form(name: str, seed: int = 0) -> FormDrawing:
    """A form of ``FORMS``, a sibling of ``boxes``, or a stranger: the same for the same seed."""
    likeness = "boxes" if name in SIBLINGS else name
    return (FORMS | SIBLINGS | STRANGERS)[name](np.random.default_rng([zlib.crc32(likeness.encode()), seed]))
