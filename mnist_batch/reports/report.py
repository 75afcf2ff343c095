"""From published predictions to what analysts read: report tables, pictures and the page."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from mnist_batch.errors import InputError
from mnist_batch.intake import scans
from mnist_batch.reading import isolated
from mnist_batch.reports import counting, examples, plots
from mnist_batch.reports.counting import Confidences, Counts
from mnist_batch.reports.examples import Examples
from mnist_batch.runs import series, verifying
from mnist_batch.runs.run import File, Run
from mnist_batch.schemas import tables
from mnist_batch.store import locations

Truth = Mapping[tuple[str, str], int]


class Rows:
    """What a report is made of: what the rows of a run add up to, and those that it shows."""

    def __init__(self, ruled: bool, truth: Truth | None = None) -> None:
        """``ruled``: the run has a rule; ``truth``, where given, replaces the labels of the rows."""
        self.counts, self.confidences, self.examples = Counts(ruled), Confidences(), Examples()
        self.labels = [tables.LABELS.empty_table()]
        self.truth = truth

    def add(self, rows: pa.Table, examples: pa.Table | None = None) -> None:
        """Count the rows of a part, ``tables.COUNTED``; ``examples`` are those of them that a report shows.

        Without ``examples`` they are chosen here, and the rows need ``tables.SHOWN``.
        """
        if self.truth is not None:
            rows = relabel(rows, self.truth)
        self.counts.add(rows)
        self.confidences.add(rows)
        self.labels.append(_labels(rows))
        if examples is None:
            self.examples.add(rows)
        else:
            self.examples.merge(examples)


def stage(run: Run, facts: Mapping[str, Any], rows: Rows) -> tuple[dict[str, Any], list[File]]:
    """Stage the report tables, ``confusion.png`` and ``report.html`` of a run.

    ``facts`` is what run.json will say about the run. Returns the totals, from ``Counts.summary``, with
    ``expected_calibration_error``, and what run.json says of these files.
    """
    counts, confidences, shown = rows.counts, rows.confidences, rows.examples
    summary = {**counts.summary(), "expected_calibration_error": confidences.error()}
    staged = {
        "per_class": counting.per_class(counts),
        "confusion": counting.confusion(counts),
        "calibration": confidences.calibration(),
        "risk_coverage": confidences.risk_coverage(),
        "labels": pa.concat_tables(rows.labels),
    }
    pictures = _pictures(counts, staged, summary, facts)
    doubtful = shown.doubtful if summary["accepted"] is None else shown.review
    seen = examples.read_again(pa.concat_tables([shown.mistakes, doubtful, shown.refused]), _limits(facts))
    page = plots.page(
        out=run.out,
        facts=facts,
        summary=summary,
        per_class=staged["per_class"].to_pylist(),
        **pictures,
        mistakes=seen.slice(0, len(shown.mistakes)).to_pylist(),
        doubtful=seen.slice(len(shown.mistakes), len(doubtful)).to_pylist(),
        refused=seen.slice(len(shown.mistakes) + len(doubtful)).to_pylist(),
        unreadable=shown.unreadable.to_pylist(),
    )
    files = run.stage_report(
        staged, {"confusion.png": pictures["heatmap"], "report.html": page.encode("utf-8", "backslashreplace")}
    )
    return summary, files


def _limits(facts: Mapping[str, Any]) -> isolated.Limits:
    return isolated.Limits(**facts["limits"]) if "limits" in facts else isolated.Limits()  # a run of an early version


def _pictures(
    counts: Counts, staged: Mapping[str, pa.Table], summary: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, bytes]:
    # Without labels, what the answers are and how sure they are; nothing about how many are right.
    bins, curve = staged["calibration"], staged["risk_coverage"]
    if counts.labelled.any():
        return {
            "heatmap": plots.confusion(counts.labelled),
            "reliability": plots.reliability(bins),
            "risk": plots.risk(curve, summary, facts.get("target_error")),
        }
    return {
        "heatmap": plots.answers(summary["answers"]),
        "reliability": plots.confidences(bins),
        "risk": plots.coverage(curve, summary, facts.get("threshold")),
    }


def _labels(rows: pa.Table) -> pa.Table:
    known = rows.filter(rows["label"].is_valid())
    return tables.table(tables.LABELS, {name: known[name] for name in tables.LABELS.names})


def relabel(rows: pa.Table, truth: Mapping[tuple[str, str], int]) -> pa.Table:
    """The rows with the labels of ``truth``, by (source, scan), in place of their own."""
    labels = pa.array([truth.get(key) for key in scans.identities(rows)], pa.int8())
    return rows.set_column(rows.schema.get_field_index("label"), "label", labels)


def rebuild(
    out: str, run_id: str, labels: str | None = None, ignore_unlisted_labels: bool = False
) -> tuple[Run, dict[str, Any]]:
    """Write the report of a published run again from its predictions, and its totals into run.json.

    ``labels`` take the place of those in the rows: a CSV or Parquet file, or ``parent``, the names of folders;
    ``none`` goes back to those in the rows, and None keeps those of the last report. Raises InputError for a run that
    is not there, or labels that do not fit its scans, and BooksError where its predictions are not those that were
    published.
    """
    run = series.published_run(out, run_id)
    with series.locked(out, run_id):  # against another report, and against being discarded
        return _rebuilt(run, labels, ignore_unlisted_labels)


def _rebuilt(run: Run, labels: str | None, ignore_unlisted_labels: bool) -> tuple[Run, dict[str, Any]]:
    facts = dict(run.published or {})
    verifying.check_predictions(run, facts["files"])
    if labels == "none":
        facts["report_labels"], truth = None, None
    elif labels is not None:
        listed = [key for part in run.parts(["source", "scan"]) for key in scans.identities(part)]
        facts["report_labels"], truth = labels, scans.truth_of(dict.fromkeys(listed), labels, ignore_unlisted_labels)
    else:
        truth = late_labels(run)
    rows = Rows(facts.get("threshold") is not None, truth)
    for part in run.parts(tables.SHOWN):
        rows.add(part)
    facts["totals"], facts["report_files"] = stage(run, facts, rows)
    run.publish()
    run.commit(facts)
    run.clear_staging()
    return run, facts["totals"]


def late_labels(run: Run) -> dict[tuple[str, str], int] | None:
    """The label of each (source, scan) that the last report brought to a published run; None where it brought none.

    Raises InputError where they were not kept.
    """
    given = (run.published or {}).get("report_labels")
    if given is None:
        return None
    path = f"{run.table_folder('labels')}/report.parquet"
    if not locations.exists(run.filesystem, path):  # an earlier version did not keep them
        raise InputError(
            f"--labels: the last report had those of {given}, which are not kept in {path}; give them again"
        )
    kept = locations.read_table(run.filesystem, path)
    return dict(zip(scans.identities(kept), kept["label"].to_pylist(), strict=True))


def unreadable_text(rows: Rows, most: int = 3) -> str:
    """The first scans of a run that could not be read, each with its reason, in a line."""
    first = rows.examples.unreadable.slice(0, most + 1).to_pylist()
    told = [f"{row['scan']!a} is {row['status']} ({row['reason']})" for row in first]
    return ", ".join([*told[:most], "..."] if len(told) > most else told)
