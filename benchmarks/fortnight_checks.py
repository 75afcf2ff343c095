"""What an output says of its runs, compared with the books of ``benchmarks.fortnight_books``: every number of it."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mnist_batch
from benchmarks.fortnight_books import NONE, Books, Key, Run
from mnist_batch.store import locations

COLUMNS = ("source", "scan", "status", "digit", "label", "decision", "content", "copies")
SAME = ("same_as_run", "same_as_source", "same_as")
READ = ("ok", "known", "repeated", "blank", "not_a_digit", "several")


@dataclass
class Checks:
    """Counts what was compared, and keeps what is not as it should be."""

    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, found: Any, expected: Any) -> None:
        """Compare two values; of mappings each value that is expected, or that is there without being expected."""
        if isinstance(expected, Mapping) and isinstance(found, Mapping):
            for name in sorted({*found, *expected}, key=str):
                self.same(f"{what}, {name}", found.get(name), expected.get(name))
            return
        self.compared += 1
        close = isinstance(expected, float) and isinstance(found, float) and math.isclose(found, expected)
        if not close and found != expected:
            self.wrong.append(f"{what} is {found!r}, and should be {expected!r}")
            print(f"WRONG: {self.wrong[-1]}", flush=True)


def read_json(location: str) -> Any:
    """A JSON file of an output; None where there is none."""
    content = locations.read_if_there(*locations.resolve(location))
    return None if content is None else json.loads(content)


def counts(run: Run) -> dict[str, Any]:
    """What the last line of a night, and ``jobs.list``, say of a run."""
    statuses = run.statuses
    return {
        "rows": len(run.rows),
        "unreadable": sum(count for name, count in statuses.items() if name not in READ),
        "labelled": len(run.labelled),
        "accuracy": run.accuracy,
        "accepted": run.accepted,
        "review": run.review,
    }


def check_facts(checks: Checks, out: str, run_id: str, run: Run, models: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare run.json."""
    facts, what = read_json(f"{out}/runs/{run_id}/run.json"), f"run.json of {run.night}"
    pairs = run.labelled.values()
    of_none = [row for key, row in run.own.items() if run.labels.get(key) == NONE]
    accepted = [key for key, row in run.own.items() if row.answer.accepted and key in run.labels]
    totals = counts(run) | {
        "scored": run.statuses["ok"],
        "blank": run.statuses["blank"],
        "correct": sum(label == digit for label, digit in pairs) if pairs else None,
        "labelled_none": len(of_none),
        "none_answered": sum(row.answer.digit is not None for row in of_none),
        "accepted_labelled": len(accepted),
        "accepted_errors": sum(run.own[key].answer.digit != run.labels[key] for key in accepted),
    }
    checks.same(what, {name: facts["totals"][name] for name in totals}, totals)
    checks.same(f"{what}, statuses", {name: n for name, n in facts["totals"]["statuses"].items() if n}, run.statuses)
    answers = Counter(str(row.answer.digit) for row in run.own.values() if row.answer.digit is not None)
    checks.same(f"{what}, answers", {name: n for name, n in facts["totals"]["answers"].items() if n}, answers)
    checks.same(f"{what}, increment", facts["increment"], run.increment)
    found = [(former["labelled"], former["accuracy"]) for former in facts["former_reports"]]
    checks.same(f"{what}, reports before", found, run.former)
    model = {"location": facts["model"]["location"], "digest": facts["model"]["digest"]}
    model |= {"promoted": facts["model"]["promoted_at"] is not None, "threshold": facts["threshold"]}
    checks.same(f"{what}, model", model, models[run.model])
    checks.same(f"{what}, scans", facts["scans"], len(run.rows))
    checks.same(f"{what}, pale and unlike", (facts["pale"] or 0, facts["likeness"]["unlike"]), (0, False))


