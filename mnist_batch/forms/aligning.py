"""From a rough map of a form to an exact one: patches of its print are looked for where the map has them."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import patches
from mnist_batch.forms.frames import FAINT, FAINTEST, darkness_of
from mnist_batch.forms.geometry import Grey, Matrix, fitted, inverse, mapped, moving, scaling, seen_from, shrunk
from mnist_batch.forms.lost_rows import LostRows, displaced_rows
from mnist_batch.forms.patches import AROUND, Found
from mnist_batch.forms.references import Reference
from mnist_batch.pixels.opencv import cv2

# First some patches are looked for in so many pixels around, to make the map better, then all a little around.
FIRST_REACH, FIRST_EVERY, REACH = 12, 4, 6
MOST_PASSES = 8
BLACK = 0.4  # of the lightness of the page
AMONG, BESIDE = 8, 2.0  # patches around, and by how many pixels a patch is displaced otherwise than they are
USUAL = 0.7  # of how alike most patches are
COVERED = 0.85  # of the print of a patch
SURE = 0.6  # how alike a patch must be that is found far from where it should be
WELL = 0.8  # of the patches; a map that finds as many is right
SAME = 0.5  # pixels; a map that moves no patch by more is as good as the one before
EXACT = 1.0  # pixels beside the map
MOSTLY, PARTLY = 0.9, 0.4  # of the patches; if fewer are exact, the page may have lost lines, or is another
# Pixels beside where rows were put back, in the median: 0.12 to 0.27 on 42 of 43 faxes that lost lines, and 0.33 or
# more on 36 of 38 pages that were fed unevenly.
IN_ROWS = 0.32
FAR = 6.0  # pixels beside the common map: farther off, the paper is not stretched, but something else was found
FEWEST = 4  # patches; with fewer a map is moved, not stretched
# A homography is taken if it makes the shifts that are left this much smaller, and from so many patches.
SMALLER, MANY = 0.7, 12
NEIGHBOURS = 7  # patches around a place that say how the paper lies there


class Tinted(Enum):
    """Whether a page has the form's faint print; where it was lost, cells may be in doubt."""

    KEPT = "kept"
    LOST = "lost"
    DOUBTED = "doubted"


@dataclass(frozen=True, eq=False)
class Aligned:
    """A page laid onto a reference. ``matrix`` maps the reference's picture to the page.

    ``seen`` is the page as it lies on the reference's picture, and ``dark`` its darkness. ``sought`` are the patches
    that lie on the page, and how they lie beside the map; ``is_found`` says which of them were found. The
    reference has ``patches`` in all. ``gain`` is how dark print is on the page, beside the reference's. Where the page
    lost lines, ``rows`` says how its rows lie beside the map; in all else they are where they should be. ``tints`` says
    whether the page has the form's faint print; ``mute`` are patches that were lost with it, and say nothing.
    """

    matrix: Matrix
    seen: Grey
    dark: NDArray[np.float32]
    sought: Found
    is_found: NDArray[np.bool_]
    patches: int
    gain: float
    tints: Tinted
    mute: NDArray[np.bool_]
    rows: LostRows | None = None

    def matrix_at(self, box: NDArray[np.float64]) -> Matrix:
        """The map for what is within a box of the reference's picture, given by two corners of it."""
        return self.matrix if self.rows is None else np.asarray(self.matrix @ self.rows.across(box))

    @property
    def telling(self) -> NDArray[np.bool_]:
        """The patches that say something; all, where hardly any does."""
        telling = self.sought.telling
        return telling if int(telling.sum()) >= FEWEST else np.ones(len(telling), bool)

    @property
    def printed(self) -> float:
        """The share of the telling patches that were found."""
        return float(self.is_found[self.telling].mean())

    @property
    def exact(self) -> float:
        """The share of the telling patches that were found, and are where the map has them."""
        here = self.is_found & (np.hypot(*self.sought.shifts.T) <= EXACT)
        return float(here[self.telling].mean())

    @property
    def visible(self) -> float:
        """The share of the form's patches that lie on the page."""
        return len(self.is_found) / self.patches

    @property
    def of_all(self) -> float:
        """The share of all patches that were found; the others are off the page, or not there."""
        return float(self.is_found.sum() / self.patches)

    def far(self, reference: Reference, reach: int = AROUND) -> Found:
        """The patches that tell and were not found, looked for up to ``reach`` pixels away."""
        missing = {tuple(middle) for middle in self.sought.middles[self.telling & ~self.is_found]}
        sought = np.array([patch.middle in missing for patch in reference.patches], bool)
        return patches.find(reference.patches, self.seen, reach, sought)

    def is_black(self, box: NDArray[np.float64]) -> bool:
        """Whether most of a box, given by its upper left and lower right corners, is no paper but blacked out."""
        (left, top), (right, foot) = np.maximum(box, 0).astype(int)
        inside = self.seen[top:foot, left:right]
        return bool(inside.size and np.median(inside) < BLACK * self.light)

    @cached_property
    def light(self) -> float:
        """The level of most of the page's paper."""
        return float(np.percentile(self.seen[::8, ::8], 75))

    @property
    def residual(self) -> float:
        """The median distance of patches from where the map has them, in pixels of the reference's picture."""
        return float(np.median(np.hypot(*self.sought.shifts[self.is_found].T))) if self.is_found.any() else 0.0

    def shift_near(self, place: NDArray[np.float64]) -> tuple[float, float] | None:
        """How the print around a place lies beside the map; None if most of what tells was not found there."""
        nearest = np.argsort(np.hypot(*(self.sought.middles - place).T), kind="stable")
        telling = nearest[(self.telling & ~self.mute)[nearest]][:NEIGHBOURS]
        found = nearest[self.is_found[nearest]][:NEIGHBOURS]
        if not len(telling) or not len(found):
            return None
        across, down = np.median(self.sought.shifts[found], axis=0)
        # Thin lines are less alike in a coarse scan than words are, but lie where they should.
        lie_right = np.hypot(*(self.sought.shifts[telling] - (across, down)).T) <= EXACT
        are_there = self.is_found[telling] | (lie_right & (self.sought.alike[telling] >= patches.ALIKE))
        return (float(across), float(down)) if 2 * int(are_there.sum()) >= len(telling) else None


