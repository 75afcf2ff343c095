"""Hard cells that a person may have to look at, or that hold nothing valid: a kind is a function."""

import cv2
import numpy as np

from benchmarks.handwriting import (
    NO_DIGIT,
    Cell,
    Digits,
    Random,
    Sheet,
    a_height,
    edges_of,
    enlarged,
    loop,
    placed,
    redrawn,
    stroke,
    written,
)


def broken(random: Random, digits: Digits) -> Cell:
    """Two gaps through the digit, as a worn print or a bad pen leaves."""
    sheet, label = written(random, digits)
    ink = np.argwhere(sheet.ink > 0.9)[:, ::-1]
    for _ in range(2):
        middle, turn = ink[random.integers(len(ink))], random.uniform(0, np.pi)
        reach = 80 * np.array([np.cos(turn), np.sin(turn)])
        gap = stroke(sheet.shape, [middle - reach, middle + reach], random.uniform(3, 5))
        sheet.lay(gap, sheet.paper)
        sheet.ink = sheet.ink * (1 - gap)
    return sheet.scanned(label)


def felt_marker(random: Random, digits: Digits) -> Cell:
    """Strokes of a fifth to a quarter of the height."""
    sheet, height = Sheet(random), random.uniform(58, 72)
    picture, label = digits.pick(random)
    sheet.write(redrawn(picture, 0.8 * height, height * random.uniform(0.18, 0.26)))
    return sheet.scanned(label)


def slashed_zero(random: Random, digits: Digits) -> Cell:
    """A 0 with a stroke through it that goes beyond the loop at both ends, or ends on it."""
    sheet, label = written(random, digits, (0,))
    left, top, right, foot = edges_of(sheet.ink)
    beyond = random.uniform(-0.02, 0.14) * np.array([right - left, foot - top])
    one, other = np.array([left, foot]) + beyond * [-1, 1], np.array([right, top]) + beyond * [1, -1]
    if random.random() < 0.15:
        one, other = np.array([left, top]) - beyond, np.array([right, foot]) + beyond
    sheet.stroke([one, other], random.uniform(3, 6))
    return sheet.scanned(label)


def stapled(random: Random, digits: Digits) -> Cell:
    """A staple's grey bar with a soft shadow, above the digit or below it."""
    sheet, label = written(random, digits)
    (high, wide), length = sheet.shape, random.uniform(32, 48)
    middle = np.array([random.uniform(0.2, 0.45) * wide, random.uniform(0.08, 0.24) * high])
    if random.random() < 0.3:
        middle = [wide, high] - middle
    turn = random.uniform(-0.7, 0.7)
    reach = length / 2 * np.array([np.cos(turn), np.sin(turn)])
    shadow = stroke(sheet.shape, [middle - reach + 3, middle + reach + 3], 6)
    sheet.lay(0.4 * cv2.GaussianBlur(shadow, (0, 0), 2.5), 60)
    sheet.stroke([middle - reach, middle + reach], random.uniform(4, 6), random.uniform(95, 150))
    return sheet.scanned(label)


def ringed(random: Random, digits: Digits) -> Cell:
    """A ring by hand around a smaller digit."""
    sheet = Sheet(random, (130, 130))
    picture, label = digits.pick(random)
    sheet.write(enlarged(picture, random.uniform(44, 54)), (65 + random.uniform(-4, 4), 65 + random.uniform(-4, 4)))
    radii = random.uniform(44, 54), random.uniform(44, 54)
    sheet.stroke(loop((65, 65), radii, random, random.uniform(0.92, 1.12)), random.uniform(2, 5))
    return sheet.scanned(label)


def corrected(random: Random, digits: Digits) -> Cell:
    """Correction fluid over an old digit, the valid one written on it."""
    sheet = Sheet(random, paper=random.uniform(200, 222))
    sheet.lay(placed(enlarged(digits.pick(random)[0], a_height(random)), sheet.shape, sheet.middle))
    cover = np.zeros(sheet.shape, np.float32)
    axes = round(random.uniform(24, 38)), round(random.uniform(32, 48))
    middle = tuple(round(at + random.uniform(-5, 5)) for at in sheet.middle)
    cv2.ellipse(cover, middle, axes, random.uniform(-30, 30), 0, 360, 1, -1)
    sheet.lay(cv2.GaussianBlur(cover, (0, 0), 0.7), 252)
    picture, label = digits.pick(random)
    sheet.write(enlarged(picture, random.uniform(48, 68)))
    return sheet.scanned(label)


def written_over(random: Random, digits: Digits) -> Cell:
    """A digit written over another one, with a thicker pen."""
    sheet, height = Sheet(random), a_height(random)
    sheet.lay(placed(redrawn(digits.pick(random)[0], height, random.uniform(3, 5)), sheet.shape, sheet.middle))
    picture, label = digits.pick(random)
    sheet.write(redrawn(picture, height, random.uniform(8, 11)), (sheet.middle[0] + random.uniform(-5, 5),
                                                                  sheet.middle[1] + random.uniform(-5, 5)))  # fmt: skip
    return sheet.scanned(label)


