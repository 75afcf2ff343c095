"""Rows of print that lie higher or lower on a page than its map has them, as on a fax that lost lines on the way."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.geometry import Grey, Matrix, Points
from mnist_batch.pixels.opencv import cv2

Levels = NDArray[np.float32]

MOST = 10  # pixels of the reference's picture, 2.5 mm: what lies farther off is of another version of the form
COARSE = 4  # columns of pixels that are taken together
BESIDE = 9  # rows of which the mean is taken from each, so that even grey comes to nothing
# Costs, of what all print would score where it is: of a step by a pixel, of each pixel of a larger step (a page that is
# stretched has many of one), and of each row and pixel away from the map, so that rows without print lie as it says.
STRETCHED, STEP, AWAY = 0.002, 0.003, 5e-6
SOME = 2  # pixels; less is no loss of lines


@dataclass(frozen=True, eq=False)
class LostRows:
    """By how many pixels each row, float64 (H,), of a reference's picture lies lower on the page laid onto it.

    The rows are those of the page: on the reference they sink by ``slope`` pixels per pixel across from its ``middle``.
    """

    lower: NDArray[np.float64]
    slope: float
    middle: float

    def at(self, points: Points) -> NDArray[np.float64]:
        """By how much points, (n, 2), of the reference's picture lie lower."""
        rows = points[:, 1] - self.slope * (points[:, 0] - self.middle) - 0.5
        return np.interp(rows, np.arange(len(self.lower)), self.lower)

    def across(self, box: Points) -> Matrix:
        """What it does to a box, given by its upper left and lower right corners: moves and stretches it."""
        x, (top, foot) = float(box[:, 0].mean()), box[:, 1]
        above, below = self.at(np.array([[x, top], [x, foot]]))
        stretch = (below - above) / max(foot - top, 1.0)
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0 + stretch, above - stretch * top], [0.0, 0.0, 1.0]])

    def restored(self, seen: Grey) -> Grey:
        """The page laid onto the reference, with each row where it should be."""
        height, width = seen.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        rows = y - np.float32(self.slope) * (x - np.float32(self.middle))
        lower = self.lower.astype(np.float32)[np.clip(np.rint(rows), 0, height - 1).astype(np.intp)]
        back: Grey = cv2.remap(seen, x, y + lower, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255)
        return back


def displaced_rows(printed: Levels, seen: Levels, slope: float) -> LostRows | None:
    """How the rows of a page lie on a reference; None if they lie where they should.

    ``printed`` is how dark the print of the reference is, and ``seen`` how dark the page that was laid onto it; float32
    (H, W). ``slope`` is how many pixels the rows of the page sink on the reference per pixel across.
    """
    middle = printed.shape[1] / 2
    ours, theirs = (_along(each, slope, middle) for each in (printed, seen))
    ours = ours - cv2.blur(ours, (1, BESIDE))
    padded = np.pad(theirs, ((MOST, MOST), (0, 0)))
    steps = range(2 * MOST + 1)
    score = np.stack([np.einsum("ij,ij->i", ours, padded[by : by + len(ours)]) for by in steps], 1)
    most = float(score.max(axis=1).sum())
    if most <= 0:
        return None
    lower = _likeliest(score.astype(np.float64), most) - MOST
    return LostRows(lower.astype(np.float64), slope, middle) if np.abs(lower).max() >= SOME else None


def _along(dark: Levels, slope: float, middle: float) -> Levels:
    """Darkness along the rows of a page, with columns taken together."""
    height, width = dark.shape
    shear = np.array([[1.0, 0.0, 0.0], [slope, 1.0, -slope * middle]])
    level = cv2.warpAffine(dark, shear, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.resize(level, (max(1, width // COARSE), height), interpolation=cv2.INTER_AREA), np.float32)


def _likeliest(score: NDArray[np.float64], most: float) -> NDArray[np.intp]:
    """For each row the shift, as a column of ``score``, that scores most with the fewest steps (Viterbi)."""
    rows, shifts = score.shape
    score = score - most * AWAY * np.abs(np.arange(shifts) - MOST)
    apart = np.abs(np.arange(shifts)[:, None] - np.arange(shifts))
    cost = most * np.where(apart <= 1, STRETCHED, STEP) * apart
    total, before = score[0], np.zeros((rows, shifts), np.intp)
    for row in range(1, rows):
        ways = total[:, None] - cost
        before[row] = ways.argmax(axis=0)
        total = ways.max(axis=0) + score[row]
    path = np.zeros(rows, np.intp)
    path[-1] = total.argmax()
    for row in range(rows - 1, 0, -1):
        path[row - 1] = before[row, path[row]]
    return path
