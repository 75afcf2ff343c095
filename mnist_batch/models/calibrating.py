"""Calibration of a model's confidence: which temperature makes it true, and how true it is then."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.models import certifying
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet
from mnist_batch.schemas.tables import CLASSES, NO_DIGIT

BINS = 15
EDGES = np.arange(BINS + 1) / BINS  # of bins of equal width from 0 to 1; a bin includes its upper edge
DOUBTED_FROM = 0.05  # the share of a model's outputs that are for refusals
FOLDS = 5  # of cross-fitting
LEAST, MOST = 0.05, 20.0  # the range of temperatures that are tried


def tempered(outputs: NDArray[Any], temperature: float) -> NDArray[np.float32]:
    """The probabilities of the ten digits, float32 (N, 10), from a model's outputs.

    ``outputs`` is (N, K), sigmoid or softmax; its first ten columns are the digits. Each is raised to the power
    1 / ``temperature`` and divided by their sum. If all ten are 0, the probabilities are equal.
    """
    digits = outputs[:, :CLASSES].astype(np.float64)
    # Divide by the largest first: powers of small outputs would underflow to 0 for all ten.
    largest = digits.max(axis=1, keepdims=True, initial=0)
    powers = np.where(largest > 0, digits / np.where(largest > 0, largest, 1), 1.0) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def refusal_shares(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """The share of a model's outputs (N, K) outside the ten digits, float64 (N,); 0 for a model with ten outputs."""
    totals = np.maximum(outputs.sum(axis=1, dtype=np.float64), np.finfo(np.float32).tiny)
    return np.asarray(outputs[:, CLASSES:].sum(axis=1, dtype=np.float64) / totals, np.float64)


def doubted(outputs: NDArray[Any]) -> NDArray[np.bool_]:
    """Which answers are never accepted, whatever their confidence, because there may be no digit at all: bool (N,)."""
    return refusal_shares(outputs) >= DOUBTED_FROM


class Sample(NamedTuple):
    """N labelled answers to calibrate with.

    ``outputs`` (N, K) are a model's, their first ten columns the digits; ``labels``, int (N,), are 0 to 9, or
    ``NO_DIGIT``, to which every answer is wrong; ``clear``, bool (N,), are those that a rule may accept.
    """

    outputs: NDArray[Any]
    labels: NDArray[Any]
    clear: NDArray[np.bool_]

    @classmethod
    def of(cls, outputs: NDArray[Any], labels: NDArray[Any]) -> "Sample":
        """The answers of a model by its outputs, of which those are clear that are not ``doubted``."""
        return cls(outputs, np.asarray(labels, np.int64), ~doubted(outputs))

    def taken(self, which: NDArray[Any]) -> "Sample":
        """Some of these answers, by a mask or by their places."""
        return Sample(self.outputs[which], self.labels[which], self.clear[which])


def fit_temperature(samples: Sequence[Sample]) -> float:
    """The temperature, from 0.05 to 20, with the smallest mean negative log likelihood of the labels 0 to 9.

    C. Guo et al., On Calibration of Modern Neural Networks, ICML (2017). All samples have the same weight. The
    temperature is raised further if the mean confidence would exceed (right answers + 1) / (answers + 2), Laplace's
    rule of succession: a hundred digits without a mistake do not justify a confidence of 1. Without an answer it is 1.
    """
    from scipy.optimize import brentq, minimize_scalar  # here: actors that only read a temperature need no scipy

    some = [_Logs.of(sample) for sample in samples if len(sample.labels)]
    if not some:
        return 1.0

    def loss(log_temperature: float) -> float:
        power = math.exp(-log_temperature)
        losses = (np.log(_sums(logs.known, power)) - logs.of_labels * power for logs in some)
        return float(np.mean([each.sum() / max(len(each), 1) for each in losses]))

    def overconfidence(log_temperature: float) -> float:
        power = math.exp(-log_temperature)
        return float(np.mean([np.mean(1 / _sums(logs.of_digits, power)) for logs in some])) - most

    most = float(np.mean([(logs.right + 1) / (len(logs.of_digits) + 2) for logs in some]))
    best = float(minimize_scalar(loss, bounds=(math.log(LEAST), math.log(MOST)), method="bounded").x)
    if overconfidence(best) > 0 > overconfidence(math.log(MOST)):
        best = float(brentq(overconfidence, best, math.log(MOST)))
    return math.exp(best)


