"""Tell the digit from box borders, ruled lines and specks."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

SPECK = 0.08  # of the page's side; smaller pieces of ink are not digits

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def core(page: NDArray[Any], part: int) -> tuple[slice, slice]:
    """The slices of a page that leave out 1/``part`` of its height and width at each edge."""
    height, width = page.shape
    return slice(height // part, height - height // part), slice(width // part, width - width // part)


def lines_of(mask: Grey) -> Grey | None:
    """Box borders and ruled lines: thin, possibly slanted ink from edge to edge in the outer quarters of the page."""
    (height, width), (x, y, w, h) = mask.shape, cv2.boundingRect(mask)
    if not ((x <= 3 and x + w >= width - 3) or (y <= 3 and y + h >= height - 3)):
        return None
    if _fullest(mask, 1) < 0.45 * width and _fullest(mask, 0) < 0.45 * height:
        return None
    thick = cv2.dilate(mask, _NEIGHBOURS)
    across, down = _long_runs(thick), _long_runs(cv2.transpose(thick))
    if across is None or down is None:
        return None
    lines = cv2.bitwise_or(across, cv2.transpose(down))
    left = cv2.subtract(mask, lines)
    x, y, w, h = cv2.boundingRect(left)
    # If the page was cut out tightly, these are strokes: what remains still touches the edges.
    free = (x > 0) + (y > 0) + (x + w < width) + (y + h < height)
    return lines if free >= 3 and cv2.countNonZero(left) >= 0.12 * cv2.countNonZero(mask) else None


def _fullest(mask: Grey, axis: int) -> int:
    """The largest count of ink pixels in a row (axis 1) or column (axis 0) of the outer quarters."""
    ink = _sums(mask, axis)
    band = max(1, len(ink) // 4)
    return max(*ink[:band], *ink[-band:])


def _sums(mask: Grey, axis: int) -> list[int]:
    sums: list[int] = cv2.reduce(mask, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().tolist()
    return sums


def _long_runs(thick: Grey) -> Grey | None:
    """Runs of ink along most of a row, in the upper and lower quarter of the page; None if too thick for lines."""
    height, width = thick.shape
    band, least = max(1, height // 4), max(3, int(0.7 * width))
    lines, sums = np.zeros(thick.shape, np.uint8), _sums(thick, 1)
    full = [row for row in (*range(band), *range(max(band, height - band), height)) if sums[row] >= least]
    if not full:
        return lines
    runs = cv2.morphologyEx(
        thick[full], cv2.MORPH_OPEN, np.ones((1, least), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    rows = [row for row, ink in zip(full, _sums(runs, 1), strict=True) if ink]
    upper = sum(row < band for row in rows)
    if max(upper, len(rows) - upper) > max(4, 0.16 * height):
        return None
    # A line runs beyond both edges of the page; the bar of a 7 ends on it.
    if cv2.countNonZero(runs[:, :3]) and cv2.countNonZero(runs[:, -3:]):
        lines[full] = runs
    return lines


def digit_of(ink: Grey, strength: Grey, strong: float) -> Grey | None:
    """The digit: the largest piece of ink near the middle, and the pieces that belong to it."""
    count, _ = cv2.connectedComponents(ink, connectivity=8, ltype=cv2.CV_16U)
    if count == 2 and not _is_doubtful(ink):  # most pages: a single piece is the digit, without further rules
        return ink if cv2.minMaxLoc(strength, ink)[1] > strong and cv2.countNonZero(ink) >= 3 else None
    count, labels, stats, centres = cv2.connectedComponentsWithStatsWithAlgorithm(ink, 8, cv2.CV_32S, cv2.CCL_GRANA)
    strong_pixels = np.bincount(
        labels[cv2.threshold(strength, int(strong), 1, cv2.THRESH_BINARY)[1].view(np.bool_)], minlength=count
    )
    strong_pixels[0] = 0
    boxes, middles = stats.tolist(), centres.tolist()
    pieces = [
        _piece(label, boxes[label], middles[label], ink.shape) for label in np.flatnonzero(strong_pixels).tolist()
    ]
    pieces = [piece for piece in pieces if max(piece.wide, piece.high) >= SPECK]
    if all(_is_remains(piece, labels) for piece in pieces):
        return None
    chosen = _chosen(pieces, labels)
    if len(chosen) == 1:
        return np.asarray(labels == chosen[0]).view(np.uint8)
    which = np.zeros(count, np.uint8)
    which[chosen] = 1
    return np.asarray(which.take(labels), np.uint8) if chosen else None


def _is_doubtful(ink: Grey) -> bool:
    """Whether the only piece of ink on a page may be a speck or the remains of a border."""
    (height, width), (_, _, w, h) = ink.shape, cv2.boundingRect(ink)
    return bool(max(w / width, h / height) < SPECK or cv2.countNonZero(ink[core(ink, 8)]) < 0.1 * cv2.countNonZero(ink))


def _is_remains(piece: "_Piece", labels: NDArray[np.int32]) -> bool:
    """Whether a piece lies only along the edges of the page: the remains of a border, not a digit."""
    height, width = labels.shape
    if min(height, width) < 20 or not (piece.sides or max(piece.wide, piece.high) >= 0.6):
        return False
    return int(np.count_nonzero(labels[core(labels, 8)] == piece.label)) < 0.1 * piece.area


class _Piece(NamedTuple):
    """A connected piece of ink: its label and the measures that the rules use, relative to the page."""

    label: int
    area: float
    wide: float
    high: float
    sides: int
    off_centre: float
    filled: float


def _piece(label: int, stats: list[int], centre: list[float], shape: tuple[int, ...]) -> _Piece:
    (x, y, w, h, area), (across, down), (height, width) = stats, centre, shape
    sides = (x == 0) + (y == 0) + (x + w == width) + (y + h == height)
    off_centre = max(abs(across - (width - 1) / 2) / width, abs(down - (height - 1) / 2) / height)
    return _Piece(label, area, w / width, h / height, sides, off_centre, area / (w * h))


def _chosen(pieces: list[_Piece], labels: NDArray[np.int32]) -> list[int]:
    """The labels of the pieces that make up the digit, out of those with strong ink."""
    frames = _frames(pieces, labels)
    unframed = [piece for piece in pieces if piece.label not in frames] or pieces
    some = [piece for piece in unframed if not _is_strip(piece)] or unframed
    main = max(some, key=lambda piece: piece.area * (1.2 - piece.off_centre))
    least = max(3.0, 0.03 * main.area)
    return [
        piece.label
        for piece in some
        if piece.area >= least
        and (main.sides or not (piece.sides and piece.off_centre > 0.28 and piece.area < 0.5 * main.area))
    ]


def _is_strip(piece: _Piece) -> bool:
    return piece.sides > 0 and piece.off_centre > 0.33 and min(piece.wide, piece.high) < 0.22


def _frames(pieces: list[_Piece], labels: NDArray[np.int32]) -> set[int]:
    """The labels of borders: at the edges of the page, or a box drawn around something."""
    frames: set[int] = set()
    large = [piece for piece in pieces if piece.wide > 0.8 or piece.high > 0.8 or min(piece.wide, piece.high) > 0.6]
    if not large:
        return frames
    inside = np.bincount(labels[core(labels, 5)].ravel(), minlength=pieces[-1].label + 1).tolist()
    hollow = [piece for piece in large if inside[piece.label] < 0.3 * piece.area]
    boxes = [piece for piece in hollow if min(piece.wide, piece.high) > 0.6 and piece.filled < 0.35]
    # A complete box on the page contains a digit; a 0 contains nothing.
    within = max((inside[piece.label] for piece in pieces if piece not in boxes), default=0)
    for piece in hollow:
        spans = max(piece.wide, piece.high) > 0.8
        if (spans and piece.sides >= 2 and piece.filled < 0.4) or (
            piece in boxes and within > max(9, 0.04 * piece.area)
        ):
            frames.add(piece.label)
    return frames