def align(
    reference: Reference, page: Grey, matrix: Matrix, least: float = 0.0, every: int = FIRST_EVERY
) -> Aligned | None:
    """Make exact a rough map from a reference's picture to a page; None if the print is not found around it.

    None, too, as soon as less than the share ``least`` of it is found around a map that is nearly exact. First each
    ``every``-th patch is looked for; of a form that lies on the page with a corner only, that may be too few.
    """
    aligned = _grown(reference, page, matrix, least, every)
    if aligned is None or least:
        return aligned
    aligned = _restored(reference, aligned, page.shape)
    if aligned.printed >= WELL:
        return aligned
    far = aligned.far(reference)
    better = _fitted(far.only(far.alike >= SURE))
    again = None if better is None else _grown(reference, page, aligned.matrix @ better, least, every)
    again = None if again is None else _restored(reference, again, page.shape)
    return again if again is not None and again.printed > aligned.printed else aligned


def _grown(reference: Reference, page: Grey, matrix: Matrix, least: float, first_every: int) -> Aligned | None:
    """Make a map exact from where it is right: each time it is, more patches are near enough to be found."""
    source, to_source = _source(reference, page, matrix)
    seen = seen_from(source, to_source @ matrix, reference.picture.shape)
    for number in range(MOST_PASSES):
        reach, every = (FIRST_REACH, first_every) if number == 0 else (REACH, 1)
        sought = reference.patches[::every]
        found = patches.find(sought, seen, reach, patches.on_page(sought, matrix, page.shape))
        alike = found.alike >= patches.ALIKE
        telling = alike & found.telling
        better = _fitted(found.only(telling if int(telling.sum()) >= MANY and number < 2 else alike))
        if better is None or (every == 1 and telling.sum() < least * found.telling.sum()):
            return None
        if every == 1 and np.abs(mapped(better, found.middles) - found.middles).max() < SAME:
            break
        matrix = matrix @ better
        seen = seen_from(source, to_source @ matrix, reference.picture.shape)
        found = found.laid(inverse(better))
    return _judged(reference, matrix, seen, found)


def _judged(reference: Reference, matrix: Matrix, seen: Grey, found: Found, rows: LostRows | None = None) -> Aligned:
    """Which of the patches that were found are true, on a page as it was laid onto a reference."""
    true = (found.alike >= _as_alike_as_most(found)) & (np.hypot(*found.shifts.T) <= FAR) & _beside_its_like(found)
    dark = darkness_of(seen)
    gain = _gain(reference, dark)
    under = _covered(reference, found, ~true & found.telling, dark, gain)
    found.shifts[under] = 0.0
    tints, is_found = _tinted(reference, dark, gain), true | under
    mute = np.zeros(len(is_found), bool)
    if tints is Tinted.LOST:
        mute = reference.are_faint(found.middles) & ~is_found
    return Aligned(matrix, seen, dark, found, is_found, len(reference.patches), gain, tints, mute, rows)


def _tinted(reference: Reference, dark: NDArray[np.float32], gain: float) -> Tinted:
    tints = reference.tints
    if tints is None or not tints.are_lost(dark, gain):
        return Tinted.KEPT
    return Tinted.DOUBTED if tints.may_be_elsewhere(dark, gain) else Tinted.LOST


