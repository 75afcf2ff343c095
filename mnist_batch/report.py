"""From published predictions to what analysts read: report tables, pictures and the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch import counting, finding, images, locations, normalising, plots, runs, scans, tables, verifying
from mnist_batch.counting import Confidences, Counts
from mnist_batch.errors import InputError

GALLERY = 24
EXAMPLE_COLUMNS = ["source", "scan", "page", "label", "digit", "confidence", "decision", "status", "reason", "content"]


def _none() -> pa.Table:
    plain = [item.with_type(pa.string()) if item.type == tables.TEXT else item for item in tables.PREDICTIONS]
    return pa.schema(plain).empty_table().select(EXAMPLE_COLUMNS)


@dataclass
class Examples:
    """The rows worth looking at: confident mistakes, doubtful answers, answers for review, scans that have none."""

    mistakes: pa.Table = field(default_factory=_none)
    doubtful: pa.Table = field(default_factory=_none)
    review: pa.Table = field(default_factory=_none)
    refused: pa.Table = field(default_factory=_none)
    unreadable: pa.Table = field(default_factory=_none)

    def add(self, rows: pa.Table) -> None:
        """Keep the first ``GALLERY`` of each kind among those kept so far and these."""
        new = rows.select(EXAMPLE_COLUMNS).cast(self.mistakes.schema)
        scored = new.filter(pc.equal(new["status"], "ok"))
        wrong = scored.filter(pc.not_equal(scored["label"], scored["digit"]))  # null, so not taken, without a label
        refused = new.filter(pc.is_in(new["status"], pa.array(tables.REFUSALS)))
        unreadable = new.filter(pc.invert(pc.is_in(new["status"], pa.array(tables.READ))))
        self.mistakes = _first(self.mistakes, wrong, "descending")
        self.doubtful = _first(self.doubtful, scored, "ascending")
        self.review = _first(self.review, scored.filter(pc.equal(scored["decision"], "review")), "ascending")
        self.refused = pa.concat_tables([self.refused, refused]).slice(0, GALLERY)
        self.unreadable = pa.concat_tables([self.unreadable, unreadable]).slice(0, GALLERY * 2)


def _first(kept: pa.Table, new: pa.Table, order: str) -> pa.Table:
    both = pa.concat_tables([kept, new])
    keys = [("confidence", order), *((name, "ascending") for name in ("scan", "page", "source"))]
    return both.take(pc.select_k_unstable(both, GALLERY, keys))


def stage(
    run: runs.Run, facts: Mapping[str, Any], truth: Mapping[tuple[str, str], int] | None = None
) -> dict[str, Any]:
    """Stage the report tables, ``confusion.png`` and ``report.html`` of a run, made from its parts.

    ``facts`` is what run.json will say about the run; ``truth``, where given, replaces the labels of the rows.
    Returns the totals, from ``Counts.summary``, with ``expected_calibration_error``.
    """
    counts, confidences, examples = Counts(facts.get("threshold") is not None), Confidences(), Examples()
    labels = [tables.LABELS.empty_table()]
    for part in run.parts(EXAMPLE_COLUMNS):
        rows = part if truth is None else relabel(part, truth)
        counts.add(rows)
        confidences.add(rows)
        examples.add(rows)
        labels.append(_labels(rows))
    summary = {**counts.summary(), "expected_calibration_error": confidences.error()}
    staged = {
        "per_class": counting.per_class(counts),
        "confusion": counting.confusion(counts),
        "calibration": confidences.calibration(),
        "risk_coverage": confidences.risk_coverage(),
        "labels": pa.concat_tables(labels),
    }
    pictures = _pictures(counts, staged, summary, facts)
    page = plots.page(
        out=run.out,
        facts=facts,
        summary=summary,
        per_class=staged["per_class"].to_pylist(),
        **pictures,
        mistakes=_pictured(examples.mistakes),
        doubtful=_pictured(examples.doubtful if summary["accepted"] is None else examples.review),
        refused=_pictured(examples.refused),
        unreadable=examples.unreadable.to_pylist(),
    )
    run.stage_report(
        staged, {"confusion.png": pictures["heatmap"], "report.html": page.encode("utf-8", "backslashreplace")}
    )
    return summary


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


def _pictured(examples: pa.Table) -> list[dict[str, Any]]:
    return [{**row, "picture": _picture(row)} for row in examples.to_pylist()]


def _picture(row: Mapping[str, Any]) -> bytes | None:
    # What the model saw, read again from the scan; None where it is gone or no longer the same.
    try:
        data = images.read_scan(row["source"], scans.path_of(row["source"], row["scan"]))
        if images.content_digest(data) != row["content"]:
            return None
        return images.encode(normalising.normalise(images.pages(data)[row["page"]]()))
    except images.Unreadable:
        return None


def rebuild(
    out: str, run_id: str, labels: str | None = None, ignore_unlisted_labels: bool = False
) -> tuple[runs.Run, dict[str, Any]]:
    """Write the report of a published run again from its predictions, and its totals into run.json.

    ``labels`` take the place of those in the rows: a CSV or Parquet file, or ``parent``, the names of folders;
    ``none`` goes back to those in the rows, and None keeps those of the last report. Raises InputError for a run that
    is not there, or labels that do not fit its scans, and BooksError where its predictions are not those that were
    published.
    """
    run = finding.published_run(out, run_id)
    with finding.locked(out, run_id):  # against another report, and against being discarded
        return _rebuilt(run, labels, ignore_unlisted_labels)


def _rebuilt(run: runs.Run, labels: str | None, ignore_unlisted_labels: bool) -> tuple[runs.Run, dict[str, Any]]:
    facts = dict(run.published or {})
    verifying.check_predictions(run, facts["files"])
    if labels == "none":
        facts["report_labels"], truth = None, None
    elif labels is not None:
        listed = [key for part in run.parts(["source", "scan"]) for key in scans.identities(part)]
        facts["report_labels"], truth = labels, scans.truth_of(dict.fromkeys(listed), labels, ignore_unlisted_labels)
    else:
        truth = late_labels(run)
    facts["totals"] = stage(run, facts, truth)
    run.publish()
    facts |= verifying.record(run)
    run.commit(facts)
    run.clear_staging()
    return run, facts["totals"]


def late_labels(run: runs.Run) -> dict[tuple[str, str], int] | None:
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


def unreadable_text(run: runs.Run, most: int = 3) -> str:
    """The first scans of a run that could not be read, each with its reason, in a line."""
    told: list[str] = []
    for part in run.parts(["scan", "status", "reason"]):
        unread = part.filter(pc.invert(pc.is_in(part["status"].cast(pa.string()), pa.array(tables.READ))))
        told += [f"{row['scan']!a} is {row['status']} ({row['reason']})" for row in unread[: most + 1].to_pylist()]
        if len(told) > most:
            return ", ".join([*told[:most], "..."])
    return ", ".join(told)
