"""MNIST digits as scanners might see them, to train on.

A digit may be rewritten in a style that is rare in MNIST, bent and slanted, made thinner or thicker. It is then set
into a cell of some paper, ink and light, with something beside it or what is left of a box around it at times, blurred,
made noisy, and normalised as scans are. So a model learns from what normalisation leaves, if that is still the digit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import allographs, clutter, styles
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.negatives import NEGATIVES, Negative
from mnist_batch.pixels.normalising import SIDE, Normalised, examine, examine_each
from mnist_batch.pixels.opencv import cv2

AS_IT_IS = 0.45  # the share that is only bent and shifted a little, so that MNIST itself is not forgotten
# The shares of a digit's cells without margin, with something beside it, and with an older digit below it.
CUT_TIGHTLY, BESIDE, FIRM_OVER_THIN = 0.06, 0.12, 0.04
REWRITTEN = 0.08  # the share of digits in whose place one of the same class is written in a rare form
ROOMY = 45  # the mean of a cell's ink up to which a firmer pen leaves more paper than ink
READABLE, KEPT = 0.2, 0.55  # how much of a digit or a negative normalisation has to leave so that it is learned
AT_ONCE = 256  # scans that are normalised together, which is quicker
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
    """A view of each digit, or of one of its class, in their order, and the negatives that are learned with them.

    The same generator draws the same lesson.
    """
    bends = draw_bends(random, 64)
    views = list[Grey]()
    for first in range(0, len(share.labels), AT_ONCE):
        some = share.take(np.arange(first, min(first + AT_ONCE, len(share.labels))))
        digits = zip(some.images, some.labels.tolist(), strict=True)
        views += _views([_digit(image, label, share, random, bends) for image, label in digits])
    classes = [share.labels]
    for negative in NEGATIVES:
        count = negative.among(len(share.labels))
        views += [draw_negative(negative, share, random, bends) for _ in range(count)]
        classes.append(np.full(count, negative.output, np.int8))
    return Lesson(np.stack(views) if views else share.images, np.concatenate(classes))


class _Scan(NamedTuple):
    """A page with a digit on it, the digit's ink there, and its view if normalisation loses it."""

    page: Grey
    ink: Grey
    bent: Grey


def _digit(
    image: Grey, label: int, others: Digits, random: np.random.Generator, bends: NDArray[np.float32]
) -> Grey | _Scan:
    """A view of a digit, or a scan of it that is still to be normalised; one of ``others`` may lie below it."""
    if label in allographs.FORMS and random.random() < REWRITTEN:
        written = allographs.write(label, random)
    else:
        written = styles.restyled(image, label, random)
    bent = _bent(written, random, bends)
    if written is image and random.random() < AS_IT_IS:
        return _drawn(bent, SIDE, SIDE, random, 8, 0.12, 0.1)
    ink = _in_a_cell(bent, random, 7)
    if random.random() < CUT_TIGHTLY:
        ink = _cut_tightly(ink, random)
    chance, beside = random.random(), None
    if chance < BESIDE:
        beside = clutter.beside(ink, random)
    elif chance < BESIDE + FIRM_OVER_THIN and ink.mean() < ROOMY:
        ink, beside = clutter.firm_over_thin(ink, others.images[random.integers(len(others.labels))], random)
    return _Scan(_scanned(ink, random, beside), ink, bent)


def _views(drawn: Sequence[Grey | _Scan]) -> list[Grey]:
    """The views of digits, with all scans normalised together."""
    seen = iter(examine_each([each.page for each in drawn if isinstance(each, _Scan)]))
    return [_view(each, next(seen)[0]) if isinstance(each, _Scan) else each for each in drawn]


def _view(scan: _Scan, seen: Normalised) -> Grey:
    return seen.picture if _likeness(seen, scan.ink) >= READABLE else scan.bent


def _cut_tightly(ink: Grey, random: np.random.Generator) -> Grey:
    x, y, width, height = cv2.boundingRect(cv2.threshold(ink, 64, 255, cv2.THRESH_BINARY)[1])
    left, top, right, foot = random.integers(0, 3, 4).tolist()
    if not width:
        return ink
    return np.ascontiguousarray(ink[max(0, y - top) : y + height + foot, max(0, x - left) : x + width + right])


def draw_negative(negative: Negative, digits: Digits, random: np.random.Generator, bends: NDArray[np.float32]) -> Grey:
    """A view of a negative; drawn again where normalisation leaves something else of it, or only a stroke, a 1."""
    while True:
        ink = _in_a_cell(_bent(negative.draw(digits, random), random, bends), random, 14)
        seen = examine(_scanned(ink, random))
        if _likeness(seen, ink) >= KEPT and _is_as_large(seen, ink) and not _is_one(seen.picture):
            return seen.picture


def _likeness(seen: Normalised, ink: Grey) -> float:
    """How much of what normalisation leaves and of the ink of the cell is common to both, of 1."""
    if seen.box is None:
        return 0
    x, y, width, height = seen.box
    left, top, wide, high = cv2.boundingRect(seen.picture)
    part = ink[y : y + height, x : x + width]
    there = cv2.resize(part, (wide, high), interpolation=cv2.INTER_AREA)
    left_out = (_sum(ink) - _sum(part)) * (wide * high / (width * height))
    picture = seen.picture[top : top + high, left : left + wide]
    return float(_sum(cv2.min(picture, there)) / (_sum(cv2.max(picture, there)) + left_out))


