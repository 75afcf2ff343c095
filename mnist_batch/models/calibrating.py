"""What a model's confidence is worth: its temperature, its error above a threshold, the threshold for an error."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnist_batch.errors import InputError
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.wording import counted

BINS = 15
LEVEL = 0.95
DOUBTED_FROM = 0.05  # of a model's outputs, those for what is no digit
LEAST, MOST = 0.05, 20.0  # temperatures looked at
# Shares of the validation digits that are accepted, fixed before any error is looked at; finer where most runs end.
COVERAGES = np.concatenate([np.arange(0.50, 0.90, 0.05), [0.90, 0.92, 0.94, 0.95, 0.955], np.arange(0.96, 1, 0.0025)])
# Errors that a message may advise, from the smallest.
ADVISED = np.concatenate([np.arange(1, 100) / 10_000, np.arange(10, 100) / 1_000, np.arange(10, 100) / 100])


def tempered(outputs: NDArray[Any], temperature: float) -> NDArray[np.float32]:
    """A model's outputs made probabilities of the ten digits, float32 (N, 10).

    ``outputs`` is (N, K), sigmoid or softmax, of which the first ten columns are the digits. Each is taken to the
    power 1 / ``temperature`` and divided by their sum; ten equal ones where all are 0.
    """
    digits = outputs[:, :CLASSES].astype(np.float64)
    # By the largest first: a power of small outputs would be 0 for all ten.
    largest = digits.max(axis=1, keepdims=True, initial=0)
    powers = np.where(largest > 0, digits / np.where(largest > 0, largest, 1), 1.0) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def refusal_shares(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """The share of a model's outputs (N, K) that is not of the ten digits, float64 (N,); 0 for a model with ten."""
    totals = np.maximum(outputs.sum(axis=1, dtype=np.float64), np.finfo(np.float32).tiny)
    return np.asarray(outputs[:, CLASSES:].sum(axis=1, dtype=np.float64) / totals, np.float64)


def doubted(outputs: NDArray[Any]) -> NDArray[np.bool_]:
    """Which answers are never accepted, however sure of their digit: those that may be no digit at all."""
    return refusal_shares(outputs) >= DOUBTED_FROM


