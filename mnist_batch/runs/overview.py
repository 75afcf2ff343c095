"""The runs of an output and their states, from one file of each run."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from mnist_batch.errors import DamagedRun, InputError
from mnist_batch.runs import discarding, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Published, RunFacts, Totals
from mnist_batch.store import locations

T = TypeVar("T")
COUNTS = ("scans", "rows", "unreadable", "labelled", "accuracy", "accepted", "review")


def overview(out: str) -> list[dict[str, Any]]:
    """Every run, published or not, the newest last: its id, night, state, counts, model, and the run that it retries.

    ``state`` is published, unfinished, held (it broke a gate), refused (too many scans could not be read), withdrawn
    (it is being deleted) or damaged (run.json is gone or cannot be read). What is not known of a run is None.
    """
    locations.reach("--out", out)
    found = [_described(Run(locations.absolute(out), run_id, "")) for run_id in series.known_runs(out)]
    return sorted(found, key=lambda run: (run["at"] or "", run["run_id"]))


def _described(run: Run) -> dict[str, Any]:
    nothing = {"run_id": run.run_id, "night": None, "state": "damaged", **dict.fromkeys(COUNTS)}
    nothing |= {"model": None, "retries": None, "at": None}
    try:
        if discarding.interrupted(run):
            return nothing | {"state": "withdrawn"}
        if published := run.published:
            at = {"state": "published", "at": published.published_at}
            return nothing | _common(published, published.totals) | at
        if (opened := run.opened) is None:  # killed before it was opened, or its run.json is gone
            gone = locations.holds_files(run.filesystem, run.folder)
            return nothing | {"state": "damaged" if gone else "unfinished"}
        refused = run.refused
        state = "refused" if refused else "held" if run.held else "unfinished"
        return nothing | _common(opened, refused) | {"state": state, "at": opened.opened_at}
    except DamagedRun:
        return nothing
    except InputError:  # another version began it
        return nothing | {"state": "unfinished"}


def _common(facts: RunFacts, totals: Totals | None) -> dict[str, Any]:
    return {
        "night": facts.run_date,
        "scans": facts.scans,
        **{name: getattr(totals, name, None) for name in COUNTS[1:]},
        "model": f"{facts.model.architecture} {facts.model.digest[:8]}",
        "retries": facts.retries,
    }


def text(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs as a table for a terminal: unknown values are dashes, and columns of dashes are left out."""

    def shown(name: str, value: Any) -> str:
        if value is None:
            return "-"
        if name == "accuracy":
            return f"{100 * value:.2f} %"
        return f"{value:,}" if isinstance(value, int) else str(value)

    rows = [{name: shown(name, value) for name, value in run.items() if name != "at"} for run in runs]
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "-").any()].to_string(index=False)


@dataclass(frozen=True)
class Nights:
    """The newest nights of an output: its published ``runs``, the newest first, and what is beside them.

    ``others`` are runs of these nights and unfinished ones that are not published, as ``overview`` describes them.
    ``earlier`` is how many nights there are before these.
    """

    runs: Sequence[tuple[Run, Published]]
    others: Sequence[Mapping[str, Any]]
    earlier: int


def nights(out: str, most: int) -> Nights:
    """The runs of the ``most`` newest nights; of earlier ones nothing is read."""
    filesystem, root = locations.resolve(out)
    dates = [name for name in locations.names(filesystem, f"{root}/predictions") if name.startswith("run_date=")]
    shown = sorted(dates, reverse=True)[:most]
    ids = [
        (date.removeprefix("run_date="), name.removeprefix("run_id="))
        for date in shown
        for name in locations.names(filesystem, f"{root}/predictions/{date}")
        if name.startswith("run_id=")
    ]
    staged = [(None, name) for name in locations.names(filesystem, f"{root}/_staging") if series.is_id(name)]
    dated = {run_id: date for date, run_id in [*staged, *ids]}
    runs = [Run(locations.absolute(out), run_id, date or "") for run_id, date in dated.items()]
    found = at_once(_published, runs)
    published = [(run, facts) for run, facts in zip(runs, found, strict=True) if facts and run.run_date]
    published.sort(key=lambda each: (each[1].run_date, each[1].published_at), reverse=True)
    others = [_described(run) for run, facts in zip(runs, found, strict=True) if not facts and _has_files(run)]
    return Nights(published, [each for each in others if each["state"] != "published"], len(dates) - len(shown))


def _has_files(run: Run) -> bool:
    folders = [run.folder, run.staging, *([run.table_folder("predictions")] if run.run_date else [])]
    return any(locations.holds_files(run.filesystem, folder) for folder in folders)


def at_once(work: Callable[[Run], T], runs: Sequence[Run]) -> list[T]:
    """The results of the work for each run, done for many at the same time; ``retry.patience`` holds for each."""
    contexts = [copy_context() for _ in runs]
    with ThreadPoolExecutor(locations.AT_ONCE) as pool:
        return list(pool.map(lambda context, run: context.run(work, run), contexts, runs))


def _published(run: Run) -> Published | None:
    try:
        return None if discarding.interrupted(run) else run.published
    except (DamagedRun, InputError):
        return None
