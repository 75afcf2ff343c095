"""The baseline of a run: the nights before it, from their published tables ``drift``, or its calibration."""

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from mnist_batch.errors import DamagedRun, InputError, StorageError
from mnist_batch.models import likeness
from mnist_batch.reports import drift
from mnist_batch.reports.drift_metrics import WHOLE, Moment, Night, Seen
from mnist_batch.runs import parts, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.drift_facts import Drift
from mnist_batch.schemas.facts import Published, RunFacts
from mnist_batch.schemas.likeness_facts import Profile
from mnist_batch.store import locations

log = logging.getLogger(__name__)

FEWEST_RUNS = 3  # in a window of nights; with fewer, a run is compared with the calibration
LOOKED_AT = 10  # times as many runs as are wanted are looked at, since not every run is like this one
ENOUGH_SCANS = 1_000  # to say how long one took


def compared(
    run: Run,
    published: Published,
    seen: Seen,
    profiles: Mapping[str, Profile],
    named: Sequence[str] = (),
    nights: int = 14,
) -> tuple[Drift, pa.Table]:
    """Compare what was ``seen`` in a run with its baseline: the facts for run.json, and the rows of ``drift``.

    The baseline are the runs ``named``, else the last ``nights`` published runs that were scored alike. Where these are
    too few, ``profiles`` are the sets of the calibration to compare with.
    """
    tonight = _with_seconds(seen.night(), published)
    found = dict(_named(run.out, named) if named else _window(run, published, nights))
    if named or len(found) >= FEWEST_RUNS:
        return drift.compare(tonight, [*found.values()], "runs", [*found])
    sets = [_of_profile(profile) for profile in profiles.values()]
    return drift.compare(tonight, sets, "calibration" if sets else "none")


def check_named(out: str, named: Sequence[str]) -> None:
    """Raise InputError unless these are published runs that a run can be compared with."""
    dict(_named(out, named))


def kept(run: Run) -> pa.Table:
    """The rows of ``drift`` of a published run; none of a run whose version had no such table."""
    path = parts.table_paths(run, "drift").get("report")
    if path is None:
        return tables.DRIFT.empty_table()
    rows = locations.read_table(run.filesystem, path)
    return tables.table(tables.DRIFT, {name: rows[name] for name in tables.DRIFT.names})


def alike(facts: RunFacts) -> tuple[object, ...]:
    """What two runs have to share to be compared: the model and its rule, the preprocessing, the forms."""
    rule = facts.target_error, facts.threshold, facts.temperature
    forms = tuple(sorted(form.digest for form in facts.forms))
    return facts.model.digest, facts.engine, facts.preprocessing, *rule, forms


def _named(out: str, named: Sequence[str]) -> Iterator[tuple[str, Night]]:
    for run_id in named:
        try:
            run, _ = series.published_run(out, run_id)
        except InputError as error:
            raise InputError(str(error).replace("--run ", "--baseline ", 1)) from None
        night = drift.night_of(kept(run))
        if not night:
            raise InputError(f"--baseline {run_id}: that run has no table drift to compare with; name a newer run")
        yield run_id, night


def _window(run: Run, published: Published, nights: int) -> Iterator[tuple[str, Night]]:
    """The last published runs that were scored as this one was, the newest first."""
    wanted, found = alike(published), 0
    for number, (date, run_id) in enumerate(_before(run)):
        if found == nights or number == LOOKED_AT * nights:
            return
        other = Run(run.out, run_id, date)
        try:
            facts = other.published
            night = drift.night_of(kept(other)) if facts and not facts.retries and alike(facts) == wanted else {}
        except (DamagedRun, InputError, StorageError, pa.ArrowException, OSError) as error:
            log.warning("run %s is not compared with: %s", run_id, str(error).partition("\n")[0])
            continue
        if night:
            found += 1
            yield run_id, night


def _before(run: Run) -> Iterator[tuple[str, str]]:
    """The dates and ids of the runs with a table ``drift``, from the night of this run backwards."""
    folder = f"{run.root}/drift"
    for name in sorted(locations.names(run.filesystem, folder), reverse=True):
        date = name.removeprefix("run_date=")
        if name.startswith("run_date=") and date <= run.run_date:
            ids = [each.removeprefix("run_id=") for each in locations.names(run.filesystem, f"{folder}/{name}")]
            yield from ((date, run_id) for run_id in sorted(ids, reverse=True) if run_id != run.run_id)


def _with_seconds(night: Mapping[drift.Key, Moment], published: Published) -> dict[drift.Key, Moment]:
    """The night with the seconds that a scan took in the whole job, if one attempt scored enough of them."""
    if published.resumed_shards or published.scans < ENOUGH_SCANS:
        return dict(night)
    seconds = published.scoring_seconds / published.scans
    took = Moment(published.scans, published.scans, seconds, seconds / published.scans**0.5)
    return {**night, (*WHOLE, "seconds"): took}


def _of_profile(profile: Profile) -> dict[drift.Key, Moment]:
    """The moments of a set of a calibration: those of its strokes; ``likeness`` compares how sure it is of them."""
    found = {}
    for name in ("stroke_width", "ink_share"):
        counts, edges = np.array(profile.counts[name]), likeness.FEATURES[name].edges
        total, values = int(counts.sum()), (edges[1:] + edges[:-1]) / 2
        mean = float(counts @ values / max(total, 1))
        spread = float(counts @ (values - mean) ** 2 / max(total, 1))
        found[*WHOLE, name] = Moment(total, total, mean, (spread / max(total, 1)) ** 0.5)
    return {key: moment for key, moment in found.items() if moment.rows}
