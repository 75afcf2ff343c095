"""Pages as scanners, copiers, fax machines and phones deliver them, with every cell's corners followed exactly.

A disturbance is a chain of steps on a ``Sheet``. Steps that move the page are gathered into one map, so that the
picture is resampled as seldom as can be. The upper left corner of a picture is (0, 0); only maps between steps count as
OpenCV does, for which a whole number is the middle of a pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.form_filling import Cell, Page, Points
from benchmarks.form_printing import DOTS_PER_INCH
from benchmarks.handwriting import Cover, Grey, Random, grainy

Map = Callable[[Points], Points]
Matrix = NDArray[np.float64]
HIDDEN_SHARE = 0.1  # of a cell's area


class Sheet:
    """A page on its way through machines: what it looks like so far, and where each point of the form went."""

    def __init__(self, page: Page, random: Random) -> None:
        self.page, self.random = page, random
        self.done: list[Map] = []
        self.pending: Matrix = np.eye(3)
        self.size = page.picture.shape[1], page.picture.shape[0]
        self.picture = page.picture
        self.lid = float(random.choice([255, 250, 240, 120, 20], p=[0.5, 0.2, 0.15, 0.05, 0.1]))
        self.hidden: set[Cell] = set()
        self.turn = 0
        self.dots_per_inch = page.dots_per_inch

    def move(self, matrix: Matrix, size: tuple[float, float] | None = None) -> None:
        """Map the page by a matrix (3, 3) onto a sheet of another size (across, down)."""
        self.pending = matrix @ self.pending
        if size is not None:
            self.size = round(size[0]), round(size[1])

    def levels(self) -> Grey:
        """The picture once all moves are done."""
        if not np.array_equal(self.pending, np.eye(3)) or self.picture.shape[1::-1] != self.size:
            matrix, self.pending = self.pending, np.eye(3)
            factor = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
            self.picture = resampled(self.picture, matrix, self.size, factor, self.lid)
            self.done.append(lambda points: projected(matrix, points))
        return self.picture

    def become(self, picture: NDArray[Any], moved: Map | None = None) -> None:
        """Look as another picture, whose points went where ``moved`` has them."""
        self.picture = np.asarray(picture.round().clip(0, 255), np.uint8) if picture.dtype != np.uint8 else picture
        self.size = self.picture.shape[1], self.picture.shape[0]
        if moved:
            self.done.append(moved)

    def at(self, points: Points) -> Points:
        """Where points (N, 2) of the form went."""
        self.levels()
        return follow(tuple(self.done), points)

    def hide(self, mask: NDArray[Any]) -> None:
        """Note the cells of which a part is covered by a mask (H, W) of the picture."""
        self.hidden |= {
            cell for cell, corners in self.page.corners.items() if covered(mask, self.at(corners)) > HIDDEN_SHARE
        }

    def delivered(self, kind: str) -> Page:
        """The page as it is, with its truth."""
        picture, done = self.levels(), tuple(self.done)
        corners = {cell: self.at(corners) for cell, corners in self.page.corners.items()}
        high, wide = picture.shape[:2]
        beyond = {cell for cell, at in corners.items() if (at < 0).any() or (at > (wide, high)).any()}
        return replace(
            self.page, picture=picture, corners=corners, kind=kind, turn=self.turn, dots_per_inch=self.dots_per_inch,
            hidden=frozenset(self.hidden | beyond), at=lambda points: follow(done, points), ink=None,
        )  # fmt: skip


def follow(maps: Sequence[Map], points: Points) -> Points:
    """Points after one map and another."""
    points = points - 0.5
    for moved in maps:
        points = moved(points)
    return points + 0.5


def projected(matrix: Matrix, points: Points) -> Points:
    """Points (N, 2) mapped by a matrix (3, 3)."""
    there = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(there[:, :2] / there[:, 2:])


def covered(mask: NDArray[Any], corners: Points) -> float:
    """The share of a quadrangle that a mask covers, or that lies beyond it."""
    low = np.floor(corners.min(0)).astype(int) - 1
    size = np.ceil(corners.max(0)).astype(int) + 2 - low
    quad = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(quad, [np.round(corners - low).astype(np.int32)], 1)
    there = np.ones_like(quad)
    y, x = max(low[1], 0), max(low[0], 0)
    part = np.asarray(mask[y : max(low[1] + size[1], 0), x : max(low[0] + size[0], 0)] != 0, np.uint8)
    there[y - low[1] :, x - low[0] :][: part.shape[0], : part.shape[1]] = part
    return float((quad & there).sum() / max(quad.sum(), 1))


def resampled(picture: Grey, matrix: Matrix, size: tuple[int, int], factor: float, lid: float) -> Grey:
    """A picture mapped by a matrix; first blurred where it becomes smaller, so that no line is lost."""
    if factor < 0.95:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 / factor)
    how = cv2.INTER_CUBIC if factor > 1.3 else cv2.INTER_LINEAR
    paper = (lid, lid, lid)
    return np.asarray(cv2.warpPerspective(picture, matrix, size, flags=how, borderMode=cv2.BORDER_CONSTANT,
                                          borderValue=paper))  # fmt: skip


def moved_by(x: float, y: float) -> Matrix:
    """The matrix that moves points."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def scaled_by(x: float, y: float) -> Matrix:
    """The matrix that enlarges a picture, whose pixels' middles are whole numbers."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], float)


def turned_by(degrees: float, middle: tuple[float, float]) -> Matrix:
    """The matrix that turns clockwise around a point."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return np.asarray(moved_by(*middle) @ turn @ moved_by(-middle[0], -middle[1]))


