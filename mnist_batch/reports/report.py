"""The report of a run: its tables, pictures and page, and the same again with other labels."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.intake import scans
from mnist_batch.intake.labels import Truth, label_of, labels_of_run, parse_labels
from mnist_batch.reading import preprocessing
from mnist_batch.reports import (
    counting,
    cut_outs,
    drift_nights,
    examples,
    field_labels,
    field_sample,
    overview_page,
    plots,
    sample_error,
    sampling,
)
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.reports.counting import Counts
from mnist_batch.runs import ledger, parts, publishing, series, verifying
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import File, Published
from mnist_batch.store import locations

NAMED = 3  # scans that could not be read, of which a message names the reasons


def stage(run: Run, published: Published, gathered: Aggregates, drift: pa.Table) -> tuple[File, ...]:
    """Stage the report tables, ``confusion.png`` and ``report.html`` of a run.

    ``published`` is the future content of run.json without these files, which are returned; ``drift`` is that table.
    """
    counts, confidences, shown = gathered.counts, gathered.confidences, gathered.examples
    staged = {
        "per_class": counting.per_class(counts),
        "confusion": counting.confusion(counts),
        "calibration": confidences.calibration(),
        "risk_coverage": confidences.risk_coverage(),
        "labels": pa.concat_tables(gathered.labels),
        "drift": drift,
    }
    if published.forms:
        of_fields = {"field_report": gathered.fields.report(), "field_labels": pa.concat_tables(gathered.field_labels)}
        staged |= {**of_fields, "labels": tables.LABELS.empty_table()}  # those of cells are made of those of fields
    pictures = _pictures(counts, staged, published)
    page = plots.page(
        out=run.out,
        run=published,
        per_class=staged["per_class"].to_pylist(),
        **pictures,
        **(_of_fields if published.forms else _of_scans)(published, gathered),
        unreadable=shown.unreadable.to_pylist(),
        error_text=sample_error.text(published),
        field_report=gathered.fields.most_trouble(),
        of_no_form=shown.of_no_form.to_pylist(),
    )
    return publishing.stage_report(
        run,
        staged,
        {
            "confusion.png": pictures["heatmap"],
            "report.html": page.encode("utf-8", "backslashreplace"),
            **run.form_files,
        },
    )


def _of_scans(published: Published, gathered: Aggregates) -> dict[str, Any]:
    """The scans that the page shows, by what they are examples of, with what the model saw of them."""
    kept = gathered.examples
    doubtful = kept.doubtful if published.totals.accepted is None else kept.review
    limits = preprocessing.Limits.of(published.limits)
    seen = examples.read_again(pa.concat_tables([kept.mistakes, doubtful, kept.refused]), limits)
    return {
        "mistakes": seen.slice(0, len(kept.mistakes)).to_pylist(),
        "doubtful": seen.slice(len(kept.mistakes), len(doubtful)).to_pylist(),
        "refused": seen.slice(len(kept.mistakes) + len(doubtful)).to_pylist(),
    }


def _of_fields(published: Published, gathered: Aggregates) -> dict[str, Any]:
    """The fields and pages that the page shows, by what they are examples of, cut out of their scans."""
    kept = gathered.field_examples
    doubtful = kept.field_doubtful if published.totals.accepted is None else kept.field_review
    pages = kept.pages(gathered.fields.pages)
    seen = cut_outs.shown(published, kept.field_mistakes, doubtful, pages)
    return dict(zip(("mistakes", "doubtful", "unregistered"), seen, strict=True))


def _pictures(counts: Counts, staged: Mapping[str, pa.Table], published: Published) -> dict[str, Any]:
    # Without labels they show what the answers are and how sure; nothing about how many are right.
    bins, curve, totals = staged["calibration"], staged["risk_coverage"], published.totals
    if counts.labelled.any():
        return {
            "heatmap": plots.confusion(counts.labelled),
            "reliability": plots.reliability(bins),
            "risk": plots.risk(curve, totals, published.target_error),
        }
    return {
        "heatmap": plots.answers(totals.answers),
        "reliability": plots.confidences(bins),
        "risk": plots.coverage(curve, totals, published.threshold),
    }


def relabel(rows: pa.Table, truth: Truth) -> pa.Table:
    """The rows with the labels of ``truth`` instead of their own."""
    return tables.with_column(rows, "label", [label_of(truth, *key) for key in scans.keys(rows)])


def rebuild(
    out: str,
    run_id: str,
    labels: str | None = None,
    ignore_unlisted_labels: bool = False,
    sample: int | None = None,
    sample_labels: str | None = None,
    add: NDArray[np.uint64] | None = None,
) -> tuple[Run, Published]:
    """Make the report of a published run again from its predictions, and update the totals in run.json.

    Labels take the place of those in the rows: of a CSV or Parquet file, or of ``parent``, the names of folders;
    ``none`` goes back to those in the rows, and None keeps those of the last report. With ``add`` those of a file are
    added to those of the last report, or replace them scan by scan, but not of scans at these ``scans.paths_of``; if
    none is new, nothing is written. The report before is kept if its labels are others. ``sample`` draws so many
    accepted answers for a person to label, and ``sample_labels`` is where their labels are given back. Raises
    InputError for a run that is not there, or labels that do not fit its scans or its sample, and BooksError where its
    predictions are not those that were published.
    """
    series.published_run(out, run_id)  # a wrong id is reported before a lock is made for it
    with series.locked(out, run_id):  # against another report, and against discarding
        run, known = series.published_run(out, run_id)
        published = known
        verifying.check_predictions(run, published.files)
        if locations.is_folder(run.filesystem, run.staging):  # a process was killed that published it or its report
            conclude(run, published)
        if sample_labels is not None:
            given_back = field_sample.given_back if published.forms else sample_error.given_back
            published = given_back(run, published, sample_labels)
        if add is not None and labels is not None and not _adds(run, published, labels, add):
            return run, published
        published = _rebuilt(run, published, labels, ignore_unlisted_labels, sample, add)
        run.commit(published, known)
        conclude(run, published, known)
        return run, published


def conclude(run: Run, published: Published, known: Published | None = None) -> None:
    """What follows run.json: the page of all nights, then ``publishing.conclude``; may be done again.

    That clears staging last of all: as long as it is there, a process was killed before the end.
    """
    overview_page.rewrite(run.out)
    publishing.conclude(run, published, known)


def _rebuilt(
    run: Run,
    published: Published,
    labels: str | None,
    ignore_unlisted_labels: bool,
    sample: int | None,
    add: NDArray[np.uint64] | None,
) -> Published:
    before = published
    longest = None if sample is None else sampling.draw_longest(run, published, sample)
    gathered = Aggregates.of_run(published.threshold)
    if published.forms:
        labels = field_labels.gather(gathered, run, published, labels, ignore_unlisted_labels, add)
        published = replace(published, field_totals=gathered.fields.totals())
    else:
        labels, truth = chosen_labels(run, published, labels, ignore_unlisted_labels, add)
        for part in parts.read_parts(run, tables.SHOWN):
            gathered.add(part if truth is None else relabel(part, truth))
    published = replace(published, report_labels=labels, totals=gathered.totals())
    of_sample = sampling.kept(published)
    if longest is not None:
        drawn = longest.first(sample)
        published, of_sample = replace(published, sample=len(drawn.rows)), sampling.stage(run, published, drawn)
    files = stage(run, published, gathered, drift_nights.kept(run)) + of_sample
    former = publishing.former_reports(run, before, files)
    published = replace(published, report_files=files, former_reports=former)
    if longest is not None:
        sampling.check_unchanged(run, longest)  # somebody may have saved it meanwhile
    publishing.publish(run)
    return published


def chosen_labels(
    run: Run,
    published: Published,
    labels: str | None,
    ignore_unlisted_labels: bool = False,
    add: NDArray[np.uint64] | None = None,
) -> tuple[str | None, Truth | None]:
    """Where the labels of a report come from, and the labels; None and None for those in the rows.

    ``labels`` is as for ``rebuild``, and so are the errors.
    """
    if labels is None:
        return published.report_labels, late_labels(run, published)
    if labels == "none":
        return None, None
    pages = Counter(key for part in ledger.rows_beside(run, add) for key in scans.identities(part))
    given = labels_of_run(pages, parse_labels(labels), ignore_unlisted_labels)
    if add is None:
        return labels, given
    of_pages: dict[tuple[str, str, int | None], int] = {
        (source, scan, number): label
        for (source, scan, page), label in given.items()
        for number in (range(pages[source, scan]) if page is None else [page])
    }
    return labels, {**_labels_so_far(run, published), **of_pages}


def _adds(run: Run, published: Published, labels: str, add: NDArray[np.uint64]) -> bool:
    """Whether a label file says anything of the scans of a run that the labels of its last report do not."""
    if published.forms:
        return field_labels.adds(run, published, labels, add)
    return chosen_labels(run, published, labels, True, add)[1] != _labels_so_far(run, published)


def _labels_so_far(run: Run, published: Published) -> Truth:
    """The labels of the last report, page by page: those that it brought, or those in the rows."""
    if (late := late_labels(run, published)) is not None:
        return late
    own = [part.filter(part["label"].is_valid()) for part in parts.read_parts(run, [*tables.KEY, "label"])]
    return {key: label for part in own for key, label in zip(scans.keys(part), part["label"].to_pylist(), strict=True)}


def late_labels(run: Run, published: Published) -> Truth | None:
    """The labels that the last report of a published run brought; None if it brought none.

    Raises InputError where they were not kept.
    """
    if published.report_labels is None:
        return None
    path = parts.table_paths(run, "labels").get("report")
    if path is None:  # written by a version that did not keep them
        raise InputError(
            f"--labels: the last report used the labels of {published.report_labels}, which "
            f"{run.table_folder('labels')} does not have; give them again"
        )
    kept = locations.read_table(run.filesystem, path)
    return dict(zip(scans.keys(kept), kept["label"].to_pylist(), strict=True))


def unreadable_text(gathered: Aggregates) -> str:
    """The first scans that could not be read, with their reasons, each once, in one line."""
    rows = gathered.examples.unreadable.to_pylist()
    texts = [*dict.fromkeys(f"{row['scan']!a} is {row['status']} ({row['reason']})" for row in rows)]
    return ", ".join([*texts[:NAMED], "..."] if len(texts) > NAMED else texts)
