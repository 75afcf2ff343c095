"""Forms filled in by hand with digits that people wrote, and the truth of every cell."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks import form_voids
from benchmarks.form_drawing import FormDrawing
from benchmarks.form_printing import DOTS_PER_INCH, font
from benchmarks.handwriting import Cover, Digits, Grey, Random, enlarged, loop
from mnist_batch.learning import digits as mnist

BLANK, CROSSED, STRUCK = "blank", "crossed", "struck"
SIDE = 64  # of a digit taken from a Parquet file
Cell = tuple[str, int]  # the name of a field, and a position in it
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Written:
    """What a field holds: a label for each of its cells, ``"0"`` to ``"9"``, ``BLANK``, ``CROSSED`` or ``STRUCK``.

    ``value`` is its digits, empty where it has none; None where a digit was struck out, so that it has no number.
    """

    labels: tuple[str, ...]

    @property
    def value(self) -> str | None:
        """The number as it is written."""
        return None if STRUCK in self.labels else "".join(each for each in self.labels if each.isdigit())


@dataclass(frozen=True)
class Page:
    """A page with its truth: ``picture`` is uint8 (H, W), or (H, W, 3) as BGR; ``page`` counts from 0.

    ``expected`` is the verdict that is right for it. ``corners`` of each cell are float64 (4, 2) on this picture, and
    ``at`` maps points (N, 2) of the form to it. ``turn`` is by how many degrees clockwise the page lies turned.
    ``hidden`` are the cells of which a part is not on the picture. ``ink`` is the coverage of the digits as uint8
    (H, W), only before the page is disturbed. ``alone`` has each digit as it was written, on white paper without
    anything else: uint8 (h, w).
    """

    picture: Grey
    form: str
    page: int
    truth: Mapping[str, Written]
    corners: Mapping[Cell, Points]
    expected: str = "registered"
    dots_per_inch: tuple[float, float] = (DOTS_PER_INCH, DOTS_PER_INCH)
    turn: int = 0
    kind: str = "as filled in"
    hidden: frozenset[Cell] = frozenset()
    at: Callable[[Points], Points] = field(default=lambda points: points)
    ink: Grey | None = None
    alone: Mapping[Cell, Grey] = field(default_factory=dict)

    @property
    def is_bilevel(self) -> bool:
        """Whether the picture is black and white only."""
        return bool(np.isin(self.picture, (0, 255)).all())


def mnist_digits(part: str = "test") -> Digits:
    """The digits of MNIST that the models have not learned from."""
    return Digits(*mnist.mnist(part))


def digits_of(location: Path, part: str | None = None) -> Digits:
    """Digits from a Parquet file with the columns png, label and part: uint8 (N, ``SIDE``, ``SIDE``)."""
    table = pq.read_table(location, filters=[("part", "=", part)] if part else None)
    pictures = np.zeros((table.num_rows, SIDE, SIDE), np.uint8)
    for at, png in enumerate(table["png"].to_pylist()):
        grey = np.asarray(Image.open(io.BytesIO(png)).convert("L"), np.float32)
        paper, ink = np.percentile(grey, (80, 1))
        cover = ((paper - grey) / max(paper - ink, 1) - 0.25).clip(0, 0.6) / 0.6
        high, wide = grey.shape
        pictures[at, (SIDE - high) // 2 :, (SIDE - wide) // 2 :][:high, :wide] = cover * 255
    return Digits(pictures, np.array(table["label"].to_pylist(), np.int8))


@dataclass(frozen=True)
class Manner:
    """How somebody writes: the share of cells that are written over their frame, and of fields and cells that are odd.

    ``unused`` is how often the cells that a number leaves free are crossed through, ``free`` how many these are at
    most, and ``void`` the way in which they are, of ``form_voids.VOIDS``; then empty fields are crossed, too. Without
    it each cell is crossed with a slash or an X. ``joined`` is how often a digit is joined to the next. ``strangers``
    is how many scribbles, signatures, stamps and ticks there are elsewhere, some of them ``over_cells``. Pages are
    ``in_colour`` if the form is, or this says so; then the pen may be blue.
    """

    over_frame: float = 0.05
    empty: float = 0.06
    struck: float = 0.004
    unused: float = 0.15
    free: int = 2
    void: str | None = None
    joined: float = 0.0
    strangers: tuple[int, int] = (1, 4)
    over_cells: bool = False
    in_colour: bool = False


class Hand:
    """Somebody who fills in pages: their pen, size and slant, and the ink so far."""

    def __init__(self, random: Random, digits: Digits, shape: tuple[int, int], manner: Manner) -> None:
        self.random, self.digits, self.manner = random, digits, manner
        self.cover: Cover = np.zeros(shape, np.float32)
        self.alone: dict[Cell, Grey] = {}
        self.pen = random.uniform(15, 105)
        self.blue = random.uniform(50, 110) if random.random() < 0.6 else 0.0  # levels more in a blue pen's blue
        self.size, self.slant = random.uniform(0.62, 0.9), random.uniform(-0.12, 0.3)
        self.weight = random.uniform(-0.22, 0.2)
        self.width = random.uniform(3, 5)
        self.last: tuple[Cell, Points] = ("", -1), np.zeros(2)  # the last digit, and where it ends

    def digit(self, label: int, at: Cell, box: Sequence[float]) -> None:
        """Write a digit into a cell, whose box is given."""
        x, y, wide, high = box
        random = self.random
        picture = self.digits.pictures[random.choice(np.flatnonzero(self.digits.labels == label))]
        tall = high * float(np.clip(self.size + random.normal(0, 0.05), 0.6, 0.95))
        shape = leaning(enlarged(picture, tall), self.slant + random.normal(0, 0.05))
        shape = (shape * (1 + max(self.weight, 0)) + self.weight * (shape > 0)).clip(0, 1)
        if shape.shape[1] > 1.02 * wide:
            shape = cv2.resize(shape, (round(0.95 * wide), shape.shape[0]), interpolation=cv2.INTER_AREA)
        free = np.array([wide - shape.shape[1], high - shape.shape[0]]).clip(2)
        off = random.normal(0, 0.2, 2).clip(-0.45, 0.45) * free
        if random.random() < self.manner.over_frame:
            off = random.choice([-1, 1], 2) * (0.5 * free + random.uniform(2, 9, 2))
        self.alone[at] = np.asarray(255 - np.pad(shape, 10) * (255 - self.pen), np.uint8)
        middle = np.array([x + wide / 2 + off[0], y + high / 2 + off[1]])
        self.lay(shape, *middle)
        rows, columns = np.nonzero(shape > 0.5)
        corner = middle - np.array(shape.shape[::-1]) / 2
        first, last = (corner + np.array([columns[end], rows[end]]) for end in (columns.argmin(), columns.argmax()))
        if self.manner.joined and self.last[0] == (at[0], at[1] - 1) and random.random() < self.manner.joined:
            self.stroke([self.last[1], (self.last[1] + first) / 2 + random.uniform(-4, 4, 2), first], self.width)
        self.last = at, last

    def cross(self, cell: Sequence[float]) -> None:
        """Cross a cell through, with one stroke or two."""
        x, y, wide, high = cell
        strokes = [((x + 0.12 * wide, y + 0.9 * high), (x + 0.88 * wide, y + 0.1 * high))]
        if self.random.random() < 0.5:
            strokes.append(((x + 0.12 * wide, y + 0.1 * high), (x + 0.88 * wide, y + 0.9 * high)))
        for start, end in strokes:
            off = self.random.uniform(-5, 5, (3, 2))
            self.stroke([start + off[0], np.mean([start, end], 0) + off[1] / 2, end + off[2]], self.width)

    def strike(self, cell: Sequence[float]) -> None:
        """Strike a digit out that is there."""
        x, y, wide, high = cell
        middles = y + high * self.random.uniform(0.3, 0.7, int(self.random.integers(2, 5)))
        for middle in middles:
            ends = middle + self.random.uniform(-9, 9, 2)
            self.stroke([(x + 0.05 * wide, ends[0]), (x + 0.95 * wide, ends[1])], self.width)

    def stroke(self, points: Sequence[Any] | Points, width: float) -> None:
        """Draw a line."""
        path = np.asarray(points, float)
        pad = int(width) + 2
        low = np.floor(path.min(0)).astype(int) - pad
        size = np.ceil(path.max(0)).astype(int) + pad - low
        line = np.zeros((size[1], size[0]), np.uint8)
        cv2.polylines(line, [np.round((path - low) * 16).astype(np.int32)], False, 255, max(1, round(width)),
                      cv2.LINE_AA, 4)  # fmt: skip
        self.lay(np.asarray(line / 255, np.float32), low[0] + size[0] / 2, low[1] + size[1] / 2)

    def lay(self, shape: Cover, x: float, y: float) -> None:
        """Put a shape onto the page with its middle at a point; what lies beyond the page is lost."""
        high, wide = shape.shape
        left, top = round(x - wide / 2), round(y - high / 2)
        where = slice(max(top, 0), max(top + high, 0)), slice(max(left, 0), max(left + wide, 0))
        there = self.cover[where]
        shape = shape[max(-top, 0) :, max(-left, 0) :][: there.shape[0], : there.shape[1]]
        np.maximum(there, shape, out=there)


def leaning(shape: Cover, slant: float) -> Cover:
    """A shape whose upper end leans to the right."""
    high, wide = shape.shape
    more = round(abs(slant) * high)
    move = np.array([[1, -slant, slant * high if slant > 0 else 0], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(shape, move, (wide + more, high), flags=cv2.INTER_LINEAR), np.float32)


def values(form_json: Mapping[str, Any], random: Random, manner: Manner) -> dict[str, str]:
    """A number for each field, that keeps the form's rules and check digits; some are empty that may be."""
    found = {}
    for each in form_json["fields"]:
        given = each.get("digits", {"least": 1, "most": len(each["cells"])})
        least, most = (given, given) if isinstance(given, int) else (given["least"], given["most"])
        count = int(random.integers(max(least, most - manner.free), most + 1))
        number = "".join(map(str, random.integers(10, size=count)))
        number = number if least == most else str(int(number))
        if each["name"] == "date":
            number = f"{random.integers(1, 29):02}{random.integers(1, 13):02}20{random.integers(20, 27)}"
        found[each["name"]] = checked(number, each.get("check"))
    for sentence in form_json.get("rules", ()):
        total, _, terms = sentence.partition(" = ")
        names = terms.split(" + ")
        if terms and {total, *names} <= found.keys():
            for name in names[1:] if names[0] in {rule.partition(" =")[0] for rule in form_json["rules"]} else names:
                found[name] = str(int(found[name]) // 8)
            found[total] = str(sum(int(found[name]) for name in names))
    bound = {word for sentence in form_json.get("rules", ()) for word in sentence.split()}
    for each in form_json["fields"]:
        if random.random() < manner.empty and not each.get("required") and each["name"] not in bound:
            found[each["name"]] = ""
    return found


def checked(number: str, check: str | None) -> str:
    """A number whose last digits are made to keep a check: ``luhn`` or ``iso7064_mod97_10``."""
    if check == "luhn":
        return next(it for it in (number[:-1] + str(last) for last in range(10)) if luhn(it))
    if check == "iso7064_mod97_10":
        return next(it for it in (f"{number[:-2]}{last:02}" for last in range(100)) if int(it) % 97 == 1)
    return number


def luhn(number: str) -> bool:
    """Whether the last digit is that of Luhn's formula."""
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(number))]
    return sum(each - 9 * (each > 9) for each in doubled) % 10 == 0


