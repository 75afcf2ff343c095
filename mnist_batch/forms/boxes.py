"""Find the printed boxes of a page: closed ones, the cells of combs and of baselines with ticks, and tinted ones.

All works at 200 dots per inch, where a millimetre has about eight pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import corners
from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]
Mask = NDArray[np.uint8]

DOTS_PER_INCH = 200
MILLIMETRE = DOTS_PER_INCH / 25.4
LEAST_WIDTH, MOST_WIDTH = 2.8 * MILLIMETRE, 16 * MILLIMETRE
LEAST_HEIGHT, MOST_HEIGHT = 3.4 * MILLIMETRE, 18 * MILLIMETRE
SHAPE = (0.45, 1.35)  # width by height of a cell for one digit
THICKEST = 0.18  # of the line around a box, by its shorter side
STRAIGHT = 0.6  # of each side of a box; those of letters are bent
SAME_SIZE = 0.06  # boxes of a form that are alike differ by at most this share
LEAST_ALIKE, MOST_SIZES = 4, 3  # of boxes of one size, and of such sizes on a page
OF_MOST = 0.05  # of the boxes of the size that most have: of another size are as many at least
FULL = 0.65  # of a box by ink is too much
TINTED = 0.75  # of the paper in a box that has a tint itself; two boxes with a tint between them have half of it
SHORTEST_LINE = round(2.3 * MILLIMETRE)


@dataclass(frozen=True)
class Masks:
    """What is printed on a page, each uint8 (H, W) of 0 and 1: dark, nearly black, tints, and lines across and down."""

    dark: Mask
    black: Mask
    tint: Mask
    across: Mask
    down: Mask

    @classmethod
    def of(cls, page: Grey) -> "Masks":
        """The masks of a page at 200 dots per inch, paper light."""
        paper = _paper(page)
        strength = cv2.subtract(paper, page)
        noise = 1.5 * float(np.median(cv2.absdiff(page[:, 1:], page[:, :-1])))
        local = cv2.morphologyEx(page, cv2.MORPH_BLACKHAT, np.ones((13, 13), np.uint8))
        dark = ((local > max(34.0, 5 * noise)) | (strength > 120)).astype(np.uint8)
        # A field of a tint may be larger than the neighbourhood in which paper is looked for.
        whitest = np.full_like(page, np.percentile(paper[::8, ::8], 98))
        smooth = cv2.medianBlur(cv2.subtract(whitest, page), 5)
        tint = (cv2.blur(smooth, (3, 3)) > max(14.0, 2 * noise)).astype(np.uint8)
        across, down = _lines(dark), cv2.transpose(_lines(cv2.transpose(dark)))
        return cls(
            dark,
            (strength > 90).astype(np.uint8),
            cv2.morphologyEx(tint, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)),
            across,
            down,
        )


def _paper(page: Grey) -> Grey:
    """How light the paper is at each pixel: that of the lightest nearby, over more than tints are wide."""
    small = cv2.resize(page, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    small = cv2.morphologyEx(cv2.medianBlur(small, 3), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    paper: Grey = cv2.resize(cv2.blur(small, (9, 9)), page.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return paper


def _lines(dark: Mask) -> Mask:
    """Straight ink along rows, skewed by a pixel or two at most, with its small gaps closed."""
    thick = cv2.dilate(dark, np.ones((3, 1), np.uint8))
    closed = cv2.morphologyEx(thick, cv2.MORPH_CLOSE, np.ones((1, 5), np.uint8))
    lines: Mask = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((1, SHORTEST_LINE), np.uint8))
    return lines


@dataclass(frozen=True)
class Closed:
    """Boxes of every width that print encloses: cells of a size that several have, and all others, the surer first.

    They may lie in each other.
    """

    usual: tuple[Box, ...]
    others: tuple[Box, ...]


def closed(masks: Masks) -> Closed:
    """Boxes that lines or a tint enclose, and tinted boxes on plain paper."""
    least, most = (LEAST_WIDTH, LEAST_HEIGHT), (0.9 * masks.dark.shape[1], MOST_HEIGHT)
    usual, others = list[Box](), list[Box]()
    for mask in (masks.dark, masks.dark | masks.tint):
        cornered = _alike_first(corners.boxes(mask, least, most))
        sizes = _sizes(cornered)
        for size in sizes:
            usual += [box for box in cornered if same_size(box, Box(0, 0, *size))]
            usual += corners.repeated(mask, size)
        others += cornered
    lines = masks.across | masks.down
    enclosed = [*_rectangles(1 - lines), *_rectangles(1 - (lines | masks.tint))]
    # Wide ones are headings.
    tinted = [box for box in _rectangles(masks.tint) if is_cell(box)]
    others += sorted([*enclosed, *tinted], key=lambda box: box.width * box.height)
    usual, others = ([box for box in each if _is_box(box, masks)] for each in (usual, others))
    letters = {box for box in {*usual, *others} if _is_letter(box, masks.black)}
    # Windows in a black band stand in a row, as letters with the same hole do not.
    windows = {box for box in letters.intersection(usual) if _in_a_row(box, letters)}
    return Closed(*(tuple(box for box in each if box not in letters - windows) for each in (usual, others)))


def _in_a_row(box: Box, others: Iterable[Box]) -> bool:
    """Whether several boxes of the size of this one stand beside it, it among them."""
    places = {round(other.x) for other in others if same_size(box, other) and abs(box.y - other.y) < 0.1 * box.height}
    apart = sum(at - last > 0.5 * box.width for last, at in pairwise(sorted(places)))
    return apart + 1 >= LEAST_ALIKE


def _alike_first(boxes: Iterable[Box]) -> list[Box]:
    """Boxes, those of a size that many have first: a stroke through a box makes others of odd sizes."""
    found = list(boxes)
    sizes = np.array([box[2:] for box in found]).reshape(-1, 2)
    alike = [int((np.abs(sizes - size) <= SAME_SIZE * size).all(axis=1).sum()) for size in sizes]
    order = sorted(range(len(found)), key=lambda at: (-alike[at], found[at].width * found[at].height))
    return [found[at] for at in order]


def _sizes(boxes: Sequence[Box]) -> list[tuple[float, float]]:
    """The sizes of cells that several boxes have, of which those that are alike come first."""
    sizes = list[tuple[float, float]]()
    left, most = [box for box in boxes if is_cell(box)], 0
    while left and len(sizes) < MOST_SIZES:
        alike = [box for box in left if same_size(box, left[0])]
        # Among very many boxes, strokes make some that are alike.
        if len(alike) < max(LEAST_ALIKE, OF_MOST * most):
            break
        most = max(most, len(alike))
        width, height = np.median([box[2:] for box in alike], axis=0).tolist()
        # Two cells side by side may have the shape of a cell.
        if not any(width > 1.7 * other and abs(height - high) < SAME_SIZE * high for other, high in sizes):
            sizes.append((width, height))
        left = [box for box in left if not same_size(box, left[0])]
    return sizes


def same_size(box: Box, other: Box) -> bool:
    """Whether two boxes are as wide and as high as boxes of a form that are alike."""
    return (
        abs(box.width - other.width) <= SAME_SIZE * box.width
        and abs(box.height - other.height) <= SAME_SIZE * box.height
    )


def is_cell(box: Box) -> bool:
    """Whether a box has the shape of a cell for one digit."""
    return SHAPE[0] * box.height <= box.width <= SHAPE[1] * box.height


def widened(box: Box, masks: Masks) -> Box:
    """A box from one end to the other of the lines above and below it: a stroke may look like its side."""
    reaches = []
    for y in (box.y, box.y + box.height):
        starts, stops = runs(np.asarray(masks.across[max(round(y) - 2, 0) : round(y) + 3].any(axis=0)))
        middle = box.x + box.width / 2
        own = np.flatnonzero((starts <= middle) & (stops > middle))
        reaches.append((starts[own[0]], stops[own[0]]) if len(own) else (box.x, box.x + box.width))
    left, right = max(start for start, _ in reaches), min(stop for _, stop in reaches)
    left = left + 1 if left < box.x - 0.5 * box.height else box.x
    right = right - 2 if right > box.x + box.width + 0.5 * box.height else box.x + box.width
    return box._replace(x=float(left), width=float(right - left))


def inside(box: Box) -> tuple[int, int, int, int]:
    """The left, top, right and foot of what lies inside the lines around a box, which has its edges in their middle."""
    return round(box.x) + 3, round(box.y) + 3, round(box.x + box.width) - 3, round(box.y + box.height) - 3


def _rectangles(mask: Mask) -> list[Box]:
    """The connected pieces of a mask that are upright rectangles, up to where the print around them has its middle."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found = []
    for label, (x, y, width, height, area) in enumerate(stats.tolist()):
        if not label or width < LEAST_WIDTH - 4 or not LEAST_HEIGHT - 4 <= height <= MOST_HEIGHT:
            continue
        if area < 0.6 * width * height or width > 0.9 * mask.shape[1]:
            continue
        if _is_straight(labels[y : y + height, x : x + width] == label):
            found.append(Box(max(x - 2, 0), max(y - 2, 0), width + 4, height + 4))
    return found


