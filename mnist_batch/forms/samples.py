"""A form to try things with: a tally sheet, filled in with given digits and scanned."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_batch.forms import checks
from mnist_batch.forms.checks import Check
from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
DOTS_PER_INCH = 150
WIDTH, HEIGHT = 1240, 1754
CELL, GAP = 54, 6
NAME = "tally"
# Each field: its name, what is printed before it, how many cells it has, and where its number is written from.
FIELDS = (
    ("station", "Polling station", 4, "left"),
    ("list_a", "Votes for list A", 4, "right"),
    ("list_b", "Votes for list B", 4, "right"),
    ("list_c", "Votes for list C", 4, "right"),
    ("total", "Votes in all", 5, "right"),
    ("sheet", "Sheet number", 8, "left"),
)
EXACT = ("station", "sheet")  # all cells of these hold a digit
LEFT, TOP, STEP = 620, 400, 170
FAINT, INK, PAPER = 150, 40, 245


def write(folder: Path, pages: int, pictures: NDArray[np.uint8], labels: NDArray[Any], seed: int = 1) -> None:
    """Write a form and so many filled-in pages of it below ``folder``, with digits drawn from ``pictures``.

    ``pictures`` are uint8 (N, 28, 28), ink = 255, of the digits ``labels``. The form is ``form/``. Of the pages, which
    go to ``pages/``, the last five are TIFFs and the others are in ``stack.pdf``, which ends with a blank back and a
    letter. ``truth.csv`` has the numbers in their fields.
    """
    random = np.random.default_rng(seed)
    (folder / "form").mkdir(parents=True, exist_ok=True)
    (folder / "pages").mkdir(exist_ok=True)
    (folder / "form/form.json").write_text(json.dumps(_described(), indent=1))
    blank = _blank()
    Image.fromarray(blank).save(folder / "form/page-1.png", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    drawn, rows = [], list[tuple[str, int, str, str]]()
    for number in range(pages):
        scan, page = ("stack.pdf", number) if number < pages - 5 else (f"sheet-{number + 1:03d}.tif", 0)
        values = dict(_numbers(random))
        rows += [(scan, page, name, value) for name, value in values.items()]
        drawn.append(_scanned(_filled(blank, values, pictures, labels, random), random))
    back, letter = np.full_like(blank, PAPER), _letter()
    stack = [Image.fromarray(page) for page in (*drawn[: pages - 5], back, letter)]
    stack[0].save(
        folder / "pages/stack.pdf", save_all=True, append_images=stack[1:], resolution=DOTS_PER_INCH, quality=85
    )
    for number, sheet in enumerate(drawn[pages - 5 :], pages - 5):
        bilevel = Image.fromarray(np.where(sheet < 150, 0, 255).astype(np.uint8)).convert("1")
        name = folder / f"pages/sheet-{number + 1:03d}.tif"
        bilevel.save(name, compression="group4", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    with (folder / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("scan", "page", "field", "value"), *rows])


def _cells(row: int, count: int) -> list[list[int]]:
    return [[LEFT + at * (CELL + GAP), TOP + row * STEP, CELL, CELL + 8] for at in range(count)]


def _described() -> dict[str, Any]:
    fields: list[dict[str, Any]] = []
    for row, (name, _, count, side) in enumerate(FIELDS):
        digits = {"least": count if name in EXACT else 1, "most": count, "from": side}
        fields.append({"name": name, "page": 1, "cells": _cells(row, count), "digits": digits, "required": True})
    fields[-1]["check"] = "luhn"
    page = {"image": "page-1.png", "width": WIDTH, "height": HEIGHT, "dots_per_inch": DOTS_PER_INCH}
    rules = ["total = list_a + list_b + list_c"]
    return {"format": 1, "name": NAME, "pages": [page], "fields": fields, "rules": rules}


def _text(page: Grey, text: str, x: int, y: int, size: float) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, INK, max(1, round(2 * size)), cv2.LINE_AA)


def _blank() -> Grey:
    page = np.full((HEIGHT, WIDTH), PAPER, np.uint8)
    _text(page, "Tally sheet", 110, 170, 2.2)
    _text(page, "One digit in each box. Write with a dark pen.", 112, 240, 0.9)
    cv2.line(page, (110, 290), (WIDTH - 110, 290), INK, 3)
    for row, (_, printed, count, _) in enumerate(FIELDS):
        _text(page, printed, 112, TOP + row * STEP + 44, 1.1)
        for x, y, width, height in _cells(row, count):
            cv2.rectangle(page, (x, y), (x + width, y + height), FAINT, 2)
    cv2.line(page, (110, 1480), (WIDTH - 110, 1480), INK, 3)
    _text(page, "Signed by two counters:", 112, 1560, 0.9)
    return page


def _letter() -> Grey:
    page = np.full((HEIGHT, WIDTH), PAPER, np.uint8)
    for line in range(24):
        _text(
            page, "This page is a letter, and none of the forms. " * (2 if line % 5 else 1), 110, 200 + 55 * line, 0.7
        )
    return page


def _numbers(random: np.random.Generator) -> Iterator[tuple[str, str]]:
    lists = [int(random.integers(1, 3_000)) for _ in "abc"]
    yield "station", f"{random.integers(10_000):04d}"
    yield from zip(("list_a", "list_b", "list_c"), map(str, lists), strict=True)
    yield "total", str(sum(lists))
    body = f"{random.integers(10**7):07d}"
    yield "sheet", next(body + last for last in "0123456789" if checks.passes(Check("luhn"), body + last))


def _filled(
    blank: Grey, values: dict[str, str], pictures: Grey, labels: NDArray[Any], random: np.random.Generator
) -> Grey:
    page = blank.copy()
    for row, (name, _printed, count, side) in enumerate(FIELDS):
        value = values[name]
        first = count - len(value) if side == "right" else 0
        for digit, (x, y, width, height) in zip(value, _cells(row, count)[first:], strict=False):
            picture = pictures[random.choice(np.flatnonzero(labels == int(digit)))]
            size = int(random.integers(46, 56))
            ink = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
            left, top = (
                int(at + (side_of - size) // 2 + random.integers(-4, 5)) for at, side_of in ((x, width), (y, height))
            )
            under = page[top : top + size, left : left + size]
            under[:] = np.minimum(under, under * (1 - ink) + 30 * ink)
    for start in (500, 800):  # signatures
        points = [(start + 12 * at, 1550 + int(random.normal(0, 18))) for at in range(18)]
        cv2.polylines(page, [np.array(points, np.int32)], False, 60, 2, cv2.LINE_AA)
    return page


def _scanned(page: Grey, random: np.random.Generator) -> Grey:
    """The page as a scanner delivers it: a little askew, with noise, and one in six upside down."""
    askew = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), random.uniform(-2, 2), random.uniform(0.97, 1.0))
    askew[:, 2] += random.uniform(-12, 12, 2)
    laid = cv2.warpAffine(page, askew, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderValue=PAPER)
    noisy = laid + random.normal(0, 4, laid.shape)
    scanned: Grey = np.clip(noisy, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(scanned[::-1, ::-1]) if random.random() < 1 / 6 else scanned