def filled(form: FormDrawing, page: int, digits: Digits, random: Random, manner: Manner | None = None) -> Page:
    """A page of a form, counted from 0, as somebody filled it in."""
    manner = manner or Manner()
    print_ = form.pictures[page]
    if manner.in_colour and print_.ndim == 2:
        print_ = cv2.cvtColor(print_, cv2.COLOR_GRAY2BGR)
    hand = Hand(random, digits, print_.shape[:2], manner)
    numbers = values(form.form_json, random, manner)
    truth = {each["name"]: _field(hand, each, numbers[each["name"]]) for each in form.fields(page)}
    ink = np.asarray((hand.cover * 255).round(), np.uint8)
    levels = inked(print_, hand)
    levels = with_strangers(levels, form, page, random, manner)
    corners = form.corners(page)
    return Page(np.asarray(levels.round(), np.uint8), form.name, page, truth, corners, ink=ink, alone=hand.alone)


def _field(hand: Hand, described: Mapping[str, Any], number: str) -> Written:
    """Write a number into the cells of a field."""
    cells, random = described["cells"], hand.random
    given = described.get("digits", {})
    side = given.get("from", "either") if isinstance(given, Mapping) else "left"
    free = len(cells) - len(number)
    before = {"left": 0, "right": free}.get(side, int(random.choice([0, free])))
    crosses = bool(number or hand.manner.void) and random.random() < hand.manner.unused
    labels = [BLANK] * before + list(number) + [BLANK] * (free - before)
    for at, cell in enumerate(cells):
        if labels[at].isdigit():
            hand.digit(int(labels[at]), (described["name"], at), cell)
            if random.random() < hand.manner.struck:
                hand.strike(cell)
                labels[at] = STRUCK
        elif crosses:
            if hand.manner.void is None:
                hand.cross(cell)
            labels[at] = CROSSED
    unused = [cell for cell, label in zip(cells, labels, strict=True) if label == CROSSED]
    if unused and hand.manner.void is not None:
        for points in form_voids.strokes(hand.manner.void, unused, random):
            hand.stroke(points, hand.width)
    return Written(tuple(labels))


