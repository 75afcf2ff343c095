"""Strips: a field of a form at the size at which its cells are cut, with what is printed on it and whose each pixel is.

A strip has the cells of a field and a margin around them. Its pixels are the same for every page, whatever the page's
resolution, so that all of this is prepared once for a form. Points are those of ``geometry``: (0, 0) is the upper left
corner of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.form import Box, Field
from mnist_batch.pixels.opencv import cv2

CELL = 64  # pixels of a cell's height on its strip
MARGIN = 1 / 3  # of a cell's sides, around the cells
NEAR = 0.12  # of a cell's sides; ink that lies no nearer to its cell is not of it
OTHERS = 255  # whose pixels are that are nearer to a cell of another strip
SPREAD = 2.5  # cells lie apart whose strip would be so many times as large as they are
LARGEST = 4_000_000  # pixels of a strip
FAINTEST = 14  # grey levels; paler print is no print
FRAME = 0.45  # of a cell's height or width: lines and writing are at least so long
NEAR_EDGE = 0.22  # of a cell's sides; lines of a frame lie so near to the edges of its box
LEVELS = (FAINTEST, 50, 100, 160)  # grey levels from which print is of another class
IN_CELLS = len(LEVELS)  # classes of print; as many follow for frames and what is printed around cells
MOST_CELLS = 2_500  # of a page; if it has more, they are cut smaller
EVEN = 200  # the grey level of paper: on what is darker, in a shadow, ink is as dark as it would be on this
DIM = 50  # the grey level of the darkest paper for which that holds
_PAPER = np.ones((9, 9), np.uint8)  # at a quarter of a strip's size; wider than any stroke
_NEXT = np.ones((3, 3), np.uint8)
_SHARP = np.array([-0.5, 0, 1, 0, -0.5], np.float32)

Grey = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Levels = NDArray[np.float32]


def mapped(matrix: Matrix, points: Sequence[Sequence[float]] | Points) -> Points | None:
    """Where points (N, 2) come to lie; None if one of them lies nowhere."""
    at = np.asarray(points, np.float64)
    to = at @ matrix[:, :2].T + matrix[:, 2]
    depth = to[:, 2]
    if not (depth.min() > 1e-9 or depth.max() < -1e-9):
        return None
    there = to[:, :2] / to[:, 2:]
    return np.asarray(there) if abs(there).max() < 1e6 else None


def seen(picture: Grey, matrix: Matrix, size: tuple[int, int]) -> Grey | None:
    """What of a picture lies on a strip of a size (across, down), which ``matrix`` maps to the picture.

    None if the strip lies beside the picture, or nowhere.
    """
    wide, high = size
    x, y = wide / 2, high / 2
    there = mapped(matrix, [(0, 0), (wide, 0), (wide, high), (0, high), (x, y), (x + 1, y), (x, y + 1)])
    if there is None:
        return None
    (low, top), (right, foot) = there.min(axis=0).astype(int) - 3, there.max(axis=0).astype(int) + 4
    low, top = max(0, low), max(0, top)
    part = picture[top : max(0, foot), low : max(0, right)]
    if not part.size:
        return None
    across, down = np.hypot(*(there[5:] - there[4]))  # pixels of the picture along its axes for one of the strip
    fewer, how = [max(1, int(factor + 0.35)) for factor in (across, down)], cv2.INTER_LINEAR
    if max(fewer) > 1:
        to = max(1, part.shape[1] // fewer[0]), max(1, part.shape[0] // fewer[1])
        fewer = [part.shape[1] / to[0], part.shape[0] / to[1]]
        part = cv2.resize(part, to, interpolation=cv2.INTER_AREA)
    elif max(across, down) < 0.8:
        how = cv2.INTER_CUBIC
    shrink = np.array([[1 / fewer[0], 0, -low / fewer[0] - 0.5], [0, 1 / fewer[1], -top / fewer[1] - 0.5], [0, 0, 1]])
    between = shrink @ matrix @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    flags = how | cv2.WARP_INVERSE_MAP
    if abs(between[2, :2]).max() < 1e-12:
        strip = cv2.warpAffine(part, between[:2] / between[2, 2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    else:
        strip = cv2.warpPerspective(part, between, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(strip, np.uint8)


def darkness(strip: Grey) -> Grey:
    """By how many grey levels each pixel is darker than the paper around it, whatever is wider than a stroke.

    In a shadow it is as dark as it would be without.
    """
    high, wide = strip.shape
    small = cv2.resize(strip, (max(1, wide // 4), max(1, high // 4)), interpolation=cv2.INTER_AREA)
    paper = cv2.resize(cv2.morphologyEx(small, cv2.MORPH_CLOSE, _PAPER), (wide, high), interpolation=cv2.INTER_LINEAR)
    dark: Grey = cv2.subtract(paper, strip)
    if int(paper.min()) < EVEN:
        dark = cv2.max(dark, cv2.divide(dark, cv2.max(paper, DIM), scale=EVEN))
    return dark


@dataclass(frozen=True, eq=False)
class Strip:
    """Some cells of a field, all of them where they lie beside each other.

    ``matrix`` maps the strip's pixels to those of the form's picture. ``boxes`` are int (N, 4), the x, y, x and y of
    the edges of the cells. ``owners``, uint8 (H, W), has the number of the nearest cell, or ``OTHERS``, and ``near``
    is 1 in the cells and close around. ``print``, uint8 (H, W), is 0 where nothing is printed, to ``IN_CELLS`` the
    higher the darker print in a cell is, and so on for frames and what is printed around them. ``rows`` and
    ``columns`` are the print's profiles.
    """

    field: str
    positions: tuple[int, ...]
    matrix: Matrix
    boxes: NDArray[np.int64]
    owners: Grey
    near: Grey
    print: Grey
    rows: Levels
    columns: Levels

    @property
    def size(self) -> tuple[int, int]:
        """How many pixels the strip has, (across, down)."""
        return self.owners.shape[1], self.owners.shape[0]


def strips_of(picture: Grey, fields: Sequence[Field]) -> tuple[Strip, ...]:
    """The strips of the fields on a page of a form, in the order of the fields; ``picture`` is the page's."""
    every = [(field.name, at, box) for field in fields for at, box in enumerate(field.cells)]
    cell = CELL * min(1.0, float(np.sqrt(MOST_CELLS / max(1, len(every)))))
    strips = []
    for field in fields:
        for positions in _beside_each_other(field.cells):
            chosen = [field.cells[at] for at in positions]
            others = [box for name, at, box in every if name != field.name or at not in positions]
            strips.append(_strip(picture, (field.name, positions), chosen, others, cell))
    return tuple(strips)


