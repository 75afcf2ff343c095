"""Confidences are probabilities, and after calibration they are those of being right."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mnist_batch.models import calibrating
from mnist_batch.models.calibrating import Sample
from mnist_batch.schemas.bundle_facts import Threshold
from mnist_batch.schemas.tables import NO_DIGIT

OUTPUTS = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(10, 12)), elements=st.floats(0, 1, width=32))


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
    assert calibrating.expected_calibration_error(confidence, correct) == pytest.approx((4 * 0.20 + 2 * 0.05) / 6)
    assert calibrating.bin_of(np.array([0, 1 / 15, 0.067, 1.0])).tolist() == [0, 0, 1, 14]
