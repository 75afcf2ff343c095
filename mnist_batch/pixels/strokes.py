"""Tell which pieces of ink are the digit, and not remains of borders, specks or strokes of a neighbouring cell."""

from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # x, y, width, height

SPECK = 0.08  # of the page's side; smaller pieces of ink are not digits
LEAST = 0.03  # of the area of a digit's main piece; smaller pieces are not its strokes
FILLING = 0.8  # of the page's width or height; a digit this large leaves no room for a border beside it
MARGIN = 0.1  # of the page's longer side; a page that is cut out tightly has no more paper around its digit


def core(page: NDArray[Any], part: int) -> tuple[slice, slice]:
    """The slices of a page that leave out 1/``part`` of its height and width at each edge."""
    height, width = page.shape
    return slice(height // part, height - height // part), slice(width // part, width - width // part)


class Digit(NamedTuple):
    """The ink of a digit, a mask of 0 and 1, and the box around it."""

    mask: Grey
    box: Box


class Labelled(NamedTuple):
    """The connected pieces of a mask, and how many they are; the background is the first.

    ``labels`` are int32 (height, width), ``stats`` the box and area of each, ``centres`` its centre of mass.
    """

    number: int
    labels: NDArray[np.int32]
    stats: NDArray[np.int32]
    centres: NDArray[np.float64]


def labelled(mask: Grey) -> Labelled:
    """The connected pieces of a mask of 0 and 1."""
    return Labelled(*cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA))


def readings(ink: Grey, strength: Grey, strong: float, known: Labelled | None = None) -> list[Digit]:
    """The digit in one reading, or in two if it is in doubt which pieces belong to it, the likelier first.

    ``strength`` is the ink's; a piece without any ink stronger than ``strong`` is no part of a digit. None on a page
    that has only specks or the remains of a border. ``known`` are the ink's pieces if they were looked for before.
    """
    count = known.number if known else cv2.connectedComponents(ink, connectivity=8, ltype=cv2.CV_16U)[0]
    if count == 2:  # most pages: a single piece is the digit, without further rules
        digit, area = Digit(ink, cv2.boundingRect(ink)), cv2.countNonZero(ink)
        if not _is_doubtful(digit, area):
            return [digit] if area >= 3 and cv2.minMaxLoc(strength, ink)[1] > strong else []
    pieces = _strong_pieces(known or labelled(ink), strength, int(strong))
    if all(_is_remains(piece) for piece in pieces):
        return []
    chosen = _chosen(pieces)
    main, *others = chosen
    if main.sides >= 2:  # the digit is cut out tightly: a strip at an edge may be its bar
        doubtful = [piece for piece in others if _is_strip(piece)]
    else:
        doubtful = [piece for piece in others if piece.off_centre > 0.25 and _is_bar(piece)]
    doubtful = [] if main.sides == 1 else doubtful
    if doubtful:
        return [_union(chosen), _union([piece for piece in chosen if piece not in doubtful])]
    whole = _cut_out_tightly(pieces, chosen)
    if whole:
        return [_union(whole), _union(chosen)]
    within = [
        piece for piece in pieces if piece not in chosen and _is_cut_off(piece, main) and _may_belong(piece, main)
    ]
    return [_union(chosen), _union([*chosen, *within])] if within else [_union(chosen)]


def _strong_pieces(known: Labelled, strength: Grey, strong: int) -> list["_Piece"]:
    """The pieces that are no specks and have ink stronger than ``strong``, in the order of their labels."""
    height, width = strength.shape
    pieces = []
    for label, (box, centre) in enumerate(zip(known.stats.tolist(), known.centres.tolist(), strict=True)):
        if label and max(box[2] / width, box[3] / height) >= SPECK:
            mask = np.asarray(known.labels == label).view(np.uint8)
            if cv2.minMaxLoc(strength, mask)[1] > strong:
                pieces.append(_piece(mask, box, centre))
    return pieces


def _union(pieces: list["_Piece"]) -> Digit:
    lefts, tops, rights, feet = zip(*(piece.edges for piece in pieces), strict=True)
    box = min(lefts), min(tops), max(rights) - min(lefts), max(feet) - min(tops)
    return Digit(reduce(np.bitwise_or, (piece.mask for piece in pieces)), box)


def _is_bar(piece: "_Piece") -> bool:
    """Whether a piece is a straight bar, as a staple and an underline are, and the bar of a 5."""
    if max(piece.wide, piece.high) < 0.2:
        return False
    short, long = sorted(side + 1 for side in cv2.minAreaRect(cv2.findNonZero(piece.mask))[1])
    return bool(long >= 3 * short and piece.area >= 0.6 * long * short)


def _is_doubtful(digit: Digit, area: int) -> bool:
    """Whether the only piece of ink on a page may be a speck or the remains of a border."""
    (height, width), (_, _, w, h) = digit.mask.shape, digit.box
    return bool(max(w / width, h / height) < SPECK or cv2.countNonZero(digit.mask[core(digit.mask, 8)]) < 0.1 * area)