def _beside_each_other(cells: Sequence[Box]) -> list[tuple[int, ...]]:
    groups: list[list[int]] = []
    for at in range(len(cells)):
        if groups:
            some = [cells[other] for other in (*groups[-1], at)]
            left, top = min(box.x for box in some), min(box.y for box in some)
            area = (max(box.x + box.width for box in some) - left) * (max(box.y + box.height for box in some) - top)
            if area <= SPREAD * sum(box.width * box.height for box in some):
                groups[-1].append(at)
                continue
        groups.append([at])
    return [tuple(group) for group in groups]


def _strip(
    picture: Grey, name: tuple[str, tuple[int, ...]], cells: Sequence[Box], others: Sequence[Box], cell: float
) -> Strip:
    """Some cells of a field, ``cell`` pixels high; ``others`` are all other cells of the page."""
    edges = np.array([(box.x, box.y, box.x + box.width, box.y + box.height) for box in cells], np.float64)
    width, height = np.median(edges[:, 2:] - edges[:, :2], axis=0)
    left, top = edges[:, 0].min() - MARGIN * width, edges[:, 1].min() - MARGIN * height
    right, foot = edges[:, 2].max() + MARGIN * width, edges[:, 3].max() + MARGIN * height
    scale = min(cell / height, 8 * cell / width, float(np.sqrt(LARGEST / ((right - left) * (foot - top)))))
    size = max(4, int(np.ceil((right - left) * scale))), max(4, int(np.ceil((foot - top) * scale)))
    matrix = np.array([[1 / scale, 0, left], [0, 1 / scale, top], [0, 0, 1]])
    corner = np.array([left, top, left, top])
    own = (edges - corner) * scale
    owners = _owners(
        own,
        [(np.array([box.x, box.y, box.x + box.width, box.y + box.height]) - corner) * scale for box in others],
        size,
    )
    boxes = np.round(own).astype(np.int64).clip(0, [size[0], size[1], size[0], size[1]])
    near = _filled(own, NEAR * scale * np.array([width, height]), size)
    printed, inside = _printed(picture, matrix, size, boxes)
    return Strip(*name, matrix, boxes, owners, near, _levels(printed, inside), *_profiles(printed))


