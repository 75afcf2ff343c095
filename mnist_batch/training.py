"""From labelled digits to a model bundle, across Ray workers: ``train`` is the order of things."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import fs

from mnist_batch.errors import BooksError, InputError
from mnist_batch.learning import augmenting, checkpoints, digits, epochs, exporting, fine_tuning, labelled, shares
from mnist_batch.learning.recipe import Recipe, at_least
from mnist_batch.models import bundle, ladder
from mnist_batch.models.ladder import LADDER, PRECISIONS, members_of
from mnist_batch.store import locations, locks

log = logging.getLogger(__name__)

LOOKS_KEPT = 2  # epochs that an augmented digit is seen in one look: to draw one may take as long as to learn from it


def train(
    recipe: Recipe,
    out: str,
    *,
    data: str | None = None,
    start: fine_tuning.Start | None = None,
    connect: Callable[[], None] = lambda: None,
    cpus_per_worker: int = 1,
    gpus_per_worker: float = 0,
    max_failures: int = 2,
) -> bundle.Bundle:
    """Train one model of the ladder on ``workers`` Ray workers and save it as a bundle at ``out``.

    ``data`` is a folder of labelled scans, None the embedded MNIST. A sixth of the digits, at most some thousand, is
    held out for validation and calibration; the MNIST test set is scored once, at the end. With ``start`` the weights
    of that bundle are where training on the scans begins. The members of an ensemble are trained one after the other,
    each with the next seed. ``connect`` is called when all is checked that needs no Ray, and has to start or join one.
    A worker that dies is replaced, and training goes on from the last epoch, up to ``max_failures`` times; so it does
    where the same training was killed as a whole and is begun again.
    Raises InputError where the recipe does not fit the ladder, the start, the scans or the cluster.
    """
    at_least("--cpus-per-worker", cpus_per_worker, 1)
    at_least("--gpus-per-worker", gpus_per_worker, 0)
    at_least("--max-failures", max_failures, 0)
    if start is not None:
        fine_tuning.check(start, recipe.model, data)
    bundle.check_free(out)
    listed = None if data is None else labelled.list_scans(data)
    connect()
    worker = {"CPU": cpus_per_worker, "GPU": gpus_per_worker}
    _check_cluster(recipe.workers, worker)
    filesystem, target = locations.resolve(out)
    folder, _, name = target.rpartition("/")
    with locks.locked(filesystem, f"{folder}/.{name}.lock", f"the bundle {out}"):
        most_held_out = LADDER[recipe.model].held_out
        if listed is None:
            dealt = shares.embedded(most_held_out, recipe.workers)
        else:
            dealt = shares.own(listed, start, most_held_out, recipe.workers)
        nets = members_of(recipe.model)
        storage = f"{folder}/.{name}.training-{checkpoints.mark(asdict(recipe), nets, dealt.about)}"
        members: list[exporting.Member] = []
        for number, net in enumerate(nets):
            member = replace(recipe, model=net, seed=recipe.seed + number)
            config = {
                "recipe": asdict(recipe),
                "member": asdict(member),
                "number": number,
                "start": start,
                "about": dealt.about,
                "scans": dealt.scans,
                "sizes": dealt.sizes,
                "worker": worker,
                "earlier": members,
            }
            finished = _train_member(config, dealt.datasets, filesystem, f"{storage}/seed-{member.seed}", max_failures)
            with finished.as_directory() as kept:
                members.append(_member(member, Path(kept)))
                if len(members) == len(nets):
                    trained = bundle.publish(Path(kept) / "bundle", out)
        locations.delete_folder(filesystem, storage)
        return trained


def _check_cluster(workers: int, worker: Mapping[str, float]) -> None:
    import ray

    for kind, each in worker.items():
        needed, there = workers * each, ray.cluster_resources().get(kind, 0)
        if needed > there:
            raise InputError(
                f"--workers {workers} with --{kind.lower()}s-per-worker {each:g} need {needed:g} {kind}s, "
                f"but the cluster has {there:g}; lower one of them"
            )


def _train_member(
    config: dict[str, Any], datasets: dict[str, Any], filesystem: fs.FileSystem, storage: str, max_failures: int
) -> Any:
    """One net on all workers: the checkpoint that it ends with."""
    import ray.train
    from ray.util.queue import Queue

    from mnist_batch.learning import ray_train

    recipe = Recipe(**config["member"])
    checkpoints.set_damaged_aside(filesystem, storage)
    filesystem.create_dir(storage)
    news = Queue()
    replicas: dict[int, str] = {}
    listener = threading.Thread(target=_listen, args=(news, recipe.epochs, replicas), daemon=True)
    trainer = ray_train.Trainer(
        fit,
        backend_config=ray_train.TensorflowWorkers(),
        train_loop_config={**config, "news": news},
        scaling_config=ray.train.ScalingConfig(
            num_workers=recipe.workers,
            resources_per_worker=config["worker"],
            use_gpu=config["worker"]["GPU"] > 0,
        ),
        # Named by rank and not split by Ray, whose split gives a worker whatever block is ready first.
        datasets=datasets,
        dataset_config=ray.train.DataConfig(datasets_to_split=[]),
        # Where a run of this name was killed here, Ray goes on from its last checkpoint.
        run_config=ray.train.RunConfig(
            name=checkpoints.RUN,
            storage_path=storage,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    )
    # How often Ray Train looks whether the workers are done, 2 seconds if left out: the end waits for two looks.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    listener.start()
    try:
        result = trainer.fit()
    finally:
        news.put(None)
        listener.join()
        news.shutdown(force=True)
    check_replicas(replicas, recipe.workers)
    return result.checkpoint


def _member(recipe: Recipe, kept: Path) -> exporting.Member:
    return exporting.Member(recipe.model, recipe.seed, checkpoints.read_weights(kept), checkpoints.read_history(kept))


def check_replicas(replicas: Mapping[int, str], workers: int) -> None:
    """Raise BooksError unless every rank has reported its digest of the weights and all are the same."""
    if len(replicas) != workers or len(set(replicas.values())) != 1:
        raise BooksError(f"the {workers} workers did not end with the same weights; by rank: {dict(replicas)}")


def _listen(news: Any, last: int, replicas: dict[int, str]) -> None:
    """Log a line an epoch and note each worker's digest of its weights, until None comes."""
    while (line := news.get()) is not None:
        if "weights" in line:
            replicas[line["rank"]] = line["weights"]
            continue
        log.info(
            "epoch %d of %d: loss %.4f, accuracy %.4f, validation loss %.4f, validation accuracy %.4f, "
            "%.1f s, %s images/s",
            line["epoch"], last, line["loss"], line["accuracy"], line["validation_loss"],
            line["validation_accuracy"], line["seconds"], f"{line['images_per_second']:,.0f}",
        )  # fmt: skip


