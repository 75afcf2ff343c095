"""Find the paper of a page, in even or uneven light or of two greys, and how strong the ink on it is."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels import stacks, strokes
from mnist_batch.pixels.opencv import cv2
from mnist_batch.pixels.stacks import Stack

LEAST_CONTRAST = 8  # grey levels between paper and ink
MOST_NOISE = 30  # grey levels; more is no noise
# A second paper: at least this share of the page, and as many grey levels from the first. Closing with a square of this
# share of a page's side leaves paper only; the ink is then looked for with a square that is still wider than strokes.
SECOND, STEP = 0.12, 25
PAPER, STROKE = 0.45, 0.25
FAINTER = 3  # times as strong as what is found on the page is ink of the other kind, if there is any


Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_LEVELS = np.arange(256, dtype=np.int32)
_TRIANGLE = 7 - np.abs(np.arange(-6, 7, dtype=np.float32))[None]


def strongest_of(strengths: Grey, sizes: Numbers | int) -> Numbers:
    """The strength of the strongest ink of each page of a stack, (N,); a few single pixels do not count.

    ``sizes`` are how many pixels the pages have, more than 4; beyond them the stack is 0.
    """
    return stacks.ranked(stacks.histograms(strengths), strengths[0].size - np.maximum(4, sizes // 250))


def ranked(values: Grey, rank: int) -> int:
    """The value at a rank of one page of any size, which ``stacks`` would not take; rank 0 is the smallest value."""
    counts = cv2.calcHist([values], [0], None, [256], [0, 256])
    return int(counts.cumsum().searchsorted(rank, "right"))


def noise_of(stack: Stack) -> Floats:
    """The noise of each page in grey levels, float64 (N,).

    It is from the median difference of neighbouring pixels: uneven light and the few edges of ink hardly change that.
    """
    count, height, width = stack.pages.shape
    if width < 2:
        return np.zeros(count)
    rows = stack.pages.reshape(count * height, width)
    steps = np.asarray(cv2.absdiff(rows[:, 1:], rows[:, :-1]), np.uint8).reshape(count, height, width - 1)
    inside = None if stack.inside is None else stack.inside[:, :, 1:]
    median = stacks.ranked(stacks.histograms(steps, inside), stack.heights * (stack.widths - 1) // 2)
    return np.asarray(np.minimum(1.05 * median, MOST_NOISE), np.float64)


def strength_of(stack: Stack, noise: Floats, least: Floats) -> tuple[Grey, NDArray[np.bool_]]:
    """How many grey levels each pixel lies from its paper towards the ink, laid out, and which pages have dark ink.

    ``least`` is how many of them ink has at least.
    """
    pages = stack.each(stack.pages)
    papers = _papers(stack, pages, noise)
    levels = np.array([paper if isinstance(paper, int) else 0 for paper in papers], np.uint8)[:, None, None]
    upper = np.maximum(stack.pages, levels)
    darker, lighter = upper - stack.pages, upper - levels
    if stack.inside is not None:
        darker *= stack.inside
    dark = _have_dark_ink(stack.each(darker), stack.each(lighter), least)
    strength = darker
    strength[~dark] = lighter[~dark]
    each = zip(pages, papers, stack.each(strength), _are_level(stack, pages, dark).tolist(), strict=True)
    for at, (page, paper, even, is_level) in enumerate(each):
        if not (is_level and isinstance(paper, int)):
            even[:], dark[at] = _in_uneven_light(page, paper)
    return strength, dark


def _have_dark_ink(darker: Sequence[Grey], lighter: Sequence[Grey], least: Floats) -> NDArray[np.bool_]:
    """Which pages have ink darker than their paper, and not lighter, (N,): the ink that lies farther from it."""
    dark = np.empty(len(least), np.bool_)
    for at, both in enumerate(zip(darker, lighter, strict=True)):
        core = strokes.core(both[0], 8)  # borders and shadows lie beyond
        weights = [cv2.norm(page[core], cv2.NORM_L2SQR) for page in both]
        if max(weights) < least[at] ** 2 * both[0][core].size and all(
            _strongest(page[core]) < least[at] for page in both
        ):  # only noise is there: a digit may be in a corner
            weights = [cv2.norm(page, cv2.NORM_L2SQR) for page in both]
        dark[at] = weights[0] >= weights[1]
    return dark


def _in_uneven_light(page: Grey, paper: int | Levels | None) -> tuple[Grey, bool]:
    """The strength of a page whose paper is not level, and whether its ink is dark."""
    if paper is None:
        dark = bool(_ink_on_two_papers(page))
        return _above_local_paper(page, dark), dark
    away = page - (np.float32(paper) if isinstance(paper, int) else paper)
    core = strokes.core(page, 8)
    if isinstance(paper, int):  # the light itself may be farther from it than faint ink
        both = [_levelled(-away), _levelled(away)]
        dark = cv2.norm(both[0][core], cv2.NORM_L2SQR) >= cv2.norm(both[1][core], cv2.NORM_L2SQR)
        strength = both[0 if dark else 1]
    else:
        dark = bool((away[core] * np.abs(away[core])).sum() <= 0)
        strength = _levelled(-away if dark else away)
    # Beside borders of the other kind, paper that is levelled looks like faint ink.
    lowest, highest, _, _ = cv2.minMaxLoc(away)
    faint = FAINTER * _strongest(cv2.blur(strength[core], (3, 3)))
    if (highest if dark else -lowest) > faint and _strongest(_whole(away if dark else -away)) > faint:
        dark = not dark
        strength = _levelled(-away if dark else away)
    return strength, dark


def _strongest(strength: Grey) -> int:
    return int(strongest_of(strength[None], strength.size)[0])


def _ink_on_two_papers(page: Grey) -> bool | None:
    """Whether the ink is darker than both papers of a page: at a hard shadow, a marker or correction fluid.

    None for a page that has one paper, and for one whose second paper may be ink: a thick digit, cut out tightly.
    """
    small = _shrunk(page)
    kernel = _kernel(max(3, (int(min(small.shape) * PAPER)) | 1))
    for dark in (True, False):
        of, how = (page, small) if dark else (255 - page, 255 - small)
        paper = cv2.morphologyEx(how, cv2.MORPH_CLOSE, kernel)
        steps = cv2.absdiff(paper[1:], paper[:-1]), cv2.absdiff(paper[:, 1:], paper[:, :-1])
        if all(cv2.minMaxLoc(step)[1] <= STEP for step in steps):
            return None
        ink, (second, first, _, _) = ranked(of, of.size // 100), cv2.minMaxLoc(paper)
        near = np.count_nonzero(cv2.inRange(of, int(second) - 12, int(second) + 12))
        if second - ink >= 0.25 * (first - ink) and near >= SECOND * of.size:
            return dark
    return None


def _above_local_paper(page: Grey, dark: bool) -> Grey:
    """The strength above the paper right beside each stroke."""
    kernel = _kernel(max(5, int(min(page.shape) * STROKE) | 1))
    strength: Grey = cv2.morphologyEx(page, cv2.MORPH_BLACKHAT if dark else cv2.MORPH_TOPHAT, kernel)
    return strength


def _are_level(stack: Stack, pages: Sequence[Grey], dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pages of a stack, all of one ``breadth``, have level paper, (N,)."""
    # Closing leaves paper only, or opening where ink is light; the first half of either has its range already.
    small, inside = _each_shrunk(stack, pages)
    small ^= np.where(dark, 0, 255).astype(np.uint8)[:, None, None]  # opening, of the negative
    if inside is not None:
        small *= inside
    count, height, width = small.shape
    side = breadth(pages[0])
    parted = np.zeros((count, height + side // 2, width), np.uint8)  # from the next page, as far as the square reaches
    parted[:, :height] = small
    paper = np.asarray(cv2.dilate(parted.reshape(-1, width), _kernel(side)), np.uint8).reshape(parted.shape)[:, :height]
    lowest = paper if inside is None else paper | (inside - np.uint8(1))  # 255 beyond the pages
    return np.asarray(paper.max(axis=(1, 2)) - lowest.min(axis=(1, 2)) <= LEAST_CONTRAST)


def _each_shrunk(stack: Stack, pages: Sequence[Grey]) -> tuple[Grey, Grey | None]:
    """The pages at a quarter of their size, laid out, and where they are, as ``Stack`` has it."""
    count, height, width = stack.pages.shape
    if stack.inside is not None or height % 4 or height < 8:
        small = Stack.of([_shrunk(page) for page in pages])
        return small.pages, small.inside
    size = max(2, width // 4), count * height // 4
    all_small = cv2.resize(stack.pages.reshape(count * height, width), size, interpolation=cv2.INTER_AREA)
    return np.asarray(all_small, np.uint8).reshape(count, height // 4, -1), None


def _levelled(strength: Levels) -> Grey:
    """The strength after subtracting everything wider than a stroke, which cannot be ink."""
    small = _shrunk(strength)
    kernel = _kernel(breadth(strength))
    floor = cv2.morphologyEx(small, cv2.MORPH_OPEN, kernel)
    lowest, highest, _, _ = cv2.minMaxLoc(floor)
    if highest - lowest > LEAST_CONTRAST:
        floor = cv2.GaussianBlur(floor, (0, 0), len(kernel) / 3)
        strength = strength - cv2.resize(floor, strength.shape[::-1], interpolation=cv2.INTER_LINEAR)
        strength -= _median(strength)
    return _whole(strength)


def _whole(strength: Levels) -> Grey:
    """The strength in whole grey levels; 0 where it is below."""
    whole: Grey = cv2.addWeighted(strength, 1, strength, 0, 0, dtype=cv2.CV_8U)
    return whole


def _median(values: Levels) -> np.float32:
    ranks = values.flatten()
    middle = len(ranks) // 2
    ranks.partition(middle)  # for one rank this is much quicker than for two
    upper: np.float32 = ranks[middle]
    return upper if len(ranks) % 2 else (ranks[:middle].max() + upper) / 2


def _shrunk(page: NDArray[Any]) -> NDArray[Any]:
    """The page at a quarter of its size."""
    height, width = page.shape
    return np.asarray(cv2.resize(page, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA))


def breadth(page: NDArray[Any]) -> int:
    """The side of a square, a quarter of its size on the page, that is wider than gaps between a digit's strokes."""
    shorter: int = max(2, min(page.shape) // 4)
    return max(3, shorter * 7 // 10 | 1)


@cache
def _kernel(side: int) -> Grey:
    return np.ones((side, side), np.uint8)


def _papers(stack: Stack, pages: Sequence[Grey], noise: Floats) -> list[int | Levels | None]:
    """The grey level of each page's paper: one value, or one per pixel if the light is uneven; None for two papers."""
    counts = stacks.histograms(stack.pages, stack.inside)
    smooth = cv2.filter2D(counts.astype(np.float32), -1, _TRIANGLE, borderType=cv2.BORDER_CONSTANT)
    papers, reach = smooth.argmax(axis=1), np.maximum(12, 2.5 * noise).astype(np.int64)
    shares = _shares(counts, papers, reach)
    found: list[int | Levels | None] = papers.tolist()
    for at in np.flatnonzero(shares < 0.72).tolist():
        of_page = slice(at, at + 1)
        found[at] = _doubtful_paper(pages[at], counts[of_page], int(papers[at]), shares[at], reach[of_page])
    return found


def _shares(counts: stacks.Counts, levels: Numbers, reach: Numbers) -> Floats:
    """The share of each page's pixels within ``reach`` of a grey level of it, float64 (N,)."""
    within = np.abs(_LEVELS - levels[:, None]) <= reach[:, None]
    return np.asarray((counts * within).sum(axis=1) / counts.sum(axis=1))


def _doubtful_paper(page: Grey, counts: stacks.Counts, paper: int, share: float, reach: Numbers) -> int | Levels | None:
    """The paper of a page in which the commonest grey level has a small share; ``counts`` is its histogram."""
    if _ink_on_two_papers(page) is not None:
        return None
    height, width = page.shape
    if min(height, width) >= 16 and (light := _uneven_light(page)) is not None:
        return light
    corners = sorted(page[:: max(1, height - 1), :: max(1, width - 1)].ravel().tolist())
    corner = (corners[(len(corners) - 1) // 2] + corners[len(corners) // 2]) // 2
    if share < 0.5 and abs(corner - paper) > 60 and _shares(counts, np.array([corner]), reach)[0] > 0.25:
        return corner  # a thick digit that is cut out tightly covers most of its page
    return paper


def _uneven_light(page: Grey) -> Levels | None:
    # The median over an area wider than strokes. Edges, where borders lie, are left out.
    seen = cv2.resize(page, (16, 16), interpolation=cv2.INTER_AREA)[2:-2, 2:-2]
    local = cv2.medianBlur(cv2.copyMakeBorder(seen, 4, 4, 4, 4, cv2.BORDER_REFLECT_101), 9)[4:-4, 4:-4]
    local = cv2.copyMakeBorder(local, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    darkest, lightest, _, _ = cv2.minMaxLoc(local)
    if lightest - darkest <= 16:
        return None
    steps = cv2.absdiff(local[1:], local[:-1]), cv2.absdiff(local[:, 1:], local[:, :-1])
    if any(cv2.minMaxLoc(step)[1] > 30 for step in steps):
        return None
    smooth = cv2.GaussianBlur(local.astype(np.float32), (0, 0), 1.0)
    light: Levels = cv2.resize(smooth, page.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return light