def _owners(own: NDArray[np.float64], others: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Grey:
    """The number of the cell that is nearest to each pixel."""
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5

    def away(box: NDArray[np.float64]) -> NDArray[np.float32]:
        across = np.maximum(np.maximum(box[0] - x, x - box[2]), 0)
        down = np.maximum(np.maximum(box[1] - y, y - box[3]), 0)
        return np.asarray(np.hypot(across[None], down[:, None]), np.float32)

    nearest, owners = away(own[0]), np.zeros(size[::-1], np.uint8)
    numbered = [(number, box) for number, box in enumerate(own)][1:]
    reach = [
        (OTHERS, box)
        for box in others
        if box[2] > -size[1] and box[3] > -size[1] and box[0] < size[0] + size[1] and box[1] < 2 * size[1]
    ]
    for number, box in [*numbered, *reach]:
        distance = away(box)
        nearer = distance < nearest
        owners[nearer] = number
        nearest = np.minimum(nearest, distance)
    return owners


def _filled(boxes: NDArray[np.float64], more: NDArray[np.float64], size: tuple[int, int]) -> Grey:
    mask = np.zeros(size[::-1], np.uint8)
    for box in boxes:
        left, top = (max(0, round(value)) for value in box[:2] - more)
        right, foot = (max(0, round(value)) for value in box[2:] + more)
        mask[top:foot, left:right] = 1
    return mask


def _printed(
    picture: Grey, matrix: Matrix, size: tuple[int, int], boxes: NDArray[np.int64]
) -> tuple[Grey, NDArray[np.bool_]]:
    """By how many grey levels what is printed is darker than its paper, and what of it lies in cells and is no frame.

    Writing in the cells is left out.
    """
    strip = seen(picture, matrix, size)
    if strip is None:
        return np.zeros(size[::-1], np.uint8), np.zeros(size[::-1], np.bool_)
    dark = darkness(strip)
    ink = np.asarray(dark >= FAINTEST, np.uint8)
    width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    level = _long(ink, (max(3, int(FRAME * width)), 1)) & _near_edges(boxes, size, NEAR_EDGE * height, 1)
    upright = _long(ink, (1, max(3, int(FRAME * height)))) & _near_edges(boxes, size, NEAR_EDGE * width, 0)
    frame = level | upright
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink & ~frame, connectivity=8)
    inside = np.zeros(size[::-1], np.bool_)
    for left, top, right, foot in boxes:
        inside[top:foot, left:right] = True
    within = np.bincount(labels[inside], minlength=count) > 0.5 * stats[:, cv2.CC_STAT_AREA]
    written = within & (stats[:, cv2.CC_STAT_HEIGHT] >= FRAME * height)
    written[0] = False
    if written.any():
        darkest = float(np.percentile(dark[ink > 0], 90))
        pale = [label for label in np.flatnonzero(written) if np.percentile(dark[labels == label], 75) < 0.5 * darkest]
        written[pale] = False
    return np.where((ink > 0) & ~written[labels], dark, 0).astype(np.uint8), inside & (cv2.dilate(frame, _NEXT) == 0)


def _long(ink: Grey, size: tuple[int, int]) -> Grey:
    """Ink in runs so long, with gaps as dotted lines have, and slanted by a pixel."""
    turned = size[::-1]
    gaps = np.ones((5 if turned[0] > 1 else 1, 5 if turned[1] > 1 else 1), np.uint8)
    closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, gaps)
    thick = cv2.dilate(closed, np.ones((1, 3) if turned[0] > 1 else (3, 1), np.uint8))
    runs: Grey = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones(turned, np.uint8)) & ink
    return runs


def _near_edges(boxes: NDArray[np.int64], size: tuple[int, int], reach: float, axis: int) -> Grey:
    mask = np.zeros(size[::-1], np.uint8)
    for box in boxes:
        for edge in (box[axis], box[axis + 2]):
            band = slice(max(0, int(edge - reach)), max(0, int(np.ceil(edge + reach))))
            other = slice(max(0, int(box[1 - axis] - reach)), int(box[3 - axis] + reach))
            mask[(band, other) if axis else (other, band)] = 1
    return mask


def _levels(printed: Grey, inside: NDArray[np.bool_]) -> Grey:
    """The class of the print at each pixel, by its darkest pixels close by; 0 where there is none, and at its edges."""
    levels = np.searchsorted(LEVELS, np.arange(256), "right")
    darkest = cv2.dilate(printed, np.ones((5, 5), np.uint8))
    classes = cv2.LUT(darkest, levels.astype(np.uint8))
    classes = classes + np.where((classes > 0) & ~inside, len(LEVELS), 0).astype(np.uint8)
    return np.asarray(np.where(printed >= np.maximum(FAINTEST, 0.4 * darkest), classes, 0), np.uint8)


def _profiles(printed: Grey) -> tuple[Levels, Levels]:
    return sharpened(printed.mean(axis=1, dtype=np.float32)), sharpened(printed.mean(axis=0, dtype=np.float32))


def sharpened(profile: Levels) -> Levels:
    """The lines in a profile, without what is wider."""
    return np.maximum(np.convolve(profile, _SHARP, "same"), 0).astype(np.float32)