class _Logs(NamedTuple):
    """Logarithms of a sample's outputs, less the largest of each answer.

    ``of_digits`` (N, 10) are of all; ``known`` (M, 10) of those labelled 0 to 9, ``of_labels`` (M,) at their labels.
    """

    of_digits: NDArray[np.float64]
    known: NDArray[np.float64]
    of_labels: NDArray[np.float64]

    @classmethod
    def of(cls, sample: Sample) -> "_Logs":
        logs = np.log(np.maximum(sample.outputs[:, :CLASSES].astype(np.float64), np.finfo(np.float32).tiny))
        logs -= logs.max(axis=1, keepdims=True)
        digits = sample.labels != NO_DIGIT
        of_labels = np.take_along_axis(logs[digits], sample.labels[digits][:, None], axis=1)[:, 0]
        return cls(logs, logs[digits], of_labels)

    @property
    def right(self) -> int:
        return int((self.of_labels == 0).sum())


def _sums(logs: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(logs * power).sum(axis=1))


def folds_of(count: int) -> NDArray[np.int64]:
    """The fold of each of ``count`` answers, int64 (N,), dealt by a fixed seed."""
    return np.asarray(np.random.default_rng(0).permutation(count) % FOLDS)


def cross_fitted(samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """The confidence of the answers of each sample, at a temperature that was fitted without them.

    The answers of one of its ``FOLDS`` have the temperature of all the others.
    """
    folds = [folds_of(len(sample.labels)) for sample in samples]
    found = [np.empty(len(sample.labels), np.float32) for sample in samples]
    for fold in range(FOLDS):
        rest = [sample.taken(dealt != fold) for sample, dealt in zip(samples, folds, strict=True)]
        temperature = fit_temperature(rest)
        for sample, dealt, confidence in zip(samples, folds, found, strict=True):
            confidence[dealt == fold] = tempered(sample.outputs[dealt == fold], temperature).max(axis=1, initial=0)
    return found


def bin_of(confidence: NDArray[Any]) -> NDArray[np.int64]:
    """The number of each confidence's bin, from 0."""
    return np.maximum(np.searchsorted(EDGES, confidence, side="left") - 1, 0)


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any]) -> float:
    """The mean, over all answers, of the distance between mean confidence and share of right answers in their bin."""
    at = bin_of(confidence)
    sums = np.bincount(at, np.asarray(confidence, np.float64), minlength=BINS)
    return float(np.abs(sums - np.bincount(at, correct, minlength=BINS)).sum() / len(at))


def calibrate(sets: Mapping[str, Sample]) -> Calibration:
    """The calibration of a model, for model.json, from its labelled answers in one set or several, by name.

    The temperature is fitted on all of them, with the same weight for each set. The expected calibration error, the
    mean over the sets, and the thresholds, those of each set the ``certifying.risks`` of its clear answers, are of the
    confidence that is ``cross_fitted``: no answer certifies what was fitted on it. Raises ValueError if a set is empty.
    """
    if not sets or not all(len(sample.labels) for sample in sets.values()):
        raise ValueError("nothing to calibrate with: there has to be a set, and an answer in each")
    samples, errors, certified = [*sets.values()], [], []
    for (name, sample), confidence in zip(sets.items(), cross_fitted(samples), strict=True):
        correct = sample.outputs[:, :CLASSES].argmax(axis=1) == sample.labels
        errors.append(expected_calibration_error(confidence, correct))
        clear = sample.clear
        thresholds = certifying.risks(confidence[clear], correct[clear]) if clear.any() else ()
        certified.append(CalibrationSet(name, len(sample.labels), thresholds))
    return Calibration(fit_temperature(samples), certifying.LEVEL, float(np.mean(errors)), tuple(certified))


def temperature_of(calibration: Calibration | None) -> float:
    """The temperature of a bundle's calibration; without one it is 1, which changes no probability."""
    return calibration.temperature if calibration else 1.0
