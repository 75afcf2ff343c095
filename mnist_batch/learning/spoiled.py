"""Digits that are not valid: a neighbour's, of which a part is seen; cancelled; seen from behind; written over.

What a person could still take for a digit is left out: the lower half of a 6 is a 0, a 7 with a bar is a 7. A function
returns None where the digits that it happened to pick would leave such a picture.
"""

import numpy as np

from mnist_batch.learning.digits import Digits
from mnist_batch.learning.drawing import SIDE, Grey, Points, Random, hand_drawn, scaled, strokes
from mnist_batch.pixels.opencv import cv2

# The largest share of a digit whose part over an edge is no digit, by the part that is seen; others are digits early.
PARTS = {
    "left": {0: 0.4, 2: 0.3, 3: 0.4, 4: 0.4, 5: 0.35, 7: 0.35, 8: 0.4, 9: 0.3},
    "right": {0: 0.35, 4: 0.45, 6: 0.3},
    "upper": {0: 0.4, 2: 0.25, 3: 0.25, 4: 0.35, 5: 0.3, 7: 0.2, 8: 0.2, 9: 0.2},
    "lower": {0: 0.4, 2: 0.3, 3: 0.35, 5: 0.35, 6: 0.22, 8: 0.22},
}
LEAST_PART = 0.15
NO_DIGIT_MIRRORED = (3, 4, 6, 7, 9)  # a mirrored 2 is like a 5, and a 5 like a 2
# How one stroke may run that cancels a digit, and the digits that it would not cancel.
DIRECTIONS = {"rising": (0, 1, 7), "falling": (0, 1, 7), "level": (0, 1, 4, 5, 7), "upright": (0, 1, 3, 4, 7)}
# Digits of which one written over the other looks like one of the two, or like a third.
ALIKE = {(0, 6), (0, 8), (0, 9), (1, 4), (1, 7), (1, 9), (3, 5), (3, 8), (3, 9), (4, 9), (5, 6), (5, 8), (5, 9),
         (6, 8), (7, 9), (8, 9), (2, 3), (2, 8), (2, 7), (1, 6), (1, 0), (0, 7)}  # fmt: skip


def part(digits: Digits, random: Random) -> Grey | None:
    """Cut a digit so that less than half of it is seen, as where a neighbour's reaches into a cell."""
    seen = str(random.choice(["left", "right", "left", "right", "upper", "lower"]))
    picture, label = _pick(digits, random)
    if label not in PARTS[seen]:
        return None
    x, y, width, height = cv2.boundingRect(cv2.threshold(picture, 64, 255, cv2.THRESH_BINARY)[1])
    share = random.uniform(LEAST_PART, PARTS[seen][label])
    across, down = max(2, round(share * width)), max(2, round(share * height))
    rows = {"upper": slice(y, y + down), "lower": slice(y + height - down, None)}.get(seen, slice(None))
    columns = {"left": slice(x, x + across), "right": slice(x + width - across, None)}.get(seen, slice(None))
    cut = np.zeros_like(picture)
    cut[rows, columns] = picture[rows, columns]
    return cut if _pixels(cut) >= 14 else None


def cancelled(digits: Digits, random: Random) -> Grey:
    """Draw strokes through a digit, beyond it at both ends: one, two beside each other, or two crossed."""
    picture, label = _pick(digits, random)
    picture = scaled(picture, random.uniform(0.7, 0.95))
    directions = [direction for direction, kept in DIRECTIONS.items() if label not in kept]
    kind = random.random()
    if kind < 0.6 and directions:
        turns, apart = [_turn(directions[random.integers(len(directions))], picture, random)], 0.0
    elif kind < 0.8:
        turns, apart = [random.uniform(-50, 65)] * 2, random.uniform(3, 7)
    else:
        turns, apart = [_turn("rising", picture, random), _turn("falling", picture, random)], 0.0
    return np.maximum(picture, _struck(picture, turns, apart, random))


def _turn(direction: str, picture: Grey, random: Random) -> float:
    """A direction in degrees above level: people strike out from corner to corner, or straight across."""
    if direction in ("level", "upright"):
        return random.uniform(-14, 14) + (90 if direction == "upright" else 0)
    _, _, width, height = cv2.boundingRect(cv2.threshold(picture, 64, 255, cv2.THRESH_BINARY)[1])
    turn = float(np.clip(np.degrees(np.arctan2(height, width)) + random.normal(0, 10), 28, 80))
    return turn if direction == "rising" else -turn


