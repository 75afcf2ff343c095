"""From labelled digits to a model bundle, across Ray workers: read ``train``, then ``fit``, then ``export``.

train   the driver: checks, deals the digits out, has each net trained, has the bundle made and publishes it
fit     each worker: learns its share of every epoch in step with the others, and returns the weights
export  a task at the end: averages the nets, evaluates the model, describes it and makes its files
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from mnist_batch import failpoints
from mnist_batch.errors import BooksError, InputError
from mnist_batch.learning import (
    announcing,
    assignment,
    checkpoints,
    digits,
    epochs,
    evaluating,
    exporting,
    fine_tuning,
    labelled,
    lessons,
    model_json,
    nets,
    shares,
)
from mnist_batch.learning.assignment import Assignment
from mnist_batch.learning.listed import list_data
from mnist_batch.learning.recipe import Data, Recipe, Settings
from mnist_batch.models import bundle, ladder
from mnist_batch.models.ladder import nets_of
from mnist_batch.schemas.bundle_facts import DatasetFacts, OwnScans
from mnist_batch.store import changing, locations, locks

log = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    out: str,
    *,
    data: Sequence[Data] = (),
    start: fine_tuning.Start | None = None,
    connect: Callable[[], None] = lambda: None,
    settings: Settings = Settings(),
) -> bundle.Bundle:
    """Train one model of the ladder on ``recipe.workers`` Ray workers and save it as a bundle at ``out``.

    ``data`` are folders and files of labelled scans, and the embedded MNIST, which it is if none is given. A sixth of
    each, up to a maximum, is held out for validation and calibration; the MNIST test set is evaluated once, at the
    end. With ``start``, training begins with the weights of that bundle. The nets of an ensemble are trained one after
    the other, each with the next seed. ``connect`` has to start or join a Ray; it is called when all that needs no Ray
    is checked. A worker that dies is replaced and training goes on from the last epoch; a training that was killed as a
    whole goes on in the same way when it is started again.
    Raises InputError if the recipe does not fit the ladder, the start, the scans or the cluster.
    """
    fine_tuning.check(start, recipe, data)
    bundle.check_free(out)
    listed = [list_data(one) for one in data or [Data()]]
    connect()
    _check_cluster(recipe.workers, settings)
    filesystem, target = locations.resolve(out)
    folder, _, name = target.rpartition("/")
    with locks.locked(out, f"{folder}/.{name}.lock", f"the bundle {out}"):
        read = labelled.read_all(listed, recipe.most_held_out)
        announcing.report(listed, [one.scans for one in read], start.location if start else None)
        dealt = shares.deal(read, start, recipe.workers)
        fingerprint = checkpoints.fingerprint(recipe, nets_of(recipe.model), dealt.facts)
        storage = f"{folder}/.{name}.training-{fingerprint}"
        members = []
        for given in assignment.assign(recipe, dealt, start, settings):
            members.append(_train_net(given, dealt, settings, filesystem, f"{storage}/seed-{given.recipe.seed}"))
        trained = Export(recipe, members, dealt.facts, dealt.scans, dealt.wrongly_labelled, start, settings)
        files = _export_on_ray(trained, dealt.validation.values())
        failpoints.reach("exported")
        published = _publish(files, out)
        changing.delete_folder(filesystem, storage)
        return published


def _check_cluster(workers: int, settings: Settings) -> None:
    import ray

    for kind, each in settings.resources.items():
        needed, available = workers * each, ray.cluster_resources().get(kind, 0)
        if needed > available:
            raise InputError(
                f"--workers {workers} with --{kind.lower()}s-per-worker {each:g} need {needed:g} {kind}s, "
                f"but the cluster has {available:g}; lower one of them"
            )


def _train_net(
    given: Assignment, dealt: shares.Shares, settings: Settings, filesystem: fs.FileSystem, storage: str
) -> nets.Member:
    """Train one net on all workers, or go on where a killed training stopped; its checkpoints are below ``storage``."""
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    checkpoints.set_damaged_aside(filesystem, storage)
    filesystem.create_dir(storage)
    # On another machine it would be lost with it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    metrics = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    replicas: dict[int, str] = {}
    listener = threading.Thread(target=_listen, args=(metrics, given.recipe.epochs, replicas), daemon=True)
    # How often Ray Train checks whether the workers are done, by default every 2 s; the end waits for two checks.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    trainer = _trainer(given, dealt, settings, filesystem, storage, metrics)
    listener.start()
    try:
        result = trainer.fit()
    finally:
        metrics.put(None)
        listener.join()
        metrics.shutdown(force=True)
    check_replicas(replicas, given.recipe.workers)
    with result.checkpoint.as_directory() as kept:
        return nets.Member(given.recipe, checkpoints.read_weights(Path(kept)), checkpoints.read_history(Path(kept)))


def _trainer(
    given: Assignment, dealt: shares.Shares, settings: Settings, filesystem: fs.FileSystem, storage: str, metrics: Any
) -> Any:
    """Ray's trainer of a net; its workers put their metrics into the queue ``metrics``."""
    import ray.train

    from mnist_batch.learning import ray_train

    return ray_train.Trainer(
        fit,
        backend_config=ray_train.TensorflowWorkers(),
        train_loop_config={"assignment": given, "metrics": metrics},
        scaling_config=ray.train.ScalingConfig(
            num_workers=given.recipe.workers,
            resources_per_worker=settings.resources,
            use_gpu=settings.gpus_per_worker > 0,
        ),
        # Dealt out by rank and not split by Ray, which gives a worker whatever block is ready first.
        datasets={**dealt.training, **dealt.validation},
        dataset_config=ray.train.DataConfig(datasets_to_split=[]),
        # Where a run of this name was killed, Ray goes on from its last checkpoint.
        run_config=ray.train.RunConfig(
            name=checkpoints.RUN,
            storage_path=storage,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    )


def check_replicas(replicas: Mapping[int, str], workers: int) -> None:
    """Raise BooksError unless every rank has reported the digest of its weights and all are the same."""
    if len(replicas) != workers or len(set(replicas.values())) != 1:
        raise BooksError(f"the {workers} workers did not end with the same weights; by rank: {dict(replicas)}")


def _listen(metrics: Any, epochs_in_all: int, replicas: dict[int, str]) -> None:
    """Log a line an epoch and note the digest of each worker's weights, until None arrives."""
    while (line := metrics.get()) is not None:
        if "weights" in line:
            replicas[line["rank"]] = line["weights"]
            continue
        log.info(
            "epoch %d of %d: loss %.4f, accuracy %.4f, validation loss %.4f, validation accuracy %.4f, "
            "%.1f s, %s images/s",
            line["epoch"], epochs_in_all, line["loss"], line["accuracy"], line["validation_loss"],
            line["validation_accuracy"], line["seconds"], f"{line['images_per_second']:,.0f}",
        )  # fmt: skip


def _export_on_ray(given: "Export", validation: Iterable[Any]) -> dict[str, bytes]:
    """Run ``export`` with as many CPUs as a worker has, and return its files: the driver never imports TensorFlow."""
    import ray

    # A process of its own, because Keras numbers the layers that a process has made, and the files have the numbers.
    task = ray.remote(num_cpus=given.settings.cpus_per_worker, num_gpus=given.settings.gpus_per_worker, max_calls=1)
    blocks = [block for dataset in validation for block in dataset.to_arrow_refs()]
    files: dict[str, bytes] = ray.get(task(export).remote(given, *blocks))
    return files


def _publish(files: Mapping[str, bytes], out: str) -> bundle.Bundle:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        return bundle.publish(Path(folder), out)


# ---------------------------------------------------------------- on each worker


def fit(config: Mapping[str, Any]) -> None:
    """Train the net of an ``assignment`` on this worker; metrics go to a queue, the weights into the last checkpoint.

    Each epoch ends with a checkpoint, from which a worker that takes over goes on.
    """
    import ray.train

    given: Assignment = config["assignment"]
    metrics = config["metrics"]
    recipe, rank = given.recipe, ray.train.get_context().get_world_rank()
    tf = nets.import_tensorflow(given.threads)
    own = lessons.Lessons(_share(given.training[rank]), given.weights, recipe, rank)
    validation = _share(given.validation[rank]).digits
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    model, optimizer = nets.build(strategy, given)
    history = checkpoints.resume(model, optimizer)
    run_epoch = epochs.make_epoch(strategy, model, optimizer, validation)
    for epoch in range(len(history), recipe.epochs):
        started = time.monotonic()
        sums = run_epoch(own.of(epoch), own.order(epoch), given.step_sizes)
        history.append(_metrics(epoch, sums, given, time.monotonic() - started))
        _report(rank, history[-1], lambda folder: checkpoints.save(folder, model, optimizer, history))
        if rank == 0:
            metrics.put(history[-1])
    metrics.put({"rank": rank, "weights": exporting.weights_digest(model)})

    def save_all(folder: Path) -> None:
        checkpoints.save(folder, model, optimizer, history)  # a worker that takes over from here has nothing to learn
        checkpoints.save_weights(folder, model)

    _report(rank, {}, save_all)


def _share(name: str) -> digits.Mixture:
    import ray.train

    return digits.arrays(ray.train.get_dataset_shard(name).iter_batches(batch_size=None, batch_format="pyarrow"))


def _metrics(epoch: int, sums: epochs.Sums, given: Assignment, seconds: float) -> dict[str, Any]:
    """What history.json records of an epoch: means over the pictures and the validation digits of all workers."""
    return {
        "epoch": epoch + 1,
        "loss": sums.loss / given.learned,
        "accuracy": sums.correct / given.learned,
        "validation_loss": sums.validation_loss / given.held_out,
        "validation_accuracy": sums.validation_correct / given.held_out,
        "seconds": seconds,
        "images_per_second": given.learned / seconds,
    }


def _report(rank: int, metrics: Mapping[str, Any], save: Callable[[Path], None]) -> None:
    """Report an epoch to Ray Train, with the others; the checkpoint is rank 0's."""
    import ray.train

    if rank != 0:
        ray.train.report(dict(metrics))
        return
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        ray.train.report(dict(metrics), checkpoint=ray.train.Checkpoint.from_directory(folder))


# ---------------------------------------------------------------- in one task at the end


@dataclass(frozen=True)
class Export:
    """What the task at the end is given: the trained nets, and the facts of the training for model.json.

    ``wrongly_labelled`` are the images, as bytes, whose label is known to be wrong.
    """

    recipe: Recipe
    members: Sequence[nets.Member]
    facts: DatasetFacts
    scans: Mapping[str, OwnScans]
    wrongly_labelled: frozenset[bytes]
    start: fine_tuning.Start | None
    settings: Settings


def export(given: Export, *validation: pa.Table) -> dict[str, bytes]:
    """Make the bundle: average the nets, evaluate them on ``validation`` and MNIST test, describe, write.

    Returns the files of the bundle by name.
    """
    nets.import_tensorflow(given.settings.cpus_per_worker)
    failpoints.reach("exporting")
    begun_from = nets.number_layers(given.members, given.start)
    kept = nets.kept(given.recipe, begun_from)
    trained = nets.rebuild([*kept, *given.members])
    model = ladder.joined(given.recipe.model, trained)
    held_out = digits.arrays(validation)
    evaluation = evaluating.evaluate(
        given.recipe.model, trained, held_out, given.facts.data, given.wrongly_labelled, begun_from
    )
    weights = exporting.weights_digest(model)
    info = model_json.content(given.recipe, given.facts, given.scans, evaluation, model.count_params(), weights)
    return exporting.bundle_files(model, given.members, info)