def check_rows(checks: Checks, out: str, ids: Mapping[str, str], books: Books) -> None:
    """Compare every row of predictions, and that each content is answered exactly once."""
    table = mnist_batch.read_predictions(out).to_table([*COLUMNS, *SAME, "run"]).to_pylist()
    found = Counter((row["run"], row["source"], row["scan"]) for row in table)
    runs = {ids[night]: run for night, run in books.runs.items()}
    expected = Counter((run_id, *key) for run_id, run in runs.items() for key in run.rows)
    checks.same("rows of predictions", found, expected)
    for row in table:
        run, key = runs.get(row["run"]), (row["source"], row["scan"])
        if run is None or key not in run.rows:
            continue
        book = run.rows[key]
        decision = None if book.of else "accept" if book.answer.accepted else "review"
        says = (*key, book.status, book.answer.digit, book.label, decision, book.file.content, book.copies)
        of = (ids[book.of[0]], *book.of[1]) if book.of else (None, None, None)
        for name, value in zip((*COLUMNS, *SAME), (*says, *of), strict=True):
            checks.same(f"{name} of {key} in {row['run']}", row[name], value)
    answered = Counter(row["content"] for row in table if row["same_as"] is None)
    checks.same("contents that are answered not once", {each: n for each, n in answered.items() if n != 1}, {})
    there = {row.file.content for run in runs.values() for row in run.rows.values()}
    checks.same("contents that are answered", len(answered), len(there))


def check_classes(checks: Checks, out: str, ids: Mapping[str, str], books: Books) -> None:
    """Compare per_class and the labels of every report."""
    classes = mnist_batch.read_predictions(out, "per_class").to_table().to_pylist()
    by_run = {(row["run"], row["digit"]): row for row in classes}
    labels: dict[str, dict[Key, int]] = {}
    for row in mnist_batch.read_predictions(out, "labels").to_table().to_pylist():
        labels.setdefault(row["run"], {})[row["source"], row["scan"]] = row["label"]
    for night, run in books.runs.items():
        own = {key: label for key, label in run.labels.items() if key in run.own}
        kept = {key: label for key, label in labels.get(ids[night], {}).items() if key in run.own}
        checks.same(f"labels of {night}", kept, own)
        pairs = list(run.labelled.values())
        none_answered = [run.own[key].answer.digit for key, label in own.items() if label == NONE]
        for digit in range(10):
            row = by_run[ids[night], digit]
            right = sum(pair == (digit, digit) for pair in pairs)
            expected = {
                "support": sum(label == digit for label, _ in pairs),
                "predicted": sum(answer == digit for _, answer in pairs) + none_answered.count(digit),
                "correct": right,
            }
            if pairs:
                checks.same(f"{digit} in per_class of {night}", {name: row[name] for name in expected}, expected)


def shown(page: str) -> dict[str, list[str]]:
    """The cells of each run in the table of ``index.html``, by the id of the run."""
    found = {}
    for line in re.findall(r"<tr.*?</tr>", page, re.DOTALL):
        cells = [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", line, re.DOTALL)]
        if cells:
            found[cells[2].removesuffix(" retry")] = cells
    return found


def cells_of(run: Run, run_id: str, drift: str, audit: str, model: str) -> list[str]:
    """The same by the books, but for the seconds."""
    of, said = len(run.rows), counts(run)
    right = [f"{100 * run.accuracy:.2f} % {_interval(run)}"] if run.accuracy is not None else ["–"]
    shares = [f"{100 * said[name] / of:.2f} %" for name in ("unreadable", "review")]
    return [run.night, run_id, f"{of:,}", *shares, *right, audit, drift, model]


def _interval(run: Run) -> str:
    """The 95 % Wilson interval of the share of right answers, in per cent."""
    count, p, z = len(run.labelled), run.accuracy or 0.0, 1.959964
    middle, width = p + z**2 / (2 * count), z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    low, high = ((middle + side * width) / (1 + z**2 / count) for side in (-1, 1))
    return f"{100 * max(low, 0):.2f}–{100 * min(high, 1):.2f}"