def _strike(sheet: Sheet, label: int, edges: tuple[float, float, float, float]) -> None:
    """Strike out what lies within edges, in a way that is no part of a digit of this label."""
    random, (left, top, right, foot) = sheet.random, edges
    reach, thick = random.uniform(0, 8), random.uniform(3, 6)
    up = [(left - reach, foot + reach), (right + reach, top - reach)]
    down = [(left - reach, top - reach), (right + reach, foot + reach)]
    level = [(left - reach - 4, y := (top + foot) / 2 + random.uniform(-8, 8)), (right + reach + 4, y - 4)]
    double = [[(x, y + by) for x, y in level] for by in (-4, 6)]
    ways = [[up, down], double] if label in (0, 7, 1) else [[up], [up], [up], [down], [up, down], double, [level]]
    for line in ways[int(random.integers(len(ways)))]:
        bend = np.mean(line, axis=0) + random.uniform(-3, 3, 2)
        sheet.stroke([line[0], bend, line[1]], thick)


def rewritten(random: Random, digits: Digits) -> Cell:
    """A digit struck out, and the valid one written smaller beside its upper edge."""
    sheet = Sheet(random, (130, 130))
    picture, label = digits.pick(random)
    struck = placed(enlarged(picture, random.uniform(52, 64)), sheet.shape, (48, 84))
    sheet.lay(struck)
    _strike(sheet, label, edges_of(struck))
    picture, label = digits.pick(random)
    sheet.write(enlarged(picture, random.uniform(34, 42)), (random.uniform(98, 108), random.uniform(26, 34)))
    return sheet.scanned(label)


def neighbours_stroke(random: Random, digits: Digits) -> Cell:
    """Less than half of a digit over an edge of a cell that is empty otherwise."""
    sheet = Sheet(random)
    shape = enlarged(digits.pick(random, (9, 7, 6, 4, *range(10)))[0], a_height(random))
    (high, wide), seen = shape.shape, random.uniform(0.15, 0.48)
    (down, across), side = sheet.shape, random.choice(["left", "right", "left", "right", "top", "foot"])
    x, y = across / 2 + random.uniform(-12, 12), down / 2 + random.uniform(-12, 12)
    if side in ("left", "right"):
        x = (seen - 0.5) * wide if side == "left" else across - (seen - 0.5) * wide
    else:
        y = (seen - 0.5) * high if side == "top" else down - (seen - 0.5) * high
    sheet.lay(placed(shape, sheet.shape, (x, y)))
    return sheet.scanned(NO_DIGIT)


def cancelled(random: Random, digits: Digits) -> Cell:
    """A digit that is struck out with one stroke, two, or a cross; no valid one."""
    sheet, label = written(random, digits)
    _strike(sheet, label, edges_of(sheet.ink))
    sheet.ink[:] = 0
    return sheet.scanned(NO_DIGIT)


def showing_through(random: Random, digits: Digits) -> Cell:
    """The mirrored back page, pale and blurred; nothing is written."""
    sheet = Sheet(random)
    mirrored = enlarged(digits.pick(random)[0], a_height(random))[:, ::-1]
    cover = cv2.GaussianBlur(placed(mirrored, sheet.shape, sheet.middle), (0, 0), random.uniform(0.9, 1.8))
    sheet.lay(cover, sheet.paper - random.uniform(20, 48))
    return sheet.scanned(NO_DIGIT, noise=3, blur=0)


def void_stroke(random: Random, digits: Digits) -> Cell:  # noqa: ARG001 - drawn without a digit
    """A Z over the whole cell, crossed perhaps, a cross, an N or an И, that says that nothing goes here."""
    sheet = Sheet(random)
    high, wide = sheet.shape
    left, top, right, foot = random.uniform(5, 16, 4) * [1, 1, -1, -1] + [0, 0, wide, high]
    thick, kind = random.uniform(3, 5), random.random()
    if kind < 0.75:
        lean = random.uniform(-6, 6, 2)
        sheet.stroke([(left, top), (right, top + lean[0]), (left, foot), (right, foot + lean[1])], thick)
        if kind < 0.2:
            sheet.stroke([(wide * 0.3, high / 2 + 4), (wide * 0.7, high / 2 - 4)], thick)
    elif kind < 0.85:
        sheet.stroke([(left, top), (right, foot)], thick)
        sheet.stroke([(right, top), (left, foot)], thick)
    else:
        first, last = (top, foot) if kind < 0.95 else (foot, top)
        sheet.stroke([(left, first), (left, last), (right, first), (right, last)], thick)
    return sheet.scanned(NO_DIGIT)


def upside_down(random: Random, digits: Digits) -> Cell:
    """A whole cell turned by half; its label is what was written."""
    sheet, label = written(random, digits, (1, 2, 3, 4, 5, 7))
    cell = sheet.scanned(label)
    return Cell(cell.page[::-1, ::-1].copy(), label, cell.ink[::-1, ::-1].copy())
