"""Find strokes drawn through several cells of a field at once: they say that nothing is written there."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import pieces
from mnist_batch.pixels.opencv import cv2

LONG = 1.3  # widths of a cell; no stroke of a digit is straight for so long
GAP = 6  # pixels of a straight stroke that may be missing, as where it runs over print
LOOSE = 2.5  # pixels by which a stroke may be off its line, on each side, beside half its thickness
ON_INK = 0.95  # of a straight stroke's line that is inked
OF_STROKE = 0.88  # of a cell's ink, in a cell that is crossed through
ACROSS = 0.3  # of a cell's width that its ink covers at least, in a cell that is crossed through
FULL = 0.4  # of the cells' area; strokes do not fill so much of it
TALL = 0.5  # of a cell's height; a 1 is as tall
STEEP = 0.5  # of a cell's height; no column of a zigzag or a wave has a longer run
THICKEST = 0.27  # of a cell's width; no pen draws so thick a stroke through cells, and digits may be so thick
HOLE = 0.012  # of a cell's area; a stroke through cells has no loops, and the digits 0, 6, 8 and 9 have
_NEXT = np.ones((3, 3), np.uint8)

Grey = NDArray[np.uint8]
Numbers = NDArray[np.int64]


class Voided(NamedTuple):
    """The cells that one stroke goes through: those ``crossed``, and those ``met`` in which there may be more."""

    crossed: tuple[int, ...]
    met: tuple[int, ...]


def voided(x: Numbers, y: Numbers, cell: Numbers, boxes: Numbers) -> Voided | None:
    """The cells through which a stroke goes; None if this piece of ink is none.

    ``x``, ``y`` and ``cell`` are those of its N pixels, a cell being the nearest one; ``boxes``, int (C, 4), are the x,
    y, x and y of the edges of cells.
    """
    cells, counts = np.unique(cell, return_counts=True)
    wide, high = (float(np.median(boxes[cells, edge + 2] - boxes[cells, edge])) for edge in (0, 1))
    if np.ptp(x) + 1 < LONG * wide or len(x) > FULL * len(cells) * wide * high:
        return None
    left, top = x.min() - 1, y.min() - 1
    mask = pieces.mask(x, y)
    thickness = pieces.thickness(mask)
    if thickness > THICKEST * wide:
        return None
    straight = _on_long_lines(mask, LONG * wide, thickness)[y - top, x - left]
    single = _in_single_runs(mask, STEEP * high)[x - left]
    width, height = np.array([(np.ptp(x[cell == each]), np.ptp(y[cell == each])) for each in cells]).T + 1
    enough = width >= ACROSS * (boxes[cells, 2] - boxes[cells, 0])
    straight_in, single_in = (
        enough & (np.bincount(cell, of_stroke, len(boxes))[cells] >= OF_STROKE * counts)
        for of_stroke in (straight, single)
    )
    if max(np.count_nonzero(straight_in), np.count_nonzero(single_in)) < 2:
        return None
    crossed = single_in
    if np.count_nonzero(straight_in) > 1:
        # The last cell of a straight stroke may hold a 1 that it runs into, which is tall.
        crossed = straight_in | (single_in & (height < TALL * high))
    elif np.count_nonzero(single_in) < 3 and single.mean() < OF_STROKE:
        # What looks like a zigzag through two cells may be two joined 1s, if other digits are joined to it.
        crossed = np.zeros_like(single_in)
    middles = _holes(mask, HOLE * wide * high) + np.array([left, top])
    looped = ((middles >= boxes[cells, None, :2]) & (middles < boxes[cells, None, 2:])).all(axis=2).any(axis=1)
    if crossed.any() and not (crossed & ~looped).any():
        return None
    crossed &= ~looped
    return Voided(tuple(cells[crossed].tolist()), tuple(cells[enough & ~crossed].tolist()))


def _holes(mask: Grey, least: float) -> NDArray[np.float64]:
    """The middles, (N, 2), of the holes in ink that are at least so large."""
    _, _, stats, middles = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    # The mask has a rim of paper: the piece that begins at its corner lies around the ink. The first one is the ink.
    inner = (stats[1:, cv2.CC_STAT_LEFT] > 0) & (stats[1:, cv2.CC_STAT_AREA] >= least)
    return np.asarray(middles[1:][inner], np.float64)


def _on_long_lines(mask: Grey, length: float, thickness: float) -> NDArray[np.bool_]:
    """The ink of straight strokes that are at least so long: bool (H, W)."""
    explained = np.zeros_like(mask)
    lines = cv2.HoughLinesP(mask, 1, np.pi / 180, int(0.8 * length), minLineLength=length, maxLineGap=GAP)
    if lines is not None:
        near = cv2.dilate(mask, _NEXT)
        for start, end in lines.reshape(-1, 2, 2).tolist():
            drawn = cv2.line(np.zeros_like(mask), start, end, 1, 1)
            if cv2.countNonZero(drawn & near) >= ON_INK * cv2.countNonZero(drawn):
                cv2.line(explained, start, end, 1, round(thickness + 2 * LOOSE))
    return np.asarray(explained > 0)


def _in_single_runs(mask: Grey, tallest: float) -> NDArray[np.bool_]:
    """The columns of pixels that have one run of ink, and no tall one: bool (W,)."""
    runs = np.count_nonzero(np.diff(mask, axis=0, prepend=0) == 1, axis=0)
    return np.asarray((runs == 1) & (mask.sum(axis=0) <= tallest))