def _restored(reference: Reference, aligned: Aligned, page: tuple[int, ...]) -> Aligned:
    """The same, with the lines that the page lost, if more of the print is where it should be so."""
    if aligned.exact >= MOSTLY or aligned.printed < PARTLY:
        return aligned
    here = np.array([[reference.picture.shape[1] / 2, reference.picture.shape[0] / 2]])
    beside = mapped(aligned.matrix, here) + np.array([1.0, 0.0])
    across, down = (mapped(inverse(aligned.matrix), beside) - here)[0]
    lost = None
    if abs(down) < abs(across):  # else the page is turned, and no fax
        # Faint print may have dropped out, and pens write on it.
        printed = np.where(reference.darkness >= FAINT * reference.print.darkness, reference.darkness, np.float32(0))
        lost = displaced_rows(printed, aligned.dark, float(down / across))
    if lost is None:
        return aligned
    seen = lost.restored(aligned.seen)
    sought = patches.on_page(reference.patches, aligned.matrix, page)
    found = patches.find(reference.patches, seen, REACH, sought)
    again = _judged(reference, aligned.matrix, seen, found, lost)
    # Stretched paper lies lower at one end of a row than at the other: whole rows that are moved do not fit it.
    return again if again.exact > aligned.exact and again.residual <= IN_ROWS else aligned


def _covered(
    reference: Reference, found: Found, doubtful: NDArray[np.bool_], dark: NDArray[np.float32], gain: float
) -> NDArray[np.bool_]:
    """Which doubtful patches are there under a signature or a stamp: all of their print is inked, though more is."""
    half, covered = patches.SIDE // 2, np.zeros(len(doubtful), bool)
    for number in np.flatnonzero(doubtful):
        x, y = found.middles[number].astype(int)
        there = slice(y - half, y + half), slice(x - half, x + half)
        theirs = reference.darkness[there]
        printed = theirs >= 0.3 * reference.print.darkness
        inked = dark[there] >= np.maximum(0.5 * gain * theirs, FAINTEST)  # where no print is found, gain says nothing
        covered[number] = printed.any() and inked[printed].mean() >= COVERED
    return covered


def _as_alike_as_most(found: Found) -> float:
    """How alike a patch must be: print as sharp as a page's other print is more alike than other words would be."""
    telling = found.alike[found.telling & (found.alike >= patches.ALIKE)]
    return max(SURE, USUAL * float(np.percentile(telling, 75))) if len(telling) else SURE


def _beside_its_like(found: Found) -> NDArray[np.bool_]:
    """Which patches are displaced as those around are: other words are alike somewhere, but here and there."""
    away = np.hypot(*(found.middles[:, None] - found.middles[None]).transpose(2, 0, 1))
    away[:, found.alike < patches.ALIKE] = np.inf
    np.fill_diagonal(away, np.inf)
    around = np.argsort(away, axis=1, kind="stable")[:, :AMONG]
    usual = np.median(found.shifts[around], axis=1)
    return np.asarray(np.hypot(*(found.shifts - usual).T) <= BESIDE)


def _source(reference: Reference, page: Grey, matrix: Matrix) -> tuple[Grey, Matrix]:
    """The page at about the size of the reference's picture, and the map from the page to it."""
    height, width = reference.picture.shape
    x, y = width / 2, height / 2
    origin, across, down = mapped(matrix, [[x, y], [x + 1, y], [x, y + 1]])
    size = float(np.sqrt(np.hypot(*(across - origin)) * np.hypot(*(down - origin))))
    times = max(1, int(size + 0.1))
    source = shrunk(page, times)
    # Every pixel of the page must count where one of the picture takes the place of two.
    return cv2.GaussianBlur(source, (3, 3), 0) if size / times > 1.25 else source, scaling(1 / times, 1 / times)


def _fitted(found: Found) -> Matrix | None:
    """The map from where patches should be to where most of them are."""
    here, there = found.middles, found.places
    if len(here) < 2:
        return None
    if len(here) < FEWEST:
        return moving(*np.median(there - here, axis=0))
    affine = _affine(here, there)
    if affine is None:
        return None
    off = np.hypot(*(mapped(affine, here) - there).T)
    near = off <= FAR
    if int(near.sum()) >= MANY:
        homography, _ = cv2.findHomography(here[near], there[near], 0)
        if homography is not None:
            less = np.hypot(*(mapped(homography, here[near]) - there[near]).T)
            if np.median(less) < SMALLER * np.median(off[near]) - 0.1:
                return np.asarray(homography, np.float64)
    return affine


def _affine(here: NDArray[np.float64], there: NDArray[np.float64]) -> Matrix | None:
    cv2.setRNGSeed(0)
    rough, _ = cv2.estimateAffine2D(here, there, method=cv2.USAC_MAGSAC, ransacReprojThreshold=2.5, maxIters=1000)
    if rough is None:
        return None
    matrix = np.vstack([rough, [0.0, 0.0, 1.0]])
    for _ in range(4):
        off = np.hypot(*(mapped(matrix, here) - there).T)
        weights = (off <= 2 * FAR) / (1 + (off / 1.5) ** 2)
        if np.count_nonzero(weights) < FEWEST:
            return None
        matrix = fitted(here, there, weights)
    return matrix


def _gain(reference: Reference, dark: NDArray[np.float32]) -> float:
    """How dark print is on a page beside how dark it is on the form."""
    rows, columns, theirs = reference.print
    if not len(rows):
        return 1.0
    beside = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    high, wide = dark.shape
    darkest = np.max([dark[(rows + y).clip(0, high - 1), (columns + x).clip(0, wide - 1)] for y, x in beside], axis=0)
    return float(np.percentile(darkest, 70)) / theirs