def _is_straight(piece: NDArray[np.bool_]) -> bool:
    """Whether a piece reaches each side of its bounding box along most of that side, and its corners."""
    for side in (piece, piece[::-1], piece.T, piece.T[::-1]):
        near = side[: 2 + side.shape[0] // 25].any(axis=0)
        if near.mean() < STRAIGHT:
            return False
    high, wide = (max(1, round(0.15 * side)) for side in piece.shape)
    corners = (piece[:high, :wide], piece[:high, -wide:], piece[-high:, :wide], piece[-high:, -wide:])
    return sum(bool(corner.mean() > 0.25) for corner in corners) >= 3


def _is_letter(box: Box, black: Mask) -> bool:
    """Whether the stroke around a box is too thick for a line on most of its sides, as that of a printed D is."""
    thick = 0
    for mask, (x, y, width, height) in ((black, box), (black.T, Box(box.y, box.x, box.height, box.width))):
        rows = mask[round(y + 0.3 * height) : round(y + 0.7 * height)]
        for start in (x - 0.25 * width, x + width - 4):
            beside = rows[:, max(round(start), 0) : max(round(start + 0.25 * width + 4), 1)]
            thick += bool(beside.sum() > THICKEST * min(width, height) * len(rows))
    return thick >= 3


def _is_box(box: Box, masks: Masks) -> bool:
    """Whether a box is mostly light, and not two boxes side by side."""
    left, top, right, foot = inside(box)
    dark, tint = masks.dark[top:foot, left:right], masks.tint[top:foot, left:right]
    several = is_cell(box) and len(tint_walls(dark | masks.black[top:foot, left:right], tint))
    return bool(dark.mean() < FULL) and not several


def tint_walls(dark: Mask, tint: Mask) -> NDArray[np.float64]:
    """Where a tint that is none of a stroke runs from top to foot of a box, by the ink and the tint inside it.

    In a box that has a tint itself there is none: what looks like one is the inside of a digit.
    """
    paper = 1 - cv2.dilate(np.ascontiguousarray(dark), np.ones((5, 5), np.uint8))
    free = tint & paper
    if free.sum() > TINTED * paper.sum():
        return np.zeros(0)
    starts, stops = runs(free.mean(axis=0) > 0.5)
    inner = (starts > 0) & (stops < free.shape[1]) & (stops - starts <= 0.6 * len(free))
    return np.asarray((starts + stops - 1)[inner] / 2, np.float64)


def runs(there: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where runs of set values start and stop."""
    steps = np.diff(np.concatenate([[0], there.astype(np.int8), [0]]))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def overlaps(box: Box, others: Sequence[Box]) -> NDArray[np.float64]:
    """For each of other boxes, the share of the smaller one that lies in the other."""
    x, y, wide, high = np.array(others).reshape(-1, 4).T
    across = np.minimum(box.x + box.width, x + wide) - np.maximum(box.x, x)
    down = np.minimum(box.y + box.height, y + high) - np.maximum(box.y, y)
    shared = across.clip(0) * down.clip(0) / np.minimum(box.width * box.height, wide * high)
    return np.asarray(shared, np.float64)
