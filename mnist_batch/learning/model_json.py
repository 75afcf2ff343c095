"""The content of model.json: put together here at the end of a training, and read here by those who train.

``bundle.describe`` adds its format and the digests of the model files, and writes it.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from mnist_batch import versions
from mnist_batch.learning import digits
from mnist_batch.learning.evaluating import Evaluation
from mnist_batch.learning.recipe import Recipe
from mnist_batch.models import calibrating
from mnist_batch.schemas.bundle_facts import BundleFacts, DatasetFacts, DigitValidation, OwnScans, Training, Validation


def content(
    recipe: Recipe,
    facts: DatasetFacts,
    scans: OwnScans | None,
    evaluation: Evaluation,
    parameters: int,
    weights: str,
) -> BundleFacts:
    """What model.json records: how the model was trained, on what, what it is worth and which software made it.

    ``scans`` are the facts of a user's own scans, ``weights`` is the digest of all weights.
    """
    made = asdict(recipe)
    return BundleFacts(
        architecture=recipe.model,
        parameters=parameters,
        training=Training(
            **{item.name: getattr(facts, item.name) for item in fields(facts)},
            **made,
            seeds=tuple(net.seed for net in recipe.nets),
            members=tuple(net.model for net in recipe.nets),
        ),
        scans=scans,
        command=_command(made, facts),
        validation=evaluation.validation,
        weights=weights,
        test=evaluation.test,
        calibration=evaluation.calibration,
        versions=versions.versions(),
        packages=tuple(versions.packages()),
    )


def _command(recipe: Mapping[str, Any], facts: DatasetFacts) -> str:
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in recipe.items()]
    data = [] if facts.data == digits.EMBEDDED else [f"--data {shlex.quote(facts.data)}"]
    start = [f"--from {shlex.quote(facts.begun_from.bundle)}"] if facts.begun_from else []
    return " ".join(["python -m jobs.train", *flags, *data, *start, "--out FOLDER"])


def nets_of(facts: BundleFacts) -> tuple[str, tuple[str, ...] | None]:
    """The name of a model, and of the nets that it averages; None where the bundle does not say."""
    return facts.architecture, facts.training.members if facts.training else None


def summary(facts: BundleFacts) -> dict[str, Any]:
    """The accuracies for a job's last line; those of a user's own scans come with their counts."""
    validation = facts.validation
    assert validation is not None
    accuracies: dict[str, Any] = {"validation_accuracy": validation.accuracy}
    if facts.scans:
        names = ("digits", "correct", "refused", "low", "high")
        accuracies |= {f"validation_{name}": getattr(validation, name) for name in names}
    if validation.before:
        accuracies["validation_accuracy_before"] = validation.before.accuracy
    return {**accuracies, "test_accuracy": facts.test.accuracy}


def text(facts: BundleFacts) -> str:
    """The evaluation of a model as a terminal shows it; for one trained on a user's scans, those held out first."""
    validation, test, training = facts.validation, facts.test, facts.training
    if not (facts.scans and validation and training and facts.calibration):
        return f"{facts.architecture}: MNIST test accuracy {100 * test.accuracy:.2f} %"
    own = f"held-out scans of {training.data}"
    lines = [f"{facts.architecture}: {_correct(validation, own)}"]
    if validation.refused:
        lines.append(f"{validation.refused:,} of them refused as no digit, or several")
    if validation.before and training.begun_from:
        begun_from = training.begun_from.bundle
        lines.append(f"before fine-tuning, {begun_from}: {_correct(validation.before, 'of the same')}")
    lines.append(_table(validation.per_class, facts.scans.learned))
    certified = calibrating.least_certified(facts.calibration)
    if certified is None:
        lines.append("The held-out scans certify no --target-error: hold out more, by training on more")
    else:
        lines.append(f"The held-out scans certify a --target-error of {certified:g} or more; more scans, a smaller one")
    lines.append(
        f"for comparison, {100 * test.accuracy:.2f} % of {test.digits:,} MNIST test digits, which are not yours"
    )
    return "\n".join(lines)


def _correct(validation: Validation, what: str) -> str:
    share, low, high = (100 * getattr(validation, name) for name in ("accuracy", "low", "high"))
    counts = f"{validation.correct:,} of {validation.digits:,} {what} read correctly"
    return f"{counts}: {share:.2f} % (95 % interval {low:.1f} to {high:.1f} %)"


def _table(per_class: Sequence[DigitValidation], learned: Sequence[int]) -> str:
    def rate(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = [
        {
            "digit": row.digit,
            "learned": f"{count:,}",
            "held_out": f"{row.digits:,}",
            "correct": f"{row.correct:,}",
            "refused": f"{row.refused:,}",
            "precision": rate(row.precision),
            "recall": rate(row.recall),
            "recall_low": rate(row.low),
            "recall_high": rate(row.high),
        }
        for row, count in zip(per_class, learned, strict=True)
    ]
    return pd.DataFrame(rows).to_string(index=False)
