"""MNIST digits as scanners might see them, to train on.

A digit may be rewritten in a style that is rare in MNIST, bent and slanted, made thinner or thicker. It is then set
into a cell of some paper, ink and light, with what is left of a box around it at times, blurred, made noisy, and
normalised as scans are. So a model learns from what normalisation leaves.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import styles
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.negatives import NEGATIVES, Negative
from mnist_batch.pixels.normalising import SIDE, normalise
from mnist_batch.pixels.opencv import cv2

AS_IT_IS = 0.45  # the share that is only bent and shifted a little, so that MNIST itself is not forgotten
LEVELS = np.arange(256)
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

Grey = NDArray[np.uint8]


class Lesson(NamedTuple):
    """What a worker learns from in an epoch: pictures uint8 (N, 28, 28), ink = 255, and the class of each, int8 (N,).

    The classes are the outputs of a model: ten digits, then one for each of ``REFUSALS``.
    """

    pictures: NDArray[np.uint8]
    classes: NDArray[np.int8]


def lesson_size(digits: int) -> int:
    """How many pictures an augmented lesson of so many digits has: the digits and their negatives."""
    return digits + sum(negative.among(digits) for negative in NEGATIVES)


def augment(share: Digits, random: np.random.Generator) -> Lesson:
    """A view of each digit, in their order, and the negatives that are learned with them.

    The same generator draws the same lesson.
    """
    bends = draw_bends(random, 64)
    views = [
        _digit(image, label, random, bends) for image, label in zip(share.images, share.labels.tolist(), strict=True)
    ]
    classes = [share.labels]
    for negative in NEGATIVES:
        count = negative.among(len(share.labels))
        views += [draw_negative(negative, share.images, random, bends) for _ in range(count)]
        classes.append(np.full(count, negative.output, np.int8))
    return Lesson(np.stack(views) if views else share.images, np.concatenate(classes))


def _digit(image: Grey, label: int, random: np.random.Generator, bends: NDArray[np.float32]) -> Grey:
    written = styles.restyled(image, label, random)
    return _view(written, random, bends, AS_IT_IS if written is image else 0)


def draw_negative(negative: Negative, images: Grey, random: np.random.Generator, bends: NDArray[np.float32]) -> Grey:
    """A view of a negative; drawn again if only an upright stroke is left of it, which is a 1."""
    while _upright(view := _view(negative.draw(images, random), random, bends, 0)):
        pass
    return view


def _upright(picture: Grey) -> bool:
    ink = (picture > 64).astype(np.uint8)
    _, _, width, height = cv2.boundingRect(ink)
    filled = cv2.countNonZero(ink) > 0.7 * width * height
    return bool(height >= 14 and (width <= 8 or (filled and width <= 0.65 * height)))


def _view(picture: Grey, random: np.random.Generator, bends: NDArray[np.float32], as_it_is: float) -> Grey:
    if random.random() < 0.6:
        bend = bends[random.integers(len(bends))] * random.uniform(0.3, 1.0)
        picture = cv2.remap(picture, bend[0] + _COLUMNS, bend[1] + _ROWS, cv2.INTER_CUBIC)
    if random.random() < as_it_is:
        return _drawn(picture, SIDE, SIDE, random, 8, 0.12, 0.1)
    height = int(random.choice([random.integers(7, 20), random.integers(20, 44)], p=[0.25, 0.75]))
    side = int(height * random.uniform(1.15, 2.2)) + 2
    ink = _drawn(picture, height * SIDE // 20, side, random, 12, 0.2, 0.18)
    view = normalise(_scanned(ink, random))
    return view if view.any() else picture


_COLUMNS, _ROWS = (grid.astype(np.float32) for grid in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))


def draw_bends(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Draw smooth displacements of a few pixels, float32 (count, 2, 28, 28): Simard's elastic distortions (2003)."""
    rough = random.uniform(-1, 1, (count, 2, SIDE, SIDE)).astype(np.float32)
    smooth = np.stack([[cv2.GaussianBlur(axis, (0, 0), 5.0) for axis in pair] for pair in rough])
    return np.asarray(smooth * (2.0 / np.abs(smooth).max(axis=(1, 2, 3), keepdims=True)), np.float32)


