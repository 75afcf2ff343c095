"""Pictures that hold no digit, or more than one, drawn to train and to measure refusals.

They are drawn as MNIST's digits are, uint8 (28, 28) with ink = 255, and augmented as digits are. Whatever a person
could take for a digit is left out: a slash is a 1, an O is a 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from mnist_batch.pixels.opencv import cv2
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.statuses import REFUSALS, Status

SIDE = 28
FINE = 4  # pictures are drawn this many times larger, then averaged, so that strokes have soft edges

Grey = NDArray[np.uint8]
Random = np.random.Generator

LETTERS = "AEFHKLMNPRTUVWXadehkmnpuvwx#&%@*+="
HERSHEY = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_SIMPLEX | cv2.FONT_ITALIC,
)  # fmt: skip
PRINTED = ("cmr10.ttf", "cmb10.ttf", "cmti10.ttf", "cmss10.ttf", "cmtt10.ttf")  # Computer Modern, with matplotlib


def not_a_digit(pictures: Grey, random: Random) -> Grey:
    """Draw a cross, hyphen, tick, scribble, blot, box, letter or word, or strike out a digit of ``pictures``."""
    kind = KINDS[random.choice(len(KINDS), p=SHARES)]
    return struck_out(pictures, random) if kind is None else kind(random)


def several(pictures: Grey, random: Random) -> Grey:
    """Draw two or three digits of ``pictures`` beside each other."""
    count = 3 if random.random() < 0.15 else 2
    parts = []
    for number in random.integers(0, len(pictures), count):
        x, y, width, height = cv2.boundingRect(pictures[number])
        ink = pictures[number][y : y + height, x : x + width]
        tall = random.integers(13, 19)
        wide = int(np.clip(width * tall / max(height, 1), 3, 26 // count))
        parts.append(cv2.resize(ink, (wide, int(tall)), interpolation=cv2.INTER_AREA))
    gap = int(random.integers(0, 4))
    left = max(0, (SIDE - sum(part.shape[1] for part in parts) - gap * (count - 1)) // 2)
    page = np.zeros((SIDE, SIDE), np.uint8)
    for part in parts:
        height, width = part.shape
        top = (SIDE - height) // 2 + int(random.integers(-2, 3))
        place = page[top : top + height, left : left + width]
        np.maximum(place, part[:, : place.shape[1]], out=place)
        left += width + gap
    return page


def cross(random: Random) -> Grey:
    """Draw two strokes across each other, at any angle."""
    centre, turn = random.uniform(13, 15, 2), random.uniform(0, np.pi / 2)
    strokes = []
    for angle in (turn, turn + np.pi / 2 + random.uniform(-0.35, 0.35)):
        reach = random.uniform(7, 11) * np.array([np.cos(angle), np.sin(angle)])
        strokes.append([centre - reach * random.uniform(0.7, 1), centre + reach * random.uniform(0.7, 1)])
    return _strokes(strokes, random)


def hyphen(random: Random) -> Grey:
    """Draw a level stroke, or two or three below each other."""
    strokes, rise, apart = [], random.uniform(-3, 3), random.uniform(5, 14)
    for row in np.linspace(-0.5, 0.5, int(random.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
        ends = 14 + row * apart + random.normal(0, 0.5, 2)
        strokes.append([(random.uniform(3, 8), ends[0] + rise), (random.uniform(20, 25), ends[1] - rise)])
    return _strokes(strokes, random)


def tick(random: Random) -> Grey:
    """Draw a tick: short and down, then long and up to the right."""
    bottom = random.uniform(9, 13), random.uniform(20, 24)
    start = bottom[0] - random.uniform(4, 7), bottom[1] - random.uniform(4, 8)
    end = bottom[0] + random.uniform(10, 14), bottom[1] - random.uniform(12, 19)
    return _strokes([[start, bottom, end]], random)


def scribble(random: Random) -> Grey:
    """Draw a pen that wanders, zigzags, circles or jumps."""
    if random.random() < 0.5:
        return _strokes([_wandering(random)], random, 0.7, 2.4)
    count, how = int(random.integers(9, 26)), random.random()
    if how < 0.5:
        across = np.where(np.arange(count) % 2, 24, 4) + random.normal(0, 2, count)
        points = np.stack([across, np.linspace(6, 22, count) + random.normal(0, 1.5, count)], 1)
        points = points if random.random() < 0.6 else points[:, ::-1]
    elif how < 0.8:
        turn = np.linspace(0, random.uniform(5, 10) * np.pi, 4 * count)
        reach = np.linspace(random.uniform(0, 3), random.uniform(6, 11), 4 * count)[:, None]
        points = 14 + reach * np.stack([np.cos(turn), np.sin(turn)], 1) + random.normal(0, 0.6, (4 * count, 2))
    else:
        points = random.uniform(4, 24, (count, 2))
    return _strokes([points], random)


def _wandering(random: Random) -> NDArray[np.float64]:
    """The path of a pen, float64 (N, 2), that turns as it goes and bounces off the sides of a box."""
    size = random.uniform(0.5, 1, 2)
    steps, length = int(random.integers(40, 150)), random.uniform(6, 26)
    heading = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, random.uniform(0.2, 0.9), steps))
    path = length / steps * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), axis=0)
    folded = np.abs((path + random.uniform(0, 1, 2)) % (2 * size) - size)  # reflected at the sides
    return np.asarray((folded - size / 2) * random.uniform(20, 27) / size.max() + 14)


def blot(random: Random) -> Grey:
    """Draw a filled spot."""
    page = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    axes = random.uniform(5, 11, 2) * FINE
    cv2.ellipse(page, (14 * FINE, 14 * FINE), axes.astype(int).tolist(), random.uniform(0, 180), 0, 360, 255, -1)
    return _small(page)


def box(random: Random) -> Grey:
    """Draw an empty box."""
    left, top = random.uniform(2, 6, 2)
    right, bottom = random.uniform(21, 26, 2)
    return _strokes([[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]], random)


def letter(random: Random) -> Grey:
    """Draw a printed or handwritten letter that looks like no digit."""
    glyphs = _glyphs()
    return glyphs[random.integers(0, len(glyphs))].copy()


def word(random: Random) -> Grey:
    """Draw three to five small letters in a row, or two rows of them."""
    glyphs, page = _glyphs(), np.zeros((SIDE, SIDE), np.uint8)
    count, rows = int(random.integers(3, 6)), int(random.integers(1, 3))
    size = max(5, min(26 // count, 11))
    for row in range(rows):
        for place in range(count):
            small = cv2.resize(glyphs[random.integers(0, len(glyphs))], (size, size), interpolation=cv2.INTER_AREA)
            top, left = 14 - rows * (size + 1) // 2 + row * (size + 1), 14 - count * size // 2 + place * size
            page[top : top + size, left : left + size] = np.minimum(small.astype(int) * 2, 255)
    return page


def struck_out(pictures: Grey, random: Random) -> Grey:
    """Draw several strokes through a digit of ``pictures``."""
    digit = pictures[random.integers(0, len(pictures))]
    if random.random() < 0.5:
        over = cross(random)
    else:
        count = int(random.integers(4, 9))
        across = np.where(np.arange(count) % 2, 25, 3) + random.normal(0, 1.5, count)
        over = _strokes([np.stack([across, np.linspace(8, 20, count) + random.normal(0, 1, count)], 1)], random)
    return np.asarray(np.maximum(digit, over), np.uint8)


KINDS: tuple[Callable[[Random], Grey] | None, ...] = (
    cross, hyphen, tick, scribble, blot, box, letter, word, None,
)  # fmt: skip
SHARES = (0.13, 0.12, 0.05, 0.26, 0.03, 0.05, 0.22, 0.06, 0.08)


@dataclass(frozen=True)
class Negative:
    """A kind of negative: what a model should refuse it as, what draws it, and for how many digits one is drawn."""

    refused_as: Status
    draw: Callable[[Grey, Random], Grey]
    digits_for_one: int

    @property
    def output(self) -> int:
        """The output of a model for this refusal; those of the ten digits come first."""
        return CLASSES + REFUSALS.index(self.refused_as)

    def among(self, digits: int) -> int:
        """How many are learned together with so many digits."""
        return digits // self.digits_for_one


NEGATIVES = (Negative(Status.NOT_A_DIGIT, not_a_digit, 10), Negative(Status.SEVERAL, several, 20))


def _strokes(strokes: Sequence[ArrayLike], random: Random, thinnest: float = 1.2, thickest: float = 3.6) -> Grey:
    page = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    thickness = max(2, round(random.uniform(thinnest, thickest) * FINE))
    for stroke in strokes:
        points = np.round(np.asarray(stroke, np.float64) * FINE).astype(np.int32)
        cv2.polylines(page, [points.reshape(-1, 1, 2)], False, 255, thickness, cv2.LINE_AA)
    return _small(page)


def _small(page: Grey) -> Grey:
    return np.asarray(cv2.resize(page, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _glyphs() -> list[Grey]:
    """Every letter in every font, its ink in a box of 20x20, uint8 (28, 28) each."""
    pages = []
    for character in LETTERS:
        for face in HERSHEY:
            for thickness in (6, 12):
                page = np.zeros((200, 200), np.uint8)
                cv2.putText(page, character, (50, 140), face, 3, 255, thickness, cv2.LINE_AA)
                pages.append(page)
        for font in _printed():
            drawn = Image.new("L", (200, 200))
            ImageDraw.Draw(drawn).text((100, 100), character, 255, font, "mm")
            pages.append(np.array(drawn))
    return [_boxed(page) for page in pages]


def _printed() -> list[ImageFont.FreeTypeFont]:
    from matplotlib import get_data_path

    return [ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf", name)), 120) for name in PRINTED]


def _boxed(page: Grey) -> Grey:
    x, y, width, height = cv2.boundingRect(page)
    factor = 20 / max(width, height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    ink = cv2.resize(page[y : y + height, x : x + width], size, interpolation=cv2.INTER_AREA)
    across, down = SIDE - size[0], SIDE - size[1]
    edges = down // 2, down - down // 2, across // 2, across - across // 2
    return np.asarray(cv2.copyMakeBorder(ink, *edges, cv2.BORDER_CONSTANT), np.uint8)
