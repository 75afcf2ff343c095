"""The likeness of a run to its calibration: profiles add up, and chance alone calls no run unlike."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_batch.models import likeness
from mnist_batch.models.answers import answers_of
from mnist_batch.pixels import thick_pens
from mnist_batch.schemas import facts
from mnist_batch.schemas.likeness_facts import Likeness, Profile

EMPTY = likeness.EMPTY


def pictures_of(count: int, width: int = 3, height: int = 20) -> NDArray[np.uint8]:
    """So many pictures of one upright stroke."""
    pictures = np.zeros((count, 28, 28), np.uint8)
    pictures[:, 4 : 4 + height, 12 : 12 + width] = 255
    return pictures


def profile_of(confidence: NDArray[np.float64] | list[float], doubted: int = 0, width: int = 3) -> Profile:
    return likeness.profile(
        pictures_of(len(confidence), width), np.array(confidence), len(confidence) + doubted, doubted
    )


# As sure as a good model is of the digits that it is calibrated on: a few doubtful answers, and many sure ones.
_random = np.random.default_rng(0)
SURE = 1 - 10.0 ** -np.minimum(_random.gamma(4, 1.5, 5_000), 8)
CALIBRATION = profile_of(SURE, doubted=15)


def compared(run: Profile, calibration: Profile = CALIBRATION) -> Likeness:
    found = likeness.compare(run, calibration)
    assert found is not None
    return found


@given(st.lists(st.tuples(st.floats(0.1, 1), st.integers(1, 20), st.sampled_from("cdr ")), max_size=12), st.data())
def test_a_profile_of_parts_is_the_profile_of_the_whole(
    rows: list[tuple[float, int, str]], data: st.DataObject
) -> None:
    outputs, pictures = np.zeros((len(rows), 12), np.float32), np.zeros((len(rows), 28, 28), np.uint8)
    for row, (confidence, width, kind) in enumerate(rows):
        outputs[row, :2] = confidence, 1 - confidence
        outputs[row, 10] = 0.1 if kind == "d" else 0  # a doubted answer
        if kind == "r":  # refused
            outputs[row, 11] = 3
        pictures[row, 4:24, 2 : 2 + width] = 255 if kind != " " else 0  # a blank page

    def of(chosen: slice) -> Profile:
        return likeness.profile_of(pictures[chosen], answers_of(pictures[chosen], outputs[chosen], 1.0))

    at = data.draw(st.integers(0, len(rows)))
    whole = of(slice(None))
    assert likeness.merged([of(slice(at)), of(slice(at, None))]) == whole
    assert likeness.merged([whole, EMPTY]) == whole
    assert whole.answered == sum(kind in "cd" for *_, kind in rows)
    assert whole.doubted == sum(kind == "d" for *_, kind in rows)
    clear = sum(kind == "c" for *_, kind in rows)
    assert {name: sum(counts) for name, counts in whole.counts.items()} == dict.fromkeys(likeness.FEATURES, clear)
    assert facts.validated(Profile, json.loads(json.dumps(asdict(whole)))) == whole


def test_a_calibration_is_like_itself() -> None:
    found = compared(CALIBRATION)
    assert found.uncertainty == found.expected_errors == 1
    assert not found.unlike
    assert found.differences == ()


@pytest.mark.parametrize("scans", [1, 5, 300])
@pytest.mark.parametrize("calibrated_on", [50, 5_000])
def test_resamples_of_the_calibration_are_seldom_unlike(scans: int, calibrated_on: int) -> None:
    random = np.random.default_rng(scans)
    confidence, doubted = SURE[:calibrated_on], np.arange(calibrated_on) % 333 == 0
    calibration = profile_of(confidence[~doubted], int(doubted.sum()))
    unlike = 0
    for _ in range(200):
        drawn = random.choice(calibrated_on, scans)
        run = profile_of(confidence[drawn][~doubted[drawn]], int(doubted[drawn].sum()))
        found = likeness.compare(run, calibration)
        unlike += found is not None and found.unlike
    assert unlike < 0.02 * 200


def test_less_sure_answers_are_unlike_if_they_are_enough() -> None:
    pale = 1 - 4 * (1 - SURE) ** 0.7
    assert compared(profile_of(pale[:300])).unlike
    assert compared(profile_of(pale[:300])).uncertainty > likeness.UNCERTAINTY_LEVEL
    assert not compared(profile_of(pale[:2])).unlike
    levels = [compared(profile_of(SURE[:scans])).uncertainty_level for scans in (1, 5, 20, 100, 1_000)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == likeness.UNCERTAINTY_LEVEL


def test_answers_that_are_all_a_little_unsure_are_unlike_only_if_many_of_them_are_expected_wrong() -> None:
    """A form that is strange to a model, but plain to read, makes it unsure of every digit, and wrong in hardly any."""
    strange = compared(profile_of(np.minimum(SURE[:300], 0.99)))
    assert strange.uncertainty > 1.5 * strange.uncertainty_level
    assert strange.expected_errors is not None
    assert 1 < strange.expected_errors < likeness.EXPECTED_ERRORS_LEVEL
    assert not strange.unlike
    wrong = np.where(np.arange(300) % 12 == 0, 0.4, np.minimum(SURE[:300], 0.99))
    assert compared(profile_of(wrong)).unlike


@settings(max_examples=40)
@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=30), st.data())
def test_to_be_less_sure_is_never_to_be_more_like(confidence: list[float], data: st.DataObject) -> None:
    lower = [data.draw(st.floats(0.1, each)) for each in confidence]
    before, after = compared(profile_of(confidence)), compared(profile_of(lower))
    assert after.uncertainty >= before.uncertainty
    assert after.unlike >= before.unlike


def test_many_doubted_answers_are_unlike_and_surer_ones_are_not() -> None:
    assert compared(profile_of(SURE[:300], doubted=150)).unlike
    assert not compared(profile_of(SURE[:300], doubted=30)).unlike
    assert not compared(profile_of(SURE[:1], doubted=1)).unlike
    assert not compared(profile_of([1.0] * 300)).unlike


def test_many_refusals_hide_no_doubts() -> None:
    """A run of nothing but cancelled digits is mostly refused; of the few answers most are doubted."""
    refused = np.zeros((900, 12), np.float32)
    refused[:, 11] = 1
    answered = np.zeros((100, 12), np.float32)
    answered[:, 3], answered[:70, 10] = 0.9, 0.2
    outputs, pictures = np.concatenate([refused, answered]), pictures_of(1_000)
    found = compared(likeness.profile_of(pictures, answers_of(pictures, outputs, 1.0)))
    assert found.doubted == 0.7
    assert found.unlike
    valid = answers_of(pictures[900:], np.where(np.arange(12) == 10, 0, answered), 1.0)
    assert not compared(likeness.profile_of(pictures[900:], valid)).unlike


def test_differences_name_the_look_with_its_medians() -> None:
    found = compared(profile_of(SURE[:300], width=6))
    assert not found.unlike  # thick strokes alone break no promise
    assert {each.feature for each in found.differences} == {"stroke_width", "ink_share", "proportions"}
    [width] = [each for each in found.differences if each.feature == "stroke_width"]
    assert width.distance == 1
    assert width.median > 1.5 * width.calibration_median
    [share] = [each for each in found.differences if each.feature == "ink_share"]
    assert share.median == pytest.approx(6 * 20 / 784, abs=0.0125)
    assert compared(profile_of(SURE[:2], width=6)).differences == ()  # two scans say nothing


@given(st.integers(1, 7), st.integers(12, 20))
def test_the_width_of_a_stroke_is_measured(width: int, height: int) -> None:
    [counts] = [profile_of([0.9], width=width).counts["stroke_width"]]
    measured = likeness.FEATURES["stroke_width"].median(np.array(counts))
    upright = thick_pens.EVERY_DIRECTION * width * 20 / (width + 20)  # its ends are edge, too
    assert measured == pytest.approx(upright, abs=0.25)


def test_nothing_to_compare_is_no_likeness() -> None:
    assert likeness.compare(EMPTY, CALIBRATION) is None
    assert likeness.compare(CALIBRATION, EMPTY) is None
    assert likeness.compare(replace(EMPTY, answered=5, doubted=5), CALIBRATION) is None