def _is_as_large(seen: Normalised, ink: Grey) -> bool:
    """Whether what was found is nearly as wide and high as the ink, so that no end of a long stroke is missing."""
    box = cv2.boundingRect(cv2.threshold(ink, 64, 255, cv2.THRESH_BINARY)[1])
    return seen.box is not None and all(seen.box[side] >= 0.85 * box[side] - 1 for side in (2, 3))


def _sum(picture: Grey) -> float:
    return float(cv2.sumElems(picture)[0])


def _is_one(picture: Grey) -> bool:
    """Whether all ink is one upright or slanted stroke."""
    ink = cv2.threshold(picture, 64, 1, cv2.THRESH_BINARY)[1]
    _, _, width, height = cv2.boundingRect(ink)
    found = cv2.moments(ink, True)
    across, down, both = found["mu20"], found["mu02"], found["mu11"]
    spread = np.hypot(across - down, 2 * both)
    thin = across + down - spread < 0.16 * (across + down + spread)  # the variances across and along the stroke
    return bool(height >= 14 and (width <= 8 or (thin and down > 0.5 * across)))


def _bent(picture: Grey, random: np.random.Generator, bends: NDArray[np.float32]) -> Grey:
    if random.random() >= 0.6:
        return picture
    bend = bends[random.integers(len(bends))] * random.uniform(0.3, 1.0)
    return np.asarray(cv2.remap(picture, bend[0] + _COLUMNS, bend[1] + _ROWS, cv2.INTER_CUBIC), np.uint8)


def _in_a_cell(picture: Grey, random: np.random.Generator, smallest: int) -> Grey:
    """Draw a picture somewhere in a square cell, digits being at least so many pixels high there."""
    height = int(random.integers(smallest, 20) if random.random() < 0.25 else random.integers(20, 44))
    side = int(height * random.uniform(1.15, 2.2)) + 2
    return _penned(_drawn(picture, height * SIDE // 20, side, random, 12, 0.2, 0.18), random)


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


def _scanned(ink: Grey, random: np.random.Generator, others: Grey | None = None) -> Grey:
    """Draw ink, 255 where it is full, as a grey cell on some paper, with ``others`` that is no part of it."""
    high, wide = ink.shape
    chance = random.random(5)
    paper = random.uniform(120, 255)
    contrast = random.uniform(0.12, 1.0) * paper
    cell = np.full((high, wide), paper, np.float32)
    if chance[0] < 0.25:  # uneven light
        tilt = random.uniform(-0.35, 0.35, 2) * contrast
        cell += np.linspace(-1, 1, high, dtype=np.float32)[:, None] * tilt[0]
        cell += np.linspace(-1, 1, wide, dtype=np.float32)[None, :] * tilt[1]
    if chance[1] < 0.15:  # a watermark, or ink that shows through from the back
        start, end = random.integers(0, wide, (2, 2))
        watermark = np.zeros_like(ink)
        cv2.line(watermark, start.tolist(), end.tolist(), 255, max(1, wide // 12))
        cell -= watermark * np.float32(random.uniform(0.05, 0.2) * contrast / 255)
    if others is not None:
        ink = np.maximum(ink, others)
    elif chance[2] < 0.35 and high == wide:
        ink = np.maximum(ink, _box(wide, random))
    cell -= ink.astype(np.float32) * np.float32(contrast / 255)
    if chance[3] < 0.4:
        cell = cv2.GaussianBlur(cell, (0, 0), random.uniform(0.3, wide / 45 + 0.3))
    if chance[4] < 0.5:
        noise = random.standard_normal((high, wide), np.float32)
        cell += noise * np.float32(random.uniform(0, 0.1) * contrast)
    return np.clip(cell, 0, 255).astype(np.uint8)


def _penned(ink: Grey, random: np.random.Generator) -> Grey:
    """The same ink from another pen: broader or finer, a felt marker, one that skipped, a pencil that fades."""
    side = max(ink.shape)
    chance = random.random(3)
    if chance[0] < 0.2:
        ink = cv2.dilate(ink, CROSS if side < 60 else np.ones((3, 3), np.uint8))
    elif chance[0] < 0.4 and side >= 32:
        thin = cv2.erode(ink, CROSS)
        ink = thin if int(thin.max()) > 150 and thin.sum() > 0.35 * ink.sum() else ink
    elif chance[0] < 0.43:
        across = max(2, round(side * random.uniform(0.03, 0.06)))
        ink = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across)))
    if chance[1] < 0.08:
        for _ in range(random.integers(1, 3)):
            start, end = random.integers(0, side, (2, 2))
            ink = cv2.line(ink.copy(), start.tolist(), end.tolist(), 0, max(1, side // 40))
    if chance[2] < 0.06:
        (high, wide), turn = ink.shape, random.uniform(0, 2 * np.pi)
        down, across_way = np.linspace(-1, 1, high)[:, None] * np.sin(turn), np.linspace(-1, 1, wide) * np.cos(turn)
        strength = 1 - random.uniform(0.3, 0.7) * (0.5 + 0.5 * np.clip(down + across_way, -1, 1))
        ink = (ink * strength).astype(np.uint8)
    return np.asarray(ink, np.uint8)


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
