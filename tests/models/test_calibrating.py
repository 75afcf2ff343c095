"""Confidences are probabilities, bounds are bounds, and the error promised is kept 95 times in 100."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from mnist_batch.errors import InputError
from mnist_batch.models import calibrating
from mnist_batch.models.calibrating import Sample
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet, Threshold
from mnist_batch.schemas.tables import NO_DIGIT

OUTPUTS = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(10, 12)), elements=st.floats(0, 1, width=32))
SHARE = st.integers(1, 5_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(OUTPUTS, st.floats(0.05, 20))
def test_tempered_outputs_are_probabilities_in_the_order_of_the_outputs(
    outputs: NDArray[np.float32], temperature: float
) -> None:
    found = calibrating.tempered(outputs, temperature)
    assert (found.shape, found.dtype) == ((len(outputs), 10), np.float32)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)
    for probabilities, digits in zip(found, outputs[:, :10], strict=True):
        assert (np.diff(probabilities[np.argsort(digits)]) >= 0).all()
        if not digits.any():
            assert np.allclose(probabilities, 0.1)


@given(OUTPUTS)
def test_at_temperature_one_outputs_are_divided_by_their_sum(outputs: NDArray[np.float32]) -> None:
    digits = outputs[:, :10].astype(np.float64)
    digits = digits[digits.sum(axis=1) > 0]
    found = calibrating.tempered(digits, 1)
    assert np.allclose(found, digits / digits.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-30)


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def drawn(random: np.random.Generator, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Logits of ``count`` digits, and labels drawn by their softmax: calibrated by construction."""
    logits = random.normal(0, 3, (count, 10))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1, 2.5])
def test_the_temperature_of_a_model_is_found(temperature: float) -> None:
    logits, labels = drawn(np.random.default_rng(1), 20_000)
    outputs = softmax(logits * temperature)
    found = calibrating.calibrate({"drawn": Sample.of(outputs, labels)})
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    before = calibrating.tempered(outputs, 1)
    error = calibrating.expected_calibration_error(before.max(axis=1), before.argmax(axis=1) == labels)
    assert found.expected_calibration_error < 0.02
    assert temperature == 1 or error > 0.1
    sigmoid = calibrating.fit_temperature([Sample.of(1 / (1 + np.exp(-logits)), labels)])
    assert calibrating.LEAST < sigmoid < calibrating.MOST


@pytest.mark.parametrize("digits", [10, 100, 1_000])
def test_few_digits_without_a_mistake_make_no_model_sure_of_everything(digits: int) -> None:
    labels = np.arange(digits) % 10
    logits = np.random.default_rng(2).normal(0, 1, (digits, 10))
    logits[np.arange(digits), labels] = logits.max(axis=1) + np.linspace(1, 9, digits)
    outputs = softmax(logits)
    found = calibrating.calibrate({"drawn": Sample.of(outputs, labels)})
    confidence = calibrating.tempered(outputs, found.temperature).max(axis=1)
    assert confidence.mean() == pytest.approx((digits + 1) / (digits + 2), abs=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(2, 60))
def test_what_an_answer_certifies_was_not_fitted_on_it(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    logits, labels = drawn(random, count)
    first, other = Sample.of(softmax(logits), labels), Sample.of(*(softmax(logits * 2), labels[::-1]))
    before = calibrating.cross_fitted([first, other])
    at = int(random.integers(count))
    changed = first.labels.copy()
    changed[at] = NO_DIGIT if random.random() < 0.2 else (labels[at] + 1) % 10
    after = calibrating.cross_fitted([first._replace(labels=changed), other])
    assert after[0][at] == before[0][at]
    assert len(after[1]) == count


def test_each_set_has_the_same_weight_in_the_temperature_however_many_answers_it_has() -> None:
    random = np.random.default_rng(3)
    (sure, of_sure), (unsure, of_unsure) = drawn(random, 2_000), drawn(random, 2_000)
    first, second = Sample.of(softmax(sure * 2), of_sure), Sample.of(softmax(unsure / 2), of_unsure)
    once = calibrating.fit_temperature([first, second])
    assert calibrating.fit_temperature([first.taken(np.arange(6_000) % 2_000), second]) == pytest.approx(once, rel=1e-3)
    assert 0.5 < calibrating.fit_temperature([second]) * 1.05 < once < calibrating.fit_temperature([first])
    assert calibrating.fit_temperature([first, first]) == pytest.approx(calibrating.fit_temperature([first]), rel=1e-6)


def test_answers_where_no_digit_is_written_are_wrong_and_lower_the_confidence() -> None:
    logits, labels = drawn(np.random.default_rng(4), 2_000)
    sample = Sample.of(softmax(logits), labels)
    less = sample._replace(labels=np.where(np.arange(2_000) % 4 == 0, NO_DIGIT, labels))
    assert calibrating.fit_temperature([less]) > 1.3 * calibrating.fit_temperature([sample])
    [found] = calibrating.calibrate({"forms": less}).sets
    assert found.thresholds[-1].errors > 500
    never = sample._replace(clear=np.zeros(2_000, bool))
    assert calibrating.calibrate({"forms": never}).sets[0].thresholds == ()


def test_a_model_that_is_never_wrong_has_a_temperature() -> None:
    outputs = np.eye(10, dtype=np.float32)
    found = calibrating.calibrate({"drawn": Sample.of(outputs, np.arange(10))})
    assert calibrating.LEAST <= found.temperature <= calibrating.MOST
    assert found.sets[0].thresholds == (Threshold(1.0, 10, 0, pytest.approx(1 - 0.05**0.1)),)


def test_the_calibration_error_is_the_distance_in_each_bin() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.45, 0.45], np.float32)
    correct = np.array([True, True, True, False, True, False])
    assert calibrating.expected_calibration_error(confidence, correct, bins=10) == pytest.approx(
        (4 * 0.20 + 2 * 0.05) / 6, abs=1e-6
    )
    at = calibrating.bin_of(np.array([0, 0.1, 0.1001, 1.0]), bins=10)
    assert at.tolist() == [0, 0, 1, 9]


