"""How well a model reads the digits that were held out, as a whole and digit by digit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning.digits import UNKNOWN
from mnist_batch.models import answers, intervals
from mnist_batch.schemas.bundle_facts import DigitValidation, Validation
from mnist_batch.schemas.tables import CLASSES

RESAMPLES = 10_000


def validate(outputs: NDArray[Any], labels: NDArray[np.int8], writers: NDArray[np.int16] | None = None) -> Validation:
    """What model.json records of a model's outputs (N, K) for N > 0 digits that were held out.

    A refused digit is never correct. Where two ``writers`` or more are known, int16 (N,), the interval of the accuracy
    is found by resampling them: digits of one writer are alike.
    """
    refused = answers.refusals_of(outputs) >= 0
    digits_read = np.where(refused, CLASSES, outputs[:, :CLASSES].argmax(axis=1))
    matrix = np.zeros((CLASSES, CLASSES + 1), np.int64)
    np.add.at(matrix, (labels, digits_read), 1)
    digits, correct, answered = matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0)
    low, high = intervals.wilson(np.append(correct, correct.sum()), np.append(digits, digits.sum()))
    ends = float(low[-1]), float(high[-1])
    known = None if writers is None or writers.min() == UNKNOWN else len(np.unique(writers))
    if writers is not None and known and known > 1:
        ends = by_writer(digits_read == labels, writers)
    per_class = tuple(
        DigitValidation(
            digit=digit,
            digits=int(digits[digit]),
            correct=int(correct[digit]),
            refused=int(matrix[digit, CLASSES]),
            precision=float(correct[digit] / answered[digit]) if answered[digit] else None,
            recall=float(correct[digit] / digits[digit]) if digits[digit] else None,
            low=float(low[digit]) if digits[digit] else None,
            high=float(high[digit]) if digits[digit] else None,
        )
        for digit in range(CLASSES)
    )
    return Validation(
        digits=len(labels),
        accuracy=float(correct.sum() / len(labels)),
        correct=int(correct.sum()),
        refused=int(refused.sum()),
        low=ends[0],
        high=ends[1],
        writers=known,
        per_class=per_class,
    )


def by_writer(correct: NDArray[np.bool_], writers: NDArray[np.int16]) -> tuple[float, float]:
    """The 95 % interval of a share, by the bootstrap over writers: B. Efron, Ann. Stat. 7 (1979).

    ``correct`` is bool (N,). Each resample draws as many writers as there are, with replacement, each with all digits.
    """
    _, number = np.unique(writers, return_inverse=True)
    right, total = np.bincount(number, correct), np.bincount(number)
    drawn = np.random.default_rng(0).integers(len(total), size=(RESAMPLES, len(total)))
    low, high = np.quantile(right[drawn].sum(axis=1) / total[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)
