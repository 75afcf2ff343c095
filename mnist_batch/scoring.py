"""From an opened run to published predictions.

    scans -> manifest in shards -> Preprocess -> Classify -> part and receipt per shard -> audit -> report -> publish

With forms, Preprocess finds which form a page is of and where it lies, and cuts its cells; Classify reads the cells as
it reads scans, and makes the numbers in the fields of their digits. These are tables of their own, beside the part.

If the run as a whole says that answers may not be accepted, since its scans are unlike those of the calibration or some
ink is far paler than the rest, these are withheld: their parts are written again and audited again.

``opening.py`` lists the scans of a command and freezes them as the manifest of its run; this module scores them. The
driver sends only the numbers of shards; Preprocess opens a shard of the frozen manifest itself. A single shard has
nothing to share out: unless a cluster is asked for, the driver calls both actors itself and starts no Ray.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, fields, replace
from typing import Any

import pyarrow as pa

from mnist_batch import failpoints, versions
from mnist_batch.errors import BooksError, Stalled, StorageError, TooManyUnreadable
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import auditing, metrics, withholding
from mnist_batch.pipeline.actors import Classify, Preprocess
from mnist_batch.pipeline.settings import Settings
from mnist_batch.pipeline.watching import Progress, watched
from mnist_batch.reading import preprocessing
from mnist_batch.reports import drift_nights, overview_page, report
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import parts, publishing
from mnist_batch.runs.run import Run, now
from mnist_batch.schemas.facts import Arguments, File, Opened, Published, Receipt, RunFacts, Totals
from mnist_batch.schemas.likeness_facts import Judgement
from mnist_batch.store import retry
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

Decide = Callable[[Published, Aggregates], Published]

ATTEMPTS = 3  # to score a run whose processes die, or whose parts change after they were written


def score(
    run: Run,
    settings: Settings = Settings(),
    connect: Callable[[], object] = lambda: None,
    decide: Decide = lambda published, _: published,
) -> Published:
    """Score the shards of an opened run that have no part yet, publish the run, and return its run.json.

    ``connect`` connects to Ray; it is not called if every shard has its part, or if this process scores a single one.
    ``decide`` gets the run with its staged report, and what its rows add up to, before anything is published; it
    returns what run.json will say, or raises GateFailed. Raises TooManyUnreadable; BooksError if the rows are not the
    scans listed; StorageError if a disk fails or a store does not answer; Locked if another process takes the run
    over; and Stalled if no part is finished for too long.
    """
    if published := run.published:
        return published
    opened = run.opened
    if opened is None:
        raise BooksError(f"run {run.run_id} was never opened")
    drift_nights.check_named(run.out, settings.baseline)
    metrics.count_repeated_requests()
    run = run.begin_attempt()
    pending = parts.pending(run, len(opened.shard_sizes))
    if pending and not settings.scored_here(pending):
        _join(run, opened, settings, connect)  # before the clock starts
    started = time.monotonic()
    receipts, gathered, judgement = _scored(run, opened, settings, connect)
    failpoints.reach("scored")
    scored = time.monotonic()

    published = _facts(opened, settings, gathered, judgement, publishing.files_of(run, receipts))
    kept = len(opened.shard_sizes) - len(pending)
    published = replace(published, resumed_shards=kept, scoring_seconds=round(scored - started, 3))
    published = _reported(run, opened, settings, published, gathered)
    _check_readable(run, published.totals, settings.max_unreadable, gathered)
    published = decide(published, gathered)
    publishing.publish(run)
    published = replace(published, publishing_seconds=round(time.monotonic() - scored, 3), published_at=now())
    run.commit(published)
    report.conclude(run, published)
    return published


def _join(run: Run, opened: Opened, settings: Settings, connect: Callable[[], object]) -> None:
    """Connect to Ray, and wait until its nodes can score the run."""
    from mnist_batch.pipeline import nodes  # here: it imports Ray

    connect()
    nodes.wait_for_cpus(settings.pools, settings.wait_for_cpus_seconds)
    nodes.check_paths(run, opened)


def _scored(
    run: Run, opened: Opened, settings: Settings, connect: Callable[[], object]
) -> tuple[list[Receipt], Aggregates, Judgement]:
    """Score the pending shards and withhold what the run as a whole says may not be accepted.

    Returns the receipts of the parts, what these gather, and what the run as a whole says.
    """
    try:
        receipts, gathered = score_shards(run, opened, settings, connect)
        judgement = withholding.judge(run, opened, gathered)
        # A run that will be refused may get other scans yet.
        while _readable(gathered.totals(), settings.max_unreadable) and withholding.due(opened, judgement, gathered):
            withholding.withhold(run, opened, judgement)
            receipts, gathered = score_shards(run, opened, settings, connect)
    except Exception:  # any error, which is raised again
        with suppress(StorageError), retry.patience(0):
            run.check_attempt()  # another process at work on the run, if there is one, is the cause of any error
        raise
    if judgement.likeness:
        metrics.show_unlike(judgement.likeness.unlike)
    return receipts, gathered, judgement


def _facts(
    opened: Opened, settings: Settings, gathered: Aggregates, judgement: Judgement, files: tuple[File, ...]
) -> Published:
    """What run.json will say, but for its times, its drift and the files of its report."""
    known = {item.name: getattr(opened, item.name) for item in fields(RunFacts)}
    published = Published(
        **known | {"limits": replace(opened.limits, scan_timeout_seconds=settings.scan_timeout_seconds)},
        shards=len(opened.shard_sizes),
        versions=versions.versions(),
        totals=gathered.totals(),
        files=files,
        report_files=(),
        arguments=Arguments(**asdict(settings.pools), max_unreadable=settings.max_unreadable),
        resumed_shards=0,
        scoring_seconds=0,
        publishing_seconds=0,
        published_at="",
        profile=gathered.profile,
        likeness=judgement.likeness,
    )
    if opened.forms:
        published = replace(published, field_totals=gathered.fields.totals())
    if judgement.paler_than is not None:
        pale = gathered.contrasts.paler(judgement.paler_than)
        published = replace(published, paler_than=judgement.paler_than, pale=pale)
    return published


def _reported(run: Run, opened: Opened, settings: Settings, published: Published, gathered: Aggregates) -> Published:
    """The facts of a run with its drift, and with the files of its report, which is staged."""
    profiles, named = opened.profiles or {}, settings.baseline
    drift, of_drift = drift_nights.compared(run, published, gathered.seen, profiles, named, settings.baseline_nights)
    published = replace(published, drift=drift)
    return replace(published, report_files=report.stage(run, published, gathered, of_drift))


def _readable(totals: Totals, max_unreadable: float) -> bool:
    return totals.unreadable <= max_unreadable * totals.own_rows


def _check_readable(run: Run, totals: Totals, max_unreadable: float, gathered: Aggregates) -> None:
    """Raise TooManyUnreadable, and record that, if too many rows could not be read."""
    if _readable(totals, max_unreadable):
        return
    run.refuse(totals)
    overview_page.rewrite(run.out)
    page = run.location(f"{run.staging}/pages/report.html")
    raise TooManyUnreadable(
        f"{totals.unreadable:,} of {counted(totals.own_rows, 'row')} could not be read, more than --max-unreadable "
        f"{max_unreadable:g} allows: {report.unreadable_text(gathered)}. Nothing is published. Fix these scans, remove "
        "them, or --exclude files that are not scans, then run the same command again; or publish them as they are "
        f"with a higher --max-unreadable. {page} shows them all"
    )


def score_shards(
    run: Run, opened: Opened, settings: Settings, connect: Callable[[], object]
) -> tuple[list[Receipt], Aggregates]:
    """Score the pending shards until every part is what its writer wrote; return the receipts and what they gather."""
    shards = len(opened.shard_sizes)
    for _ in range(ATTEMPTS):
        if pending := parts.pending(run, shards):
            if settings.scored_here(pending):
                receipts = run_here(run, opened, pending, settings)
            else:
                connect()
                receipts = run_pipeline(run, opened, pending, settings)
            try:
                with Progress.of(run, opened, pending) as progress:
                    for receipt in watched(run, receipts, settings.no_progress_timeout_seconds):
                        progress.add(receipt)
            except Exception as error:  # Ray has no class for all of them, and may not be imported
                if not _process_died(error):
                    raise
                first = str(error).partition("\n")[0]
                log.warning("processes of the run died; it continues with the remaining shards (%s)", first)
                continue
        elif not shards:
            parts.write_empty_part(run, Aggregates.of_run(opened.threshold).table(), bool(opened.forms))
        audited, gathered = auditing.audit(run, opened)
        if audited:
            return audited, gathered
    if missing := len(parts.pending(run, shards)):
        raise Stalled(
            f"run {run.run_id}: its processes died again and again, {missing:,} of {counted(shards, 'shard')} not "
            "finished; find the cause in Ray's logs, fix it, then run the same command again"
        )
    raise BooksError(
        f"run {run.run_id}: parts in {run.location(run.staging)} keep changing after they are written; find the "
        "program that changes them, then run the same command again"
    )


def _process_died(error: Exception) -> bool:
    """Whether Ray says that a process of the run has died, maybe with its machine."""
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

    return isinstance(error, (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError))


def run_here(run: Run, opened: Opened, pending: Sequence[int], settings: Settings) -> Iterator[Receipt]:
    """Send the shards through the two actors in this process; yield a receipt for each part written."""
    of_preprocess, of_classify = _actor_arguments(run, opened, settings)
    with closing(Preprocess(**of_preprocess)) as preprocess:
        classify = Classify(**of_classify)
        for number in pending:
            yield from _receipts(classify(preprocess(pa.table({"shard": [number]}))))


def run_pipeline(run: Run, opened: Opened, pending: Sequence[int], settings: Settings) -> Iterator[Receipt]:
    """Send the shards through the two actors, on all nodes of the cluster; yield a receipt for each part written."""
    import ray.data

    pools = settings.pools.fitted(ray.cluster_resources(), len(pending))
    of_preprocess, of_classify = _actor_arguments(run, opened, settings)
    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = None  # a shard is one block, whatever its size
    context.raise_original_map_exception = True  # an error of an actor reaches the driver as it is
    whole_shards: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": 1}
    # Ray Data's own num_gpus requires a batch size, and would cut and join shards for it.
    each = {"num_gpus": pools.gpus_per_classifier}
    gpus: dict[str, Any] = {"ray_remote_args_fn": lambda: each} if pools.gpus_per_classifier else {}
    with ray.data.DataContext.current(context):
        numbers = ray.data.from_items([{"shard": number} for number in pending], override_num_blocks=len(pending))
        pages = numbers.map_batches(
            Preprocess,
            fn_constructor_kwargs=of_preprocess,
            compute=ray.data.ActorPoolStrategy(size=pools.preprocessors),
            **whole_shards,
        )
        receipts = pages.map_batches(
            Classify,
            fn_constructor_kwargs=of_classify,
            compute=ray.data.ActorPoolStrategy(size=pools.classifiers),
            **gpus,
            **whole_shards,
        )
        for batch in receipts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from _receipts(batch)


def _actor_arguments(run: Run, opened: Opened, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a Preprocess and a Classify of a run are made with."""
    limits = replace(preprocessing.Limits.of(opened.limits), scan_timeout_seconds=settings.scan_timeout_seconds)
    of_preprocess = {"run": run, "limits": limits, "forms": opened.forms}
    of_classify = {
        "run": run,
        "model": ModelSpec(opened.model.location, opened.model.digest, opened.engine, opened.asks_first),
        "threshold": opened.threshold,
        "keep_images": opened.keep_images,
        "by_source": opened.by_source,
        "with_forms": bool(opened.forms),
        "field_thresholds": opened.field_thresholds,
    }
    return of_preprocess, of_classify


def _receipts(batch: pa.Table) -> Iterator[Receipt]:
    return (Receipt(**receipt) for receipt in batch.to_pylist())
