"""From scans to published predictions: ``open_run`` freezes what is to be scored, ``score`` scores it.

    sources -> manifest in shards -> Preprocess -> Classify -> one part per shard -> books -> reports -> publish

Only a shard's number travels from the driver; Preprocess opens that shard of the frozen manifest.
"""

import datetime
import errno
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import ray
import ray.data
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

from mnist_batch import (
    bundle,
    calibrating,
    failpoints,
    finding,
    listing,
    locations,
    reading,
    report,
    runs,
    scans,
    versions,
    vetting,
)
from mnist_batch.errors import BooksError, InputError, Stalled, StorageError, TooManyUnreadable
from mnist_batch.inference import Classify, Preprocess
from mnist_batch.pools import Pools
from mnist_batch.progress import Progress
from mnist_batch.threads import beside, watch

log = logging.getLogger(__name__)

MISTAKE_SECONDS = 0.2  # most mistakes are found by then, and told without a Ray that was started for them
ATTEMPTS = 3  # the last only looks: a part found damaged is scored again, but not for ever


@contextmanager
def open_run(
    sources: Sequence[str],
    *,
    model: str,
    out: str,
    manifest: str | None = None,
    labels: str = "none",
    engine: str = "onnx",
    target_error: float | None = None,
    shard_size: int | None = None,
    limits: reading.Limits | None = None,
    require_scans: bool = False,
    keep_images: bool = False,
    run_date: str | None = None,
    run_id: str | None = None,
    connect: Callable[[], object] = lambda: None,
) -> Iterator[runs.Run]:
    """List the scans, attach their labels and freeze them as a run, or find the run that this command began.

    ``sources`` are folders and files, or ``manifest`` names a Parquet file of scans; with ``require_scans`` they
    may not be empty. ``target_error`` is the share of accepted answers that may be wrong, if the calibration of
    the model certifies it; None sets no rule. ``limits`` are of each scan. ``keep_images`` publishes what the model
    saw, too. ``run_date`` is today's where None. The run is locked inside the context; it is published already where
    its sources list the same as then. ``connect`` has Ray there when it returns: it is called in a thread beside a
    listing that takes long, and before Ray is needed to list more than ``listing.ALONE`` scans. Raises InputError for
    whatever argument or input breaks a rule, and Locked where another process is at work on the run.
    """
    started = time.monotonic()
    run_date = finding.date_of(run_date)
    limits = limits or reading.Limits()
    roots = [locations.absolute(source) for source in [*sources, *([manifest] if manifest else [])]]
    finding.check_arguments(sources, manifest, roots, out, engine, shard_size)
    opened_model = bundle.open_bundle(model)
    vetting.vet(opened_model)
    rule = calibrating.rule(opened_model.info.get("calibration"), target_error, opened_model.location)
    identity = {
        "sources": sorted(roots),
        "manifest": bool(manifest),
        "labels": labels if labels in ("none", "parent") else finding.digest_of(labels),
        "model": opened_model.digest,
        "engine": engine,
        "limits": [limits.max_bytes, limits.max_pixels],
        **rule,
        "keep_images": keep_images,  # no answer changes, but what is published does
    }
    first = run_id if run_id is not None else f"{run_date}-{finding.fingerprint(identity)}"
    with ExitStack() as locks:
        locks.enter_context(finding.locked(out, first))
        run, following = finding.find_run(out, run_date, finding.fingerprint(identity), first)
        for later in {run.run_id, following.run_id} - {first}:  # which may be named with --run-id, too
            locks.enter_context(finding.locked(out, later))
        if run.opened and not run.published:
            log.info("resuming run %s on the manifest frozen when it was opened", run.run_id)
            yield run
            return
        # Where the run is published there is most likely nothing to be done, and no Ray needed.
        with nullcontext() if run.published else beside(connect, MISTAKE_SECONDS):
            listed = listing.read_manifest(manifest) if manifest else listing.list_scans(sources, ask=by_tasks(connect))
            listing_seconds = time.monotonic() - started
        failpoints.reach("listed")
        if require_scans and not listed.num_rows:
            raise InputError(f"--require-scans: there is nothing to score in {', '.join(roots)}; see where scans go")
        if labels != "none":
            listed = scans.attach_labels(listed, labels)
        if run.published:
            run.clear_staging()  # of a process that was killed between publishing and clearing
            if run.published["listing"] == scans.digest(listed):
                log.info("run %s is published and its sources list the same: nothing to do", run.run_id)
                yield run
                return
            log.info("the sources of run %s have changed since; this is run %s", run.run_id, following.run_id)
            run = following
        facts = {
            "run_id": run.run_id,
            "run_date": run_date,
            "fingerprint": finding.fingerprint(identity),
            "listing": scans.digest(listed),
            "sources": roots,
            "report_labels": None,
            "labels": "manifest" if labels == "none" and listed["label"].null_count < len(listed) else labels,
            "engine": engine,
            **rule,
            "shard_size": shard_size,
            "keep_images": keep_images,
            "limits": {"max_bytes": limits.max_bytes, "max_pixels": limits.max_pixels},
            "model": {
                "location": opened_model.location,
                "digest": opened_model.digest,
                "architecture": opened_model.info["architecture"],
                "test_accuracy": opened_model.info["test"]["accuracy"],
            },
            "scans": listed.num_rows,
            "opened_at": _now(),
            "listing_seconds": round(listing_seconds, 3),
        }
        try:
            run.freeze(scans.cut(listed, shard_size), facts)
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            raise InputError(
                f"--out {out}: cannot be written to ({error.__cause__}); choose a folder where this job may write"
            ) from None
        log.info("run %s: %s scans listed", run.run_id, f"{listed.num_rows:,}")
        yield run


