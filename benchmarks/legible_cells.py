"""Hard cells that are to be read, whatever is beside the digit: a kind is a function, each draws several shapes."""

import cv2
import numpy as np

from benchmarks.handwriting import (
    Cell,
    Cover,
    Digits,
    Random,
    Sheet,
    a_height,
    as_grey,
    boxed,
    edges_of,
    enlarged,
    grainy,
    loop,
    placed,
    redrawn,
    stroke,
    written,
)


def cut_tightly(random: Random, digits: Digits) -> Cell:
    """Two to four times as large, black and white, cut out with 0 to 2 pixels of margin."""
    picture, label = digits.pick(random)
    large = cv2.resize(
        boxed(picture), None, fx=(factor := random.choice([2, 3, 3, 4])), fy=factor, interpolation=cv2.INTER_CUBIC
    )
    ink = np.pad(boxed((large > 127).astype(np.uint8) * 255), random.integers(0, 3, (2, 2)))
    paper, pen = (0, 255) if random.random() < 0.25 else (255, 0) if random.random() < 0.5 else (235, 40)
    return Cell(np.where(ink > 0, pen, paper).astype(np.uint8), label, ink)


def faint_pencil(random: Random, digits: Digits) -> Cell:
    """A stroke of one to two pixels in a cell of 28 to 40, its contrast falling along the stroke."""
    picture, label = digits.pick(random)
    side = int(random.integers(28, 41))
    sheet = Sheet(random, (side, side), random.uniform(200, 245))
    height, thickness, fades_to = side * random.uniform(0.5, 0.8), random.uniform(1, 2), random.uniform(0.2, 0.5)
    shape = redrawn(picture, height, thickness, fades_to, at_start=random.random() < 0.5)
    place = side / 2 + random.uniform(-2, 2), side / 2 + random.uniform(-2, 2)
    sheet.write(shape, place, sheet.paper - random.uniform(40, 110))
    return sheet.scanned(label, noise=3, blur=0.6)


def faint_in_uneven_light(random: Random, digits: Digits) -> Cell:
    """The same in light that falls by up to a fifth from one edge to another."""
    cell = faint_pencil(random, digits)
    high, wide = cell.page.shape
    turn, fall = random.uniform(0, 2 * np.pi), random.uniform(0.05, 0.2)
    down, across = np.mgrid[:high, :wide]
    far = across * np.cos(turn) + down * np.sin(turn)
    light = 1 - fall * (far - far.min()) / np.ptp(far)
    return Cell(np.round(cell.page * light).astype(np.uint8), cell.label, cell.ink)


def small_round_zero(random: Random, digits: Digits) -> Cell:
    """A 0 as wide as high, a sixteenth to a fifth of its cell."""
    sheet = Sheet(random, (side := int(random.integers(100, 221)), side + int(random.integers(-20, 21))))
    across = max(9, side * random.uniform(0.06, 0.2))
    place = sheet.middle[0] + random.uniform(-0.1, 0.1) * side, sheet.middle[1] + random.uniform(-0.1, 0.1) * side
    if random.random() < 0.4:
        points = loop(place, (across / 2, across / 2), random, random.uniform(0.97, 1.08))
        sheet.ink = stroke(sheet.shape, points, random.uniform(1.5, 3))
        sheet.lay(sheet.ink)
    else:
        zero = boxed(digits.pick(random, [0])[0])
        size = round(across), round(across)
        how = cv2.INTER_AREA if max(zero.shape) > across else cv2.INTER_CUBIC
        sheet.write(cv2.resize(zero, size, interpolation=how).astype(np.float32) / 255, place)
    return sheet.scanned(0)


def in_a_corner(random: Random, digits: Digits) -> Cell:
    """A digit in a corner of a large cell, touching both edges or nearly."""
    side = int(random.integers(170, 251))
    sheet = Sheet(random, (side, side))
    picture, label = digits.pick(random)
    shape = enlarged(picture, random.uniform(42, 60))
    (high, wide), gap = shape.shape, random.integers(0, 3, 2)
    across, down = wide // 2 + gap[0], high // 2 + gap[1]
    at = (side - across if random.random() < 0.5 else across, side - down if random.random() < 0.5 else down)
    sheet.write(shape, at)
    return sheet.scanned(label)


def underlined(random: Random, digits: Digits) -> Cell:
    """A line by hand under the digit, or two, half to most of the width."""
    sheet, label = written(random, digits, (7, 7, *range(10)))
    left, _, right, foot = edges_of(sheet.ink)
    at, reach = foot + random.uniform(4, 13), random.uniform(0.25, 0.4) * sheet.shape[1]
    for row in (0, 7)[: 2 if random.random() < 0.2 else 1]:
        ends = np.array([[-1.0, 0], [0, random.uniform(-1.5, 1.5)], [1, random.uniform(-4, 4)]])
        sheet.stroke(ends * [reach, 1] + [(left + right) / 2, at + row], random.uniform(2.5, 4.5))
    return sheet.scanned(label)