def inked(levels: NDArray[Any], hand: Hand) -> Cover:
    """Paper with somebody's ink on it: float32 of the same shape."""
    paper = levels.astype(np.float32)
    if paper.ndim == 2:
        return np.minimum(paper, paper + hand.cover * (np.float32(hand.pen) - paper))
    pen = np.array([hand.pen + hand.blue, hand.pen + 0.2 * hand.blue, hand.pen], np.float32)
    return np.minimum(paper, paper + hand.cover[..., None] * (pen - paper))


def with_strangers(levels: Cover, form: FormDrawing, page: int, random: Random, manner: Manner) -> Cover:
    """The page with handwriting that is in no cell, and stamps, some of them over print."""
    boxes = np.array([cell for each in form.fields(page) for cell in each["cells"]], float).reshape(-1, 4)
    for _ in range(int(random.integers(*manner.strangers))):
        hand = Hand(random, mnist_nothing(), levels.shape[:2], manner)
        draw = STRANGERS[int(random.integers(len(STRANGERS)))]
        wide, high = draw.size
        for _ in range(30):
            x, y = random.uniform(40, levels.shape[1] - wide - 40), random.uniform(40, levels.shape[0] - high - 40)
            apart = (boxes[:, 0] > x + wide + 12) | (boxes[:, 0] + boxes[:, 2] < x - 12) | (
                boxes[:, 1] > y + high + 12) | (boxes[:, 1] + boxes[:, 3] < y - 12)  # fmt: skip
            if manner.over_cells or apart.all():
                draw.draw(hand, x, y)
                hand.pen = random.uniform(20, 150) if draw.size == STAMP else hand.pen
                levels = inked(levels, hand)
                break
    return levels


