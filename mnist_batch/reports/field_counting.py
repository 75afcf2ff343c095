"""The totals and rates of the pages and fields of a run with forms: counts first, then one division."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.models import intervals
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import FieldTotals

# What is counted of the fields of a name.
FIELDS, READ, ACCEPTED, LABELLED, CORRECT, ACCEPTED_LABELLED, ACCEPTED_CORRECT, CHECKS_FAILED = range(8)


MOST_TROUBLE = 50  # fields that the page of a run lists


def _counts() -> NDArray[np.int64]:
    return np.zeros(8, np.int64)


@dataclass
class FieldCounts:
    """Counts of the rows of ``fields`` by form and field, int64 (8,) each, and of the rows of ``pages``.

    ``ruled`` says whether the run has a rule.
    """

    ruled: bool = False
    by_field: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=lambda: defaultdict(_counts))
    statuses: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    by_form: Counter[str] = field(default_factory=Counter)

    def add_fields(self, rows: pa.Table) -> None:
        """Count rows of ``tables.FIELDS``."""
        self.statuses.update(rows["status"].to_pylist())
        read = pc.is_in(rows["status"].cast(pa.string()), pa.array(["ok", "empty"]))
        accepted = pc.equal(rows["decision"].cast(pa.string()), "accept").fill_null(False)
        labelled = pc.is_valid(rows["label"])
        said = pc.if_else(pc.equal(rows["status"].cast(pa.string()), "empty"), "", rows["value"])
        right = pc.equal(said, rows["label"]).fill_null(False)
        failed = pc.or_(
            pc.equal(rows["check"].cast(pa.string()), "failed").fill_null(False),
            pc.greater(pc.list_value_length(rows["rules_failed"]), 0).fill_null(False),
        )
        kinds = [read, accepted, labelled, right, pc.and_(accepted, labelled), pc.and_(accepted, right), failed]
        columns = [column.to_numpy() for column in kinds]
        names = zip(rows["form"].to_pylist(), rows["field"].to_pylist(), strict=True)
        for at, name in enumerate(names):
            self.by_field[name] += [1, *(int(column[at]) for column in columns)]

    def add_pages(self, rows: pa.Table) -> None:
        """Count rows of ``tables.PAGES``."""
        self.pages.update(rows["status"].to_pylist())
        self.by_form.update(form for form in rows["form"].to_pylist() if form is not None)

    def as_json(self) -> dict[str, Any]:
        """The counts as values of JSON, for ``merge``."""
        return {
            "by_field": [[*name, counts.tolist()] for name, counts in self.by_field.items()],
            **{name: dict(getattr(self, name)) for name in ("statuses", "pages", "by_form")},
        }

    def merge(self, numbers: Mapping[str, Any]) -> None:
        """Add what ``as_json`` made of other rows."""
        for form, name, counts in numbers["by_field"]:
            self.by_field[form, name] += np.array(counts)
        for counter in ("statuses", "pages", "by_form"):
            getattr(self, counter).update(numbers[counter])

    def totals(self) -> FieldTotals:
        """The totals of the pages and fields."""
        total = sum(self.by_field.values(), _counts())
        labelled, correct = int(total[LABELLED]), int(total[CORRECT])
        known = self.ruled and labelled > 0
        return FieldTotals(
            pages=dict(self.pages),
            by_form=dict(sorted(self.by_form.items())),
            fields=int(total[FIELDS]),
            statuses=dict(self.statuses),
            labelled=labelled,
            correct=correct if labelled else None,
            accuracy=correct / labelled if labelled else None,
            accepted=int(total[ACCEPTED]) if self.ruled else None,
            review=int(total[FIELDS] - total[ACCEPTED]) if self.ruled else None,
            accepted_labelled=int(total[ACCEPTED_LABELLED]) if known else None,
            accepted_errors=int(total[ACCEPTED_LABELLED] - total[ACCEPTED_CORRECT]) if known else None,
        )

    def report(self) -> pa.Table:
        """A row of ``tables.FIELD_REPORT`` for each field of each form, in the order of their names."""
        names = sorted(self.by_field)
        counts = np.array([self.by_field[name] for name in names]).reshape(-1, 8).T
        any_label = bool(counts[LABELLED].any())
        accepted = counts[ACCEPTED_LABELLED] if any_label else counts[ACCEPTED]
        errors = counts[ACCEPTED_LABELLED] - counts[ACCEPTED_CORRECT]
        unruled, unlabelled = not self.ruled, not any_label
        accuracy = _share(counts[CORRECT], counts[LABELLED], unlabelled)
        error = _share(errors, counts[ACCEPTED_LABELLED], unruled or unlabelled)
        return tables.table(
            tables.FIELD_REPORT,
            {
                "form": [form for form, _ in names],
                "field": [name for _, name in names],
                "fields": counts[FIELDS],
                "read": counts[READ],
                "labelled": _known(counts[LABELLED], unlabelled),
                "correct": _known(counts[CORRECT], unlabelled),
                "accuracy": accuracy[0],
                "accuracy_low": accuracy[1],
                "accuracy_high": accuracy[2],
                "accepted": _known(accepted, unruled),
                "accepted_errors": _known(errors, unruled or unlabelled),
                "error": error[0],
                "error_low": error[1],
                "error_high": error[2],
                "checks_failed": counts[CHECKS_FAILED],
            },
        )

    def most_trouble(self) -> list[dict[str, Any]]:
        """The rows of ``report`` with the largest share of fields that are wrong, not accepted or not read; first."""

        def trouble(row: dict[str, Any]) -> tuple[float, float]:
            done = row["accepted"] if self.ruled and row["labelled"] is None else row["read"]
            return (row["accuracy"] if row["accuracy"] is not None else 1, done / row["fields"])

        return sorted(self.report().to_pylist(), key=trouble)[:MOST_TROUBLE]


def _known(values: NDArray[np.int64], unknown: bool) -> pa.Array:
    return pa.array(values, pa.int64(), mask=np.full(len(values), unknown))


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], unknown: bool) -> tuple[pa.Array, pa.Array, pa.Array]:
    """A share with its 95 % Wilson interval; null where ``whole`` is 0."""
    missing = (whole == 0) | unknown
    low, high = intervals.wilson(part, whole)
    values = part / np.where(missing, 1, whole), low, high
    return pa.array(values[0], mask=missing), pa.array(values[1], mask=missing), pa.array(values[2], mask=missing)