# Steps that move the page.


def scanned_at(sheet: Sheet, dots_per_inch: float) -> None:
    """Put the page on glass of another resolution."""
    factor = dots_per_inch / sheet.dots_per_inch[0]
    sheet.move(scaled_by(factor, factor), (sheet.size[0] * factor, sheet.size[1] * factor))
    sheet.dots_per_inch = (dots_per_inch, dots_per_inch)


def laid(sheet: Sheet, skew: float = 1.5, scale: tuple[float, float] = (0.985, 1.015), shift: float = 0.012) -> None:
    """Lay the page on the glass by hand: skew to degrees either way, its size, and its shift as shares of the width."""
    random, middle = sheet.random, (sheet.size[0] / 2, sheet.size[1] / 2)
    factor = random.uniform(*scale)
    off = random.uniform(-shift, shift, 2) * sheet.size[0]
    centred = moved_by(*middle) @ scaled_by(factor, factor) @ moved_by(-middle[0], -middle[1])
    sheet.move(moved_by(*off) @ turned_by(random.uniform(-skew, skew), middle) @ centred)


def turned(sheet: Sheet, degrees: int) -> None:
    """Turn the page clockwise by 90, 180 or 270 degrees."""
    wide, high = sheet.size
    for _ in range(degrees // 90):
        sheet.move(np.array([[0, -1, high - 1], [1, 0, 0], [0, 0, 1]], float), (high, wide))
        wide, high = high, wide
    sheet.turn = (sheet.turn + degrees) % 360


def cut(sheet: Sheet, share: float) -> None:
    """Leave a share of the page, of its height or its width, at either end."""
    wide, high = sheet.size
    across, first = sheet.random.random() < 0.4, bool(sheet.random.integers(2))
    left, top = (round(wide * (1 - share)), 0) if across else (0, round(high * (1 - share)))
    size = (wide - left, high - top)
    sheet.move(moved_by(-left * first, -top * first), size)


def stretched(sheet: Sheet, most: float = 10.0) -> None:
    """Feed the page unevenly: smooth displacements to ``most`` pixels at 200 dpi, another on each axis."""
    picture, random = sheet.levels(), sheet.random
    high, wide = picture.shape[:2]
    unit = most * sheet.dots_per_inch[0] / DOTS_PER_INCH / 2
    waves = [
        (random.uniform(0.3, 1) * unit, *random.uniform(-1.2, 1.2, 2) / high, random.uniform(0, 2 * np.pi))
        for _ in range(4)
    ]

    def away(x: Any, y: Any) -> tuple[Any, Any]:
        """By how much the page was displaced that is seen at a point."""
        each = [size * np.sin(2 * np.pi * (across * x + down * y) + phase) for size, across, down, phase in waves]
        return (each[0] + each[1]) / 2, each[2] + each[3]

    def moved(points: Points) -> Points:
        there = points
        for _ in range(20):
            there = points - np.column_stack(away(there[:, 0], there[:, 1]))
        return there

    # The displacement is smooth: what lies between its values every 16 pixels is as good as linear.
    y, x = np.mgrid[0 : high + 31 : 16, 0 : wide + 31 : 16].astype(np.float32)
    coarse = np.dstack(away(x, y)).astype(np.float32)
    fine = cv2.warpAffine(coarse, np.array([[16, 0, 0], [0, 16, 0]], np.float32), (wide, high))
    fine[..., 0] += np.arange(wide, dtype=np.float32)
    fine[..., 1] += np.arange(high, dtype=np.float32)[:, None]
    seen = cv2.remap(
        picture, fine, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(sheet.lid,) * 3
    )
    sheet.become(np.asarray(seen), moved)


def photographed(sheet: Sheet, tilt: float = 0.09) -> None:
    """Photograph the page on a table by phone: perspective, a shadow, and light that falls off."""
    random, picture = sheet.random, sheet.levels()
    high, wide = picture.shape[:2]
    size = round(wide * random.uniform(1.1, 1.25)), round(high * random.uniform(1.08, 1.2))
    edges = np.array([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]], np.float32)
    room = (np.array(size) - (wide, high)) / 2
    there = edges + room + random.uniform(-tilt, tilt, (4, 2)) * (wide, high) * 0.5
    middle = (size[0] / 2, size[1] / 2)
    there = projected(turned_by(random.uniform(-5, 5), middle), there)
    there = 0.92 * (there - middle) + middle
    matrix = np.asarray(cv2.getPerspectiveTransform(edges, there.astype(np.float32)), float)
    table = table_top(random, size, picture.ndim)
    seen = cv2.warpPerspective(picture, matrix, size, dst=table, flags=cv2.INTER_LINEAR,
                               borderMode=cv2.BORDER_TRANSPARENT)  # fmt: skip
    light = lit(random, size)
    sheet.become(seen * (light if seen.ndim == 2 else light[..., None]), lambda points: projected(matrix, points))


