"""Calibration of a model's confidence: its temperature, its error above each threshold, the threshold for an error."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnist_batch.errors import InputError
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet, Threshold
from mnist_batch.schemas.tables import CLASSES, NO_DIGIT
from mnist_batch.wording import counted

BINS = 15
LEVEL = 0.95
DOUBTED_FROM = 0.05  # the share of a model's outputs that are for refusals
FOLDS = 5  # of cross-fitting
LEAST, MOST = 0.05, 20.0  # the range of temperatures that are tried
# Shares of the validation digits to accept, fixed before any error is known; closer together where most runs end up.
COVERAGES = np.concatenate([np.arange(0.50, 0.96, 0.01), np.arange(0.96, 1, 0.0025)])
# Target errors that a message may suggest, smallest first.
ADVISED = np.concatenate([np.arange(1, 100) / 10_000, np.arange(10, 100) / 1_000, np.arange(10, 100) / 100])


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


def edges(bins: int = BINS) -> NDArray[np.float64]:
    """The edges of bins of equal width from 0 to 1; a bin includes its upper edge."""
    return np.arange(bins + 1) / bins


def bin_of(confidence: NDArray[Any], bins: int = BINS) -> NDArray[np.int64]:
    """The number of each confidence's bin, from 0."""
    return np.maximum(np.searchsorted(edges(bins), confidence, side="left") - 1, 0)


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> float:
    """The mean, over all answers, of the distance between mean confidence and share of right answers in their bin."""
    at = bin_of(confidence, bins)
    sums = np.bincount(at, np.asarray(confidence, np.float64), minlength=bins)
    return float(np.abs(sums - np.bincount(at, correct, minlength=bins)).sum() / len(at))


def upper_bound(errors: ArrayLike, accepted: ArrayLike, level: float = LEVEL) -> NDArray[np.float64]:
    """The one-sided exact bound on an error rate, given ``errors`` among ``accepted``; 1 if none were right.

    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    errors, accepted = np.broadcast_arrays(np.asarray(errors), np.asarray(accepted))
    right = accepted - errors
    return np.where(right > 0, betaincinv(errors + 1, np.maximum(right, 1), level), 1.0)


def risks(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> tuple[Threshold, ...]:
    """How many answers each threshold accepts and the errors among them, from the strictest threshold to the laxest.

    A threshold is the confidence of the answer at a share of ``COVERAGES``; it accepts all answers that reach it.
    """
    order = np.argsort(-confidence, kind="stable")
    falling, errors = confidence[order], np.cumsum(~correct[order])
    places = np.ceil(np.append(COVERAGES, 1.0).round(6) * len(falling)).astype(np.int64) - 1
    thresholds = -np.unique(-falling[np.maximum(places, 0)])
    accepted = np.searchsorted(-falling, -thresholds, side="right")
    wrong = errors[accepted - 1]
    return tuple(
        Threshold(float(threshold), int(count), int(mistakes), float(bound))
        for threshold, count, mistakes, bound in zip(
            thresholds, accepted, wrong, upper_bound(wrong, accepted), strict=True
        )
    )


def calibrate(sets: Mapping[str, Sample]) -> Calibration:
    """The calibration of a model, for model.json, from its labelled answers in one set or several, by name.

    The temperature is fitted on all of them, with the same weight for each set. The expected calibration error, the
    mean over the sets, and the thresholds, those of each set the ``risks`` of its clear answers, are of the confidence
    that is ``cross_fitted``: no answer certifies what was fitted on it. Raises ValueError if a set is empty.
    """
    if not sets or not all(len(sample.labels) for sample in sets.values()):
        raise ValueError("nothing to calibrate with: there has to be a set, and an answer in each")
    samples, errors, certified = [*sets.values()], [], []
    for (name, sample), confidence in zip(sets.items(), cross_fitted(samples), strict=True):
        correct = sample.outputs[:, :CLASSES].argmax(axis=1) == sample.labels
        errors.append(expected_calibration_error(confidence, correct))
        clear = sample.clear
        thresholds = risks(confidence[clear], correct[clear]) if clear.any() else ()
        certified.append(CalibrationSet(name, len(sample.labels), thresholds))
    return Calibration(fit_temperature(samples), LEVEL, float(np.mean(errors)), tuple(certified))


def temperature_of(calibration: Calibration | None) -> float:
    """The temperature of a bundle's calibration; without one it is 1, which changes no probability."""
    return calibration.temperature if calibration else 1.0


def rule(calibration: Calibration | None, target_error: float | None, model_name: str) -> dict[str, Any]:
    """The rule of a run, as ``facts.RunFacts`` has it; without a target there is no threshold.

    Besides the weights, it decides confidences and decisions. Raises InputError like ``threshold_for``.
    """
    by_source: dict[str, float | None] = {}
    if calibration and target_error is not None:
        level = calibration.level
        by_source = {each.name: last_certified(each.thresholds, target_error, level) for each in calibration.by_source}
    return {
        "temperature": temperature_of(calibration),
        "beta": calibration.beta if calibration else None,
        "target_error": target_error,
        "threshold": None if target_error is None else threshold_for(calibration, target_error, model_name),
        "by_source": by_source or None,
    }


