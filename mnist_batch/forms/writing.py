"""What is written in the cells of a page: ink without the print, which is known, and with the strokes across it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import strips
from mnist_batch.forms.sheets import BLOCK, CLASSES, NEXT, RINGS, SAMPLED, Sheet
from mnist_batch.forms.strips import IN_CELLS, Strip
from mnist_batch.pixels.opencv import cv2

REACH = 4  # pixels from where it should be that the print of a strip is looked for
# Ranks, of the pixels of a class of print, whose darkness is what the print explains.
AROUND, IN_A_CELL, OF_FRAMES, BILEVEL_FRAMES = 0.7, 0.6, 0.85, 0.55
INKED = 0.3  # of the strongest ink of a cell; weaker is no ink
PALE = 0.25  # of the page's pen; a cell without stronger ink has none
LEAST = 12  # grey levels between paper and ink
PALEST = 20  # grey levels between paper and the strongest ink of a pen
BRIDGED = 13  # pixels; print as wide is bridged where strokes meet it on both sides

Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]
Matrix = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Writing:
    """The writing on a page, on the sheet of its form.

    ``seen``, bool (S,), says which strips lie on the page. ``dark``, uint8 (H, W), is how much darker than its paper
    each pixel is, and ``left`` the part of it that the print does not explain. ``ink`` is where the writing is, as 0
    and 1, and ``free`` the same without what lies in the print. ``pen`` is how strong ink usually is, 0 where there is
    none, and ``noise`` that of the paper.
    """

    sheet: Sheet
    seen: NDArray[np.bool_]
    dark: Grey
    left: Grey
    ink: Grey
    free: Grey
    pen: float
    noise: float

    @classmethod
    def of(cls, sheet: Sheet, page: Grey, matrices: Mapping[str, Matrix]) -> "Writing":
        """What is written on a grey page; ``matrices`` map the form's picture to it, by field."""
        dark = np.zeros_like(sheet.owners)
        seen = np.zeros(len(sheet.strips), np.bool_)
        for number, (strip, place) in enumerate(zip(sheet.strips, sheet.places, strict=True)):
            matrix = matrices.get(strip.field)
            there = None if matrix is None else strips.seen(page, matrix @ strip.matrix, strip.size)
            if there is not None:
                dark[place] = _in_place(strip, strips.darkness(there))
                seen[number] = True
        bilevel = _is_bilevel(page)
        left = cv2.subtract(dark, _explained(sheet, dark, BILEVEL_FRAMES if bilevel else OF_FRAMES))
        strongest = _strongest(sheet, left)
        pen = _pen(strongest, 128 if bilevel else PALEST)
        noise = _noise(dark, sheet)
        nothing = np.zeros_like(dark)
        ink, free = _ink(sheet, dark, left, _thresholds(strongest, pen, noise)) if pen else (nothing, nothing)
        return cls(sheet, seen, dark, left, ink, free, pen, noise)