def score(
    run: runs.Run,
    *,
    preprocessors: int | None = None,
    classifiers: int | None = None,
    gpus_per_classifier: float = 0,
    max_unreadable: float = 1.0,
    no_progress_timeout_seconds: float = 300,
    scan_timeout_seconds: float = 20,
    progress_seconds: float = 10,
) -> Mapping[str, Any]:
    """Score the shards of an opened run that have no part yet, publish it and return what run.json says.

    ``preprocessors`` and ``classifiers`` are numbers of actors, by default half of the cluster's CPUs each, and
    ``gpus_per_classifier`` is what Ray sets aside for a classifier, which may be part of one. ``max_unreadable`` is
    the share of unreadable rows that is still published. Raises InputError where an argument breaks a rule,
    TooManyUnreadable, BooksError where the rows are not the scans listed, StorageError where a disk fails and
    Stalled where nothing comes of the run for ``no_progress_timeout_seconds``. A scan that is not read in
    ``scan_timeout_seconds`` is a row that says so.
    """
    if not 0 <= max_unreadable <= 1:
        raise InputError(f"--max-unreadable is {max_unreadable}; it has to be a share, from 0 to 1")
    pools = Pools(preprocessors, classifiers, gpus_per_classifier)
    if run.published:
        return run.published
    opened = run.opened
    if opened is None:
        raise BooksError(f"run {run.run_id} was never opened")
    limits = reading.Limits(**opened["limits"], scan_timeout_seconds=scan_timeout_seconds)
    if no_progress_timeout_seconds <= reading.TRIES * scan_timeout_seconds:
        raise InputError(
            f"--no-progress-timeout is {no_progress_timeout_seconds:g}; it has to be above {reading.TRIES} times "
            f"--scan-timeout, which is {scan_timeout_seconds:g}: so long one scan may take"
        )
    started = time.monotonic()
    opened = {**opened, "limits": asdict(limits)}
    run = run.begin_attempt()
    kept = score_shards(run, opened, pools, no_progress_timeout_seconds, progress_seconds)
    if not opened["shards"]:
        run.write_empty_part()
    failpoints.reach("scored")
    scored = time.monotonic()

    run.check_books(opened)
    facts: dict[str, Any] = {**opened, "shards": len(opened["shards"]), "versions": versions.versions()}
    totals = facts["totals"] = report.stage(run, facts)
    if totals["unreadable"] > max_unreadable * totals["rows"]:
        raise TooManyUnreadable(
            f"{totals['unreadable']:,} of {totals['rows']:,} rows could not be read, more than --max-unreadable "
            f"{max_unreadable:g} allows; nothing is published. See {run.staging}/pages/report.html, then mend the "
            "scans and choose a new --run-id, or give the same command a higher --max-unreadable"
        )
    facts["files"] = run.publish()
    facts["arguments"] = {
        **asdict(pools),
        "max_unreadable": max_unreadable,
    }
    facts["resumed_shards"] = kept
    facts["scoring_seconds"] = round(scored - started, 3)
    facts["publishing_seconds"] = round(time.monotonic() - scored, 3)
    facts["published_at"] = _now()
    run.commit(facts)
    return facts


def score_shards(
    run: runs.Run,
    opened: Mapping[str, Any],
    pools: Pools,
    no_progress_timeout_seconds: float,
    progress_seconds: float,
) -> int:
    """Bring every shard's part onto the disk, as it was written, and return how many were there before."""
    shards, kept = len(opened["shards"]), None
    for _ in range(ATTEMPTS):
        for name in run.discard_damaged_parts():
            log.warning("%s is not what was written: it is scored again", name)
        pending = run.pending(shards)
        kept = shards - len(pending) if kept is None else kept
        if not pending:
            return kept
        fitted = pools.fitted(ray.cluster_resources(), len(pending))
        with Progress(run, opened["scans"], progress_seconds):
            try:
                watch(run, partial(run_pipeline, run, opened, pending, fitted), no_progress_timeout_seconds)
            except (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
                first = str(error).partition("\n")[0]
                log.warning("processes of the run died: it goes on with what is left (%s)", first)
    if missing := len(run.pending(shards)):
        raise Stalled(
            f"run {run.run_id}: its processes died again and again, {missing:,} of {shards:,} shards are not done; "
            "look for their end in Ray's logs, mend the cause, then give the same command again"
        )
    raise BooksError(
        f"run {run.run_id}: parts in {run.staging} keep changing after they are written; find out who does"
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


def by_tasks(connect: Callable[[], object]) -> Callable[[list[listing.Folder]], "Future[listing.Listed]"]:
    """Has folders listed by tasks of the cluster; ``connect`` is called before each, and must have Ray there."""
    listed = ray.remote(listing.list_some)

    def ask(folders: list[listing.Folder]) -> "Future[listing.Listed]":
        connect()
        answer: Future[listing.Listed] = listed.remote(folders).future()
        return answer

    return ask


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
