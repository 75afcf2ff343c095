"""From published predictions to what analysts read: counts, then one division."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist_batch import finding, images, normalising, plots, runs, scans, tables

GALLERY = 24
EXAMPLE_COLUMNS = ["source", "scan", "page", "label", "digit", "confidence", "status", "reason", "content"]
NONE = tables.CLASSES  # the index of "no label" and "no answer" in a matrix of counts


@dataclass
class Counts:
    """What the rows of a run add up to; ``matrix`` is int64 (11, 11), label x answer, the last being none."""

    matrix: NDArray[np.int64] = field(default_factory=lambda: np.zeros((NONE + 1, NONE + 1), np.int64))
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a table with the columns ``label``, ``digit`` and ``status``."""
        label = rows["label"].fill_null(NONE).to_numpy()
        digit = rows["digit"].fill_null(NONE).to_numpy()
        np.add.at(self.matrix, (label, digit), 1)
        for found in rows["status"].value_counts().to_pylist():
            self.statuses[found["values"]] += found["counts"]

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Label x answer of the scans that have both, int64 (10, 10)."""
        return self.matrix[:NONE, :NONE]

    def summary(self) -> dict[str, Any]:
        """The run's totals; ``accuracy`` is None where no scored scan has a label."""
        scored, labelled = int(self.matrix[:, :NONE].sum()), int(self.labelled.sum())
        correct = int(np.trace(self.labelled))
        return {
            "rows": int(self.matrix.sum()),
            "scored": scored,
            "blank": self.statuses["blank"],
            "unreadable": int(self.matrix.sum()) - scored - self.statuses["blank"],
            "statuses": {name: self.statuses[name] for name in tables.STATUSES if self.statuses[name]},
            "answers": {str(digit): int(self.matrix[:, digit].sum()) for digit in range(NONE)},
            "labelled": labelled,
            "correct": correct if labelled else None,
            "accuracy": correct / labelled if labelled else None,
        }


def per_class(counts: Counts) -> pa.Table:
    """Ten rows of ``tables.PER_CLASS``; rates of a class nobody wrote, or without labels, are null."""
    matrix = counts.labelled
    has_labels = bool(matrix.sum())
    predicted = matrix.sum(axis=0) if has_labels else counts.matrix[:, :NONE].sum(axis=0)
    support, correct = matrix.sum(axis=1), np.diag(matrix)
    written = support > 0
    low, high = wilson(correct, support)
    return tables.table(
        tables.PER_CLASS,
        {
            "digit": np.arange(NONE),
            "support": support if has_labels else pa.nulls(NONE, pa.int64()),
            "predicted": predicted,
            "correct": correct if has_labels else pa.nulls(NONE, pa.int64()),
            "precision": _divide(correct, predicted, written),
            "recall": _divide(correct, support, written),
            "f1": _divide(2 * correct, support + predicted, written),
            "recall_low": pa.array(low, mask=~written),
            "recall_high": pa.array(high, mask=~written),
        },
    )


def _divide(part: NDArray[np.int64], whole: NDArray[np.int64], known: NDArray[np.bool_]) -> pa.Array:
    known = known & (whole > 0)
    return pa.array(part / np.where(known, whole, 1), pa.float64(), mask=~known)


