"""A night, from what is listed to what is published.

    sources -> what is new -> a run -> scored -> report -> gates -> published, or held until a person decides
    labels that came late -> reports of earlier runs

What is new is said in ``increments.py``, how a run is scored in ``scoring.py``, and the gates are in ``gates.py``. A
night that was interrupted is finished first, whatever its date, and one night at a time works on an output: two would
find the same scans new.
"""

import getpass
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NoReturn

import pyarrow as pa

from mnist_batch import scoring
from mnist_batch.errors import BooksError, GateFailed, InputError
from mnist_batch.intake import spread
from mnist_batch.intake.labels import LabelFile
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reading import contents
from mnist_batch.reports import gates, overview_page, report
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.reports.gates import Gates
from mnist_batch.reports.late_truth import Late, applied
from mnist_batch.runs import increments, opening, series
from mnist_batch.runs.increments import NewScans
from mnist_batch.runs.run import LOCK, Run, now
from mnist_batch.schemas.facts import Anyway, Held, Increment, Published
from mnist_batch.store import locations, locks
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

READ_HERE = 20_000  # scans; the bytes of more are read by tasks of the cluster
READ_BY_A_TASK = 5_000


@dataclass(frozen=True)
class Night:
    """How a night ended: its run and what was published, or nothing where nothing was new."""

    run: Run | None
    published: Published | None
    increment: Increment | None


def due(command: NewScans) -> Iterator[NewScans | Run]:
    """What a command has to do: the nights of its output that were interrupted, then tonight.

    A night is finished as it was begun, also if its sources, model or settings were others: else the next night would
    take its scans for new, and rows that it has moved already would be read beside those.
    """
    for run, opened in series.interrupted(command.out):
        if opened.increment and (opened.fingerprint, opened.run_date) != (command.fingerprint, command.date):
            yield run
    yield command


def late_truth(command: NewScans) -> list[Late]:
    """Add the labels of a file to the reports of earlier runs that have its scans; returns the runs that changed."""
    if not isinstance(command.truth, LabelFile):
        return []
    with command.open_ledger() as known:
        return [*applied(known, command.truth, command.roots)]


def score(asked: NewScans | Run, settings: Settings, gates_asked: Gates, connect: Callable[[], object]) -> Night:
    """Score what is new of a command's scans, or finish a run, and publish it if it keeps the gates.

    Raises GateFailed where it does not, or did not before; Locked where another night is at work on the output; and
    what ``opening.open_run`` and ``scoring.score`` raise.
    """
    with _alone(asked.out):
        try:
            with _opened(asked, gates_asked, connect) as run:
                if (held := run.held) and _bounds(held) == gates_asked.bounds:
                    raise GateFailed(_held_text(run, held), _facts(run, held))
                published = scoring.score(run, settings, connect, partial(_decide, run, settings, gates_asked))
                return Night(run, published, published.increment)
        except increments.NothingNew as nothing:
            return Night(None, None, nothing.increment)


@contextmanager
def _alone(out: str) -> Iterator[None]:
    """Keep other nights from the output, and do first what a killed process has left to do after its run.json."""
    out = locations.absolute(out)
    with locks.locked(out, f"{locations.resolve(out)[1]}/_staging/.night{LOCK}", f"the night of {out}"):
        for run, published in series.not_concluded(out):
            with series.locked(out, run.run_id):
                report.conclude(run, published)
        yield


@contextmanager
def _opened(asked: NewScans | Run, gates_asked: Gates, connect: Callable[[], object]) -> Iterator[Run]:
    if isinstance(asked, NewScans):
        gates_asked.check(asked.target_error)
        with opening.open_run(replace(asked, digests=_by_tasks(connect)), connect) as run:
            yield run
        return
    log.info("run %s was interrupted; it is finished first", asked.run_id)
    with series.locked(asked.out, asked.run_id):
        try:
            yield asked
        except InputError as error:
            raise InputError(
                f"run {asked.run_id} was interrupted, and cannot be finished: {error}. Put that right; or throw the "
                f"run away, and its scans are new ({asked.discarding})"
            ) from None


