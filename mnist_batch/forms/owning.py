"""Whose ink is whose: each piece of ink goes to the cell where most of it lies, or where it is missed."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import parting, pieces
from mnist_batch.forms.sheets import BLOCK, Sheet
from mnist_batch.forms.voiding import LONG, voided
from mnist_batch.forms.writing import Writing
from mnist_batch.pixels.opencv import cv2

SPLIT, HIGH = 0.2, 0.55  # of a piece's mass, and of a cell's height, in a second cell: from there it is two digits
OF_MANY = 0.4  # of its share of a piece's mass, in a cell of many
FAR = 0.7  # of a cell's width; what reaches so far into a cell, and is no flat stroke, is a digit of its own
NEAR_EDGE = 0.2  # of a cell's width; two digits that touch are split so near to the edge between their cells
SINGLE, LENGTHWISE = 2.2, 3  # times its pen: a piece that is no wider is one stroke, and a longer cut goes along one
TWO = 0.8  # of a cell's width; what is narrower, and is not cut into two digits, is one
OVER, STRAYS = 0.04, 0.35  # of a cell's width: a digit that strays reaches so far home, and lies so far away at most
TOUCH, PART = 1.6, 0.1  # times its pen, and of its mass: the stroke by which a digit that strays touches, and its part
INSIDE = 0.3  # of a piece's mass that lies in its cell or close around
BESIDE, THIN = 0.8, 2.5  # of a piece's mass, and pixels: remains of print right beside it
CLOSE, FLAT, SLIM = 0.95, 10, 2.5  # of its mass, pixels, and times its height: remains that lie along a level line
TALL = 0.35  # of a cell's height; what is lower is no digit of its own
MISSED = 0.35  # of a cell's width; a digit so near to an empty cell is missed there if its own has two

Grey = NDArray[np.uint8]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Owned:
    """The ink of a page, piece by piece: pixels ``y`` and ``x`` of a sheet, and the ``piece`` of each.

    Pieces have an ``owner``, the number of a cell, or -1; an ``area``; and ``edges``, int (P, 4): x, y, x and y.
    ``parted`` are pairs of cells whose digits touch. ``crossed`` are cells that are crossed by one stroke through
    several, and ``met`` those in which such a stroke meets what is written there.
    """

    y: Numbers
    x: Numbers
    piece: Numbers
    owner: Numbers
    area: Numbers
    edges: Numbers
    parted: tuple[tuple[int, int], ...] = ()
    crossed: frozenset[int] = frozenset()
    met: frozenset[int] = frozenset()


def owned(writing: Writing) -> Owned:
    """The ink of a page with its owners."""
    sheet, ink = writing.sheet, writing.ink
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(ink, 8, cv2.CV_32S, cv2.CCL_GRANA)
    places = np.flatnonzero(ink.view(np.bool_))
    piece = labels.ravel()[places].astype(np.int64)
    y, x = np.divmod(places, ink.shape[1])
    stats = stats.astype(np.int64)
    stats[0, cv2.CC_STAT_AREA] = 1
    edges = stats[:, [0, 1, 0, 1]]
    edges[:, 2:] += stats[:, 2:4]
    found = Owned(y, x, piece, np.full(len(stats), -1), stats[:, cv2.CC_STAT_AREA], edges)
    strip = np.zeros(len(stats), np.int64)
    strip[piece] = sheet.strip_at[y // BLOCK, x // BLOCK]
    nearest = sheet.owners.ravel()[places].astype(np.int64)
    _nearest_own(found, sheet, places, strip, nearest)
    found, strip = _without_voids(found, strip, sheet, nearest)
    found = _with_straying(_split(found, strip, sheet, nearest, writing.free), strip, sheet)
    return _with_missed(found, sheet)


def _nearest_own(found: Owned, sheet: Sheet, places: Numbers, strip: Numbers, nearest: Numbers) -> None:
    """Give each piece to the cell where most of it lies, if it is not of a cell of another field, or of the print."""
    count, most = len(found.area), max([1, *(len(each.positions) for each in sheet.strips)])
    mass = _mass(found, nearest, most)
    best = mass.argmax(axis=1)
    inside, beside, close = (
        np.bincount(found.piece, chosen, count) / found.area
        for chosen in (
            sheet.near.ravel()[places],
            sheet.classes.ravel()[places] > 0,
            sheet.close.ravel()[places],
        )
    )
    wide, high = (found.edges[:, 2:] - found.edges[:, :2]).T
    remains = (beside >= BESIDE) & (found.area <= THIN * np.maximum(wide, high))
    remains |= (close >= CLOSE) & (beside > 0) & (high <= FLAT) & (wide >= SLIM * high)
    owner = np.where((best == most) | (inside < INSIDE) | remains, -1, sheet.first[strip] + best)
    found.owner[1:] = owner[1:]


def _mass(found: Owned, nearest: Numbers, most: int) -> Numbers:
    """How many pixels of each piece are nearest to which cell of its strip, and in the last column to others."""
    key = found.piece * (most + 1) + np.minimum(nearest, most)
    return np.bincount(key, minlength=len(found.area) * (most + 1)).reshape(len(found.area), most + 1)


def _without_voids(found: Owned, strip: Numbers, sheet: Sheet, nearest: Numbers) -> tuple[Owned, Numbers]:
    """The ink and the strip of each piece, without strokes through several cells; what else is written stays."""
    wide = found.edges[:, 2] - found.edges[:, 0]
    cell_wide = (sheet.boxes[:, 2] - sheet.boxes[:, 0])[sheet.first[strip]]
    for piece in np.flatnonzero((found.owner >= 0) & (wide >= LONG * cell_wide)).tolist():
        first, count = sheet.first[strip[piece]], len(sheet.strips[strip[piece]].positions)
        own = np.flatnonzero((found.piece == piece) & (nearest < count))
        void = voided(found.x[own], found.y[own], nearest[own], sheet.boxes[first : first + count])
        if void is None:
            continue
        found.owner[piece] = -1
        written = set(found.owner[_tall(found, sheet)].tolist())
        crossed = {int(first + each) for each in void.crossed}
        for cell in (int(first + each) for each in void.met):
            found = _with_piece(found, own[nearest[own] + first == cell], cell)
            strip = np.append(strip, strip[piece])
        met = {int(first + each) for each in void.met} | crossed & written
        found = replace(found, crossed=found.crossed | crossed - written, met=found.met | met)
    return found, strip


def _with_piece(found: Owned, chosen: Numbers, cell: int) -> Owned:
    """The ink with these pixels as a piece of their own, which is of this cell."""
    x, y = found.x[chosen], found.y[chosen]
    found.piece[chosen] = len(found.area)
    edges = np.vstack([found.edges, [x.min(), y.min(), x.max() + 1, y.max() + 1]])
    owner, area = np.append(found.owner, cell), np.append(found.area, len(chosen))
    return replace(found, owner=owner, area=area, edges=edges)


def _split(found: Owned, strip: Numbers, sheet: Sheet, nearest: Numbers, free: Grey) -> Owned:
    """Split pieces of digits that touch between their cells, two or more of them."""
    most = max([2, *(len(each.positions) for each in sheet.strips)])
    mass = _mass(found, nearest, most)[:, :most]
    large = mass >= np.minimum(SPLIT, OF_MANY / np.maximum(1, (mass > 0).sum(axis=1)))[:, None] * found.area[:, None]
    count = np.bincount(found.owner[_tall(found, sheet)], minlength=len(sheet.boxes))
    for piece in np.flatnonzero((large.sum(axis=1) > 1) & (found.owner >= 0)):
        own = np.flatnonzero(found.piece == piece)
        cells = sheet.first[strip[piece]] + np.flatnonzero(large[piece])
        # A cell that has a digit of its own has this one written over it.
        cells = [cell for cell in cells if cell == found.owner[piece] or not count[cell]]
        parts = [own[nearest[own] + sheet.first[strip[piece]] == cell] for cell in cells]
        chosen = [cell for cell, part in zip(cells, parts, strict=True) if _is_digit(found, part, sheet.boxes[cell])]
        last = int(piece)
        for pair in pairwise(chosen if found.owner[piece] in chosen else []):
            right = len(found.area)
            found = _parted(found, last, np.flatnonzero(found.piece == last), np.array(pair), sheet, free)
            last = right if right < len(found.area) else last
    return found


def _is_digit(found: Owned, part: Numbers, box: Numbers) -> bool:
    """Whether a part of a piece is tall enough for a digit in this cell, or a flat one that reaches far into it."""
    wide, high = np.ptp(found.x[part]) / np.ptp(box[::2]), np.ptp(found.y[part]) / np.ptp(box[1::2])
    return bool(high >= HIGH or (high >= TALL and wide >= FAR))


def _parted(found: Owned, piece: int, own: Numbers, cells: Numbers, sheet: Sheet, free: Grey) -> Owned:
    """A piece of two digits as two; as it is if it is one digit after all."""
    is_right = _joined_in_print(found, own, cells, sheet, free)
    if is_right is None:
        is_right = _beyond_narrowest(found, own, cells, sheet)
    return found if is_right is None else _in_two(found, piece, own, is_right, cells)


def _in_two(found: Owned, piece: int, own: Numbers, is_right: NDArray[np.bool_], cells: Numbers) -> Owned:
    """A piece as two, of which the right one is of the second of these cells."""
    right, owner = own[is_right], np.append(found.owner, cells[1])
    found.piece[right], owner[piece] = len(found.area), cells[0]
    area, edges = np.append(found.area, len(right)), np.vstack([found.edges, found.edges[piece]])
    for part, chosen in ((piece, own[~is_right]), (len(found.area), right)):
        at_x, at_y = found.x[chosen], found.y[chosen]
        area[part] = max(1, len(chosen))
        if len(chosen):
            edges[part] = at_x.min(), at_y.min(), at_x.max() + 1, at_y.max() + 1
    parted = (*found.parted, (int(cells[0]), int(cells[1])))
    return replace(found, owner=owner, area=area, edges=edges, parted=parted)


def _edge_between(cells: Numbers, sheet: Sheet) -> int:
    one, other = sheet.boxes[cells]
    return int(one[2] + other[0]) // 2


def _joined_in_print(found: Owned, own: Numbers, cells: Numbers, sheet: Sheet, free: Grey) -> NDArray[np.bool_] | None:
    """Which pixels are of the right one of two digits that meet in the print between them only; None if they do not."""
    x, y = found.x[own], found.y[own]
    at_y, at_x = y - y.min(), x - x.min()
    apart = np.zeros((int(at_y.max()) + 1, int(at_x.max()) + 1), np.uint8)
    apart[at_y, at_x] = free[y, x]
    part = cv2.connectedComponents(apart)[1][at_y, at_x]
    is_right = x >= _edge_between(cells, sheet)
    mostly_right = 2 * np.bincount(part, is_right) > np.bincount(part)
    is_right = np.where(part > 0, mostly_right[part], is_right)
    digits = [own[(part > 0) & (is_right == side)] for side in (False, True)]
    are_two = all(
        len(each) and _is_digit(found, each, sheet.boxes[cell]) for each, cell in zip(digits, cells, strict=True)
    )
    return is_right if are_two else None


def _beyond_narrowest(found: Owned, own: Numbers, cells: Numbers, sheet: Sheet) -> NDArray[np.bool_] | None:
    """Which pixels lie to the right of where a piece is narrowest near the edge between two cells.

    None if it is one digit that stands on the edge: a single stroke, or too narrow for two that no cut leaves.
    """
    x, y, edge = found.x[own], found.y[own], _edge_between(cells, sheet)
    wide, high = np.ptp(sheet.boxes[cells[0]].reshape(2, 2), axis=0)
    pen = pieces.thickness(pieces.mask(x, y))
    if parting.width(x, y) < SINGLE * pen:
        return None
    through = [*parting.cuts(x, y, edge, int(NEAR_EDGE * wide))]
    into_digits = [
        cut for cut in through if cut.height >= HIGH * high and cut.width >= pen and cut.length <= LENGTHWISE * pen
    ]
    if not into_digits and np.ptp(x) < TWO * wide:
        return None
    straight = [cut for cut in through if not cut.slant]
    best = min(into_digits or straight, key=lambda cut: cut.order, default=None)
    return np.asarray(x >= edge) if best is None else best.is_right(x, y)


def _with_straying(found: Owned, strip: Numbers, sheet: Sheet) -> Owned:
    """Part digits that touch where one of them strays from its cell, which would be empty, into that of the other."""
    tall = _tall(found, sheet)
    count = np.bincount(found.owner[tall], minlength=len(sheet.boxes))
    parted = {cell for pair in found.parted for cell in pair}
    for piece in tall[tall < len(strip)].tolist():
        cell = int(found.owner[piece])
        wide = np.ptp(sheet.boxes[cell, ::2])
        over = OVER * wide * np.array([-1, 1]) + sheet.boxes[cell, ::2]
        reaches = found.edges[piece, 0] <= over[0], found.edges[piece, 2] >= over[1]
        if cell in parted or not any(reaches) or np.ptp(found.edges[piece, ::2]) < TWO * wide:
            continue
        for other in _neighbours(cell, sheet):
            if count[other] or not reaches[other > cell]:
                continue
            own = np.flatnonzero(found.piece == piece)
            is_right = _straying(found, own, cell, other, sheet)
            if is_right is not None:
                found = _in_two(found, piece, own, is_right, np.sort([cell, other]))
                count[other] += 1
                break
    return found


def _straying(found: Owned, own: Numbers, cell: int, home: int, sheet: Sheet) -> NDArray[np.bool_] | None:
    """Which pixels are of the right one of two digits, of which one strays from its ``home``; None if they are one.

    They touch in one place, where a stroke goes from one to the other.
    """
    x, y, edge = found.x[own], found.y[own], _edge_between(np.sort([cell, home]), sheet)
    wide, high = np.ptp(sheet.boxes[cell].reshape(2, 2), axis=0)
    pen = pieces.thickness(pieces.mask(x, y))
    for cut in sorted(parting.cuts(x, y, edge, int(STRAYS * wide)), key=lambda cut: cut.order):
        is_stroke = cut.length <= TOUCH * pen
        if is_stroke and cut.height >= HIGH * high and cut.width >= pen and PART <= cut.right <= 1 - PART:
            is_right = cut.is_right(x, y)
            strays = x[is_right == (home > cell)]
            if (home - cell) * (edge - (int(strays.min()) + int(strays.max())) / 2) <= STRAYS * wide:
                return is_right
    return None


def _neighbours(cell: int, sheet: Sheet) -> list[int]:
    """The cells before and after this one in its strip."""
    both = ((cell - 1, cell), (cell + 1, cell + 1))  # each with the cell that may begin a strip
    return [other for other, later in both if 0 <= other < len(sheet.boxes) and later not in sheet.first]


def _tall(found: Owned, sheet: Sheet) -> Numbers:
    """The pieces that are tall enough for a digit of their own."""
    cell = np.maximum(found.owner, 0)
    heights = sheet.boxes[cell, 3] - sheet.boxes[cell, 1]
    return np.flatnonzero((found.owner >= 0) & (found.edges[:, 3] - found.edges[:, 1] >= TALL * heights))


def _with_missed(found: Owned, sheet: Sheet) -> Owned:
    """Where a cell has two digits and its neighbour none, the digit beside the neighbour is the neighbour's."""
    tall = _tall(found, sheet)
    count = np.bincount(found.owner[tall], minlength=len(sheet.boxes))
    for piece in tall[count[found.owner[tall]] > 1]:
        own = int(found.owner[piece])
        middle = float(found.edges[piece, [0, 2]].mean())
        for other in _neighbours(own, sheet):
            edge = sheet.boxes[own, 0 if other < own else 2]
            away = abs(middle - edge) / max(1, sheet.boxes[own, 2] - sheet.boxes[own, 0])
            if not count[other] and count[own] > 1 and away <= MISSED:
                found.owner[piece] = other
                count[[own, other]] += -1, 1
                break
    return found