def _struck(picture: Grey, turns: list[float], apart: float, random: Random) -> Grey:
    """Strokes through the middle of a picture's ink that reach beyond it, their degrees above level ``turns``."""
    x, y, width, height = cv2.boundingRect(cv2.threshold(picture, 64, 255, cv2.THRESH_BINARY)[1])
    middle = np.array([x + width / 2, y + height / 2]) + random.normal(0, 0.08, 2) * [width, height]
    wave = random.uniform(0.6, 2.2) if random.random() < 0.25 else 0.0
    paths: list[Points] = []
    for place, turn in enumerate(turns):
        way = np.array([np.cos(np.radians(turn)), -np.sin(np.radians(turn))])
        half = min(width / 2 / max(abs(way[0]), 1e-6), height / 2 / max(abs(way[1]), 1e-6))
        aside = apart * (place - (len(turns) - 1) / 2) * np.array([-way[1], way[0]])
        ends = random.uniform(1, 5, 2) + half
        paths.append(hand_drawn(middle + aside - ends[0] * way, middle + aside + ends[1] * way, random, wave))
    struck = strokes(paths, random.uniform(0.7, 2.6))
    return np.asarray(cv2.convertScaleAbs(struck, alpha=random.uniform(0.8, 1)), np.uint8)


def scratched(digits: Digits, random: Random) -> Grey:
    """Draw a pen to and fro over a digit, or round and round."""
    picture, _ = _pick(digits, random)
    count = int(random.integers(4, 10))
    if random.random() < 0.7:
        across = np.where(np.arange(count) % 2, 25, 3) + random.normal(0, 1.5, count)
        path = np.stack([across, np.linspace(8, 20, count) + random.normal(0, 1, count)], 1)
        path = path if random.random() < 0.7 else path[:, ::-1]
    else:
        at, turns = np.linspace(0, 1, 120), random.uniform(4, 8) * 2 * np.pi  # a spiral: a ring would be a 0
        path = 14 + random.uniform(6, 11, 2) * np.stack([at * np.cos(turns * at), at * np.sin(turns * at)], 1)
    return np.maximum(picture, strokes([path], random.uniform(1.2, 3.2)))


def mirrored(digits: Digits, random: Random) -> Grey | None:
    """Draw a digit as it shows through from the back of the page."""
    picture, label = _pick(digits, random)
    if label not in NO_DIGIT_MIRRORED:
        return None
    seen = np.ascontiguousarray(picture[:, ::-1])
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), random.uniform(0.2, 1.2)), np.uint8)


def overwritten(digits: Digits, random: Random) -> Grey | None:
    """Draw a digit over another one, where neither prevails."""
    (one, first), (other, second) = _pick(digits, random), _pick(digits, random)
    if first == second or {(first, second), (second, first)} & ALIKE:
        return None
    other = scaled(other, random.uniform(0.85, 1), random.uniform(12.5, 15.5, 2))
    both = np.maximum(one, other)
    return both if max(_pixels(one), _pixels(other)) < 0.67 * _pixels(both) else None


def beside_each_other(digits: Digits, random: Random) -> Grey:
    """Draw two or three digits in a row."""
    count = 3 if random.random() < 0.15 else 2
    parts = []
    for _ in range(count):
        picture, _ = _pick(digits, random)
        x, y, width, height = cv2.boundingRect(picture)
        tall = int(random.integers(13, 19))
        wide = int(np.clip(width * tall / max(height, 1), 3, 26 // count))
        ink = picture[y : y + max(height, 1), x : x + max(width, 1)]
        parts.append(cv2.resize(ink, (wide, tall), interpolation=cv2.INTER_AREA))
    gap = int(random.integers(0, 4))
    left = max(0, (SIDE - sum(part.shape[1] for part in parts) - gap * (count - 1)) // 2)
    page = np.zeros((SIDE, SIDE), np.uint8)
    for ink in parts:
        height, width = ink.shape
        top = (SIDE - height) // 2 + int(random.integers(-2, 3))
        place = page[top : top + height, left : left + width]
        np.maximum(place, ink[:, : place.shape[1]], out=place)
        left += width + gap
    return page


def written_again(digits: Digits, random: Random) -> Grey:
    """Draw a cancelled digit and a valid one beside it or above."""
    struck = scratched if random.random() < 0.3 else cancelled
    size, turn = random.uniform(0.45, 0.62), np.radians(random.uniform(-10, 100))
    apart = random.uniform(7, 9) * np.array([np.cos(turn) * random.choice([-1, 1], p=[0.25, 0.75]), -np.sin(turn)])
    again, _ = _pick(digits, random)
    page = scaled(struck(digits, random), size, 14 - apart * random.uniform(0.6, 0.9))
    return np.maximum(page, scaled(again, random.uniform(0.38, size), 14 + apart))


def _pick(digits: Digits, random: Random) -> tuple[Grey, int]:
    row = random.integers(0, len(digits.labels))
    return digits.images[row], int(digits.labels[row])


def _pixels(picture: Grey) -> int:
    """How many pixels are ink."""
    return cv2.countNonZero(cv2.threshold(picture, 128, 255, cv2.THRESH_BINARY)[1])