# ---------------------------------------------------------------- what each worker runs


def fit(config: Mapping[str, Any]) -> None:
    """One worker's part: its share of the digits, every epoch together with the others, the bundle at the end."""
    import keras
    import ray.train
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(config["worker"]["CPU"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    recipe = Recipe(**config["member"])
    start: fine_tuning.Start | None = config["start"]
    rank = ray.train.get_context().get_world_rank()
    images, labels = _share(f"train-{rank}")
    validation = tuple(array[rank :: recipe.workers] for array in _share("validation"))

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(recipe.seed)
    sizes, held_out = config["sizes"], config["about"]["held_out"]
    architecture = LADDER[recipe.model]
    if architecture.augmented:
        labels = augmenting.with_strangers(labels)
        sizes = [size + sum(augmenting.strangers_among(size)) for size in sizes]
    learned = sum(sizes)
    steps = -(-learned // recipe.batch_size)
    with strategy.scope():
        keras.config.set_dtype_policy(PRECISIONS[recipe.precision])
        model = architecture.build()
        keras.config.set_dtype_policy("float32")  # what the bundle is made of is built later
        epochs.fuse_batch_norm(model)
        optimizer = (ladder.careful_adam if start else architecture.optimizer)(steps * recipe.epochs)
        optimizer.build(model.trainable_variables)
    if start:
        fine_tuning.begin(model, start, config["number"])
    history = checkpoints.resume(model, optimizer)
    run_epoch = epochs.make_epoch(strategy, model, optimizer, labels, validation)
    counts = epochs.step_counts(sizes, steps)

    seen = images
    for epoch in range(len(history), recipe.epochs):
        started = time.monotonic()
        random = np.random.default_rng([recipe.seed, epoch, rank])
        rows, weights = epochs.step_rows(random.permutation(len(labels)), steps)
        if architecture.augmented and (seen is images or epoch % LOOKS_KEPT == 0):
            # Four numbers, so that no look is drawn from the stream of an order.
            looks = np.random.default_rng([recipe.seed, epoch // LOOKS_KEPT, rank, LOOKS_KEPT])
            seen = augmenting.augment(images, labels, looks)
        loss, correct, validation_loss, validation_correct = run_epoch(seen, rows, weights, counts)
        seconds = time.monotonic() - started
        history.append(
            {
                "epoch": epoch + 1,
                "loss": loss / learned,
                "accuracy": correct / learned,
                "validation_loss": validation_loss / held_out,
                "validation_accuracy": validation_correct / held_out,
                "seconds": seconds,
                "images_per_second": learned / seconds,
            }
        )
        _report(rank, history[-1], lambda folder: checkpoints.save(folder, model, optimizer, history))
        if rank == 0:
            config["news"].put(history[-1])

    config["news"].put({"rank": rank, "weights": exporting.weights_digest(model)})

    def save_all(folder: Path) -> None:
        checkpoints.save(folder, model, optimizer, history)  # a worker that dies from here on resumes as well
        checkpoints.save_weights(folder, model)
        members = [*config["earlier"], _member(recipe, folder)]
        if len(members) == len(members_of(config["recipe"]["model"])):
            exporting.save_bundle(folder / "bundle", members, _share("validation"), config)

    _report(rank, {}, save_all)


def _share(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    import ray.train

    return digits.arrays(ray.train.get_dataset_shard(name).iter_batches(batch_size=None, batch_format="pyarrow"))


def _report(rank: int, metrics: Mapping[str, Any], save: Any) -> None:
    import ray.train

    if rank != 0:
        ray.train.report(dict(metrics))
        return
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        ray.train.report(dict(metrics), checkpoint=ray.train.Checkpoint.from_directory(folder))
