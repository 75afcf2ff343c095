"""Tell box borders, ruled lines and a scanner's streaks from strokes, and say where that is in doubt."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

THINNEST = 3  # pixels; a line through the middle of the page is at most this thick
LARGE = 0.3  # of the ink that is left; a piece this large may be the digit

_NEIGHBOURS = np.ones((3, 3), np.uint8)
_UPRIGHT = np.ones((3, 1), np.uint8)
_TALL = np.ones((THINNEST + 2, 1), np.uint8)


def readings(mask: Grey) -> list[Grey | None]:
    """Which ink is lines: one mask, or two if that is in doubt, the likelier first. None stands for no lines."""
    (height, width), (x, y, w, h) = mask.shape, cv2.boundingRect(mask)
    if not ((x <= 3 and x + w >= width - 3) or (y <= 3 and y + h >= height - 3)):
        return _drawn_box(mask)
    borders = _borders(mask)
    left = mask if borders is None else cv2.subtract(mask, _union(mask, borders))
    through = _through(left)
    if borders is None:
        return _drawn_box(mask) if through is None else [through]
    if through is not None:
        left = cv2.subtract(left, through)
    certain = [] if through is None else [through]
    doubtful = [line for line in borders if _touches(line, left)]
    every = _union(mask, [*borders, *certain])
    if not doubtful:
        return [every]
    kept = [line for line in borders if not any(line is other for other in doubtful)] + certain
    fewer = _union(mask, kept) if kept else None
    return [fewer, every] if any(not _is_whole(line, mask) for line in doubtful) else [every, fewer]


def _union(mask: Grey, lines: list[Grey]) -> Grey:
    union = np.zeros_like(mask)
    for line in lines:
        cv2.bitwise_or(union, line, dst=union)
    return union


def _touches(line: Grey, left: Grey) -> bool:
    """Whether a line touches a large piece of the ink that is left without any lines."""
    touching = cv2.bitwise_and(cv2.dilate(line, _NEIGHBOURS), left)
    if not cv2.countNonZero(touching):
        return False
    _, labels = cv2.connectedComponents(left, connectivity=8, ltype=cv2.CV_16U)
    sizes = np.bincount(labels.ravel())
    return bool(max(sizes[label] for label in np.unique(labels[touching > 0])) >= LARGE * cv2.countNonZero(left))


def _is_whole(line: Grey, mask: Grey) -> bool:
    """Whether a border runs from the very edge of the page to the other, as lines do that were cut with their cell."""
    _, _, width, height = cv2.boundingRect(cv2.bitwise_and(line, mask))
    return bool(max(width / mask.shape[1], height / mask.shape[0]) >= 0.985)


def _borders(mask: Grey) -> list[Grey] | None:
    """The box borders and ruled lines of a page, one mask for each side of it.

    They are thin, possibly slanted ink from edge to edge in the outer quarters of the page. None if there are none.
    """
    height, width = mask.shape
    if _fullest(mask, 1) < 0.45 * width and _fullest(mask, 0) < 0.45 * height:
        return None
    thick = cv2.dilate(mask, _NEIGHBOURS)
    across, down = _long_runs(thick), _long_runs(cv2.transpose(thick))
    if across is None or down is None:
        return None
    down = cv2.transpose(down)
    left = cv2.subtract(mask, cv2.bitwise_or(across, down))
    x, y, w, h = cv2.boundingRect(left)
    # If the page was cut out tightly, these are strokes: what remains still touches the edges.
    free = (x > 0) + (y > 0) + (x + w < width) + (y + h < height)
    if free < 3 or cv2.countNonZero(left) < 0.12 * cv2.countNonZero(mask):
        return None
    sides = [across.copy(), across.copy(), down.copy(), down.copy()]
    sides[0][height // 2 :] = sides[1][: height // 2] = 0
    sides[2][:, width // 2 :] = sides[3][:, : width // 2] = 0
    return [side for side in sides if cv2.countNonZero(side)] or None


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
    runs = _opened(thick[full], least)
    rows = [row for row, ink in zip(full, _sums(runs, 1), strict=True) if ink]
    upper = sum(row < band for row in rows)
    if max(upper, len(rows) - upper) > max(4, 0.16 * height):
        return None
    # A line runs beyond both edges of the page; the bar of a 7 ends on it.
    if cv2.countNonZero(runs[:, :3]) and cv2.countNonZero(runs[:, -3:]):
        lines[full] = runs
    return lines


def _opened(rows: Grey, length: int) -> Grey:
    """The runs of ink along rows that are at least so long."""
    opened: Grey = cv2.morphologyEx(
        rows, cv2.MORPH_OPEN, np.ones((1, length), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return opened


def _through(mask: Grey) -> Grey | None:
    """Thin lines from edge to edge anywhere on the page, but where strokes cross them; None if there are none.

    A page that is cut out tightly has none: its strokes run from edge to edge.
    """
    height, width = mask.shape
    across, down = _thin_rows(mask), _thin_rows(cv2.transpose(mask))
    if across is None and down is None:
        return None
    lines = np.zeros_like(mask)
    for found in (across, None if down is None else cv2.transpose(down)):
        if found is not None:
            cv2.bitwise_or(lines, found, dst=lines)
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.subtract(mask, lines), connectivity=8)
    if count < 2:
        return None
    x, y, w, h, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()].tolist()
    if (across is not None and not 2 < x < x + w < width - 2) or (down is not None and not 2 < y < y + h < height - 2):
        return None
    return lines


def _drawn_box(mask: Grey) -> list[Grey | None]:
    """Readings of a box of four thin lines drawn on the page, without the strokes that cross them.

    A box without exact corners may be a 0.
    """
    if min(mask.shape) < 40 or not (_has_thin_rows(mask, 1) and _has_thin_rows(mask, 0)):
        return [None]
    across = _long_thin(mask, 0.25)
    down = None if across is None else _long_thin(cv2.transpose(mask), 0.25)
    if across is None or down is None:
        return [None]
    down = cv2.transpose(down)
    level, upright = _parts(across), _parts(down)
    if not (2 <= len(level) <= 6 and 2 <= len(upright) <= 6):
        return [None]
    for upper, lower in combinations(sorted(level, key=lambda part: part.y), 2):
        for left, right in combinations(sorted(upright, key=lambda part: part.x), 2):
            corners = [(upper.x, left.x), (lower.x, left.x), (upper.x_to, right.x_to), (lower.x_to, right.x_to)]
            corners += [(left.y, upper.y), (right.y, upper.y), (left.y_to, lower.y_to), (right.y_to, lower.y_to)]
            off = max(abs(one - other) for one, other in corners)
            if min(right.x - left.x, lower.y - upper.y) >= 10 and off <= 2:
                lines = cv2.bitwise_or(
                    _without_crossings(upper.mask | lower.mask, mask),
                    cv2.transpose(_without_crossings(cv2.transpose(left.mask | right.mask), cv2.transpose(mask))),
                )
                around = left.x, upper.y, right.x_to, lower.y_to
                if _is_closed(mask, around) and _holds_a_digit(cv2.subtract(mask, lines), lower.y - upper.y):
                    return [lines] if off <= 1 else [lines, None]
    return [None]


def _has_thin_rows(mask: Grey, axis: int) -> bool:
    """Whether two rows (axis 1) or columns (axis 0) have much more ink than those three pixels away on both sides."""
    ink = cv2.reduce(mask, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    rises = ink[3:-3] - np.maximum(ink[:-6], ink[6:])
    return int(np.count_nonzero(rises >= 0.15 * mask.shape[axis])) >= 2


def _is_closed(mask: Grey, around: tuple[int, int, int, int]) -> bool:
    """Whether ink lies along all four sides of a box, whose edges are at the left, top, right and foot."""
    left, top, right, foot = around
    sides = (
        mask[top : top + 3, left:right],
        mask[foot - 3 : foot, left:right],
        mask[top:foot, left : left + 3].T,
        mask[top:foot, right - 3 : right].T,
    )
    return all(side.any(axis=0).mean() >= 0.95 for side in sides)


def _holds_a_digit(left: Grey, height: int) -> bool:
    """Whether ink without its box is mostly one piece, at least half as high as the box; of a 0, arcs are left."""
    stats = cv2.connectedComponentsWithStats(left, connectivity=8)[2][1:]
    if not len(stats):
        return False
    largest = stats[stats[:, cv2.CC_STAT_AREA].argmax()]
    return bool(2 * largest[cv2.CC_STAT_HEIGHT] >= height and largest[4] >= 0.6 * stats[:, 4].sum())


class _Part(NamedTuple):
    """A connected piece of a mask, and its edges."""

    mask: Grey
    x: int
    y: int
    x_to: int
    y_to: int


def _parts(mask: Grey) -> list[_Part]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [
        _Part(np.asarray(labels == label).view(np.uint8), x, y, x + w, y + h)
        for label, (x, y, w, h, _) in enumerate(stats.tolist())
        if label
    ]


def _thin_rows(mask: Grey) -> Grey | None:
    """Thin lines from edge to edge, possibly slanted by a row or two, without the strokes that cross them."""
    runs = _long_thin(mask, 0.95)
    lines = None if runs is None else _without_crossings(runs, mask)
    return lines if lines is not None and cv2.countNonZero(lines) >= 0.3 * mask.shape[1] else None


def _long_thin(mask: Grey, share: float) -> Grey | None:
    """The ink in runs across at least a share of the page's width, possibly slanted a little."""
    width = mask.shape[1]
    if max(_sums(mask, 1)) < min(share, 0.45) * width:
        return None
    runs = _opened(cv2.dilate(mask, _UPRIGHT), max(3, int(share * width)))
    ink: Grey = cv2.bitwise_and(mask, runs)
    return ink if cv2.countNonZero(ink) else None


def _without_crossings(runs: Grey, mask: Grey) -> Grey:
    """The runs without the strokes that cross them, which are taller than a line is thick."""
    tall = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _TALL, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    lines: Grey = cv2.subtract(runs, tall)
    return lines