@given(SHARE, st.floats(0.5, 0.999))
def test_the_bound_is_clopper_pearsons(share: tuple[int, int], level: float) -> None:
    errors, accepted = share
    bound = float(calibrating.upper_bound(errors, accepted, level))
    if errors == accepted:
        assert bound == 1
        return
    assert errors / accepted < bound < 1
    # The error rate at which so few errors would be seen with a chance of 1 - level.
    assert binom.cdf(errors, accepted, bound) == pytest.approx(1 - level, rel=1e-6)
    assert calibrating.upper_bound(errors + 1, accepted, level) > bound
    assert calibrating.upper_bound(errors, accepted + 1, level) < bound
    assert calibrating.upper_bound(0, accepted) == pytest.approx(1 - 0.05 ** (1 / accepted))


def test_nothing_accepted_promises_nothing() -> None:
    assert calibrating.upper_bound([0, 0], [0, 10]).tolist() == [1, pytest.approx(0.2589, abs=1e-4)]


@given(hnp.arrays(np.float32, st.integers(1, 300), elements=st.sampled_from([0.3, 0.5, 0.9, 0.99, 1.0])), st.data())
def test_thresholds_count_every_answer_that_reaches_them(confidence: NDArray[np.float32], data: st.DataObject) -> None:
    correct = data.draw(hnp.arrays(bool, len(confidence)))
    found = calibrating.risks(confidence, correct)
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
        return calibrating.threshold_for(calibration, target, "simulated")
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
    chosen = [rule(calibrating.risks(*one), target) for one in zip(confidence, correct, strict=True)]
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
        Threshold(0.99 - 0.1 * place, accepted, errors, float(calibrating.upper_bound(errors, accepted)))
        for place, (accepted, errors) in enumerate(counts)
    )
    return of_sets([*thresholds])


def test_the_threshold_is_the_last_before_the_first_that_fails() -> None:
    calibration = calibration_of([(100, 0), (2_000, 1), (3_000, 20), (4_000, 20)])
    assert calibrating.threshold_for(calibration, 0.006, "m") == pytest.approx(0.89)  # though the last would pass
    assert calibrating.threshold_for(calibration, 0.0099, "m") == pytest.approx(0.69)


COUNTS = st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 30)), min_size=1, max_size=5)


@given(st.lists(COUNTS, min_size=1, max_size=3), st.sampled_from([0.002, 0.01, 0.05, 0.3]))
def test_of_several_sets_the_one_that_promises_least_decides(each: list[list[tuple[int, int]]], target: float) -> None:
    alone = [calibration_of([(max(count, errors), errors) for count, errors in counts]) for counts in each]
    together = replace(alone[0], sets=tuple(one.sets[0] for one in alone))
    thresholds = [threshold_or_none(one, target) for one in alone]
    expected = None if None in thresholds else max(thresholds, key=float)
    assert threshold_or_none(together, target) == expected
    least = calibrating.least_certified(together)
    assert (least is not None and least <= target) or expected is None or target < calibrating.ADVISED[0]


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
        calibrating.threshold_for(calibration, target, "m")


@given(st.integers(1, 5_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_interval_is_wilsons(share: tuple[int, int]) -> None:
    correct, total = share
    low, high = calibrating.wilson(np.array([correct]), np.array([total]))
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