def mnist_nothing() -> Digits:
    """No digits, for who writes none."""
    return Digits(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int8))


@dataclass(frozen=True)
class Stranger:
    """What is drawn beside the digits, and the room that it takes (across, down)."""

    draw: Callable[[Hand, float, float], None]
    size: tuple[int, int]


STAMP = (290, 190)


def _scribble(hand: Hand, x: float, y: float) -> None:
    """A line of writing: loops that run on, with gaps between words."""
    start, height = x + 10, hand.random.uniform(12, 20)
    while start < x + 400:
        way = np.linspace(0, hand.random.uniform(12, 30), int(hand.random.integers(40, 90)))
        up = height * np.sin(way * 1.3) * hand.random.uniform(0.5, 1) + 5 * np.sin(way / 2.3)
        points = np.stack([start + 4.4 * way + 6 * np.cos(way * 1.3), y + 30 - up], 1)
        hand.stroke(points[points[:, 0] < x + 480], hand.width)
        start = float(points[:, 0].max()) + hand.random.uniform(14, 26)


def _signature(hand: Hand, x: float, y: float) -> None:
    """A name that nobody can read, with a line under it."""
    way = np.linspace(0, 26, 160)
    up = 34 * np.sin(way) * np.linspace(1.2, 0.3, 160) + 10 * np.sin(way * 2.7 + hand.random.uniform(0, 6))
    hand.stroke(np.stack([x + 20 + 12 * way + 14 * np.cos(way), y + 60 - up], 1), hand.width)
    hand.stroke([(x + 30, y + 105), (x + 200, y + 92), (x + 340, y + 98)], hand.width)


def _tick(hand: Hand, x: float, y: float) -> None:
    hand.stroke([(x + 8, y + 40), (x + 26, y + 62), (x + 70, y + 8)], hand.width)


def _ring(hand: Hand, x: float, y: float) -> None:
    hand.stroke(loop((x + 110, y + 50), (100, 40), hand.random, 1.1), hand.width)


def _stamp(hand: Hand, x: float, y: float) -> None:
    """A rubber stamp: a round edge with words across it, a little turned, worn in places."""
    mask = np.zeros((STAMP[1], STAMP[0]), np.uint8)
    cv2.ellipse(mask, (145, 95), (135, 85), 0, 0, 360, 255, 5, cv2.LINE_AA)
    words = Image.new("L", STAMP)
    ImageDraw.Draw(words).text((145, 95), "RECEIVED\n02 MAR 2026", 255, font(34), "mm", align="center")
    mask = np.maximum(mask, np.asarray(words))
    turned = cv2.getRotationMatrix2D((145, 95), hand.random.uniform(-18, 18), 0.92)
    worn = cv2.GaussianBlur(hand.random.random(mask.shape, np.float32), (0, 0), 9)
    worn = ((worn - worn.min()) / (worn.max() - worn.min()) + 0.35).clip(0, 1)
    hand.lay(cv2.warpAffine(mask, turned, STAMP) / np.float32(255) * worn, x + 145, y + 95)


STRANGERS = (
    Stranger(_scribble, (490, 70)),
    Stranger(_signature, (370, 120)),
    Stranger(_tick, (80, 70)),
    Stranger(_ring, (220, 100)),
    Stranger(_stamp, STAMP),
)
