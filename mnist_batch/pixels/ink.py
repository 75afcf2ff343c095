"""Find the ink of a page: how strong it is on its paper, and which of it is digit, line or speck.

Grey levels stay uint8 wherever possible. Pages are so small that a call costs more than its pixels, and a reduction in
numpy costs more than one in OpenCV.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.pixels import lines, paper, strokes
from mnist_batch.pixels.opencv import cv2
from mnist_batch.pixels.stacks import Stack
from mnist_batch.pixels.strokes import Box as Box

WORK = 64  # pixels of a page's longer side while ink is searched: a digit half as high as its cell has over 20
FAINT = 80  # weaker ink, in grey levels, may be a shadow
MOST_INK = 0.4  # of a page; more may be the paper around a light digit
SMALLEST = 24  # pixels; a digit smaller than this at work size is searched again, enlarged
EVEN = 6  # grey levels between pixels of an even border

Grey = NDArray[np.uint8]


class Ink(NamedTuple):
    """The ink in one part of a page, at the size at which it was searched. Masks are uint8 of 0 and 1.

    ``page`` is the page's (width, height) and ``part`` the searched box on it. ``work`` has the pixels of that part,
    ``strength`` how many grey levels each pixel lies from the paper towards the ink. ``mask`` is all ink stronger than
    ``threshold``: the ``digit`` with its bounding ``box``, the ``lines`` (None if there are none) and specks.
    """

    page: tuple[int, int]
    part: Box
    work: Grey
    strength: Grey
    dark: bool
    noise: float
    threshold: float
    mask: Grey
    lines: Grey | None
    digit: Grey
    box: Box

    @property
    def scaled(self) -> bool:
        """Whether the part was resized for the search."""
        return self.work.shape != (self.part[3], self.part[2])


def find_ink(page: Grey) -> Ink | None:
    """The ink of a grey page in its likeliest reading, or None if it has none."""
    return next(iter(readings(page)), None)


def readings(page: Grey) -> list[Ink]:
    """The readings of a page's ink, the likeliest first: one if nothing is in doubt, none on blank paper.

    Of a page with two inks (``colours.grey``) what the pen wrote is likelier than both inks together.
    """
    return readings_of_each([page])[0]


def readings_of_each(pages: Sequence[Grey]) -> list[list[Ink]]:
    """The ``readings`` of each page, with each stage done for all pages before the next."""
    planes = [[page] if page.ndim == 2 else [*map(np.ascontiguousarray, np.moveaxis(page, 2, 0))] for page in pages]
    found = iter(_readings_of_planes([plane for those in planes for plane in those]))
    inks = []
    for those in planes:
        *of_pen, of_both = (next(found) for _ in those)
        inks.append([*chain(*of_pen), *of_both])
    return inks


def _readings_of_planes(planes: Sequence[Grey]) -> list[list[Ink]]:
    sizes = [(plane.shape[1], plane.shape[0]) for plane in planes]
    inks = _inks_of(_contrasts([_part(plane, 0, 0, size) for plane, size in zip(planes, sizes, strict=True)]))
    small = [at for at, those in enumerate(inks) if those and _is_small(those[0])]
    closer = []
    for at in small:
        x, y, width, height = _surroundings(inks[at][0])
        closer.append(_part(planes[at][y : y + height, x : x + width], x, y, sizes[at]))
    for at, those in zip(small, _inks_of(_contrasts(closer)), strict=True):
        inks[at] = those
    return inks


def _is_small(ink: Ink) -> bool:
    """Whether the digit is small, and larger on the page than where it was found."""
    return max(ink.box[2:]) < SMALLEST and ink.work.shape[0] < ink.part[3]


def _without_frame(page: Grey) -> tuple[int, int, Grey]:
    """The page without an even border around paper of another grey, as a cell cut out with its box has; its corner."""
    left = top = 0
    for _ in range(3):
        grey, (height, width) = int(page[0, 0]), page.shape
        if min(height, width) < 12:
            break
        corners = (int(page[0, -1]), int(page[-1, 0]), int(page[-1, -1]))
        if max(corners) - grey > EVEN or grey - min(corners) > EVEN:
            break
        lowest, highest = max(0, grey - EVEN), min(255, grey + EVEN)
        others = page - np.uint8(lowest) > highest - lowest  # what is darker wraps around, and is high, too
        x, y, inner_width, inner_height = cv2.boundingRect(others.view(np.uint8))
        if inner_width == width or inner_height == height:
            break
        if inner_width < max(12, 0.6 * width) or inner_height < max(12, 0.6 * height):
            break  # the inner part is a digit, not a page
        inner = page[y : y + inner_height, x : x + inner_width]
        ring = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
        ring.sort()
        paper = (int(ring[(len(ring) - 1) // 2]) + int(ring[len(ring) // 2])) // 2
        alike = int(ring.searchsorted(paper + 24)) - int(ring.searchsorted(paper - 23))
        if abs(paper - grey) <= EVEN or alike < 0.75 * len(ring):
            break
        page, left, top = inner, left + x, top + y
    return left, top, page


def _at_work_size(page: Grey) -> Grey:
    height, width = page.shape
    longer = max(height, width)
    if 28 <= longer <= WORK:
        return page
    factor = WORK / longer if longer > WORK else 48 / longer
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(page, size, interpolation=how), np.uint8)


def _surroundings(ink: Ink) -> Box:
    """The box on the page around a small digit, with a margin of half its size."""
    (left, top, wide, high), (x, y, width, height) = ink.part, ink.box
    factor = max(wide, high) / max(ink.work.shape)  # the shorter side may have been rounded by half
    margin = max(4, max(width, height) // 2)
    x_from, y_from = (max(0, int((at - margin) * factor)) for at in (x, y))
    x_to = min(wide, int((x + width + margin) * factor) + 1)
    y_to = min(high, int((y + height + margin) * factor) + 1)
    return left + x_from, top + y_from, x_to - x_from, y_to - y_from


class _Part(NamedTuple):
    """A part of a page that is searched for ink, as ``Ink`` has it."""

    page: tuple[int, int]
    part: Box
    work: Grey


def _part(page: Grey, x: int, y: int, size: tuple[int, int]) -> _Part:
    """A part of a page of this size whose corner is at (x, y), without an even border around it."""
    left, top, inner = _without_frame(page)
    return _Part(size, (x + left, y + top, inner.shape[1], inner.shape[0]), _at_work_size(inner))


class _Contrast(NamedTuple):
    """A part of a page, as ``Ink`` has it, before it is known which of its ink is the digit.

    ``smooth`` is the strength without noise, ``strongest`` that of the strongest ink, ``sums`` are those of the mask.
    """

    page: tuple[int, int]
    part: Box
    work: Grey
    strength: Grey
    dark: bool
    noise: float
    threshold: float
    mask: Grey
    smooth: Grey
    strongest: int
    sums: lines.Sums


def _contrasts(parts: Sequence[_Part]) -> list[_Contrast | None]:
    """How strong the ink is on each part; None where there is none. Those that are about as broad are one stack."""
    alike: dict[int, list[int]] = {}
    for at, part in enumerate(parts):
        alike.setdefault(paper.breadth(part.work), []).append(at)
    found: list[_Contrast | None] = [None] * len(parts)
    for those in alike.values():
        for at, seen in zip(those, _contrasts_in_stack([parts[at] for at in those]), strict=True):
            found[at] = seen
    return found


def _contrasts_in_stack(parts: Sequence[_Part]) -> list[_Contrast | None]:
    """The same for parts whose ``work`` is equally broad."""
    stack = Stack.of([part.work for part in parts])
    noise = paper.noise_of(stack)
    least = np.maximum(paper.LEAST_CONTRAST, 4 * noise)
    strengths, dark = paper.strength_of(stack, noise, least)
    all_smooth = strengths.copy()
    strength, smooth = stack.each(strengths), stack.each(all_smooth)
    for at in np.flatnonzero(noise > 0.5).tolist():
        cv2.blur(strength[at], (3, 3), smooth[at])
    strongest = paper.strongest_of(all_smooth, stack.heights * stack.widths)
    threshold = np.maximum(0.3 * strongest, 2.5 * noise)
    masks = (strengths > threshold.astype(np.uint8)[:, None, None]).view(np.uint8)
    sums = lines.Sums.of_each(masks, stack.heights, stack.widths)
    columns = strength, dark.tolist(), noise.tolist(), threshold.tolist(), stack.each(masks), smooth, strongest.tolist()
    found = [_Contrast(*part, *row) for part, *row in zip(parts, *columns, sums, strict=True)]
    return [seen if has_ink else None for seen, has_ink in zip(found, (strongest >= least).tolist(), strict=True)]


def _inks_of(found: Sequence[_Contrast | None]) -> list[list[Ink]]:
    """The readings of each part."""
    ruled = [[] if seen is None else lines.readings(seen.mask, seen.sums) for seen in found]
    return [[] if seen is None else _inks(seen, those) for seen, those in zip(found, ruled, strict=True)]


def _inks(seen: _Contrast, ruled: Sequence[lines.Reading]) -> list[Ink]:
    inks: list[Ink] = []
    for without, known in ruled:
        pieces = seen.mask if without is None else cv2.subtract(seen.mask, without)
        for digit, box in strokes.readings(pieces, seen.strength, 0.55 * seen.strongest, known):
            enlarged = seen.work.shape[0] > seen.part[3]
            if not enlarged and seen.strongest < FAINT and not _is_sharp(seen.smooth, box):
                continue
            inks.append(Ink(*seen[:8], without, digit, box))
    if inks and cv2.countNonZero(seen.mask) > MOST_INK * seen.mask.size:
        mask = seen.mask
        edges = float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
        if edges > 0.6:
            return [_turned(inks[0], seen.strongest)]
        if edges > 0.4:
            return [inks[0], _turned(inks[0], seen.strongest)][:: -1 if edges > 0.5 else 1]
    return inks


def _turned(ink: Ink, strongest: int) -> Ink:
    """The same part with paper and ink exchanged, as a thick digit that is cut out tightly needs."""
    strength: Grey = cv2.subtract(strongest, ink.strength)
    mask = _above(strength, 0.3 * strongest)
    return ink._replace(
        dark=not ink.dark, strength=strength, mask=mask, lines=None, digit=mask, box=cv2.boundingRect(mask)
    )


def _is_sharp(strength: Grey, box: Box) -> bool:
    """Whether faint ink has sharp edges, unlike a shadow: it loses most of its strength within 4 pixels."""
    x, y, width, height = box
    seen = strength[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3]
    full = paper.ranked(seen, int(0.97 * seen.size))
    steps = (cv2.absdiff(part[4:], part[:-4]) for part in (seen, cv2.transpose(seen)) if len(part) > 4)
    return max((paper.ranked(step, int(0.98 * step.size)) for step in steps), default=0) >= 0.65 * full


def _above(values: Grey, limit: float) -> Grey:
    mask: Grey = cv2.threshold(values, int(limit), 1, cv2.THRESH_BINARY)[1]
    return mask
