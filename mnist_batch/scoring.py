"""From a run that was opened to published predictions.

    scans -> manifest in shards -> Preprocess -> Classify -> one part per shard -> books -> reports -> publish

``opening.py`` lists the scans of a command and freezes them as the manifest of its run; here they are scored. Only a
shard's number travels from the driver; Preprocess opens that shard of the frozen manifest.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import ray
import ray.data
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

from mnist_batch import failpoints, opening, reading, report, runs, stores, verifying, versions
from mnist_batch.errors import BooksError, InputError, Stalled, StorageError, TooManyUnreadable
from mnist_batch.inference import Classify, Preprocess
from mnist_batch.pools import Pools
from mnist_batch.progress import Progress
from mnist_batch.threads import watch

log = logging.getLogger(__name__)

ATTEMPTS = 3  # the last only looks: a part found damaged is scored again, but not for ever


@dataclass(frozen=True)
class Settings:
    """How a run is scored, which decides no answer: another try of the run may have others.

    ``preprocessors`` and ``classifiers`` are numbers of actors, by default half of the cluster's CPUs each, and
    ``gpus_per_classifier`` is what Ray sets aside for a classifier, which may be part of one. ``max_unreadable`` is
    the share of unreadable rows that is still published. A scan that is not read in ``scan_timeout_seconds`` is a row
    that says so; a run of which nothing comes for ``no_progress_timeout_seconds`` ends. Raises InputError where a
    value breaks a rule.
    """

    preprocessors: int | None = None
    classifiers: int | None = None
    gpus_per_classifier: float = 0
    max_unreadable: float = 1.0
    scan_timeout_seconds: float = 20
    no_progress_timeout_seconds: float = 300
    progress_seconds: float = 10

    def __post_init__(self) -> None:
        if not 0 <= self.max_unreadable <= 1:
            raise InputError(f"--max-unreadable is {self.max_unreadable}; it has to be a share, from 0 to 1")
        reading.Limits(scan_timeout_seconds=self.scan_timeout_seconds)
        needed = reading.TRIES * self.scan_timeout_seconds
        if not needed < self.no_progress_timeout_seconds < 2**31:
            raise InputError(
                f"--no-progress-timeout is {self.no_progress_timeout_seconds:g}; it has to be above {needed:g}, which "
                f"is {reading.TRIES} times --scan-timeout: so long one scan may take; and below {2**31:,}"
            )
        _ = self.pools

    @cached_property
    def pools(self) -> Pools:
        """The actors that are asked for."""
        return Pools(self.preprocessors, self.classifiers, self.gpus_per_classifier)


def score(run: runs.Run, settings: Settings = Settings()) -> Mapping[str, Any]:
    """Score the shards of an opened run that have no part yet, publish it and return what run.json says.

    Raises TooManyUnreadable, BooksError where the rows are not the scans listed, StorageError where a disk fails or a
    store does not answer, Locked where another process takes the run over and Stalled where nothing comes of the run
    for too long.
    """
    if run.published:
        return run.published
    opened = run.opened
    if opened is None:
        raise BooksError(f"run {run.run_id} was never opened")
    limits = reading.Limits(**opened["limits"], scan_timeout_seconds=settings.scan_timeout_seconds)
    started = time.monotonic()
    opened = {**opened, "limits": asdict(limits)}
    run = run.begin_attempt()
    try:
        kept = score_shards(run, opened, settings)
    except Exception:
        with suppress(StorageError), stores.patience(0):
            run.check_attempt()  # whatever it was, it came of another process at work on the run if there is one
        raise
    if not opened["shards"]:
        run.write_empty_part()
    failpoints.reach("scored")
    scored = time.monotonic()

    run.check_books(opened)
    facts: dict[str, Any] = {**opened, "shards": len(opened["shards"]), "versions": versions.versions()}
    totals = facts["totals"] = report.stage(run, facts)
    if totals["unreadable"] > settings.max_unreadable * totals["rows"]:
        run.refuse(totals)
        page = run.location(f"{run.staging}/pages/report.html")
        raise TooManyUnreadable(
            f"{totals['unreadable']:,} of {totals['rows']:,} rows could not be read, more than --max-unreadable "
            f"{settings.max_unreadable:g} allows: {report.unreadable_text(run)}. Nothing is published. Mend these "
            "scans, take them away or --exclude what is none, then give the same command again; or publish them as "
            f"they are with a higher --max-unreadable. {page} shows them all"
        )
    run.publish()
    facts |= verifying.record(run)
    facts["arguments"] = {
        **asdict(settings.pools),
        "max_unreadable": settings.max_unreadable,
    }
    facts["resumed_shards"] = kept
    facts["scoring_seconds"] = round(scored - started, 3)
    facts["publishing_seconds"] = round(time.monotonic() - scored, 3)
    facts["published_at"] = opening.now()
    run.commit(facts)
    opening.clear(run, facts)
    return facts


def score_shards(run: runs.Run, opened: Mapping[str, Any], settings: Settings) -> int:
    """Bring every shard's part onto the disk, as it was written, and return how many were there before."""
    shards, kept = len(opened["shards"]), None
    for _ in range(ATTEMPTS):
        for name in run.discard_damaged_parts():
            ours = name in map(runs.part_name, range(shards))
            log.warning("%s: %s", name, "not what was written, it is scored again" if ours else "no part, removed")
        pending = run.pending(shards)
        kept = shards - len(pending) if kept is None else kept
        if not pending:
            return kept
        fitted = settings.pools.fitted(ray.cluster_resources(), len(pending))
        with Progress(run, opened["scans"], settings.progress_seconds):
            try:
                watch(run, partial(run_pipeline, run, opened, pending, fitted), settings.no_progress_timeout_seconds)
            except (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
                first = str(error).partition("\n")[0]
                log.warning("processes of the run died: it goes on with what is left (%s)", first)
    if missing := len(run.pending(shards)):
        raise Stalled(
            f"run {run.run_id}: its processes died again and again, {missing:,} of {shards:,} shards are not done; "
            "look for their end in Ray's logs, mend the cause, then give the same command again"
        )
    raise BooksError(
        f"run {run.run_id}: parts in {run.location(run.staging)} keep changing after they are written; find out who "
        "does"
    )


def run_pipeline(run: runs.Run, opened: Mapping[str, Any], pending: Sequence[int], pools: Pools) -> None:
    """The shards through their two actors, the second of which writes their parts, on however many nodes there are."""
    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = None  # a shard is one block, whatever its size
    context.raise_original_map_exception = True  # what an actor says of a mistake or a disk is told as it is
    model = opened["model"]
    whole_shards: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": 1}
    # Ray Data's own num_gpus wants a batch size, and would cut and join shards to have it.
    each = {"num_gpus": pools.gpus_per_classifier}
    gpus: dict[str, Any] = {"ray_remote_args_fn": lambda: each} if pools.gpus_per_classifier else {}
    with ray.data.DataContext.current(context):
        numbers = ray.data.from_items([{"shard": number} for number in pending], override_num_blocks=len(pending))
        pages = numbers.map_batches(
            Preprocess,
            fn_constructor_args=[run, reading.Limits(**opened["limits"])],
            compute=ray.data.ActorPoolStrategy(size=pools.preprocessors),
            **whole_shards,
        )
        parts = pages.map_batches(
            Classify,
            fn_constructor_args=[
                run,
                model["location"],
                model["digest"],
                opened["engine"],
                opened["threshold"],
                opened["keep_images"],
            ],
            compute=ray.data.ActorPoolStrategy(size=pools.classifiers),
            **gpus,
            **whole_shards,
        )
        parts.materialize()
