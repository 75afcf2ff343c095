"""Digits and pen strokes on paper, drawn with known ink: what the hard cells are made of.

Coverage is float32 (H, W), the share of each pixel that ink covers. Every function is pure but for the random
generator that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Grey = NDArray[np.uint8]
Cover = NDArray[np.float32]
Random = np.random.Generator
FINE = 4  # strokes are drawn so many times larger, then averaged
NO_DIGIT = -1


@dataclass(frozen=True)
class Digits:
    """Digits to write with: pictures uint8 (N, 28, 28), ink = 255, and labels (N,)."""

    pictures: Grey
    labels: NDArray[np.int8]

    def pick(self, random: Random, among: Sequence[int] = range(10)) -> tuple[Grey, int]:
        """One digit of these labels, every label alike often, and its label."""
        label = int(random.choice(among))
        return self.pictures[random.choice(np.flatnonzero(self.labels == label))], label


@dataclass(frozen=True)
class Cell:
    """A cell as a PNG file holds it, and the truth about it.

    ``page`` is uint8 (H, W), or (H, W, 3) as BGR, or (H, W, 4) with alpha. ``label`` is the valid digit, ``NO_DIGIT``
    where there is none. ``ink`` is that digit's coverage as uint8 (H, W), 255 where a pixel is all ink.
    """

    page: Grey
    label: int
    ink: Grey


class Sheet:
    """Paper to write on: grey ``levels``, float32 (H, W), and the coverage ``ink`` of the valid digit."""

    def __init__(self, random: Random, shape: tuple[int, int] | None = None, paper: float | None = None) -> None:
        self.random = random
        self.shape = shape or (int(random.integers(104, 131)), int(random.integers(96, 131)))
        self.paper = random.uniform(225, 250) if paper is None else paper
        self.pen = random.uniform(20, 80)
        self.levels: Cover = np.full(self.shape, self.paper, np.float32)
        self.ink: Cover = np.zeros(self.shape, np.float32)

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the sheet, across and down."""
        return self.shape[1] / 2, self.shape[0] / 2

    def lay(self, cover: Cover, grey: float | None = None) -> None:
        """Cover the sheet with ink of one grey, the pen's where none is given."""
        self.levels += cover * ((self.pen if grey is None else grey) - self.levels)

    def write(self, shape: Cover, at: tuple[float, float] | None = None, grey: float | None = None) -> None:
        """Write the valid digit with its middle at a point (across, down): in the middle, a little off, by default."""
        if at is None:
            at = self.middle[0] + self.random.uniform(-6, 6), self.middle[1] + self.random.uniform(-6, 6)
        cover = placed(shape, self.shape, at)
        self.lay(cover, grey)
        self.ink = cover

    def stroke(self, points: ArrayLike, thickness: float, grey: float | None = None) -> None:
        """Draw a line through points (across, down)."""
        self.lay(stroke(self.shape, points, thickness), grey)

    def scanned(self, label: int, noise: float = 4, blur: float = 0.8) -> Cell:
        """The sheet as a scanner delivers it, with noise and blur up to these levels and pixels."""
        levels = self.levels
        if (sigma := self.random.uniform(0, blur)) > 0.3:
            levels = cv2.GaussianBlur(levels, (0, 0), sigma)
        return Cell(grainy(levels, self.random, self.random.uniform(0, noise)), label, as_grey(self.ink))


def as_grey(cover: Cover) -> Grey:
    """Coverage as grey levels, 255 for all of a pixel."""
    return np.asarray((cover * 255).round().clip(0, 255), np.uint8)


def grainy(levels: NDArray[np.float32], random: Random, noise: float) -> Grey:
    """Levels with normal noise, as uint8."""
    return np.asarray((levels + random.normal(0, noise, levels.shape)).round().clip(0, 255), np.uint8)


def boxed(picture: Grey) -> Grey:
    """A picture without the paper around its ink."""
    x, y, width, height = cv2.boundingRect(picture)
    return picture[y : y + height, x : x + width]