def _in_place(strip: Strip, dark: Grey) -> Grey:
    """A strip whose print lies where it should, to a whole pixel."""
    across = _late(strip.columns, cv2.reduce(dark, 0, cv2.REDUCE_AVG).ravel())
    down = _late(strip.rows, cv2.reduce(dark, 1, cv2.REDUCE_AVG).ravel())
    if not (across or down):
        return dark
    height, width = dark.shape
    moved = cv2.copyMakeBorder(dark, REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(moved[REACH + down : REACH + down + height, REACH + across : REACH + across + width])


def _late(printed: Levels, found: Grey) -> int:
    """By how many pixels the profile of a page comes later than that of the form; 0 where that is not clear."""
    if len(printed) < 4 * REACH or not printed.any():
        return 0
    scores = np.correlate(strips.sharpened(found.astype(np.float32)), printed[REACH:-REACH], "valid")
    best = int(np.argmax(scores))
    return best - REACH if scores[best] > 1.1 * scores[REACH] else 0


def _explained(sheet: Sheet, dark: Grey, of_frames: float) -> Grey:
    """How dark the print is: as dark as the pixels of each of its classes usually are, strip by strip."""
    darkest = cv2.dilate(dark, NEXT).ravel()
    around, printed = dark.ravel()[sheet.samples[:, :RINGS]], darkest[sheet.samples[:, RINGS:]]
    ranks = [int(rank * SAMPLED) for rank in (AROUND, IN_A_CELL, of_frames)]
    parts = (around, printed[:, :IN_CELLS], printed[:, IN_CELLS:])
    levels = [np.partition(part, rank, axis=2)[:, :, rank] for part, rank in zip(parts, ranks, strict=True)]
    tables = np.zeros((len(sheet.strips), 256), np.uint8)
    tables[:, 1 : CLASSES + 1] = np.where(sheet.sampled, np.concatenate(levels, axis=1), 0)
    tables[:, 1 : RINGS + 1] = np.minimum(tables[:, 1 : RINGS + 1], tables[:, RINGS + 1 :].max(axis=1, keepdims=True))
    explained = np.zeros_like(dark)
    for place, table in zip(sheet.places, tables, strict=True):
        explained[place] = cv2.LUT(sheet.classes[place], table)
    return explained


def _strongest(sheet: Sheet, left: Grey) -> Numbers:
    """How strong the strongest ink of each cell is."""
    if not len(sheet.starts):
        return np.zeros(0, np.int64)
    size = left.shape[1] // BLOCK, left.shape[0] // BLOCK
    blocks = cv2.resize(left, size, interpolation=cv2.INTER_AREA).ravel()
    return np.maximum.reduceat(blocks[sheet.in_cells], sheet.starts).astype(np.int64)


def _pen(strongest: Numbers, palest: float) -> float:
    """How strong the ink usually is in the cells of a page that are written in; 0 if none is."""
    strong = strongest[strongest >= max(palest, 0.35 * strongest.max(initial=0))]
    return float(np.median(strong)) if len(strong) else 0.0


def _is_bilevel(page: Grey) -> bool:
    """Whether a page is black and white only."""
    some = page[::7, ::7]
    return bool(np.count_nonzero((some > 20) & (some < 235)) < 0.002 * some.size)


def _noise(dark: Grey, sheet: Sheet) -> float:
    """The noise of the paper in grey levels, from how much pixels beside each other in the cells differ."""
    rows = sheet.near[::5, 1:].view(np.bool_)
    steps = cv2.absdiff(np.ascontiguousarray(dark[::5, 1:]), np.ascontiguousarray(dark[::5, :-1]))[rows]
    return min(1.05 * float(np.partition(steps, len(steps) // 2)[len(steps) // 2]), 20.0) if len(steps) else 0.0


def _thresholds(strongest: Numbers, pen: float, noise: float) -> Grey:
    """What is ink in each cell, in grey levels."""
    strong = np.where(strongest >= PALE * pen, strongest, pen)
    return np.clip(INKED * strong, max(LEAST, 3 * noise), 255).astype(np.uint8)


def _ink(sheet: Sheet, dark: Grey, left: Grey, thresholds: Grey) -> tuple[Grey, Grey]:
    """Where there is ink, in the print too where strokes cross it; and the same without what lies in the print."""
    limits = np.full_like(dark, 255)
    for number, place in enumerate(sheet.places):
        own = thresholds[sheet.first[number] :][: len(sheet.strips[number].positions)]
        table = np.full(256, own.max(initial=0), np.uint8)
        table[: len(own)] = own
        limits[place] = cv2.LUT(sheet.owners[place], table)
    ink, inked = (_above(each, limits) for each in (left, dark))
    free = ink.copy()
    hidden = cv2.bitwise_and(cv2.subtract(inked, ink), _above(sheet.classes, RINGS))
    meeting = cv2.bitwise_and(cv2.dilate(ink, NEXT), hidden)
    for place in sheet.places:
        if cv2.countNonZero(meeting[place]) >= 4:
            _bridge(ink[place], hidden[place], meeting[place], sheet.sides[place])
    return ink, free


def _above(values: Grey, limit: Grey | int) -> Grey:
    return np.asarray(cv2.bitwise_and(cv2.compare(values, limit, cv2.CMP_GT), 1), np.uint8)


def _lines_in_all_directions() -> list[Grey]:
    kernels, half = [], BRIDGED // 2
    for degrees in range(0, 180, 30):
        kernel = np.zeros((BRIDGED, BRIDGED), np.uint8)
        x, y = half * np.cos(np.radians(degrees)), half * np.sin(np.radians(degrees))
        cv2.line(kernel, (round(half - x), round(half - y)), (round(half + x), round(half + y)), 1)
        kernels.append(kernel)
    return kernels


_DIRECTIONS = _lines_in_all_directions()


def _bridge(ink: Grey, hidden: Grey, meeting: Grey, sides: Grey) -> None:
    """Add the hidden ink between strokes that meet it on both sides."""
    x, y, wide, high = cv2.boundingRect(np.ascontiguousarray(meeting))
    part = slice(max(0, y - BRIDGED), y + high + BRIDGED), slice(max(0, x - BRIDGED), x + wide + BRIDGED)
    strokes = cv2.bitwise_and(ink[part], cv2.dilate(np.ascontiguousarray(hidden[part]), NEXT))
    filled = np.zeros_like(strokes)
    for kernel in _DIRECTIONS:
        closed = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        cv2.bitwise_or(filled, closed, dst=filled)
    ink[part] |= _from_side_to_side(filled & hidden[part], strokes, sides[part])


def _from_side_to_side(bridges: Grey, strokes: Grey, sides: Grey) -> Grey:
    """The bridges that strokes meet from several sides: a digit that is beside a line does not cross it."""
    count, pieces, _, _ = cv2.connectedComponentsWithStatsWithAlgorithm(bridges, 8, cv2.CV_16U, cv2.CCL_GRANA)
    at = cv2.dilate(pieces, NEXT)
    meeting = np.flatnonzero((at > 0) & (strokes > 0))
    piece, side = at.ravel()[meeting], sides.ravel()[meeting]
    first, last = np.full(count, 255, np.uint8), np.zeros(count, np.uint8)
    np.minimum.at(first, piece, side)
    np.maximum.at(last, piece, side)
    kept = (first < last) | (first == 0)
    kept[0] = False
    return np.asarray(kept[pieces], np.uint8)
