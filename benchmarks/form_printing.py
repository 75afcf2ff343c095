"""A page that is being printed: text, rules, and cells of every style, at 200 dots per inch on A4."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.handwriting import Grey, Random

DOTS_PER_INCH = 200
WIDTH, HEIGHT = 1654, 2339
COLOURED_INK = (238, 188, 150)  # drops out in the red of a scanner


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
        half = width // 2
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
