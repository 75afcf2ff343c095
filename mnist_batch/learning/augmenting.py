"""MNIST digits as scanners see them, put through the same normalisation as scans, to train on.

A digit is perhaps written in a style that MNIST has few of, bent and slanted, drawn thinner or thicker, set into a cell
of some paper, ink and light, perhaps with what is left of a box around it, blurred and made noisy, then normalised. So
a model learns what normalisation leaves.
"""

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import negatives, styles
from mnist_batch.pixels.normalising import SIDE, normalise
from mnist_batch.pixels.opencv import cv2
from mnist_batch.schemas.tables import CLASSES

AS_IT_IS = 0.45  # the share that is only bent and shifted a little, so that MNIST itself stays well known
STRANGERS = (CLASSES, CLASSES + 1)  # the outputs of a model for ``REFUSALS``
LEVELS = np.arange(256)
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

Grey = NDArray[np.uint8]


def strangers_among(digits: int) -> list[int]:
    """How many strangers of each kind of ``STRANGERS`` are learned with so many digits."""
    return [digits // 10, digits // 20]


def with_strangers(labels: NDArray[np.int8]) -> NDArray[np.int8]:
    """The labels of digits, int8 (N,), and behind them those of the strangers that are learned with them."""
    return np.concatenate([labels, np.repeat(np.array(STRANGERS, np.int8), strangers_among(len(labels)))])


def augment(pictures: Grey, labels: NDArray[np.int8], random: np.random.Generator) -> Grey:
    """Each of uint8 (N, 28, 28), ink = 255, in another look; the same generator gives the same looks.

    ``labels`` int8 (M,) are theirs, and further ones of ``with_strangers``, whose pictures are drawn anew until no
    upright stroke is all that is left of one: that is a 1.
    """
    bends = _bends(random, 64)
    looks = []
    for number, label in enumerate(labels.tolist()):
        if label < CLASSES:
            digit = pictures[number]
            written = styles.restyled(digit, label, random)
            looks.append(_look(written, random, bends, AS_IT_IS if written is digit else 0))
        else:
            draw = negatives.not_a_digit if label == STRANGERS[0] else negatives.several
            look = _look(draw(pictures, random), random, bends, 0)
            while _upright(look):
                look = _look(draw(pictures, random), random, bends, 0)
            looks.append(look)
    return np.stack(looks) if looks else pictures


def _upright(picture: Grey) -> bool:
    ink = (picture > 64).astype(np.uint8)
    _, _, width, height = cv2.boundingRect(ink)
    filled = cv2.countNonZero(ink) > 0.7 * width * height
    return bool(height >= 14 and (width <= 8 or (filled and width <= 0.65 * height)))


def _look(picture: Grey, random: np.random.Generator, bends: NDArray[np.float32], as_it_is: float) -> Grey:
    if random.random() < 0.6:
        bend = bends[random.integers(len(bends))] * random.uniform(0.3, 1.0)
        picture = cv2.remap(picture, bend[0] + _COLUMNS, bend[1] + _ROWS, cv2.INTER_CUBIC)
    if random.random() < as_it_is:
        return _drawn(picture, SIDE, SIDE, random, 8, 0.12, 0.1)
    height = int(random.choice([random.integers(7, 20), random.integers(20, 44)], p=[0.25, 0.75]))
    side = int(height * random.uniform(1.15, 2.2)) + 2
    ink = _drawn(picture, height * SIDE // 20, side, random, 12, 0.2, 0.18)
    seen = normalise(_scanned(ink, random))
    return seen if seen.any() else picture


_COLUMNS, _ROWS = (grid.astype(np.float32) for grid in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))


def _bends(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Smooth displacements of a few pixels, float32 (count, 2, 28, 28): Simard's elastic distortions (2003)."""
    rough = random.uniform(-1, 1, (count, 2, SIDE, SIDE)).astype(np.float32)
    smooth = np.stack([[cv2.GaussianBlur(axis, (0, 0), 5.0) for axis in pair] for pair in rough])
    return np.asarray(smooth * (2.0 / np.abs(smooth).max(axis=(1, 2, 3), keepdims=True)), np.float32)


def _drawn(
    picture: Grey, size: int, side: int, random: np.random.Generator, degrees: float, shear: float, stretch: float
) -> Grey:
    """The picture turned, sheared and stretched, ``size`` pixels large, somewhere in a square of ``side``."""
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
    # Each resampling blurs, where MNIST's digits and scans have edges a pixel wide.
    steeper = random.uniform(1, 1.7) ** (size / SIDE)
    return np.asarray(cv2.LUT(drawn, ((LEVELS - 127.5) * steeper + 127.5).clip(0, 255).astype(np.uint8)), np.uint8)


def _scanned(ink: Grey, random: np.random.Generator) -> Grey:
    """Ink, 255 where it is full, as a grey cell on some paper."""
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
    if chance[3] < 0.15:  # a watermark, or what shows through from the back
        start, end = random.integers(0, side, (2, 2))
        mark = np.zeros_like(ink)
        cv2.line(mark, start.tolist(), end.tolist(), 255, max(1, side // 12))
        cell -= mark * np.float32(random.uniform(0.05, 0.2) * contrast / 255)
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
    """What is left of a box around a cell: lines near some of its edges, a little aslant."""
    box = np.zeros((side, side), np.uint8)
    depth = max(2, side // 12)
    slant = int(random.integers(-1, 2))
    for edge in np.flatnonzero(random.random(4) < 0.5):
        at = int(random.integers(0, depth))
        at = at if edge < 2 else side - 1 - at
        ends = ((0, at), (side, at + slant)) if edge % 2 else ((at, 0), (at + slant, side))
        cv2.line(box, *ends, int(random.integers(120, 256)), max(1, side // 40))
    return box