def enlarged(picture: Grey, height: float) -> Cover:
    """A digit's box at another height, its edges sharp and smooth; a wide one is not made wider than 1.3 times that."""
    box = boxed(picture)
    factor = height / max(box.shape[0], box.shape[1] / 1.3)
    size = max(2, round(box.shape[1] * factor)), max(2, round(box.shape[0] * factor))
    if factor <= 1:
        return np.asarray(cv2.resize(box, size, interpolation=cv2.INTER_AREA) / np.float32(255), np.float32)
    large = cv2.resize(box, size, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    smooth = cv2.GaussianBlur(large, (0, 0), 0.35 * factor, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(((smooth - 0.45) * min(factor, 4) + 0.5).clip(0, 1), np.float32)


def redrawn(picture: Grey, height: float, thickness: float, fades_to: float = 1, at_start: bool = False) -> Cover:
    """A digit written with a pen of another thickness, in pixels.

    Its ink fades to a share along the stroke, or rises from it where ``at_start`` is set.
    """
    mask = (enlarged(picture, height * FINE) > 0.5).astype(np.uint8)
    pad = round(thickness * FINE / 2) + FINE
    line = skeleton(cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT))
    strength = line.astype(np.float32)
    if fades_to < 1:
        way = distances(line)
        way = way / max(way.max(), 1)
        strength *= 1 - (1 - fades_to) * (1 - way if at_start else way) ** 0.6  # early, then slowly
    across = max(1, round(thickness * FINE)) | 1
    thick = cv2.dilate(strength, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across)))
    size = max(1, thick.shape[1] // FINE), max(1, thick.shape[0] // FINE)
    return np.asarray(cv2.resize(thick, size, interpolation=cv2.INTER_AREA), np.float32)


def skeleton(mask: Grey) -> Grey:
    """The middle lines of a mask of 0 and 1 that is 0 at its edges (Zhang and Suen, 1984)."""
    line = mask.copy()
    while True:
        before = int(line.sum())
        for step in (0, 1):
            # The eight neighbours, from the upper one clockwise.
            turns = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
            around = np.stack([np.roll(line, (-down, -across), (0, 1)) for down, across in turns])
            count = around.sum(axis=0)
            rises = ((around == 0) & (np.roll(around, -1, 0) == 1)).sum(axis=0)
            north, east, south, west = around[0], around[2], around[4], around[6]
            one, other = (north * east * south, east * south * west) if step == 0 else (
                north * east * west, north * south * west)  # fmt: skip
            line[(line == 1) & (count >= 2) & (count <= 6) & (rises == 1) & (one == 0) & (other == 0)] = 0
        if int(line.sum()) == before:
            return line


def distances(line: Grey) -> Cover:
    """How far along a line each of its pixels is from where the pen began: its upper end, or its highest point."""
    ends = (line == 1) & (cv2.filter2D(line, -1, np.ones((3, 3), np.float32), borderType=cv2.BORDER_CONSTANT) == 2)
    starts = np.argwhere(ends) if ends.any() else np.argwhere(line == 1)
    front, way = np.zeros_like(line), np.zeros(line.shape, np.float32)
    if not len(starts):
        return way
    front[tuple(starts[0])] = 1
    left, steps = line - front, 0
    while front.any():
        steps += 1
        front = cv2.dilate(front, np.ones((3, 3), np.uint8)) & left
        left = left - front
        way[front == 1] = steps
    way[left == 1] = steps / 2  # another piece
    return way


def placed(shape: Cover, size: tuple[int, int], at: tuple[float, float]) -> Cover:
    """A shape on a page of (height, width) with its middle at a point (across, down); what lies beyond is cut off."""
    high, wide = shape.shape
    move = np.array([[1, 0, at[0] - wide / 2], [0, 1, at[1] - high / 2]], np.float32)
    move[:, 2] = move[:, 2].round()
    return np.asarray(cv2.warpAffine(shape, move, size[::-1], flags=cv2.INTER_LINEAR), np.float32)


def stroke(size: tuple[int, int], points: ArrayLike, thickness: float) -> Cover:
    """The coverage of a line through points (across, down), on a page of (height, width)."""
    page = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    path = np.round(np.asarray(points, np.float64) * FINE).astype(np.int32)
    cv2.polylines(page, [path.reshape(-1, 1, 2)], False, 255, max(1, round(thickness * FINE)))
    return np.asarray(cv2.resize(page, size[::-1], interpolation=cv2.INTER_AREA) / np.float32(255), np.float32)


def loop(middle: tuple[float, float], radii: tuple[float, float], random: Random, turn: float = 1) -> NDArray[Any]:
    """Points of a loop drawn by hand that goes round this often, a little uneven."""
    angle = random.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi * turn, 80)
    wobble = 1 + 0.04 * np.sin(2 * angle + random.uniform(0, 6)) + np.linspace(0, random.uniform(-0.06, 0.06), 80)
    return np.stack([middle[0] + radii[0] * wobble * np.cos(angle), middle[1] + radii[1] * wobble * np.sin(angle)], 1)


def written(random: Random, digits: Digits, among: Sequence[int] = range(10)) -> tuple[Sheet, int]:
    """A sheet with a digit of these labels in its middle, and its label."""
    sheet = Sheet(random)
    picture, label = digits.pick(random, among)
    sheet.write(enlarged(picture, a_height(random)))
    return sheet, label


def a_height(random: Random) -> float:
    """How high a digit is that fills its cell."""
    return float(random.uniform(60, 78))


def edges_of(cover: Cover) -> tuple[int, int, int, int]:
    """The left, upper, right and lower edge of what is covered."""
    x, y, width, height = cv2.boundingRect(as_grey(cover))
    return x, y, x + width, y + height
