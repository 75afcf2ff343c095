"""How well a model reads the digits that were held out, as a whole and digit by digit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.models import answers, calibrating
from mnist_batch.schemas.bundle_facts import DigitValidation, Validation
from mnist_batch.schemas.tables import CLASSES


def validate(outputs: NDArray[Any], labels: NDArray[np.int8]) -> Validation:
    """What model.json records of a model's outputs (N, K) for N > 0 digits that were held out.

    A refused digit is never correct.
    """
    refused = answers.refusals_of(outputs) >= 0
    digits_read = np.where(refused, CLASSES, outputs[:, :CLASSES].argmax(axis=1))
    matrix = np.zeros((CLASSES, CLASSES + 1), np.int64)
    np.add.at(matrix, (labels, digits_read), 1)
    digits, correct, answered = matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0)
    low, high = calibrating.wilson(np.append(correct, correct.sum()), np.append(digits, digits.sum()))
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
        low=float(low[-1]),
        high=float(high[-1]),
        per_class=per_class,
    )
