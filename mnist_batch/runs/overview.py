"""The runs of an output and their states, from one file of each run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mnist_batch.errors import DamagedRun, InputError
from mnist_batch.runs import discarding, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import RunFacts, Totals
from mnist_batch.store import locations

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
            gone = locations.is_folder(run.filesystem, run.folder)
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