def on_a_rule(random: Random, digits: Digits) -> Cell:
    """A line across at two thirds, the digit just above it."""
    sheet = Sheet(random)
    high, wide = sheet.shape
    at, rise = high * random.uniform(0.66, 0.86), random.uniform(-1.5, 1.5)
    sheet.stroke([(-2, at), (wide + 2, at + rise)], random.uniform(1.2, 2.5), random.uniform(20, 120))
    picture, label = digits.pick(random)
    shape = enlarged(picture, random.uniform(52, 70))
    sheet.write(shape, (wide / 2 + random.uniform(-8, 8), at - random.uniform(2, 8) - shape.shape[0] / 2))
    return sheet.scanned(label)


def _framed(sheet: Sheet, edges: tuple[float, float, float, float], thickness: float, grey: float) -> None:
    left, top, right, foot = edges
    sheet.stroke([(left, top), (right, top), (right, foot), (left, foot), (left, top)], thickness, grey)


def over_the_box(random: Random, digits: Digits) -> Cell:
    """A printed frame inside the cell, and a digit that crosses one of its lines."""
    sheet = Sheet(random, (130, 110))
    inset = random.uniform(9, 15)
    _framed(sheet, (inset, inset, 110 - inset, 130 - inset), random.uniform(2, 3), random.uniform(20, 110))
    picture, label = digits.pick(random)
    shape = enlarged(picture, a_height(random))
    (high, wide), over = shape.shape, random.uniform(0.02, 0.16)
    across, down = 55 + random.uniform(-5, 5), 65 + random.uniform(-5, 5)
    side = random.choice(["foot", "foot", "top", "left", "right"])
    if side in ("foot", "top"):
        down = 130 - inset + over * high - high / 2 if side == "foot" else inset - over * high + high / 2
    else:
        across = 110 - inset + over * wide - wide / 2 if side == "right" else inset - over * wide + wide / 2
    sheet.write(shape, (across, down))
    return sheet.scanned(label)


def small_frame(random: Random, digits: Digits) -> Cell:
    """A dark frame that is smaller than the digit written into it."""
    sheet = Sheet(random)
    (across, down), height = sheet.middle, a_height(random)
    half = height * random.uniform(0.3, 0.42), height * random.uniform(0.33, 0.44)
    edges = across - half[0], down - half[1], across + half[0], down + half[1]
    _framed(sheet, edges, random.uniform(2, 3.5), random.uniform(20, 90))
    picture, label = digits.pick(random)
    sheet.write(enlarged(picture, height), (across + random.uniform(-3, 3), down + random.uniform(-3, 3)))
    return sheet.scanned(label)


def on_a_grid(random: Random, digits: Digits) -> Cell:
    """A grid that a scanner's document mode has turned as black as the digit."""
    sheet, apart = Sheet(random, paper=255), random.uniform(24, 40)
    (high, wide), thick = sheet.shape, random.uniform(1, 2)
    for at in np.arange(random.uniform(0, apart), wide, apart):
        sheet.stroke([(at, -2), (at, high + 2)], thick, 0)
    for at in np.arange(random.uniform(0, apart), high, apart):
        sheet.stroke([(-2, at), (wide + 2, at)], thick, 0)
    picture, label = digits.pick(random)
    sheet.write(enlarged(picture, a_height(random)), grey=0)
    return Cell(np.where(sheet.levels > 127, 255, 0).astype(np.uint8), label, as_grey(sheet.ink))


def streaked(random: Random, digits: Digits) -> Cell:
    """A dark line of one or two pixels from edge to edge through the digit, down or across, straight as scanners do."""
    sheet, label = written(random, digits, (0, 0, 0, *range(10)))
    left, top, right, foot = edges_of(sheet.ink)
    thick, grey = int(random.integers(1, 3)), random.uniform(20, 110)
    if random.random() < 0.75:
        at = int(random.uniform(left + 3, right - 4))
        sheet.levels[:, at : at + thick] = np.minimum(sheet.levels[:, at : at + thick], grey)
    else:
        at = int(random.uniform(top + 3, foot - 4))
        sheet.levels[at : at + thick] = np.minimum(sheet.levels[at : at + thick], grey)
    return sheet.scanned(label, blur=0.5)


def shadowed(random: Random, digits: Digits) -> Cell:
    """Everything beyond a straight edge is darker, by 30 to 50 %."""
    sheet, label = written(random, digits)
    (high, wide), turn = sheet.shape, random.uniform(0, 2 * np.pi)
    down, across = np.mgrid[:high, :wide].astype(np.float32)
    far = (across - wide / 2) * np.cos(turn) + (down - high / 2) * np.sin(turn)
    edge = (far - random.uniform(-25, 25)).clip(-0.5, 0.5) + 0.5
    sheet.levels *= 1 - edge.astype(np.float32) * random.uniform(0.3, 0.5)
    return sheet.scanned(label)


