"""``index.html`` of an output: whether last night was fine, and the nights in a row. It is derived, and may be lost."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mnist_batch.errors import DamagedRun
from mnist_batch.models.intervals import wilson
from mnist_batch.reports import drift_nights, drift_text, gates, overview_plots, plots, unlike
from mnist_batch.runs import overview
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.store import changing, locations, retry
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

PAGE = "index.html"
MOST_NIGHTS = 60
PATIENCE_SECONDS = 10  # with a store, for each request
FIRST = 14  # runs that the page shows at once


@dataclass(frozen=True)
class Line:
    """A run as a line of the page shows it; shares are 0 to 1, None where unknown. ``troubles`` are sentences."""

    run: Published
    of: int
    review: float | None
    unreadable: float
    right: tuple[float, float, float] | None
    wrong: tuple[float, float, float] | None
    troubles: Sequence[str]


def rewrite(out: str) -> None:
    """Write the page anew from what is published, or delete it where no run is left.

    The same runs make the same bytes. A failure is logged, since nothing depends on the page.
    """
    filesystem, root = locations.resolve(out)
    path = f"{root}/{PAGE}"
    try:
        with retry.patience(PATIENCE_SECONDS):
            if content := page(out):
                changing.write_whole(filesystem, path, content.encode("utf-8", "backslashreplace"))
            else:
                changing.delete_file(filesystem, path)
    except Exception as error:  # noqa: BLE001 - the run is published: no fault of a derived page may fail it
        reason = str(error).partition("\n")[0]
        log.warning("%s is not rewritten (%s); the next run writes it", locations.named(out, path), reason)


def page(out: str) -> str:
    """The page of an output's newest nights, which opens without a network; empty where there is no run."""
    found = overview.nights(out, MOST_NIGHTS)
    drifts = overview.at_once(_drift, [run for run, _ in found.runs])
    others = [each for each in found.others if each["state"] != "withdrawn"]
    if not found.runs and not others:
        return ""
    lines = [line_of(facts) for _, facts in found.runs]
    night = lines[0].run.run_date if lines else None
    last = [line for line in lines if line.run.run_date == night]
    at_night = [each for each in others if night is None or each["night"] is None or each["night"] >= night]
    newest = max(filter(None, [night, *(each["night"] for each in at_night)]), default=None)
    return plots.overview_page(
        lines=lines,
        first=FIRST,
        night=night,
        newest=newest,
        last=last,
        others=others,
        unpublished=[(each, why_held(Run(locations.absolute(out), each["run_id"], ""))) for each in at_night],
        fine=bool(last) and not any(line.troubles for line in last) and not at_night,
        earlier=found.earlier,
        charts=overview_plots.charts([facts for _, facts in found.runs][::-1], drifts[::-1]),
        drift=drift_text,
    )


def line_of(run: Published) -> Line:
    """What the page shows of a run: of fields where it has forms, else of rows."""
    totals, fields = run.totals, run.field_totals
    of = fields.fields if fields else totals.rows
    counts = fields or totals
    error = run.sample_error
    return Line(
        run=run,
        of=of,
        review=None if counts.review is None or not of else counts.review / of,
        unreadable=totals.unreadable / max(totals.rows, 1),
        right=None if counts.correct is None else _share(counts.correct, counts.labelled),
        wrong=(error.wrong / error.labelled, error.low, error.high) if error and error.labelled else None,
        troubles=troubles(run),
    )


def troubles(run: Published) -> list[str]:
    """Why somebody should look at a run, a sentence each."""
    found = []
    if run.likeness and run.likeness.unlike:
        found.append(unlike.sentence(run) or "")
    if run.drift and run.drift.alerting:
        found.append(drift_text.sentence(run.drift) or "")
    target, error = run.target_error, run.sample_error
    if target is not None and error and error.low > target:
        share = f"{100 * error.wrong / max(error.labelled, 1):.2f}"
        found.append(f"audit: {share} % of the accepted are wrong, and --target-error {target:g} was asked for")
    if run.totals.rows and not run.totals.scored:
        found.append(f"none of {counted(run.totals.rows, 'row')} has an answer")
    return found


def why_held(run: Run) -> list[str]:
    """Why a run is held, a sentence each: its gates, then what drifts; nothing of a run that is not, or is damaged."""
    try:
        held = run.held
    except DamagedRun:
        return []
    if held is None:
        return []
    drifting = [
        f"{drift_text.group_of(each)}{drift_text.value_of(each)}: {drift_text.meaning(each)}" for each in held.alerts
    ]
    return [*map(gates.sentence, gates.failed(held.gates)), *drifting]


def _share(part: int, whole: int) -> tuple[float, float, float]:
    low, high = wilson(np.array([part]), np.array([whole]))
    return part / max(whole, 1), float(low[0]), float(high[0])


def _drift(run: Run) -> pa.Table:
    try:
        return drift_nights.kept(run)
    except Exception as error:  # noqa: BLE001 - a damaged table leaves a gap in a picture
        log.warning("run %s: its table drift cannot be read (%s)", run.run_id, str(error).partition("\n")[0])
        return tables.DRIFT.empty_table()
