"""How sure numbers on forms are: confidence beside the share that is right, and whether the promise for fields holds.

    python -m benchmarks.field_values --data numbers.parquet

Numbers of 1 to 12 digits are put together from real answers, each number from digits of one writer, with and without a
check digit by Luhn. Prints the tables of docs/forms.md and keeps them in benchmarks/field_values.json. The Parquet file
has columns png, label, writer and part, of which the part named calibrate is used without its wrong labels.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from stdnum import luhn

from benchmarks.calibrating import answered
from mnist_batch.forms.checks import Check
from mnist_batch.forms.form import Box, Digits, Field, Form
from mnist_batch.forms.spans import CellAnswer
from mnist_batch.forms.values import FieldValue, values_of_copy
from mnist_batch.learning import digits
from mnist_batch.models import bundle, calibrating, certifying, field_rule
from mnist_batch.models.answers import Model, ModelSpec
from mnist_batch.models.calibrating import Sample
from mnist_batch.pixels import decoding
from mnist_batch.reading.images import content_digest
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/field_values.json"
LENGTHS = (1, 2, 3, 5, 8, 12)
NUMBERS, SPLITS, TARGETS = 4_000, 100, (0.005, 0.01, 0.02)
PROMISED = (1, 3, 5, 8)  # the digits that the page shows
MNIST_PEOPLE = 20  # MNIST is in the order of its writers, who are not named: so many runs of digits stand for them
STATUSES = {False: "not_a_digit", True: "ok"}


class Writer(NamedTuple):
    """The answers to the digits of a writer, and where each label is among them."""

    probabilities: NDArray[Any]
    digit: NDArray[Any]
    clear: NDArray[Any]
    labels: NDArray[Any]

    @property
    def sample(self) -> Sample:
        """Its answers, to calibrate with."""
        some = self.digit >= 0
        return Sample(self.probabilities[some], self.labels[some], self.clear[some])


def writers(model: str, data: str | None) -> dict[str, list[Writer]]:
    """The writers of each set."""
    reader, test = Model.open(ModelSpec(model)), digits.mnist("test")
    people = np.arange(len(test.labels)) * MNIST_PEOPLE // len(test.labels)
    sets = {"MNIST test": ([*(255 - test.images)], test.labels.astype(np.int64), people)}
    if data:
        rows = pq.read_table(data, filters=[("part", "=", "calibrate")]).to_pylist()
        contents = [content_digest(row["png"]) for row in rows]
        wrong = digits.wrongly_labelled(contents, np.array([row["label"] for row in rows], np.int8))
        rows = [row for row, is_wrong in zip(rows, wrong, strict=True) if not is_wrong]
        labels, people = (np.array([row[name] for row in rows]) for name in ("label", "writer"))
        sets["7 writers"] = ([decoding.picture("PNG", row["png"]) for row in rows], labels, people)
    found = {}
    for name, (pages, labels, people) in sets.items():
        of = answered(reader, pages, labels.tolist())
        each = [people == person for person in np.unique(people)]
        parts = (of.sample.outputs, of.digit, of.sample.clear, labels)
        found[name] = [Writer(*(part[mine] for part in parts)) for mine in each]
    return found


class Number(NamedTuple):
    """A number that a writer wrote: which writer, what was read, and whether that is right."""

    writer: int
    value: FieldValue
    right: bool


def numbers(people: Sequence[Writer], length: int, check: Check | None, count: int | None = None) -> list[Number]:
    """``count`` numbers of so many digits, each of one writer's digits drawn at random; the last is the check digit.

    Without a count there are as many as there are if no digit but a check digit is used twice.
    """
    rng = np.random.default_rng([length, check is not None])
    field = Field("n", 0, (Box(0, 0, 1, 1),) * length, Digits(length, length), check=check)
    form = Form("form", None, (), (field,))
    found = []
    for number, writer in enumerate(people):
        order = rng.permutation(len(writer.labels))
        for at in range(len(order) // length if count is None else count // len(people)):
            places = order[at * length :][:length].copy()
            if count is not None:
                places = rng.choice(len(order), length, replace=False)
            if check:
                last = luhn.calc_check_digit("".join(map(str, writer.labels[places[:-1]])))
                places[-1] = rng.choice(np.flatnonzero(writer.labels == int(last)))
            cells = [
                CellAnswer(STATUSES[bool(writer.digit[at] >= 0)], writer.probabilities[at], not writer.clear[at])
                for at in places
            ]
            [value] = values_of_copy(form, [(field, cells)])
            found.append(Number(number, value, value.value == "".join(map(str, writer.labels[places]))))
    return found


def reliability(everything: Sequence[Number]) -> dict[str, Any]:
    """How right the confidence of clear numbers is; that of the least sure digit instead, for comparison."""
    some = [each for each in everything if each.value.clear]
    right = np.array([each.right for each in some])
    sure = np.array([each.value.confidence or 0.0 for each in some])
    repaired = np.array([each.value.least_sure == 0 for each in some])
    least = np.array([each.value.least_sure or each.value.confidence for each in some])
    top = sure >= 0.99

    def mean(values: NDArray[Any], which: NDArray[np.bool_]) -> float | None:
        return float(values[which].mean()) if which.any() else None

    return {
        "clear": len(some) / len(everything),
        "right": float(right.mean()),
        "confidence": float(sure.mean()),
        "expected_calibration_error": calibrating.expected_calibration_error(sure, right),
        "least_sure_error": calibrating.expected_calibration_error(least, right),
        "top": float(top.mean()),
        "top_confidence": mean(sure, top),
        "top_right": mean(right, top),
        "repaired": float(repaired.mean()),
        "repaired_right": mean(right, repaired),
        "repaired_confidence": mean(sure, repaired),
    }


def certified(name: str, sure: NDArray[Any], right: NDArray[Any]) -> CalibrationSet:
    """The thresholds that labelled answers or fields certify."""
    thresholds = certifying.risks(sure.astype(np.float32), right) if len(right) else ()
    return CalibrationSet(name, len(right), thresholds)


def by_digits(people: Sequence[Writer]) -> Calibration:
    """A calibration by the labelled digits of some writers; their confidence stays as it is."""
    outputs, labels, clear = map(np.concatenate, zip(*(writer.sample for writer in people), strict=True))
    right = outputs.argmax(axis=1) == labels
    return Calibration(1, certifying.LEVEL, 0, (certified("digits", outputs.max(axis=1)[clear], right[clear]),))


def by_fields(everything: Sequence[Number]) -> Calibration:
    """A calibration by labelled fields."""
    some = [each for each in everything if each.value.clear]
    sure, right = np.array([each.value.confidence for each in some]), np.array([each.right for each in some])
    return Calibration(1, certifying.LEVEL, 0, (), fields=certified("fields", sure, right))


def promise(people: Sequence[Writer], labelled: Sequence[Number], everything: Sequence[Number]) -> list[dict[str, Any]]:
    """Splits over writers: half of them calibrate, the others are read; a row for each way to calibrate and target."""
    found: dict[tuple[str, float], list[tuple[float, float, bool]]] = {}
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(people)).tolist()
        mine = order[: (len(people) + 1) // 2]
        known = [each for each in labelled if each.writer in mine]
        read = [each for each in everything if each.writer not in mine]
        right = np.array([each.right for each in read])
        for way, made in (("digits", by_digits([people[at] for at in mine])), ("fields", by_fields(known))):
            for target in TARGETS:
                rule = field_rule.thresholds(made, target)
                accepted = np.array([field_rule.accepts(rule, each.value) for each in read])
                wrong = float((accepted & ~right).sum() / max(accepted.sum(), 1))
                found.setdefault((way, target), []).append((float(accepted.mean()), wrong, wrong <= target))
    rows = []
    for (way, target), splits in found.items():
        accepted, errors, kept = np.array(splits).T
        worth = {"accepted": float(np.median(accepted)), "nothing": float((accepted == 0).mean())}
        rows.append(
            {"way": way, "target": target} | worth | {"wrong": float(errors.mean()), "kept": float(kept.mean())}
        )
    return rows


def measure(model: str, data: str | None) -> dict[str, list[dict[str, Any]]]:
    """The rows of both tables."""
    found: dict[str, list[dict[str, Any]]] = {"reliability": [], "promise": []}
    for name, people in writers(model, data).items():
        for check in (None, Check("luhn")):
            for length in LENGTHS[check is not None :]:
                of = {"set": name, "digits": length, "check": check.name if check else None}
                labelled, everything = numbers(people, length, check), numbers(people, length, check, NUMBERS)
                found["reliability"].append(of | reliability(everything))
                found["promise"] += [of | row for row in promise(people, labelled, everything)]
                print(found["reliability"][-1], *found["promise"][-len(TARGETS) * 2 :], sep="\n", flush=True)
    return found


def reliability_table(found: dict[str, list[dict[str, Any]]]) -> str:
    """How right confidence is, as docs/forms.md shows it."""
    lines = ["| numbers | digits | check | read, % | right, % | confidence, % | ECE | ECE of the least sure digit |"]
    lines[0] += " right from 0.99 on, % | repaired, % | right, % | confidence, % |"
    lines.append("|---" * 12 + "|")
    for row in found["reliability"]:
        shares = " | ".join(_percent(row[name]) for name in ("clear", "right", "confidence"))
        errors = f"{row['expected_calibration_error']:.4f} | {row['least_sure_error']:.4f}"
        rest = ("top_right", "repaired", "repaired_right", "repaired_confidence")
        others = " | ".join(_percent(row[name]) for name in rest)
        lines.append(f"| {_of(row)} | {shares} | {errors} | {others} |")
    return "\n".join(lines)


def promise_table(found: dict[str, list[dict[str, Any]]]) -> str:
    """What is accepted and whether the promise is kept, as docs/forms.md shows it: a row for all targets."""
    lines = ["| numbers | digits | check | certified on | " + " | ".join(f"{target:g}" for target in TARGETS) + " |"]
    lines.append("|---" * (4 + len(TARGETS)) + "|")
    rows = [row for row in found["promise"] if row["digits"] in PROMISED]
    for row in rows:
        if row["target"] == TARGETS[0]:
            same = [
                other for other in rows if all(other[name] == row[name] for name in ("set", "digits", "check", "way"))
            ]
            cells = [f"{_percent(each['accepted'])} / {_percent(each['kept'])}" for each in same]
            lines.append(f"| {_of(row)} | {row['way']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(row: dict[str, Any]) -> str:
    return f"{row['set']} | {row['digits']} | {row['check'] or '-'}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED)
    arguments.add_argument("--data", metavar="PARQUET", help="labelled pictures of real writers")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    given = arguments.parse_args(argv)
    found = measure(given.model, given.data)
    given.results.write_text(json.dumps(found, indent=2) + "\n")
    print(reliability_table(found), promise_table(found), sep="\n\n")


if __name__ == "__main__":
    main()
