"""Tell box borders, ruled lines and a scanner's streaks from strokes, and say where that is in doubt.

Masks are integers in here, as ``bitmaps`` has them, but for those that come in and go out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels import bitmaps, drawn_boxes, strokes
from mnist_batch.pixels.bitmaps import Grid, Way
from mnist_batch.pixels.opencv import cv2
from mnist_batch.pixels.strokes import Labelled

Grey = NDArray[np.uint8]
Numbers = NDArray[np.int32]
Sizes = NDArray[np.int64]

LARGE = 0.3  # of the ink that is left; a piece this large may be the digit
BY_PEN = 2.05  # pixels; a stroke by pen is as thick as that, and hardly any rule or streak


class Sums(NamedTuple):
    """The ink of each row and of each column of a page, and where the rules may find lines by them.

    Beyond the page there may be more rows and columns, without ink.
    """

    rows: Numbers
    columns: Numbers
    may_span: bool
    may_hold_a_box: bool

    @classmethod
    def of_each(cls, masks: Grey, heights: Sizes, widths: Sizes) -> "list[Sums]":
        """Those of each page of a stack of masks, (N, H, W), in which the pages have these heights and widths."""
        count, height, width = masks.shape
        rows = cv2.reduce(masks.reshape(-1, width), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).reshape(count, height)
        columns = masks.sum(axis=1, dtype=np.uint8).astype(np.int32)  # of 64 rows at most
        spans = _reach_both_ends(rows, heights) | _reach_both_ends(columns, widths)
        boxes = np.minimum(heights, widths) >= 40
        if boxes.any():
            boxes &= _have_thin_lines(rows, heights, widths) & _have_thin_lines(columns, widths, heights)
        return [*map(cls, rows, columns, spans.tolist(), boxes.tolist())]


def _reach_both_ends(sums: Numbers, counts: Sizes) -> NDArray[np.bool_]:
    """Which pages, of so many rows or columns, have ink in both the first and the last four of them."""
    last = np.arange(sums.shape[1]) >= counts[:, None] - 4
    return np.asarray(sums[:, :4].any(axis=1) & (sums * last).any(axis=1))


def _have_thin_lines(sums: Numbers, counts: Sizes, lengths: Sizes) -> NDArray[np.bool_]:
    """Which pages have two rows, or columns, with much more ink than those three pixels away on both sides."""
    rises = sums[:, 3:-3] - np.maximum(sums[:, :-6], sums[:, 6:])
    within = np.arange(rises.shape[1]) < counts[:, None] - 6
    return np.asarray((within & (rises >= 0.15 * lengths[:, None])).sum(axis=1) >= 2)


class Reading(NamedTuple):
    """Which ink is lines, a mask or None if none is, and the pieces of the other ink if they were looked for."""

    lines: Grey | None
    pieces: Labelled | None = None


class _Line(NamedTuple):
    """The way that a line runs, and a mask of where its ink lies, perhaps with pixels of paper beside it."""

    way: Way
    mask: int

    @property
    def thickness(self) -> float:
        """How many pixels it has from side to side."""
        return self.mask.bit_count() / max(1, drawn_boxes.places(self.way, self.mask))


def readings(mask: Grey, sums: Sums) -> list[Reading]:
    """Which ink is lines: one reading, or two if that is in doubt, the likelier first."""
    if not sums.may_span:
        return _drawn_box(mask, sums)
    grid = bitmaps.grid(mask.shape)
    ink, rows, columns = grid.packed(mask), sums.rows.tolist()[: grid.height], sums.columns.tolist()[: grid.width]
    borders = _borders(grid, ink, rows, columns)
    lines, remaining = _union(borders), mask
    if borders:
        remaining = grid.unpacked(ink & ~lines)
        rows, columns = _sums(remaining, 1), _sums(remaining, 0)
    through, pieces = _through(grid, ink & ~lines, rows, columns)
    if not (borders or through):
        return _drawn_box(mask, sums)
    thick = [line for line in through if _is_thick(line)]
    if not (borders or thick):
        return [Reading(grid.unpacked(_union(through)), pieces)]
    if through:
        lines |= _union(through)
        remaining = grid.unpacked(ink & ~lines)
    pieces = pieces or strokes.labelled(remaining)
    large = _large(grid, ink & ~lines, pieces)
    beside = _beside(grid, borders, large)
    doubtful = _strokes_among(grid, borders, beside) + [line for line in thick if _is_on_both_sides(grid, line, large)]
    every = Reading(grid.unpacked(lines), pieces)
    if not doubtful:
        return [every]
    fewer = _union([line for line in (*borders, *through) if line not in doubtful])
    whole = all(_is_whole(grid, line.mask & ink) for line in beside)
    return [every, Reading(grid.unpacked(fewer) if fewer else None)][:: 1 if whole else -1]


def _union(lines: list[_Line]) -> int:
    union = 0
    for line in lines:
        union |= line.mask
    return union


def _beside(grid: Grid, lines: list[_Line], ink: int) -> list[_Line]:
    """Those of the lines that meet the ink."""
    near = _thickened(grid, ink)
    return [line for line in lines if line.mask & near]


def _strokes_among(grid: Grid, borders: list[_Line], beside: list[_Line]) -> list[_Line]:
    """The borders that may be strokes of a digit that is cut out tightly: those beside it, and those that meet these.

    Four are a box, and the digit within does not go on along it.
    """
    if not beside or len(borders) == 4:
        return beside
    found = beside
    while more := [line for line in _beside(grid, borders, _union(found)) if line not in found]:
        found = [*found, *more]
    return found


def _is_thick(line: _Line) -> bool:
    """Whether a line may be a stroke by pen: a rule, a grid and a scanner's streak are thinner.

    The lines of a box lie in the outer quarters of the page.
    """
    first, last = line.way.quarters
    return bool(line.mask & ~(first | last)) and line.thickness >= BY_PEN


def _is_on_both_sides(grid: Grid, line: _Line, large: int) -> bool:
    """Whether there is ink of the digit on both sides of a line."""
    x, y, width, height = cv2.boundingRect(grid.unpacked(line.mask))
    if line.way is grid.across:
        before, behind = grid.rows(0, y), grid.rows(y + height, grid.height)
    else:
        before, behind = grid.columns(0, x), grid.columns(x + width, grid.width)
    return bool(large & before and large & behind)


def _large(grid: Grid, left: int, pieces: Labelled) -> int:
    """The large pieces of the ink that is left without any lines."""
    areas = pieces.stats[:, cv2.CC_STAT_AREA] >= LARGE * left.bit_count()
    areas[0] = False  # the background
    return grid.packed(areas.view(np.uint8).take(pieces.labels))


def _is_whole(grid: Grid, border: int) -> bool:
    """Whether a border runs from the very edge of the page to the other, as lines do that were cut with their cell."""
    _, _, width, height = cv2.boundingRect(grid.unpacked(border))
    return bool(max(width / grid.width, height / grid.height) >= 0.985)


def _borders(grid: Grid, ink: int, rows: list[int], columns: list[int]) -> list[_Line]:
    """The box borders and ruled lines of a page, one for each side of it; ``rows`` and ``columns`` are its sums.

    They are thin, possibly slanted ink from edge to edge in the outer quarters of the page.
    """
    if _fullest(rows) < 0.45 * grid.width and _fullest(columns) < 0.45 * grid.height:
        return []
    thick = _thickened(grid, ink)
    across, down = _long_runs(grid.across, thick), _long_runs(grid.down, thick)
    if across is None or down is None:
        return []
    left = ink & ~(across | down)
    # If the page was cut out tightly, these are strokes: what remains still touches the edges.
    if sum(not left & edge for edge in grid.edges) < 3 or left.bit_count() < 0.12 * ink.bit_count():
        return []
    ways = ((grid.across, across), (grid.down, down))
    return [_Line(way, runs & half) for way, runs in ways for half in way.halves if runs & half]


def _thickened(grid: Grid, mask: int) -> int:
    """The mask with all pixels next to it."""
    return grid.across.spread(grid.down.spread(mask))


def _fullest(sums: list[int]) -> int:
    """The largest count of ink pixels in a row or column of the outer quarters."""
    band = max(1, len(sums) // 4)
    return max(*sums[:band], *sums[-band:])


def _sums(mask: Grey, axis: int) -> list[int]:
    """The ink of each row (axis 1) or column (axis 0)."""
    sums: list[int] = cv2.reduce(mask, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().tolist()
    return sums


def _long_runs(way: Way, thick: int) -> int | None:
    """Runs of ink along most of a line, in the outer quarters of the page; None if too thick for lines."""
    (upper, lower), least = way.quarters, max(3, int(0.7 * way.length))
    runs = way.runs(thick & (upper | lower), least)
    if max(way.crossed(runs & upper, least), way.crossed(runs & lower, least)) > max(4, 0.16 * way.lines):
        return None
    # A line runs beyond both edges of the page; the bar of a 7 ends on it.
    return runs if all(runs & end for end in way.ends) else 0


def _through(grid: Grid, ink: int, rows: list[int], columns: list[int]) -> tuple[list[_Line], Labelled | None]:
    """Thin lines from edge to edge anywhere on the page, but where strokes cross them: those across, and those down.

    A page that is cut out tightly has none: its strokes run from edge to edge. With lines come the pieces of the other
    ink, if they were looked for.
    """
    across, down = _thin_lines(grid.across, ink, rows), _thin_lines(grid.down, ink, columns)
    rest = ink & ~(across | down)
    if not (across | down and rest):
        return [], None
    lines = [_Line(way, thin) for way, thin in ((grid.across, across), (grid.down, down)) if thin]
    edges = 0
    for way, _ in lines:
        edges |= way.ends[0] | way.ends[1]
    if not rest & edges:
        return lines, None
    pieces = strokes.labelled(grid.unpacked(rest))
    return ([], None) if _largest(grid, pieces) & edges else (lines, pieces)


def _largest(grid: Grid, pieces: Labelled) -> int:
    """The box around the largest piece of a mask."""
    x, y, w, h, _ = pieces.stats[1 + pieces.stats[1:, cv2.CC_STAT_AREA].argmax()].tolist()
    return grid.columns(x, x + w) & grid.rows(y, y + h)


def _drawn_box(mask: Grey, sums: Sums) -> list[Reading]:
    """Readings of a box that is drawn on the page; one that strokes hide in part may belong to the digit."""
    none = Reading(None)
    if not sums.may_hold_a_box:
        return [none]
    grid = bitmaps.grid(mask.shape)
    found = drawn_boxes.find(grid, grid.packed(mask))
    if found is None:
        return [none]
    boxed = Reading(grid.unpacked(found.lines), found.pieces)
    return [boxed] if found.plain else [boxed, none]


def _thin_lines(way: Way, ink: int, sums: list[int]) -> int:
    """Thin lines from edge to edge, possibly slanted by a pixel or two, without the strokes that cross them."""
    runs = _long_thin(way, ink, sums, 0.95)
    lines = _without_crossings(way, runs, ink) if runs else 0
    return lines if lines.bit_count() >= 0.3 * way.length else 0


def _long_thin(way: Way, ink: int, sums: list[int], share: float) -> int:
    """The ink in runs along at least a share of the page's lines, possibly slanted a little."""
    if max(sums) < min(share, 0.45) * way.length:
        return 0
    return ink & way.runs(way.spread(ink), max(3, int(share * way.length)))


def _without_crossings(way: Way, runs: int, ink: int) -> int:
    """The runs without the strokes that cross them or run along them, which are thicker."""
    return runs & ~drawn_boxes.strokes_on(way, runs, ink)
