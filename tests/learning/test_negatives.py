"""Negatives are pictures that no person would take for a digit, drawn alike from the same generator."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.learning import augmenting, digits, marks, negatives, spoiled
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.negatives import NEGATIVES, Draw, Negative
from mnist_batch.pixels.normalising import examine

DRAWN = [draw for negative in NEGATIVES for draw in negative.kinds]


@cache
def a_hundred_of(label: int) -> Digits:
    train = digits.mnist("train")
    return train.take(np.flatnonzero(train.labels == label)[:100])


def drawings(draw: Draw, of: Digits, count: int = 60) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    return [picture for picture in (draw(of, random) for _ in range(count)) if picture is not None]


@pytest.mark.parametrize("draw", DRAWN)
def test_a_negative_is_a_picture_as_mnist_has_them_and_the_same_from_the_same_generator(draw: Draw) -> None:
    share = digits.mnist("train").take(np.arange(300))
    before = share.images.copy()
    drawn = drawings(draw, share)
    assert len(drawn) >= 5
    for picture in drawn:
        assert (picture.shape, picture.dtype) == ((28, 28), np.uint8)
        assert np.count_nonzero(picture > 128) >= 8
    assert np.array_equal(drawn, drawings(draw, share))
    assert len({picture.tobytes() for picture in drawn}) > len(drawn) / 2
    assert np.array_equal(share.images, before)


@pytest.mark.parametrize("label", range(10))
def test_negatives_are_drawn_from_digits_of_one_class_without_end_of_them(label: int) -> None:
    random, share = np.random.default_rng(1), a_hundred_of(label)
    for negative in NEGATIVES:
        assert all(negative.draw(share, random).any() for _ in range(100))


@pytest.mark.parametrize("label", range(10))
def test_a_mirrored_digit_that_is_like_a_digit_is_no_negative(label: int) -> None:
    assert bool(drawings(spoiled.mirrored, a_hundred_of(label))) == (label in (3, 4, 6, 7, 9))


def test_no_part_of_a_1_is_a_negative_and_of_others_always_less_than_half() -> None:
    assert not drawings(spoiled.part, a_hundred_of(1))
    for label in (0, 2, 3, 4, 5, 6, 7, 8, 9):
        share = a_hundred_of(label)
        whole = min(np.count_nonzero(image.any(axis=0)) * np.count_nonzero(image.any(axis=1)) for image in share.images)
        for picture in drawings(spoiled.part, share):
            assert np.count_nonzero(picture) < 0.6 * whole
    assert all(share < 0.5 for parts in spoiled.PARTS.values() for share in parts.values())


@pytest.mark.parametrize(("one", "other"), [(3, 8), (1, 7), (4, 9), (0, 6), (5, 5)])
def test_digits_that_together_look_like_one_are_not_written_over_each_other(one: int, other: int) -> None:
    both = [np.concatenate(parts) for parts in zip(a_hundred_of(one), a_hundred_of(other), strict=True)]
    assert not drawings(spoiled.overwritten, Digits(*both))


@pytest.mark.parametrize("label", range(10))
def test_one_stroke_cancels_no_digit_that_it_may_be_part_of(label: int, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    struck = spoiled._struck
    monkeypatch.setattr(spoiled, "_struck", lambda *given: turns.append(given[1]) or struck(*given))
    drawings(spoiled.cancelled, a_hundred_of(label), 300)
    alone = [np.round(turn[0]) for turn in turns if len(turn) == 1]
    rising, level = [turn for turn in alone if 20 < turn < 76], [turn for turn in alone if -20 < turn < 20]
    assert len(turns) == 300
    assert bool(alone) == (label not in (0, 1, 7)), "a slashed 0 is a 0"
    assert bool(rising) == (label not in (0, 1, 7))
    assert bool(level) == (label not in (0, 1, 4, 5, 7)), "a crossed 7 is a 7"


def test_a_negative_is_drawn_again_if_normalisation_leaves_a_digit_of_it() -> None:
    share = digits.mnist("train").take(np.arange(100))
    box = marks.box(np.random.default_rng(1))
    drawn = iter([np.zeros_like(box), box])  # of an empty picture nothing is left
    kind = Negative(NEGATIVES[0].refused_as, {lambda *_: next(drawn, box): 1}, 1)
    random = np.random.default_rng(1)
    assert augmenting.draw_negative(kind, share, random, augmenting.draw_bends(random, 4)).any()
    assert next(drawn, None) is None

    two = np.zeros((60, 120), np.uint8)
    two[16:44, 8:36], two[16:44, 80:108] = share.images[0], share.images[7]
    one = np.where(np.arange(120) < 60, two, 0).astype(np.uint8)
    assert augmenting._likeness(examine(255 - one), one) > 0.9
    assert augmenting._likeness(examine(255 - one), two) < augmenting.KEPT
    assert augmenting._likeness(examine(np.full_like(one, 255)), one) == 0

    struck = one.copy()
    struck[29:31, :58] = 255
    assert augmenting._is_as_large(examine(255 - struck), one)
    assert not augmenting._is_as_large(examine(255 - one), struck)


def test_what_is_left_of_a_negative_is_not_one_upright_stroke() -> None:
    share, random = digits.mnist("train").take(np.arange(100)), np.random.default_rng(1)
    bends = augmenting.draw_bends(random, 64)
    for negative in NEGATIVES:
        for _ in range(300):
            down, across = np.nonzero(augmenting.draw_negative(negative, share, random, bends) > 64)
            assert np.ptp(across) > 7 or np.ptp(down) < 13
    ones = a_hundred_of(1).images
    assert np.mean([augmenting._is_one(one) for one in ones]) > 0.8
    assert np.mean([augmenting._is_one(zero) for zero in a_hundred_of(0).images]) < 0.05


def test_how_many_are_drawn_depends_on_the_number_of_digits_alone() -> None:
    for negative in NEGATIVES:
        assert negative.among(0) == 0
        assert [negative.among(count) for count in (60, 600)] == [
            60 // negative.digits_for_one,
            600 // negative.digits_for_one,
        ]
    assert not set(negatives.NO_DIGIT) & set(negatives.SEVERAL)
