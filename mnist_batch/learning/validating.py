"""What a model makes of the digits that were held out: its accuracy, as a whole and digit by digit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_batch.models import answers, calibrating
from mnist_batch.schemas.tables import CLASSES


def validate(outputs: NDArray[Any], labels: NDArray[np.int8]) -> dict[str, Any]:
    """What model.json says of a model's outputs (N, K) for N > 0 digits that were held out.

    The keys are ``digits``, ``correct``, ``refused`` (as what is no digit, which is never correct), ``accuracy``, its
    95 % Wilson interval from ``low`` to ``high``, and ``per_class``: ten times the same of one digit, whose accuracy
    is called ``recall``; ``precision`` is the share of the answers with this digit that are correct. Rates of a digit
    of which there is none are None.
    """
    refused = answers.refusals_of(outputs) >= 0
    digits_read = np.where(refused, CLASSES, outputs[:, :CLASSES].argmax(axis=1))
    matrix = np.zeros((CLASSES, CLASSES + 1), np.int64)
    np.add.at(matrix, (labels, digits_read), 1)
    digits, correct, answered = matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0)
    low, high = calibrating.wilson(np.append(correct, correct.sum()), np.append(digits, digits.sum()))
    per_class = [
        {
            "digit": digit,
            "digits": int(digits[digit]),
            "correct": int(correct[digit]),
            "refused": int(matrix[digit, CLASSES]),
            "precision": float(correct[digit] / answered[digit]) if answered[digit] else None,
            "recall": float(correct[digit] / digits[digit]) if digits[digit] else None,
            "low": float(low[digit]) if digits[digit] else None,
            "high": float(high[digit]) if digits[digit] else None,
        }
        for digit in range(CLASSES)
    ]
    return {
        "digits": len(labels),
        "correct": int(correct.sum()),
        "refused": int(refused.sum()),
        "accuracy": float(correct.sum() / len(labels)),
        "low": float(low[-1]),
        "high": float(high[-1]),
        "per_class": per_class,
    }


def text(info: Mapping[str, Any]) -> str:
    """What model.json says of a training on a user's own scans, for a terminal: the held-out ones first."""
    found, begun, test = info["validation"], info["validation"].get("before"), info["test"]
    own = f"held-out scans of {info['training']['data']}"
    lines = [f"{info['architecture']}: {_of(found, own)}"]
    if found["refused"]:
        lines.append(f"{found['refused']:,} of them refused as no digit, or several")
    if begun:
        lines.append(f"before fine-tuning, {info['training']['from']['bundle']}: {_of(begun, 'of the same')}")
    lines.append(_table(found["per_class"], info["scans"]["learned"]))
    certified = calibrating.least_certified(info["calibration"])
    if certified is None:
        lines.append("The held-out scans certify no --target-error: hold out more, by training on more")
    else:
        lines.append(f"The held-out scans certify a --target-error of {certified:g} or more; more scans, a smaller one")
    lines.append(
        f"for comparison, {100 * test['accuracy']:.2f} % of {test['digits']:,} MNIST test digits, which are not yours"
    )
    return "\n".join(lines)


def _of(found: Mapping[str, Any], what: str) -> str:
    share, low, high = (100 * found[name] for name in ("accuracy", "low", "high"))
    counts = f"{found['correct']:,} of {found['digits']:,} {what} read rightly"
    return f"{counts}: {share:.2f} % (95 % interval {low:.1f} to {high:.1f} %)"


def _table(per_class: list[Mapping[str, Any]], learned: list[int]) -> str:
    def rate(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = [
        {
            "digit": row["digit"],
            "learned": f"{count:,}",
            "held_out": f"{row['digits']:,}",
            "correct": f"{row['correct']:,}",
            "refused": f"{row['refused']:,}",
            **{name: rate(row[name]) for name in ("precision", "recall")},
            **{f"recall_{name}": rate(row[name]) for name in ("low", "high")},
        }
        for row, count in zip(per_class, learned, strict=True)
    ]
    return pd.DataFrame(rows).to_string(index=False)
