"""Normalisation: what MNIST would have made of a scan, whatever its size, polarity, light and surroundings."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmarks import accuracy
from benchmarks.handwriting import grainy
from mnist_batch.learning import digits
from mnist_batch.pixels import normalising, stacks
from mnist_batch.pixels.normalising import BOX, SIDE, Normalised, examine, normalise
from tests.support import DATA
from tests.support.ruler import picture_of

Grey = NDArray[np.uint8]

PICTURES, LABELS = (array[:400] for array in digits.mnist("test"))
SOME = st.integers(0, 399)


def alike(one: Grey, other: Grey) -> float:
    """The correlation of two pictures at the best of shifts by a pixel: 1 if they are the same, 0 if one is blank."""
    if not (one.any() and other.any()):
        return 0.0
    shifted = (np.roll(other, by, (0, 1)) for by in np.ndindex(3, 3))
    return max(float(np.corrcoef(np.roll(one, 1, (0, 1)).ravel(), each.ravel())[0, 1]) for each in shifted)


def cell(
    picture: Grey, side: int = 64, height: int = 40, paper: float = 230, ink: float = 30, at: tuple[int, int] = (0, 0)
) -> Grey:
    """A digit written in the middle of a cell, or ``at`` pixels from it."""
    page = np.full((side, side), paper, np.float32)
    drawn = cv2.resize(picture, (height, height), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    top, left = ((side - height) // 2 + by for by in at)
    page[top : top + height, left : left + height] += (ink - paper) * drawn
    return page.round().clip(0, 255).astype(np.uint8)


def test_mnist_comes_out_nearly_as_it_went_in() -> None:
    again = np.stack([normalise(picture) for picture in PICTURES])
    likeness = np.array([alike(one, other) for one, other in zip(PICTURES, again, strict=True)])
    assert np.median(likeness) > 0.995
    assert (likeness > 0.95).mean() > 0.98
    twice = np.stack([normalise(picture) for picture in again])
    assert np.median([alike(one, other) for one, other in zip(again, twice, strict=True)]) > 0.995


@pytest.mark.parametrize("digit", range(10))
def test_the_rulers_pictures_stay_as_they_are(digit: int) -> None:
    for confidence in (0.1, 0.5, 1.0):
        assert np.array_equal(normalise(picture_of(digit, confidence)), picture_of(digit, confidence))


@given(SOME)
def test_polarity_changes_nothing(number: int) -> None:
    page = cell(PICTURES[number])
    assert np.abs(normalise(page).astype(int) - normalise(255 - page)).max() <= 1


@given(SOME, st.integers(-9, 9), st.integers(-9, 9))
def test_the_place_in_the_cell_changes_nothing(number: int, down: int, across: int) -> None:
    assert alike(normalise(cell(PICTURES[number])), normalise(cell(PICTURES[number], at=(down, across)))) > 0.99


@settings(deadline=None)
@given(SOME, st.floats(0.5, 8))
def test_the_size_of_the_scan_changes_little(number: int, factor: float) -> None:
    """A digit of MNIST at half of its size has lost more than normalisation can give back: ten pixels are left."""
    side = round(SIDE * factor)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(PICTURES[number], (side, side), interpolation=how), np.uint8)
    assert alike(normalise(PICTURES[number]), normalise(scaled)) > (0.7 if factor >= 0.75 else 0.5)


@given(SOME, st.integers(120, 255), st.floats(0.4, 0.9))
def test_grey_paper_and_pale_ink_change_little(number: int, paper: int, contrast: float) -> None:
    page = cell(PICTURES[number], paper=paper, ink=paper * (1 - contrast))
    assert alike(normalise(cell(PICTURES[number])), normalise(page)) > 0.85


@given(SOME, st.integers(0, 255), st.integers(1, 8))
def test_a_frame_of_any_grey_changes_little(number: int, grey: int, width: int) -> None:
    page = cell(PICTURES[number])
    framed = cv2.copyMakeBorder(page, *[width] * 4, cv2.BORDER_CONSTANT, value=grey)
    # Within 6 grey levels of the paper, which is 230, a frame is paper: 55 of 12,000 such pages came below 0.9, none
    # below 0.857, and no other page did.
    assert alike(normalise(page), normalise(framed)) > (0.85 if abs(grey - 230) <= 6 else 0.9)


def uneven(page: Grey) -> Grey:
    light = np.linspace(-45, 45, len(page), dtype=np.float32)
    return (page * 0.8 + light[:, None] * 0.5 + light[None, :]).clip(0, 255).astype(np.uint8)


def noisy(page: Grey) -> Grey:
    return (page + np.random.default_rng(0).normal(0, 8, page.shape)).clip(0, 255).astype(np.uint8)


def ruled(page: Grey) -> Grey:
    page = page.copy()
    page[3:5] = page[:, 59:61] = 40
    return page


def boxed(page: Grey) -> Grey:
    return np.asarray(
        cv2.rectangle(cv2.copyMakeBorder(page, 8, 8, 8, 8, cv2.BORDER_REPLICATE), (5, 5), (74, 74), 60, 2)
    )


def watermarked(page: Grey) -> Grey:
    mark = cv2.line(np.zeros_like(page), (0, 50), (63, 10), 255, 5)
    return (page.astype(np.float32) - 0.1 * mark).clip(0, 255).astype(np.uint8)


def faint(page: Grey) -> Grey:
    return (230 - (230 - page.astype(np.float32)) / 8).astype(np.uint8)


@pytest.mark.parametrize("spoil", [uneven, noisy, ruled, boxed, watermarked, faint])
def test_what_scanners_do_to_a_digit_is_undone(spoil: Callable[[Grey], Grey]) -> None:
    likeness = [alike(picture, normalise(spoil(cell(picture)))) for picture in PICTURES]
    assert np.median(likeness) > 0.9
    assert np.quantile(likeness, 0.03) > 0.6


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90))))
def test_any_page_gives_a_picture(page: Grey) -> None:
    picture = normalise(page)
    assert (picture.dtype, picture.shape) == (np.dtype(np.uint8), (SIDE, SIDE))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_blank_paper_stays_blank(height: int, width: int, grey: int) -> None:
    assert not normalise(np.full((height, width), grey, np.uint8)).any()


@given(st.integers(0, 2**32 - 1), st.integers(100, 250), st.floats(0, 12))
def test_noisy_paper_is_blank(seed: int, paper: int, noise: float) -> None:
    page = np.random.default_rng(seed).normal(paper, noise, (64, 64)).clip(0, 255).astype(np.uint8)
    assert not normalise(page).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5_000), (5_000, 1), (2, 2), (3_000, 2_000)])
def test_pages_of_any_shape_are_taken(shape: tuple[int, int]) -> None:
    page = np.full(shape, 200, np.uint8)
    page[: shape[0] // 2] = 20
    assert normalise(page).shape == (SIDE, SIDE)


STRIP = np.full((86, 2), 41, np.uint8)
STRIP[[0, 64, 66], 0] = 0  # half as wide when ink is looked for in it, and looked at again, closer


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90))))
@example(STRIP)
def test_the_facts_of_any_page_lie_within_it(page: Grey) -> None:
    found = examine(page)
    assert np.array_equal(found.picture, normalise(page))
    if found.box is None:
        assert not found.picture.any()
        assert vars(found) == vars(Normalised(found.picture))
        return
    (x, y, width, height), (high, wide) = found.box, page.shape
    assert 0 <= x < x + width <= wide
    assert 0 <= y < y + height <= high
    assert found.threshold is not None
    assert found.threshold > 0
    assert found.shift is not None
    assert max(map(abs, found.shift)) <= SIDE // 2 + 1


PAGES = [cell(PICTURES[0]), np.dstack([cell(PICTURES[1]), cell(PICTURES[2])]), np.full((9, 70), 200, np.uint8)]
PAGES += [cell(PICTURES[3], side=240, height=20), np.zeros((1, 1), np.uint8), *PICTURES[4:8], 255 - cell(PICTURES[8])]
PAGES += [*(accuracy.cell(PICTURES[at], np.random.default_rng(at), lines=2) for at in range(9, 13))]
PAGES += [accuracy.cell(PICTURES[13], np.random.default_rng(0), side=80, height=36, box=True)]
PAGES += [accuracy.cell(PICTURES[14], np.random.default_rng(0), shade=100, ink=20)]
# What lies at the upper and lower edges of pages of one size must not meet: ink, and the dark end of a shadow.
TIGHT = [cv2.resize(accuracy.tight(picture, np.random.default_rng(0)), (40, 60)) for picture in PICTURES[15:19]]
PAGES += [grainy(0.9 * page, np.random.default_rng(0), 8) for page in TIGHT]
PAGES += [(cell(PICTURES[at]) * np.linspace(1, 0.92, 64)[:, None]).astype(np.uint8) for at in (20, 21, 22)]


def facts(found: Sequence[Normalised]) -> list[dict[str, object]]:
    return [vars(each) | {"picture": each.picture.tolist()} for each in found]


ALONE = [facts(normalising.examine_all(page)) for page in PAGES]


@settings(deadline=None)
@given(st.lists(st.sampled_from(range(len(PAGES))), max_size=2 * stacks.MOST))
@example([*range(len(PAGES))] * 8)
def test_pages_together_are_normalised_as_alone(numbers: list[int]) -> None:
    """In any order, with any neighbours: borders, uneven light, two inks, looked at closer, blank, of one pixel."""
    together = normalising.examine_each([PAGES[number] for number in numbers])
    assert [facts(found) for found in together] == [ALONE[number] for number in numbers]
    assert [len(found) for found in ALONE][:3] == [1, 2, 1]


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 70), st.integers(1, 70))))
def test_a_stack_of_any_pages_gives_what_they_give_alone(pages: Grey) -> None:
    together = normalising.examine_each([*pages])
    assert [facts(found) for found in together] == [facts(normalising.examine_all(page)) for page in pages]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PAGES), st.integers(0, 12), st.integers(0, 12)), max_size=9))
def test_pages_of_any_sizes_are_normalised_as_alone(cuts: list[tuple[Grey, int, int]]) -> None:
    pages = [np.ascontiguousarray(page[down:, across:]) for page, down, across in cuts if min(page.shape[:2]) > 12]
    together = normalising.examine_each(pages)
    assert [facts(found) for found in together] == [facts(normalising.examine_all(page)) for page in pages]


def bar(at: tuple[int, int, int, int], side: int, paper: int = 230, ink: int = 30) -> Grey:
    page = np.full((side, side), paper, np.uint8)
    x, y, width, height = at
    page[y : y + height, x : x + width] = ink
    return page


@settings(deadline=None)
@given(st.integers(1, 10), st.integers(0, 20), st.integers(0, 16))
def test_the_box_is_where_the_ink_is(factor: int, x: int, y: int) -> None:
    """On pages from 40 to 400 pixels, with the frame of another scanner around them or not."""
    at = [factor * length for length in (10 + x, 2 + y, 8, 20)]
    page = bar((at[0], at[1], at[2], at[3]), 40 * factor)
    for frame in (0, 5):
        framed = cv2.copyMakeBorder(page, *[frame] * 4, cv2.BORDER_CONSTANT, value=0)
        found = examine(framed)
        assert found.box is not None
        assert found.scale is not None
        assert found.polarity == "dark_on_light"
        expected = np.add(at, (frame, frame, 0, 0))
        blurred = max(1, 2 * len(framed) / 64)  # by a pixel at either end, at the size in which ink is looked for
        assert np.abs(np.subtract(found.box, expected)).max() <= blurred + 1
        assert found.scale == pytest.approx(BOX / at[3], rel=0.1)
    assert examine(255 - page).polarity == "light_on_dark"


def test_the_facts_tell_the_shift_and_what_meets_an_edge() -> None:
    hook = bar((20, 10, 20, 4), 64)
    hook[10:50, 20:24] = 30
    assert examine(hook).shift == (2, 2)
    assert examine(bar((28, 12, 8, 40), 64)).shift == (0, 0)
    assert [examine(bar((28, y, 8, 40), 64)).touching_border for y in (0, 12, 24)] == [True, False, True]
    lined = bar((28, 12, 8, 40), 64)
    lined[2:4] = 30
    assert examine(lined).touching_border is False


def test_ink_that_meets_an_edge_and_lies_in_the_outer_third_there_is_stray() -> None:
    def strays(*boxes: tuple[int, int, int, int]) -> list[bool]:
        return [examine(page).stray for box in boxes for page in (bar(box, 90), 255 - bar(box, 90), bar(box, 90).T)]

    assert all(strays((0, 30, 14, 30), (76, 30, 14, 30), (30, 0, 30, 14), (30, 76, 30, 14), (0, 0, 28, 80)))
    assert not any(strays((10, 30, 14, 30), (0, 30, 40, 30), (0, 30, 90, 10), (40, 0, 14, 90), (60, 30, 14, 30)))
    assert not examine(bar((0, 10, 11, 10), 28)).stray
    assert not any(examine(digit).stray for digit in digits.mnist("test")[0][:2000])


REFERENCE = DATA / "normalised.npz"


def reference_pages() -> list[Grey]:
    """Forty MNIST test digits on grey paper in uneven light, three times as large, with noise."""
    random = np.random.default_rng(0)
    pages = []
    for digit in digits.mnist("test")[0][:40]:
        large = np.kron(digit, np.ones((3, 3), np.int64))
        page = 235 - np.pad(large, 18) * 170 // 255 - np.arange(120) // 4
        pages.append(np.clip(page + random.integers(-6, 7, page.shape), 0, 255).astype(np.uint8))
    return pages


def test_what_the_model_sees_changes_with_the_version_of_the_preprocessing_only() -> None:
    """The version is in the fingerprint of runs. After a change: raise it, and write REFERENCE again as below."""
    pictures = np.stack([normalise(page) for page in reference_pages()])
    # np.savez_compressed(REFERENCE, version=normalising.VERSION, pictures=pictures)
    reference = np.load(REFERENCE)
    assert reference["version"] == normalising.VERSION
    assert np.abs(pictures.astype(int) - reference["pictures"]).max() <= 2  # processors round differently
