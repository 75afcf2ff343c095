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
from mnist_batch.learning.recipe import MNIST, Recipe
from mnist_batch.models import certifying
from mnist_batch.schemas.bundle_facts import (
    BegunFrom,
    BundleFacts,
    DatasetFacts,
    DigitValidation,
    OwnScans,
    Training,
    Validation,
)


def content(
    recipe: Recipe,
    facts: DatasetFacts,
    scans: Mapping[str, OwnScans],
    evaluation: Evaluation,
    parameters: int,
    weights: str,
) -> BundleFacts:
    """What model.json records: how the model was trained, on what, what it is worth and which software made it.

    ``scans`` are the facts of a user's own scans, by location; ``weights`` is the digest of all weights.
    """
    made = asdict(recipe)
    return BundleFacts(
        architecture=recipe.model,
        parameters=parameters,
        training=Training(
            **{item.name: getattr(facts, item.name) for item in fields(facts)},
            **made,
            seeds=tuple(net.seed for net in recipe.nets[recipe.kept :]),
            members=tuple(net.model for net in recipe.nets),
        ),
        scans=dict(scans),
        command=_command(made, facts),
        validation=evaluation.validation,
        weights=weights,
        test=evaluation.test,
        calibration=evaluation.calibration,
        first_calibration=evaluation.first_calibration,
        versions=versions.versions(),
        packages=tuple(versions.packages()),
    )


def _command(recipe: Mapping[str, Any], facts: DatasetFacts) -> str:
    given = {
        name.replace("_", "-"): value for name, value in recipe.items() if value is not None and value is not False
    }
    flags = [f"--{name}" if value is True else f"--{name} {value}" for name, value in given.items()]
    named = [MNIST if one.location == digits.EMBEDDED else one.location for one in facts.data]
    weights = [one.weight for one in facts.data]
    if named != [MNIST]:
        flags += [f"--data {shlex.quote(name)}" for name in named]
    if set(weights) != {1}:
        flags += [f"--weight {weight}" for weight in weights]
    start = [f"--from {shlex.quote(facts.begun_from.bundle)}"] if facts.begun_from else []
    return " ".join(["python -m jobs.train", *flags, *start, "--out FOLDER"])


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
    if validation.by_data:
        accuracies["validation_accuracies"] = {name: one.accuracy for name, one in validation.by_data.items()}
    return {**accuracies, "test_accuracy": facts.test.accuracy}


def text(facts: BundleFacts) -> str:
    """The evaluation of a model as a terminal shows it; for one trained on a user's scans, those held out first."""
    validation, test, training = facts.validation, facts.test, facts.training
    if not (facts.scans and validation and training and facts.calibration):
        return f"{facts.architecture}: MNIST test accuracy {100 * test.accuracy:.2f} %"
    parts = validation.by_data or {training.data[0].location: validation}
    lines = []
    if len(parts) > 1:
        each = [f"{name} {100 * one.accuracy:.2f} % of {one.digits:,}" for name, one in parts.items()]
        lines.append(f"{facts.architecture}, held-out digits read correctly: {', '.join(each)}")
    for name, scans in facts.scans.items():
        lines += _own(facts.architecture, name, parts[name], scans.learned, training.begun_from)
    certified = certifying.least_certified(facts.calibration)
    if certified is None:
        lines.append("The held-out scans certify no --target-error: hold out more, by training on more")
    else:
        lines.append(f"The held-out scans certify a --target-error of {certified:g} or more; more scans, a smaller one")
    lines.append(
        f"for comparison, {100 * test.accuracy:.2f} % of {test.digits:,} MNIST test digits, which are not yours"
    )
    return "\n".join(lines)


def _own(
    architecture: str, location: str, found: Validation, learned: Sequence[int], begun_from: BegunFrom | None
) -> list[str]:
    """How the held-out scans of one data set are read."""
    lines = [f"{architecture}: {_correct(found, f'held-out scans of {location}')}"]
    if found.refused:
        lines.append(f"{found.refused:,} of them refused as no digit, or several")
    if found.before and begun_from:
        lines.append(f"before fine-tuning, {begun_from.bundle}: {_correct(found.before, 'of the same')}")
    return [*lines, _table(found.per_class, learned)]


def _correct(validation: Validation, what: str) -> str:
    share, low, high = (100 * getattr(validation, name) for name in ("accuracy", "low", "high"))
    counts = f"{validation.correct:,} of {validation.digits:,} {what} read correctly"
    writers = f" over {validation.writers} writers" if (validation.writers or 0) > 1 else ""
    return f"{counts}: {share:.2f} % (95 % interval{writers} {low:.1f} to {high:.1f} %)"


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