def _is_remains(piece: "_Piece") -> bool:
    """Whether a piece lies only along the edges of the page: the remains of a border, not a digit."""
    height, width = piece.mask.shape
    if min(height, width) < 20 or not (piece.sides or max(piece.wide, piece.high) >= 0.6):
        return False
    if cv2.countNonZero(piece.mask[core(piece.mask, 8)]) >= 0.1 * piece.area:
        return False
    left, top, right, foot = piece.edges
    in_corner = (left <= 2 or right >= width - 2) and (top <= 2 or foot >= height - 2)
    return not (in_corner and min(piece.wide, piece.high) >= 0.06 and max(piece.wide, piece.high) < 0.5)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A connected piece of ink: its mask, of 0 and 1, and the measures that the rules use, relative to the page."""

    mask: Grey
    area: float
    wide: float
    high: float
    sides: int
    off_centre: float
    filled: float
    edges: tuple[int, int, int, int]

    def encloses(self, other: "_Piece") -> bool:
        """Whether it runs around another piece that is large enough for a digit."""
        (left, top, right, foot), (x, y, x_to, y_to) = self.edges, other.edges
        if not (left < x and top < y and x_to < right and y_to < foot and other.high >= 0.3 * self.high):
            return False
        # The bar and the stem of an open 4 lie on two sides of its first stroke, and their box is around it.
        mask = self.mask
        sides = mask[:y, x:x_to], mask[y_to:, x:x_to], mask[y:y_to, :x], mask[y:y_to, x_to:]
        return sum(bool(side.any()) for side in sides) >= 3


def _piece(mask: Grey, stats: list[int], centre: list[float]) -> _Piece:
    (x, y, w, h, area), (across, down), (height, width) = stats, centre, mask.shape
    sides = (x == 0) + (y == 0) + (x + w == width) + (y + h == height)
    off_centre = max(abs(across - (width - 1) / 2) / width, abs(down - (height - 1) / 2) / height)
    return _Piece(mask, area, w / width, h / height, sides, off_centre, area / (w * h), (x, y, x + w, y + h))


def _chosen(pieces: list[_Piece]) -> list[_Piece]:
    """The pieces that make up the digit, out of those with strong ink, the main one first."""
    frames = _frames(pieces)
    unframed = [piece for piece in pieces if piece not in frames] or pieces
    some = [piece for piece in unframed if not _is_strip(piece)] or unframed
    main = max(some, key=_weight)
    inner = [piece for piece in some if not piece.sides and piece.high >= 0.3 and piece.area >= 0.4 * main.area]
    if main.sides and inner and main.off_centre > 0.25:  # a neighbour's digit, cut off at the edge
        main = max(inner, key=_weight)
    least = max(3.0, LEAST * main.area)
    some = unframed if main.sides >= 2 else some
    others = [piece for piece in some if piece is not main and piece.area >= least and not _is_cut_off(piece, main)]
    return [main, *others]


def _cut_out_tightly(pieces: list[_Piece], chosen: list[_Piece]) -> list[_Piece]:
    """All pieces that may be strokes if the page is cut out tightly: they reach to all of its edges; else none.

    Strokes of a neighbouring cell, and remains of a border, lie beside a digit that has paper on its other sides.
    """
    main = chosen[0]
    others = [piece for piece in pieces if piece.sides and piece not in chosen and piece.area >= LEAST * main.area]
    if not others or sum(_reached(chosen)) < 2:
        return []
    frames = _frames(pieces)
    others = [piece for piece in others if piece not in frames]
    if max(main.wide, main.high) < FILLING:
        others = [piece for piece in others if not _is_remains(piece)]
    return [*chosen, *others] if others and all(_reached([*chosen, *others])) else []


def _reached(pieces: list[_Piece]) -> list[bool]:
    """Whether pieces reach, or nearly, to the left, upper, right and lower edge of their page."""
    (height, width), edges = pieces[0].mask.shape, [piece.edges for piece in pieces]
    lefts, tops, rights, feet = zip(*edges, strict=True)
    margin = MARGIN * max(height, width)
    return [gap <= margin for gap in (min(lefts), min(tops), width - max(rights), height - max(feet))]


def _weight(piece: _Piece) -> float:
    return piece.area * (1.2 - piece.off_centre)


def _is_cut_off(piece: _Piece, main: _Piece) -> bool:
    """Whether a piece at the edge of the page is a stroke of a neighbouring cell, beside a digit that is whole."""
    if main.sides or not piece.sides or piece.off_centre <= 0.28:
        return False
    return piece.area < 0.5 * main.area or (piece.off_centre > 0.33 and main.high >= 0.3)


def _may_belong(piece: _Piece, main: _Piece) -> bool:
    """Whether a piece at an edge may be a stroke of the digit: it lies within the main piece's height or width.

    So do the bar of a 5 and the first stroke of an open 4, and seldom a neighbour's stroke.
    """
    (left, top, right, foot), (x, y, x_to, y_to) = main.edges, piece.edges
    if y == 0 or y_to == main.mask.shape[0]:
        return left < x and x_to < right and y < foot and top < y_to
    return top < y and y_to < foot and x < right and left < x_to


def _is_strip(piece: _Piece) -> bool:
    return piece.sides > 0 and piece.off_centre > 0.33 and min(piece.wide, piece.high) < 0.22


def _frames(pieces: list[_Piece]) -> set[_Piece]:
    """Borders: at the edges of the page, or a box drawn around something."""
    large = [piece for piece in pieces if piece.wide > 0.8 or piece.high > 0.8 or min(piece.wide, piece.high) > 0.6]
    if not large:
        return set()
    inside = {piece: cv2.countNonZero(piece.mask[core(piece.mask, 5)]) for piece in pieces}
    hollow = [piece for piece in large if inside[piece] < 0.3 * piece.area]
    boxes = [piece for piece in hollow if min(piece.wide, piece.high) > 0.6 and piece.filled < 0.35]
    frames = {ring for ring in large if ring.filled < 0.35 and any(ring.encloses(piece) for piece in pieces)}
    # A complete box on the page contains a digit; a 0 contains nothing.
    within = max((inside[piece] for piece in pieces if piece not in boxes), default=0)
    for piece in hollow:
        spans = max(piece.wide, piece.high) > 0.8
        if (spans and piece.sides >= 2 and piece.filled < 0.4) or (
            piece in boxes and within > max(9, 0.04 * piece.area)
        ):
            frames.add(piece)
    return frames