def fit_temperature(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    """The temperature with the least mean negative log likelihood of the labels, from 0.05 to 20.

    C. Guo et al., On Calibration of Modern Neural Networks, ICML (2017). It is higher where the mean confidence would
    be above (right answers + 1) / (digits + 2), Laplace's rule of succession: a hundred digits without a mistake do not
    make a model sure of everything.
    """
    from scipy.optimize import brentq, minimize_scalar  # scipy is not for every actor that only reads a temperature
    from scipy.special import logsumexp

    logs = np.log(np.maximum(outputs[:, :CLASSES].astype(np.float64), np.finfo(np.float32).tiny))
    of_labels = np.take_along_axis(logs, np.asarray(labels, np.int64)[:, None], axis=1)[:, 0]
    largest = logs.max(axis=1)

    def loss(log_temperature: float) -> float:
        power = math.exp(-log_temperature)
        return float(np.mean(logsumexp(logs * power, axis=1) - of_labels * power))

    def too_sure(log_temperature: float) -> float:
        power = math.exp(-log_temperature)
        return float(np.mean(np.exp(largest * power - logsumexp(logs * power, axis=1)))) - most

    most = (int((of_labels == largest).sum()) + 1) / (len(labels) + 2)
    found = float(minimize_scalar(loss, bounds=(math.log(LEAST), math.log(MOST)), method="bounded").x)
    if too_sure(found) > 0 > too_sure(math.log(MOST)):
        found = float(brentq(too_sure, found, math.log(MOST)))
    return math.exp(found)


def edges(bins: int = BINS) -> NDArray[np.float64]:
    """The ends of bins of equal width from 0 to 1; a bin holds its upper end."""
    return np.arange(bins + 1) / bins


def bin_of(confidence: NDArray[Any], bins: int = BINS) -> NDArray[np.int64]:
    """The number of the bin, from 0, that each confidence falls into."""
    return np.maximum(np.searchsorted(edges(bins), confidence, side="left") - 1, 0)


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> float:
    """The mean distance, over all answers, from the mean confidence of their bin to its share of right ones."""
    at = bin_of(confidence, bins)
    sums = np.bincount(at, np.asarray(confidence, np.float64), minlength=bins)
    return float(np.abs(sums - np.bincount(at, correct, minlength=bins)).sum() / len(at))


def upper_bound(errors: ArrayLike, accepted: ArrayLike, level: float = LEVEL) -> NDArray[np.float64]:
    """The one-sided exact bound on an error rate of which ``errors`` among ``accepted`` were seen; 1 where none were.

    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    errors, accepted = np.broadcast_arrays(np.asarray(errors), np.asarray(accepted))
    right = accepted - errors
    return np.where(right > 0, betaincinv(errors + 1, np.maximum(right, 1), level), 1.0)


def risks(confidence: NDArray[np.float32], correct: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """How many answers each threshold accepts, with the errors among them, from the strictest to the laxest.

    A threshold is the confidence of the answer at a share of ``COVERAGES``; it accepts all that reach it.
    """
    order = np.argsort(-confidence, kind="stable")
    falling, errors = confidence[order], np.cumsum(~correct[order])
    places = np.ceil(np.append(COVERAGES, 1.0).round(6) * len(falling)).astype(np.int64) - 1
    thresholds = -np.unique(-falling[np.maximum(places, 0)])
    accepted = np.searchsorted(-falling, -thresholds, side="right")
    wrong = errors[accepted - 1]
    return [
        {"threshold": float(threshold), "accepted": int(taken), "errors": int(missed), "error_bound": float(bound)}
        for threshold, taken, missed, bound in zip(
            thresholds, accepted, wrong, upper_bound(wrong, accepted), strict=True
        )
    ]


def calibrate(outputs: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """What model.json says of a model's confidence, from its outputs (N, K) for N > 0 validation digits.

    The keys are ``digits``, ``temperature``, ``level`` of the bounds, ``expected_calibration_error`` at this
    temperature and ``thresholds``, from ``risks`` of the digits that are not ``doubted``.
    """
    temperature = fit_temperature(outputs, labels)
    probabilities = tempered(outputs, temperature)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    clear = ~doubted(outputs)
    return {
        "digits": len(labels),
        "temperature": temperature,
        "level": LEVEL,
        "expected_calibration_error": expected_calibration_error(confidence, correct),
        "thresholds": risks(confidence[clear], correct[clear]) if clear.any() else [],
    }


def temperature_of(calibration: Mapping[str, Any] | None) -> float:
    """The temperature of a bundle's calibration; 1, which leaves probabilities as they are, where it has none."""
    return float(calibration["temperature"]) if calibration else 1.0


def rule(calibration: Mapping[str, Any] | None, target_error: float | None, model_name: str) -> dict[str, float | None]:
    """What decides confidences and decisions besides the weights: ``temperature``, ``target_error``, ``threshold``.

    Without a target there is no threshold. Raises InputError as ``threshold_for`` does.
    """
    threshold = None if target_error is None else threshold_for(calibration, target_error, model_name)
    return {"temperature": temperature_of(calibration), "target_error": target_error, "threshold": threshold}


def threshold_for(calibration: Mapping[str, Any] | None, target_error: float, model_name: str) -> float:
    """The least confidence to accept so that at most ``target_error`` of the accepted are wrong, with 95 % certainty.

    Thresholds are tested in their order, up to the first whose bound is above the target; the one before it is
    the answer. The order is fixed and the first one tested is chosen by its number of digits alone, so that the
    95 % hold for the threshold that is chosen, however many were tested: A. Angelopoulos et al., Learn then Test
    (2021). They hold for scans like the validation digits. Raises InputError where the target is no share or
    cannot be certified.
    """
    if not 0 < target_error < 1:
        raise InputError(f"--target-error is {target_error:g}; it has to be a share above 0 and below 1, such as 0.005")
    if not calibration:
        raise InputError(
            f"--target-error {target_error:g}: model {model_name} has no calibration, so that no error can be "
            "promised; train it again with jobs.train, or leave --target-error out"
        )
    thresholds, level = calibration["thresholds"], calibration["level"]
    found = _last_certified(thresholds, target_error, level)
    if found is not None:
        return float(found)
    needed = math.ceil(math.log(1 - level) / math.log1p(-target_error))
    advised = least_certified(calibration, above=target_error)
    remedy = "no larger error can be certified either" if advised is None else f"give {advised:g} or more"
    raise InputError(
        f"--target-error {target_error:g}: model {model_name} was calibrated on "
        f"{counted(calibration['digits'], 'digit')}, which do not certify that at {100 * level:g} % "
        f"({needed:,} answers without one error would); {remedy}, or take a model that makes fewer errors or was "
        "calibrated on more digits"
    )


def least_certified(calibration: Mapping[str, Any], above: float = 0) -> float | None:
    """The smallest error above ``above``, of those that a message may advise, that is certified; None for none."""
    thresholds, level = calibration["thresholds"], calibration["level"]
    possible = (float(error) for error in ADVISED if _last_certified(thresholds, error, level) is not None)
    return next((error for error in possible if error > above), None)


def _last_certified(thresholds: Sequence[Mapping[str, Any]], target: float, level: float) -> float | None:
    passed = None
    for entry in thresholds:
        if 1 - (1 - level) ** (1 / entry["accepted"]) > target:  # not even without one error
            continue
        if entry["error_bound"] > target:
            break
        passed = entry["threshold"]
    return passed


def wilson(correct: NDArray[np.int64], total: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The 95 % interval of a share: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927); 0 to 1 where total is 0."""
    z = 1.959963984540054
    n = np.maximum(total, 1)
    share = correct / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (centre - half) / scale, (centre + half) / scale
    return np.where(total > 0, np.clip(low, 0, share), 0.0), np.where(total > 0, np.clip(high, share, 1), 1.0)