def threshold_for(calibration: Calibration | None, target_error: float, model_name: str) -> float:
    """The lowest confidence to accept so that at most ``target_error`` of the accepted answers are wrong.

    This holds with 95 % certainty, for scans like the validation digits. Thresholds are tested in order until the bound
    of one exceeds the target; the one before it is returned. The order is fixed, and the first threshold to test is
    chosen by its number of digits alone, so the 95 % hold however many were tested: A. Angelopoulos et al., Learn then
    Test (2021). Raises InputError if the target is not a share or cannot be certified.
    """
    if not 0 < target_error < 1:
        raise InputError(f"--target-error is {target_error:g}; it has to be a share above 0 and below 1, such as 0.005")
    if not calibration:
        raise InputError(
            f"--target-error {target_error:g}: model {model_name} has no calibration, so no error can be certified; "
            "train it again with jobs.train, or leave --target-error out"
        )
    threshold = strictest_certified(calibration, target_error)
    if threshold is not None:
        return threshold
    level = calibration.level
    needed = _least_accepted(0, target_error, level)
    advised = least_certified(calibration, above=target_error)
    remedy = "no larger error can be certified either" if advised is None else f"give {advised:g} or more"
    worst = max(calibration.sets, key=lambda each: more_needed(each, target_error, level))
    raise InputError(
        f"--target-error {target_error:g}: model {model_name} was calibrated on {counted(worst.digits, 'digit')} of "
        f"{worst.name}, too few to certify this error at {100 * level:g} % or with too many errors among them "
        f"({needed:,} answers without one error would do); {remedy}, or use a model that makes fewer errors, or "
        f"calibrate on more labels with jobs.calibrate: {needed_text(worst, target_error, level)}"
    )


def needed_text(of_set: CalibrationSet, target: float, level: float = LEVEL) -> str:
    """How many more right answers a set needs to certify a target error that it does not certify."""
    more = more_needed(of_set, target, level)
    round_up = 10 ** max(len(str(more)) - 2, 0)
    last = of_set.thresholds[-1] if of_set.thresholds else None
    right = last.accepted - last.errors if last else 0
    return f"{target:g} needs about {-(-more // round_up) * round_up:,} more right answers; there are {right:,}"


def more_needed(of_set: CalibrationSet, target: float, level: float = LEVEL) -> int:
    """About how many more right answers a set needs to certify a target error; 0 if it certifies it.

    An estimate: so many that one of its thresholds would certify the error with the errors that it accepts today, if
    that threshold accepts the same share of the new answers. Thresholds beyond the first that fails do not count.
    """
    if last_certified(of_set.thresholds, target, level) is not None:
        return 0
    everything = of_set.thresholds[-1].accepted if of_set.thresholds else 0
    missing = []
    for entry in of_set.thresholds:
        more = _least_accepted(entry.errors, target, level) - entry.accepted
        missing.append(math.ceil(max(more, 1) * everything / entry.accepted))
        if _may_certify(entry, target, level):  # the first that is tested
            break
    return min(missing, default=_least_accepted(0, target, level))


def _least_accepted(errors: int, target: float, level: float) -> int:
    """The fewest accepted answers, so many errors among them, whose bound is at most the target."""
    low, high = errors, 2 * (errors + 10) + math.ceil(10 * (errors + 10) / target)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if upper_bound(errors, middle, level) <= target else (middle, high)
    return high


def least_certified(calibration: Calibration, above: float = 0) -> float | None:
    """The smallest certified target error above ``above`` that a message may suggest; None if there is none."""
    possible = (float(error) for error in ADVISED if strictest_certified(calibration, error) is not None)
    return next((error for error in possible if error > above), None)


def strictest_certified(calibration: Calibration, target: float) -> float | None:
    """The strictest of the thresholds that the sets certify; None if one of them certifies none."""
    found = [last_certified(each.thresholds, target, calibration.level) for each in calibration.sets]
    certified = [threshold for threshold in found if threshold is not None]
    return max(certified) if certified and len(certified) == len(found) else None


def last_certified(thresholds: Sequence[Threshold], target: float, level: float) -> float | None:
    """The laxest of a set's thresholds that certifies a target error; None if none does."""
    passed = None
    for entry in thresholds:
        if not _may_certify(entry, target, level):
            continue
        if entry.error_bound > target:
            break
        passed = entry.threshold
    return passed


def _may_certify(entry: Threshold, target: float, level: float) -> bool:
    """Whether a threshold accepts enough answers to certify a target, if none of them were wrong."""
    return bool(1 - (1 - level) ** (1 / entry.accepted) <= target)


def wilson(correct: NDArray[np.int64], total: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The 95 % interval of a share: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927); 0 to 1 if ``total`` is 0."""
    z = 1.959963984540054
    n = np.maximum(total, 1)
    share = correct / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (centre - half) / scale, (centre + half) / scale
    return np.where(total > 0, np.clip(low, 0, share), 0.0), np.where(total > 0, np.clip(high, share, 1), 1.0)