def table_top(random: Random, size: tuple[int, int], ndim: int) -> Grey:
    """The top of a table with some grain."""
    grain = cv2.resize(random.normal(0, 14, (size[1] // 4, 12)).astype(np.float32), size)
    top = (random.uniform(50, 170) + grain).clip(0, 255)
    return np.asarray(top if ndim == 2 else top[..., None] * (0.5, 0.75, 1), np.uint8)


def lit(random: Random, size: tuple[int, int]) -> Cover:
    """The share of light that falls on each point: less towards a side, and less in a hand's shadow."""
    small = (size[0] // 8, size[1] // 8)
    x, y = np.meshgrid(np.linspace(-1, 1, small[0], dtype=np.float32), np.linspace(-1, 1, small[1], dtype=np.float32))
    angle = random.uniform(0, 2 * np.pi)
    light = 0.86 + 0.12 * (x * np.cos(angle) + y * np.sin(angle))
    shadow = np.ones_like(light)
    corner = random.uniform(0, 1, 2) * small
    shape = corner + random.uniform(-0.6, 0.6, (6, 2)) * small
    cv2.fillPoly(shadow, [cv2.convexHull(np.round(shape).astype(np.int32))], random.uniform(0.5, 0.8))
    light *= cv2.GaussianBlur(shadow, (0, 0), random.uniform(2, 9))
    return np.asarray(cv2.resize(light, size), np.float32)


# Steps that change how the page looks.


def blurred(sheet: Sheet, most: float = 0.9) -> None:
    """Scan out of focus."""
    sheet.become(cv2.GaussianBlur(sheet.levels(), (0, 0), sheet.random.uniform(0.4, most)))


def noisy(sheet: Sheet, most: float = 6.0, paper: tuple[float, float] = (232, 254)) -> None:
    """Scan with noise on paper that is not quite white."""
    picture = sheet.levels()
    white = np.float32(sheet.random.uniform(*paper) / 255)
    tile = sheet.random.standard_normal((512, 512 + 37), np.float32) * np.float32(sheet.random.uniform(1, most))
    high, wide = picture.shape[:2]
    noise = np.resize(tile, (high, wide)) if picture.ndim == 2 else np.resize(tile, (high, wide))[..., None]
    sheet.become(picture * white + noise)


def compressed(sheet: Sheet, quality: tuple[int, int] = (30, 85)) -> None:
    """Store as JPEG."""
    how = [cv2.IMWRITE_JPEG_QUALITY, int(sheet.random.integers(*quality))]
    packed = cv2.imencode(".jpg", sheet.levels(), how)[1]
    sheet.become(np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)))


def bilevel(sheet: Sheet, threshold: tuple[float, float] = (150, 205)) -> None:
    """Scan in black and white."""
    grey = as_grey(sheet.levels())
    sheet.become(np.asarray((grey >= sheet.random.uniform(*threshold)) * np.uint8(255), np.uint8))


def as_grey(picture: Grey) -> Grey:
    """A picture as (H, W)."""
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))