def _drawn(
    picture: Grey, size: int, side: int, random: np.random.Generator, degrees: float, shear: float, stretch: float
) -> Grey:
    """Turn, shear and stretch the picture, draw it ``size`` pixels large somewhere in a square of ``side``."""
    turn = np.radians(random.uniform(-degrees, degrees))
    slant = random.uniform(-shear, shear)
    wide, high = size / SIDE * random.uniform(1 - stretch, 1 + stretch, 2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[wide, wide * slant], [0, high]])
    room = max(1.0, (side - size * 20 / SIDE) / 2)
    centre = side / 2 - 0.5 + random.uniform(-0.6, 0.6, 2) * min(room, side / 6)
    offset = centre - matrix @ [SIDE / 2 - 0.5, SIDE / 2 - 0.5]
    how = cv2.INTER_CUBIC if size >= SIDE else cv2.INTER_AREA
    if size < SIDE:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 * SIDE / size)
    drawn = cv2.warpAffine(picture, np.hstack([matrix, offset[:, None]]), (side, side), flags=how)
    # Each resampling blurs, but the edges of MNIST's digits and of scans are a pixel wide.
    steeper = random.uniform(1, 1.7) ** (size / SIDE)
    return np.asarray(cv2.LUT(drawn, ((LEVELS - 127.5) * steeper + 127.5).clip(0, 255).astype(np.uint8)), np.uint8)


def _scanned(ink: Grey, random: np.random.Generator) -> Grey:
    """Draw ink, 255 where it is full, as a grey cell on some paper."""
    side = len(ink)
    chance = random.random(8)
    if chance[0] < 0.2:
        ink = cv2.dilate(ink, CROSS if side < 60 else np.ones((3, 3), np.uint8))
    elif chance[0] < 0.4 and side >= 32:
        thin = cv2.erode(ink, CROSS)
        ink = thin if int(thin.max()) > 150 and thin.sum() > 0.35 * ink.sum() else ink
    if chance[1] < 0.08:  # a pen that skipped
        start, end = random.integers(0, side, (2, 2))
        cv2.line(ink, start.tolist(), end.tolist(), 0, max(1, side // 40))
    paper = random.uniform(120, 255)
    contrast = random.uniform(0.12, 1.0) * paper
    cell = np.full((side, side), paper, np.float32)
    if chance[2] < 0.25:  # uneven light
        tilt = random.uniform(-0.35, 0.35, 2) * contrast
        cell += np.linspace(-1, 1, side, dtype=np.float32)[:, None] * tilt[0]
        cell += np.linspace(-1, 1, side, dtype=np.float32)[None, :] * tilt[1]
    if chance[3] < 0.15:  # a watermark, or ink that shows through from the back
        start, end = random.integers(0, side, (2, 2))
        watermark = np.zeros_like(ink)
        cv2.line(watermark, start.tolist(), end.tolist(), 255, max(1, side // 12))
        cell -= watermark * np.float32(random.uniform(0.05, 0.2) * contrast / 255)
    if chance[4] < 0.35:
        ink = np.maximum(ink, _box(side, random))
    cell -= ink.astype(np.float32) * np.float32(contrast / 255)
    if chance[5] < 0.4:
        cell = cv2.GaussianBlur(cell, (0, 0), random.uniform(0.3, side / 45 + 0.3))
    if chance[6] < 0.5:
        noise = random.standard_normal((side, side), np.float32)
        cell += noise * np.float32(random.uniform(0, 0.1) * contrast)
    return np.clip(cell, 0, 255).astype(np.uint8)


def _box(side: int, random: np.random.Generator) -> Grey:
    """Draw what is left of a box around a cell: slightly slanted lines near some of its edges."""
    box = np.zeros((side, side), np.uint8)
    depth = max(2, side // 12)
    slant = int(random.integers(-1, 2))
    for edge in np.flatnonzero(random.random(4) < 0.5):
        at = int(random.integers(0, depth))
        at = at if edge < 2 else side - 1 - at
        ends = ((0, at), (side, at + slant)) if edge % 2 else ((at, 0), (at + slant, side))
        cv2.line(box, *ends, int(random.integers(120, 256)), max(1, side // 40))
    return box