def wilson(correct: NDArray[np.int64], total: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The 95 % interval of a share: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927); 0 to 1 where total is 0."""
    z = 1.959963984540054
    n = np.maximum(total, 1)
    share = correct / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (centre - half) / scale, (centre + half) / scale
    return np.where(total > 0, np.clip(low, 0, share), 0.0), np.where(total > 0, np.clip(high, share, 1), 1.0)


def confusion(counts: Counts) -> pa.Table:
    """All 121 combinations of label and answer, null for none, as ``tables.CONFUSION``."""
    label, digit = np.divmod(np.arange((NONE + 1) ** 2), NONE + 1)
    return tables.table(
        tables.CONFUSION,
        {
            "label": pa.array(label, pa.int8(), mask=label == NONE),
            "digit": pa.array(digit, pa.int8(), mask=digit == NONE),
            "count": counts.matrix.ravel(),
        },
    )


@dataclass
class Examples:
    """The rows worth looking at: confident mistakes, doubtful answers, scans that could not be read."""

    mistakes: pd.DataFrame = field(default_factory=pd.DataFrame)
    doubtful: pd.DataFrame = field(default_factory=pd.DataFrame)
    unreadable: pd.DataFrame = field(default_factory=pd.DataFrame)

    def add(self, rows: pa.Table) -> None:
        """Keep the first ``GALLERY`` of each kind among those kept so far and these."""
        new = rows.select(EXAMPLE_COLUMNS).to_pandas(integer_object_nulls=True)
        scored = new["status"] == "ok"
        wrong = scored & new["label"].notna() & (new["label"] != new["digit"])
        self.mistakes = _first(self.mistakes, new[wrong], "confidence", ascending=False)
        self.doubtful = _first(self.doubtful, new[scored], "confidence", ascending=True)
        self.unreadable = pd.concat([self.unreadable, new[~scored & (new["status"] != "blank")]]).head(GALLERY * 2)


def _first(kept: pd.DataFrame, new: pd.DataFrame, column: str, *, ascending: bool) -> pd.DataFrame:
    both = pd.concat([kept, new])
    return both.sort_values([column, "scan", "page"], ascending=[ascending, True, True]).head(GALLERY)


def stage(
    run: runs.Run, facts: Mapping[str, Any], truth: Mapping[tuple[str, str], int] | None = None
) -> dict[str, Any]:
    """Stage the report tables, ``confusion.png`` and ``report.html`` of a run, made from its parts.

    ``facts`` is what run.json will say about the run; ``truth``, where given, replaces the labels of the rows.
    Returns the totals, from ``Counts.summary``.
    """
    counts, examples = Counts(), Examples()
    for part in run.parts(EXAMPLE_COLUMNS):
        rows = part if truth is None else relabel(part, truth)
        counts.add(rows)
        examples.add(rows)
    summary = counts.summary()
    heatmap = plots.confusion(counts.labelled) if summary["labelled"] else plots.answers(summary["answers"])
    page = plots.page(
        facts=facts,
        summary=summary,
        per_class=per_class(counts).to_pylist(),
        heatmap=heatmap,
        mistakes=_pictured(examples.mistakes),
        doubtful=_pictured(examples.doubtful),
        unreadable=_records(examples.unreadable),
    )
    run.stage_report(
        {"per_class": per_class(counts), "confusion": confusion(counts)},
        {"confusion.png": heatmap, "report.html": page.encode("utf-8", "backslashreplace")},
    )
    return summary


def relabel(rows: pa.Table, truth: Mapping[tuple[str, str], int]) -> pa.Table:
    """The rows with the labels of ``truth``, by (source, scan), in place of their own."""
    labels = pa.array([truth.get(key) for key in scans.identities(rows)], pa.int8())
    return rows.set_column(rows.schema.get_field_index("label"), "label", labels)


def _pictured(examples: pd.DataFrame) -> list[dict[str, Any]]:
    return [{**row, "picture": _picture(row)} for row in _records(examples)]


def _records(examples: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in examples.to_dict("records")]


def _picture(row: Mapping[str, Any]) -> bytes | None:
    # What the model saw, read again from the scan; None where it is gone or no longer the same.
    try:
        data = images.read_scan(row["source"], scans.path_of(row["source"], row["scan"]))
        if images.content_digest(data) != row["content"]:
            return None
        return images.encode(normalising.normalise(list(images.decode(data))[row["page"]]))
    except images.Unreadable:
        return None


def rebuild(out: str, run_id: str, labels: str | None = None) -> tuple[runs.Run, dict[str, Any]]:
    """Write the report of a published run again from its predictions, and its totals into run.json.

    ``labels`` is a CSV or Parquet file whose labels take the place of those in the rows. Raises InputError for
    a run that is not there, or labels that do not fit its scans, and BooksError where its predictions are not
    those that were published.
    """
    run = finding.published_run(out, run_id)
    facts = dict(run.published or {})
    run.check_files(facts["files"])
    truth = None
    if labels is not None:
        listed = [key for part in run.parts(["source", "scan"]) for key in scans.identities(part)]
        truth = scans.match_labels(listed, labels)
    facts["report_labels"] = labels
    facts["totals"] = stage(run, facts, truth)
    run.publish()
    run.commit(facts)
    return run, facts["totals"]


def answers_text(run: runs.Run) -> str:
    """A line a scan for a terminal: its digit and confidence, or why it has none."""
    lines = []
    for part in run.parts(["scan", "page", "digit", "confidence", "decision", "status", "reason"]):
        for row in part.to_pylist():
            name = ascii(row["scan"])[1:-1] + (f" p. {row['page'] + 1}" if row["page"] else "")
            if row["status"] == "ok":
                decision = f", {row['decision']}" if row["decision"] else ""
                lines.append(f"{name}: {row['digit']} (confidence {row['confidence']:.4f}{decision})")
            else:
                lines.append(f"{name}: {row['status']} ({row['reason']})")
    return "\n".join(lines)


def per_class_text(run: runs.Run) -> str:
    """The run's per_class table for a terminal; what is null shows as a dash."""
    path = f"{run.table_folder('per_class')}/report.parquet"
    table = pq.read_table(path, filesystem=run.filesystem, partitioning=None)
    rates = [column.name for column in table.schema if column.type == pa.float64()]

    def shown(name: str, value: Any) -> str:
        return "-" if value is None else f"{value:.4f}" if name in rates else f"{value:,}"

    rows = [{name: shown(name, value) for name, value in row.items()} for row in table.to_pylist()]
    return pd.DataFrame(rows).to_string(index=False)


def totals_text(totals: Mapping[str, Any]) -> str:
    """The run's totals in a sentence or two."""
    text = f"{totals['scored']:,} of {totals['rows']:,} rows scored"
    if totals["blank"]:
        text += f"; {totals['blank']:,} blank"
    if totals["unreadable"]:
        reasons = ", ".join(
            f"{count:,} {name}" for name, count in totals["statuses"].items() if name not in ("ok", "blank")
        )
        text += f"; {totals['unreadable']:,} could not be read: {reasons}"
    if totals["labelled"]:
        text += f"; {totals['correct']:,} of {totals['labelled']:,} labelled right ({100 * totals['accuracy']:.2f} %)"
    return text
