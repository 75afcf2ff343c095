"""The error that is promised is kept by 95 of 100 calibrations, and by no rule that looks at what suits it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.models import certifying, intervals
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet, Threshold


@given(hnp.arrays(np.float32, st.integers(1, 300), elements=st.sampled_from([0.3, 0.5, 0.9, 0.99, 1.0])), st.data())
def test_thresholds_count_every_answer_that_reaches_them(confidence: NDArray[np.float32], data: st.DataObject) -> None:
    correct = data.draw(hnp.arrays(bool, len(confidence)))
    found = certifying.risks(confidence, correct)
    thresholds = [entry.threshold for entry in found]
    assert thresholds == sorted(set(thresholds), reverse=True)
    for entry in found:
        reached = confidence >= np.float32(entry.threshold)
        assert (entry.accepted, entry.errors) == (reached.sum(), (reached & ~correct).sum())
    assert found[-1].accepted == len(confidence)


def of_sets(*sets: Sequence[Threshold]) -> Calibration:
    named = (CalibrationSet(f"set {at}", entries[-1].accepted, tuple(entries)) for at, entries in enumerate(sets))
    return Calibration(1.0, 0.95, 0.01, tuple(named))


Rule = Callable[[Sequence[Threshold], float], float | None]


def certified(entries: Sequence[Threshold], target: float) -> float | None:
    return threshold_or_none(of_sets(entries), target)


def threshold_or_none(calibration: Calibration, target: float) -> float | None:
    try:
        return certifying.threshold_for(calibration, target, "simulated")
    except InputError:
        return None


def laxest(entries: Sequence[Threshold], holds: Callable[[Threshold], bool]) -> float | None:
    return min((entry.threshold for entry in entries if holds(entry)), default=None)


def seen(entries: Sequence[Threshold], target: float) -> float | None:
    """The naive rule: the errors seen, as if they were the rate."""
    return laxest(entries, lambda entry: entry.errors <= target * entry.accepted)


def best_of_all(entries: Sequence[Threshold], target: float) -> float | None:
    """The rule that looks at every bound and takes the one that suits it."""
    return laxest(entries, lambda entry: entry.error_bound <= target)


# Confidence is uniform on 0 to 1 and an answer is wrong with the probability a * (1 - confidence) ** b, so that of
# those that reach t a share of a * (1 - t) ** b / (b + 1) is wrong.
STEEP, FLAT = (0.3, 5.0), (0.0101, 0.0)
RESAMPLES, DIGITS = 1_000, 3_000


def outcomes(rule: Rule, population: tuple[float, float], target: float) -> tuple[float, float]:
    """The shares of calibration sets for which the promise holds, or nothing is promised, and for which one is made."""
    a, b = population
    random = np.random.default_rng(7)
    confidence = random.random((RESAMPLES, DIGITS), np.float32)
    correct = random.random((RESAMPLES, DIGITS)) >= a * (1 - confidence) ** b
    chosen = [rule(certifying.risks(*one), target) for one in zip(confidence, correct, strict=True)]
    held = [threshold is None or a * (1 - threshold) ** b / (b + 1) <= target for threshold in chosen]
    return float(np.mean(held)), float(np.mean([threshold is not None for threshold in chosen]))


@pytest.mark.parametrize("target", [0.01, 0.02, 0.03])
def test_the_promised_error_is_kept_by_95_of_100_calibrations(target: float) -> None:
    held, promised = outcomes(certified, STEEP, target)
    assert held >= 0.95
    assert promised > 0.5


def test_it_is_kept_where_every_threshold_is_just_not_good_enough() -> None:
    held, _ = outcomes(certified, FLAT, 0.01)
    assert held >= 0.95


def test_rules_that_look_at_what_suits_them_break_the_promise() -> None:
    assert outcomes(seen, STEEP, 0.02)[0] < 0.95
    assert outcomes(best_of_all, FLAT, 0.01)[0] < 0.95


def calibration_of(counts: list[tuple[int, int]]) -> Calibration:
    thresholds = (
        Threshold(0.99 - 0.1 * place, accepted, errors, float(intervals.upper_bound(errors, accepted)))
        for place, (accepted, errors) in enumerate(counts)
    )
    return of_sets([*thresholds])


def test_the_threshold_is_the_last_before_the_first_that_fails() -> None:
    calibration = calibration_of([(100, 0), (2_000, 1), (3_000, 20), (4_000, 20)])
    assert certifying.threshold_for(calibration, 0.006, "m") == pytest.approx(0.89)  # though the last would pass
    assert certifying.threshold_for(calibration, 0.0099, "m") == pytest.approx(0.69)


COUNTS = st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 30)), min_size=1, max_size=5)


@given(st.lists(COUNTS, min_size=1, max_size=3), st.sampled_from([0.002, 0.01, 0.05, 0.3]))
def test_of_several_sets_the_one_that_promises_least_decides(each: list[list[tuple[int, int]]], target: float) -> None:
    alone = [calibration_of([(max(count, errors), errors) for count, errors in counts]) for counts in each]
    together = replace(alone[0], sets=tuple(one.sets[0] for one in alone))
    thresholds = [threshold_or_none(one, target) for one in alone]
    expected = None if None in thresholds else max(thresholds, key=float)
    assert threshold_or_none(together, target) == expected
    least = certifying.least_certified(together)
    assert (least is not None and least <= target) or expected is None or target < certifying.ADVISED[0]


@pytest.mark.parametrize(
    ("calibration", "target", "message"),
    [
        (None, 0.01, "--target-error 0.01: model m has no calibration"),
        (calibration_of([(500, 0)]), 0, "--target-error is 0; it has to be a share above 0 and below 1"),
        (calibration_of([(500, 0)]), 1, "--target-error is 1; it has to be"),
        (calibration_of([(500, 0)]), float("nan"), "--target-error is nan; it has to be"),
        (calibration_of([(500, 0)]), 0.001, r"on 500 digits.*2,995 answers without one error would do\); give 0.006"),
        (calibration_of([(500, 9)]), 0.01, "299 answers without one error would do.*give 0.032 or more"),
        (
            calibration_of([(600, 2)]),
            0.002,
            "on 600 digits of set 0.*0.002 needs about 2,600 more right answers; there are 598",
        ),
        (calibration_of([(3, 3)]), 0.5, "on 3 digits.*no larger error can be certified either"),
    ],
)
def test_what_cannot_be_promised_is_refused(calibration: Calibration | None, target: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        certifying.threshold_for(calibration, target, "m")
