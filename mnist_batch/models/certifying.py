"""What labelled answers certify: the error above each threshold of confidence, and the threshold for an error."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.models.intervals import upper_bound
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet, Threshold
from mnist_batch.wording import counted

LEVEL = 0.95  # how sure it is that an error is no larger than its bound
# Shares of the validation digits to accept, fixed before any error is known; closer together where most runs end up.
COVERAGES = np.concatenate([np.arange(0.50, 0.96, 0.01), np.arange(0.96, 1, 0.0025)])
# Target errors that a message may suggest, smallest first.
ADVISED = np.concatenate([np.arange(1, 100) / 10_000, np.arange(10, 100) / 1_000, np.arange(10, 100) / 100])


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
            thresholds, accepted, wrong, upper_bound(wrong, accepted, LEVEL), strict=True
        )
    )


def rule(calibration: Calibration | None, target_error: float | None, model_name: str) -> dict[str, Any]:
    """The rule of a run, as ``facts.RunFacts`` has it; without a target there is no threshold.

    Besides the weights, it decides confidences and decisions. Raises InputError like ``threshold_for``.
    """
    by_source: dict[str, float | None] = {}
    if calibration and target_error is not None:
        level = calibration.level
        by_source = {each.name: last_certified(each.thresholds, target_error, level) for each in calibration.by_source}
    return {
        "temperature": calibration.temperature if calibration else 1.0,
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