def publish_anyway(out: str, run_id: str, reason: str) -> Night:
    """Publish a run that is held, and record who decided that, when, and why.

    Raises InputError, naming the runs that are held, where this one is not; and BooksError where a part of it is not
    what a person has looked at: nothing is scored.
    """
    if not reason.strip():
        raise InputError("--publish-anyway: give --reason, a sentence that says why; it is recorded in run.json")
    run, held = series.held_run(out, run_id)
    with series.locked(run.out, run.run_id):
        by = "a user without a name"
        with suppress(OSError, KeyError):
            by = getpass.getuser()
        anyway, settings = Anyway(by, now(), reason), Settings(max_unreadable=held.max_unreadable)
        published = scoring.score(
            run,
            settings,
            connect=partial(_refuse_to_score, run),
            decide=lambda published, _: replace(published, gates=held.gates, anyway=anyway),
        )
        return Night(run, published, published.increment)


def _refuse_to_score(run: Run) -> NoReturn:
    raise BooksError(
        f"run {run.run_id}: a part of it has been changed or lost since it was held, and --publish-anyway scores "
        f"nothing again; throw the run away ({run.discarding}), and the next night scores its scans"
    )


def _decide(run: Run, settings: Settings, asked: Gates, published: Published, gathered: Aggregates) -> Published:
    judged = asked.of(published.totals, gathered.counts, published.drift)
    if gates.failed(judged):
        alerts = published.drift.alerts if published.drift else ()
        held = Held(judged, settings.max_unreadable, now(), alerts)
        run.hold(held)
        overview_page.rewrite(run.out)
        raise GateFailed(_held_text(run, held), _facts(run, held))
    return replace(published, gates=judged)


def _bounds(held: Held) -> Mapping[str, float]:
    return {gate.name: gate.bound for gate in held.gates}


def _held_text(run: Run, held: Held) -> str:
    broken = "; ".join(map(gates.sentence, gates.failed(held.gates)))
    return (
        f"run {run.run_id} is held and not published: {broken}. Look at {_report(run)}; then publish it "
        f"(python -m jobs.night --publish-anyway {run.run_id} --reason WHY --out {run.out}) or throw it away "
        f"({run.discarding})"
    )


def _report(run: Run) -> str:
    return run.location(f"{run.staging}/pages/report.html")


def _facts(run: Run, held: Held) -> dict[str, Any]:
    opened = run.opened
    return {
        "state": "held",
        "run_id": run.run_id,
        "gates": [asdict(gate) for gate in held.gates],
        "alerts": [asdict(alert) for alert in held.alerts],
        "scans": asdict(opened.increment) if opened and opened.increment else None,
        "report": _report(run),
    }


def text(increment: Increment) -> str:
    """What was listed, and what of it is new, in a sentence."""
    parts = [
        (increment.known, "scored before"),
        (increment.moved, "the bytes of a scan that was scored before"),
        (increment.repeated, "the bytes of another new scan"),
        (increment.held, "in a run that is held"),
    ]
    said = [f"{count:,} {what}" for count, what in parts if count]
    if increment.former:
        said[0] += f" ({increment.former:,} by another model or with other settings; --rescore scores them again)"
    return "; ".join([f"{counted(increment.listed, 'scan')} listed, {increment.scored:,} to score", *said])


def _by_tasks(connect: Callable[[], object]) -> Callable[[pa.Table], pa.Array]:
    """``contents.digests`` that lets tasks of the cluster read many scans."""
    ask: Callable[[pa.Table], Future[pa.Array]] = spread.by_tasks(connect, contents.digests)

    def digests(scans: pa.Table) -> pa.Array:
        if len(scans) <= READ_HERE:
            return contents.digests(scans)
        starts = range(0, len(scans), READ_BY_A_TASK)
        asked = [ask(scans.slice(start, READ_BY_A_TASK).combine_chunks()) for start in starts]
        return pa.concat_arrays([each.result() for each in asked])

    return digests