def neighboured(random: Random, digits: Digits) -> Cell:
    """Cut too wide: a part of the neighbour's digit at the right or left edge, perhaps with the line between."""
    sheet = Sheet(random, (int(random.integers(96, 116)), int(random.integers(120, 161))))
    (high, wide), left = sheet.shape, random.random() < 0.5
    neighbour, (picture, label) = enlarged(digits.pick(random)[0], random.uniform(52, 66)), digits.pick(random)
    digit = enlarged(picture, random.uniform(52, 66))

    def lay_out(across: float) -> tuple[float, float]:
        return wide - across if left else across, high / 2 + random.uniform(-6, 6)

    seen = neighbour.shape[1] * random.uniform(0.3, 0.9)
    room = wide - seen - random.uniform(8, 16)
    sheet.lay(placed(neighbour, sheet.shape, lay_out(wide - seen + neighbour.shape[1] / 2)))
    if random.random() < 0.4:
        line = lay_out(room)[0]
        sheet.stroke([(line, -2), (line + random.uniform(-1, 1), high + 2)], random.uniform(1.5, 2.5))
    sheet.write(digit, lay_out(min(room / 2, room - digit.shape[1] / 2 - 4)))
    return sheet.scanned(label)


def white_on_transparent(random: Random, digits: Digits) -> Cell:
    """Light strokes on a transparent page: one colour everywhere, alpha is the ink."""
    sheet, label = written(random, digits)
    alpha = as_grey(sheet.ink)
    colour = np.full((*sheet.shape, 3), 255 if random.random() < 0.7 else int(random.integers(215, 255)), np.uint8)
    return Cell(np.dstack([colour, alpha]), label, alpha)


def stamped(random: Random, digits: Digits) -> Cell:
    """A dark red stamp across a digit in black or blue."""
    sheet, label = written(random, digits)
    cover = _stamp(random, sheet.shape)[..., None]
    red = np.array([random.uniform(30, 70), random.uniform(20, 60), random.uniform(130, 190)], np.float32)
    page = np.repeat(sheet.levels[..., None], 3, axis=2)
    if random.random() < 0.5:  # blue ink: B, G, R
        page += sheet.ink[..., None] * np.array([70, 20, 0], np.float32)
    page *= 1 - random.uniform(0.75, 0.95) * cover * (1 - red / 255)
    return Cell(grainy(page, random, 2), label, as_grey(sheet.ink))


def _stamp(random: Random, size: tuple[int, int]) -> Cover:
    """A word in a frame, turned, somewhere near the middle of a page of (height, width)."""
    stamp, font = np.zeros((260, 260), np.uint8), cv2.FONT_HERSHEY_DUPLEX
    text = str(random.choice(["PAID", "COPY", "OK 12", "RECEIVED"]))
    (wide, high), _ = cv2.getTextSize(text, font, scale := random.uniform(0.8, 1.3), 2)
    cv2.putText(stamp, text, (130 - wide // 2, 130 + high // 2), font, scale, 255, 2, cv2.LINE_AA)
    corners = (122 - wide // 2, 122 - high // 2), (138 + wide // 2, 138 + high // 2)
    cv2.rectangle(stamp, *corners, 255, 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((130, 130), random.uniform(-35, 35), 1)
    turn[:, 2] += np.array(size[::-1]) / 2 - 130 + random.uniform(-40, 40, 2)
    return np.asarray(cv2.warpAffine(stamp, turn, size[::-1], flags=cv2.INTER_LINEAR) / np.float32(255), np.float32)


def highlighted(random: Random, digits: Digits) -> Cell:
    """A band of pink or green marker over a part of the cell."""
    sheet, label = written(random, digits)
    high, wide = sheet.shape
    start, end = sorted(random.uniform(0.05, 0.95, 2)) if random.random() < 0.5 else (0.2, 0.8)
    rows = (random.uniform(start, start + 0.1), max(end, start + 0.3))
    at = (rows[0] + rows[1]) / 2 * high
    band = stroke(sheet.shape, [(-20, at), (wide * random.uniform(0.5, 1.2), at)], (rows[1] - rows[0]) * high)
    colour = np.array([[210, 145, 255], [140, 250, 150]][int(random.integers(2))], np.float32) + random.uniform(-20, 10)
    page = np.repeat(sheet.levels[..., None], 3, axis=2)
    page *= 1 - band[..., None] * (1 - colour.clip(0, 255) / np.float32(255))
    return Cell(grainy(page, random, 2), label, as_grey(sheet.ink))
