"""The content of model.json: put together here at the end of a training, and read here by those who train.

``bundle.describe`` adds its format and the digests of the model files, and writes it.
"""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from mnist_batch import versions
from mnist_batch.learning import digits
from mnist_batch.learning.evaluating import Evaluation
from mnist_batch.learning.recipe import DatasetFacts, Recipe
from mnist_batch.models import calibrating


def content(
    recipe: Recipe,
    facts: DatasetFacts,
    scans: Mapping[str, Any] | None,
    evaluation: Evaluation,
    parameters: int,
    weights: str,
) -> dict[str, Any]:
    """What model.json records: how the model was trained, on what, what it is worth and which software made it.

    ``scans`` are the facts of a user's own scans, ``weights`` is the digest of all weights.
    """
    made = asdict(recipe)
    return {
        "architecture": recipe.model,
        "parameters": parameters,
        "training": {
            **facts.recorded(),
            **made,
            "seeds": [net.seed for net in recipe.nets],
            "members": [net.model for net in recipe.nets],
        },
        **({"scans": scans} if scans else {}),
        "command": _command(made, facts),
        "validation": evaluation.validation,
        "weights": weights,
        "test": evaluation.test,
        "calibration": evaluation.calibration,
        "versions": versions.versions(),
        "packages": versions.packages(),
    }


def _command(recipe: Mapping[str, Any], facts: DatasetFacts) -> str:
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in recipe.items()]
    data = [] if facts.data == digits.EMBEDDED else [f"--data {shlex.quote(facts.data)}"]
    start = [f"--from {shlex.quote(facts.start['bundle'])}"] if facts.start else []
    return " ".join(["python -m jobs.train", *flags, *data, *start, "--out FOLDER"])


def nets_of(info: Mapping[str, Any]) -> tuple[str, tuple[str, ...] | None]:
    """The name of a model, and of the nets that it averages; None where the bundle does not say."""
    members = info.get("training", {}).get("members")
    return str(info["architecture"]), None if members is None else tuple(members)


def summary(info: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracies for a job's last line; those of a user's own scans come with their counts."""
    validation = info["validation"]
    accuracies = {"validation_accuracy": validation["accuracy"]}
    if "scans" in info:
        names = ("digits", "correct", "refused", "low", "high")
        accuracies |= {f"validation_{name}": validation[name] for name in names}
    if "before" in validation:
        accuracies["validation_accuracy_before"] = validation["before"]["accuracy"]
    return {**accuracies, "test_accuracy": info["test"]["accuracy"]}


def text(info: Mapping[str, Any]) -> str:
    """The evaluation of a model as a terminal shows it; for one trained on a user's scans, those held out first."""
    validation, test = info["validation"], info["test"]
    if "scans" not in info:
        return f"{info['architecture']}: MNIST test accuracy {100 * test['accuracy']:.2f} %"
    own = f"held-out scans of {info['training']['data']}"
    lines = [f"{info['architecture']}: {_correct(validation, own)}"]
    if validation["refused"]:
        lines.append(f"{validation['refused']:,} of them refused as no digit, or several")
    if "before" in validation:
        begun_from = info["training"]["from"]["bundle"]
        lines.append(f"before fine-tuning, {begun_from}: {_correct(validation['before'], 'of the same')}")
    lines.append(_table(validation["per_class"], info["scans"]["learned"]))
    certified = calibrating.least_certified(info["calibration"])
    if certified is None:
        lines.append("The held-out scans certify no --target-error: hold out more, by training on more")
    else:
        lines.append(f"The held-out scans certify a --target-error of {certified:g} or more; more scans, a smaller one")
    lines.append(
        f"for comparison, {100 * test['accuracy']:.2f} % of {test['digits']:,} MNIST test digits, which are not yours"
    )
    return "\n".join(lines)


def _correct(validation: Mapping[str, Any], what: str) -> str:
    share, low, high = (100 * validation[name] for name in ("accuracy", "low", "high"))
    counts = f"{validation['correct']:,} of {validation['digits']:,} {what} read correctly"
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