def copied(sheet: Sheet) -> None:
    """Photocopy: hard contrast, specks of toner, dark edges where the lid was open."""
    random, grey = sheet.random, as_grey(sheet.levels())
    middle, steep = random.uniform(140, 190), random.uniform(2, 5)
    levels = (cv2.GaussianBlur(grey, (0, 0), 0.8).astype(np.float32) - middle) * np.float32(steep) + 128
    high, wide = levels.shape
    levels = levels.clip(random.uniform(0, 40), 255)
    for _ in range(int(random.integers(40, 400))):
        x, y = int(random.integers(wide)), int(random.integers(high))
        cv2.circle(levels, (x, y), int(random.integers(0, 3)), float(random.choice([0, 255], p=[0.7, 0.3])), -1)
    if random.random() < 0.6:
        dark = random.uniform(0.004, 0.03) * wide
        ways = (dark * (1 + 0.3 * np.sin(np.linspace(0, random.uniform(2, 9), high)))).astype(int)
        columns = np.arange(wide)
        edge = columns[None] < ways[:, None]
        levels[edge if random.integers(2) else edge[:, ::-1]] = 12
        levels[high - round(dark * random.uniform(0, 1)) - 1 :] = 12
    sheet.become(levels)


def faxed(sheet: Sheet, rows: int = 196, square: bool = True) -> None:
    """Fax the page: 1 bit at 204 dots across and 98 or 196 down, delivered with square pixels or not."""
    across, down = 204 / sheet.dots_per_inch[0], rows / sheet.dots_per_inch[1]
    sheet.move(scaled_by(across, down), (sheet.size[0] * across, sheet.size[1] * down))
    sheet.become(grainy(as_grey(sheet.levels()).astype(np.float32), sheet.random, sheet.random.uniform(4, 14)))
    header = f"FROM 0{sheet.random.integers(10**8):08}   P. 1/{sheet.random.integers(1, 9)}"
    picture = sheet.picture.copy()
    small = np.full((40, sheet.size[0]), 255, np.uint8)
    cv2.putText(small, header, (80, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2)
    line = cv2.resize(small, (sheet.size[0], round(40 * rows / 204)), interpolation=cv2.INTER_AREA)
    picture[: len(line)] = np.minimum(picture[: len(line)], line)
    sheet.become(picture)
    bilevel(sheet, (165, 205))
    sheet.dots_per_inch = (204, rows)
    if square:
        squared(sheet)


def squared(sheet: Sheet) -> None:
    """Repeat rows so that pixels are square, as one that decodes a fax does."""
    across, down = sheet.dots_per_inch
    picture, factor = sheet.levels(), across / down
    high = round(picture.shape[0] * factor)
    matrix = scaled_by(1, high / picture.shape[0])
    how = cv2.INTER_NEAREST_EXACT
    sheet.become(cv2.resize(picture, (picture.shape[1], high), interpolation=how), lambda at: projected(matrix, at))
    sheet.dots_per_inch = (across, across)


def lines_lost(sheet: Sheet, most: int = 8) -> None:
    """Lose rows on the way: what is below moves up."""
    picture, random = sheet.levels(), sheet.random
    kept = np.ones(len(picture), bool)
    for _ in range(int(random.integers(2, most))):
        start = int(random.integers(len(picture) - 12))
        kept[start : start + int(random.integers(1, 7))] = False
    before = np.concatenate([[0], np.cumsum(kept)])
    edges = np.arange(len(kept) + 1) - 0.5

    def moved(points: Points) -> Points:
        beyond = np.where(points[:, 1] > edges[-1], points[:, 1] - edges[-1], np.minimum(points[:, 1] + 0.5, 0))
        return np.column_stack([points[:, 0], np.interp(points[:, 1], edges, before - 0.5) + beyond])

    sheet.become(picture[kept], moved)


def marked(sheet: Sheet, count: tuple[int, int] = (2, 6)) -> None:
    """Draw pen strokes and stamps right over print and cells."""
    levels = sheet.levels().astype(np.float32)
    high, wide = levels.shape[:2]
    random, unit = sheet.random, wide / 1654
    for _ in range(int(random.integers(*count))):
        cover = np.zeros((high, wide), np.uint8)
        at = random.uniform(0.1, 0.9, 2) * (wide, high)
        if random.random() < 0.4:
            middle = tuple(int(each) for each in at)
            cv2.ellipse(cover, middle, (round(130 * unit), round(80 * unit)), random.uniform(-20, 20), 0, 360, 170,
                        round(6 * unit), cv2.LINE_AA)  # fmt: skip
            cv2.putText(cover, "RECEIVED", (middle[0] - round(75 * unit), middle[1] + 10), cv2.FONT_HERSHEY_DUPLEX,
                        0.95 * unit, 170, max(1, round(2 * unit)), cv2.LINE_AA)  # fmt: skip
        else:
            path = at + np.cumsum(random.normal(0, 45 * unit, (int(random.integers(3, 14)), 2)), 0)
            cv2.polylines(cover, [path.astype(np.int32)], False, 255, max(1, round(5 * unit)), cv2.LINE_AA)
        share = cover.astype(np.float32) / 255 * np.float32(1)
        levels = np.minimum(levels, levels + (share if levels.ndim == 2 else share[..., None]) * (45 - levels))
    sheet.become(levels)


def torn(sheet: Sheet) -> None:
    """Tear a corner off."""
    picture, random = sheet.levels().copy(), sheet.random
    high, wide = picture.shape[:2]
    one, other = random.uniform(0.25, 0.6) * wide, random.uniform(0.15, 0.35) * high
    way = np.linspace(0, 1, 30)[:, None] * (-one, other) + (one, 0) + random.normal(0, wide / 250, (30, 2))
    mask = np.zeros((high, wide), np.uint8)
    cv2.fillPoly(mask, [np.vstack([way, [[-99, other], [-99, -99], [one, -99]]]).astype(np.int32)], 1)
    mask = mask[:: random.choice([-1, 1]), :: random.choice([-1, 1])]
    sheet.hide(mask)
    picture[mask == 1] = sheet.lid
    sheet.become(picture)


def blackened(sheet: Sheet) -> None:
    """Black a rectangle out."""
    picture, random = sheet.levels().copy(), sheet.random
    high, wide = picture.shape[:2]
    size = (random.uniform(0.25, 0.5, 2) * (high, wide)).astype(int)
    top, left = int(random.integers(high - size[0])), int(random.integers(wide - size[1]))
    mask = np.zeros((high, wide), np.uint8)
    mask[top : top + size[0], left : left + size[1]] = 1
    sheet.hide(mask)
    picture[mask == 1] = 8
    sheet.become(picture)


def doubled(sheet: Sheet) -> None:
    """Feed two sheets at once: another copy of the form lies over the lower part of the page, displaced."""
    picture, random = sheet.levels(), sheet.random
    high, wide = picture.shape[:2]
    edge = random.uniform(0.6, 0.8)
    matrix = moved_by(random.uniform(-0.04, 0.04) * wide, edge * high) @ turned_by(random.uniform(-2, 2), (wide / 2, 0))
    mask = cv2.warpPerspective(np.ones((high, wide), np.uint8), matrix, (wide, high))
    other = cv2.warpPerspective(picture, matrix, (wide, high))
    sheet.hide(mask)
    sheet.become(np.where((mask == 1) if picture.ndim == 2 else (mask == 1)[..., None], other, picture))
    sheet.page = replace(sheet.page, expected="two_sheets")


def backed(sheet: Sheet) -> None:
    """Turn the sheet over: a blank back, through which the front shows a little."""
    front = sheet.levels()[:, ::-1]
    through = cv2.GaussianBlur(front, (0, 0), 3).astype(np.float32)
    sheet.become(255 - (255 - through) * np.float32(sheet.random.uniform(0.03, 0.12)))
    sheet.page = replace(sheet.page, expected="blank_page", corners={}, truth={})
