"""Marks that are no digit: crosses, ticks, scribbles, letters; void strokes; what staples, punches and boxes leave.

Whatever a person could take for a digit is left out: a slash is a 1, an O is a 0, the upper right corner of a box a 7.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from mnist_batch.learning.drawing import FINE, SIDE, Grey, Random, arc, hand_drawn, shrunk, strokes
from mnist_batch.pixels.opencv import cv2

LETTERS = "AEFHKLMNPRTUVWXadehkmnpuvwx#&%@*+="
HERSHEY = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_SIMPLEX | cv2.FONT_ITALIC,
)  # fmt: skip
PRINTED = ("cmr10.ttf", "cmb10.ttf", "cmti10.ttf", "cmss10.ttf", "cmtt10.ttf")  # Computer Modern, with matplotlib


def cross(random: Random) -> Grey:
    """Draw two strokes across each other, at any angle."""
    centre, turn = random.uniform(13, 15, 2), random.uniform(0, np.pi / 2)
    lines = []
    for angle in (turn, turn + np.pi / 2 + random.uniform(-0.35, 0.35)):
        reach = random.uniform(7, 11) * np.array([np.cos(angle), np.sin(angle)])
        lines.append([centre - reach * random.uniform(0.7, 1), centre + reach * random.uniform(0.7, 1)])
    return _drawn(lines, random)


def hyphen(random: Random) -> Grey:
    """Draw a level stroke, or two or three below each other."""
    lines, rise, apart = [], random.uniform(-3, 3), random.uniform(5, 14)
    for row in np.linspace(-0.5, 0.5, int(random.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
        ends = 14 + row * apart + random.normal(0, 0.5, 2)
        lines.append([(random.uniform(3, 8), ends[0] + rise), (random.uniform(20, 25), ends[1] - rise)])
    return _drawn(lines, random)


def tick(random: Random) -> Grey:
    """Draw a tick: short and down, then long and up to the right."""
    bottom = random.uniform(9, 13), random.uniform(20, 24)
    start = bottom[0] - random.uniform(4, 7), bottom[1] - random.uniform(4, 8)
    end = bottom[0] + random.uniform(10, 14), bottom[1] - random.uniform(12, 19)
    return _drawn([[start, bottom, end]], random)


def scribble(random: Random) -> Grey:
    """Draw a pen that wanders, zigzags, circles or jumps."""
    if random.random() < 0.5:
        return strokes([_wandering(random)], random.uniform(0.7, 2.4))
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
    return _drawn([points], random)


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
    return shrunk(page)


def box(random: Random) -> Grey:
    """Draw an empty box."""
    left, top = random.uniform(2, 6, 2)
    right, bottom = random.uniform(21, 26, 2)
    return _drawn([[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]], random)


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


def zigzag(random: Random) -> Grey:
    """Draw a void field's zigzag with a thin pen: a Z over the whole cell, wide and unlike a 2, or an N."""
    high, upright = random.uniform(6, 9), random.random() < 0.5
    wide = high * random.uniform(0.5 if upright else 1.1, 1.5)
    corners = np.array([(-wide, -high), (wide, -high), (-wide, high), (wide, high)])
    if upright:
        corners = np.array([(-wide, high), (-wide, -high), (wide, high), (wide, -high)])
        corners[:, 1] *= random.choice([-1, 1])
    corners = corners + random.normal(0, 0.6, (4, 2)) + random.normal(0, 0.4, 2)
    sides = [hand_drawn(start, end, random) for start, end in zip(14 + corners, 14 + corners[1:], strict=False)]
    paths = [np.concatenate(sides)]
    if random.random() < 0.25:
        reach, rise = random.uniform(2.5, 6), random.uniform(-2, 2)
        paths.append(hand_drawn((14 - reach, 14 + rise), (14 + reach, 14 - rise), random))
    return strokes(paths, random.uniform(0.5, 1.6))


def void_line(random: Random) -> Grey:
    """Draw one long line, wavy perhaps, nearer to level than any 1."""
    turn = np.radians(random.choice([-1, 1]) * random.uniform(0, 24))
    way = np.array([np.cos(turn), -np.sin(turn)])
    middle, wave = random.uniform(12, 16, 2), random.choice([0, random.uniform(1, 3.5)], p=[0.4, 0.6])
    path = hand_drawn(middle - random.uniform(8, 13) * way, middle + random.uniform(8, 13) * way, random, wave)
    return strokes([path], random.uniform(0.7, 2.8))


def bow(random: Random) -> Grey:
    """Draw a wide arc that opens upwards or downwards, as of a ring round another cell, or a wave over the cell."""
    if random.random() < 0.3:
        at, turns = np.linspace(0, 1, 40), random.uniform(2.5, 5) * np.pi
        swing = random.uniform(4, 9) * np.sin(turns * at + random.uniform(0, 6))
        path = np.stack([3 + 22 * at, 14 + swing], 1)
    else:
        turn, up = random.uniform(110, 185), random.choice([90, 270])
        radii = random.uniform(8, 12) * np.array([1, random.uniform(0.5, 1)])
        path = arc((14, 14), radii, up - turn / 2 + random.uniform(-15, 15), turn, random)
        path = path - path.mean(axis=0) + 14
    return strokes([path], random.uniform(0.7, 3))


def hook(random: Random) -> Grey:
    """Draw an L, long-footed, turned or upside down: a corner of a box, a staple's leg; never a 7."""
    arms = random.uniform(11, 20, 2)
    corner = str(random.choice(["lower left", "lower right", "upper left"]))
    across, down = (1 if "left" in corner else -1), (1 if "upper" in corner else -1)
    x, y = 14 - across * arms[0] / 2, 14 - down * arms[1] / 2
    skew = random.normal(0, 1, 2)
    return _drawn([[(x + across * arms[0], y + skew[0]), (x, y), (x + skew[1], y + down * arms[1])]], random)


def staple(random: Random) -> Grey:
    """Draw a staple: a bar with two short legs upwards, lying aslant."""
    turn, reach, leg = np.radians(random.uniform(-25, 25)), random.uniform(7, 11), random.uniform(1.5, 5)
    way, aside = np.array([np.cos(turn), -np.sin(turn)]), np.array([np.sin(turn), np.cos(turn)])
    ends = 14 - reach * way, 14 + reach * way
    legs = [end - leg * aside + random.normal(0, 0.5, 2) for end in ends]
    return _drawn([[legs[0], *ends, legs[1]]], random)


def _drawn(paths: Sequence[ArrayLike], random: Random) -> Grey:
    return strokes(paths, random.uniform(1.2, 3.6))


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
