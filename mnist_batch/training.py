"""From labelled digits to a model bundle, across Ray workers: ``train`` is the order of things."""

import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch import bundle, digits, locations, plots, versions
from mnist_batch.errors import BooksError, InputError
from mnist_batch.models import LADDER, Model, Optimizer

log = logging.getLogger(__name__)

HELD_OUT = 5_000
HELD_OUT_SEED = 0  # of its own, so that every seed and every number of workers has the same validation digits


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the digits; ``batch_size`` is global, over all workers.

    Raises InputError where a value breaks a rule.
    """

    model: str
    epochs: int
    batch_size: int
    workers: int
    seed: int

    def __post_init__(self) -> None:
        if self.model not in LADDER:
            raise InputError(f"--model {self.model!r} is not on the ladder; choose from {', '.join(LADDER)}")
        for name in ("epochs", "batch_size", "workers", "seed"):
            at_least("--" + name.replace("_", "-"), getattr(self, name), 0 if name == "seed" else 1)
        if self.workers > self.batch_size:
            raise InputError(f"--workers {self.workers} cannot share --batch-size {self.batch_size}; lower it")


def at_least(flag: str, value: int, least: int) -> None:
    """Raise InputError where the value of a flag is below its least."""
    if value < least:
        raise InputError(f"{flag} is {value}; it has to be at least {least}")


def train(
    recipe: Recipe, out: str, *, data: str | None = None, cpus_per_worker: int = 1, max_failures: int = 2
) -> bundle.Bundle:
    """Train one model of the ladder on ``workers`` Ray workers and save it as a bundle at ``out``.

    ``data`` is a folder of labelled scans, None the embedded MNIST. 5,000 digits (a tenth, if there are
    fewer than 50,000) are held out for validation; the MNIST test set is scored once, at the end. A
    worker that dies is replaced, and training goes on from the last epoch, up to ``max_failures`` times.
    Raises InputError where the recipe does not fit the ladder or the cluster.
    """
    at_least("--cpus-per-worker", cpus_per_worker, 1)
    at_least("--max-failures", max_failures, 0)
    bundle.check_free(out)
    import ray.train
    from ray.train.tensorflow import TensorflowTrainer
    from ray.util.queue import Queue

    needed, there = recipe.workers * cpus_per_worker, ray.cluster_resources().get("CPU", 0)
    if needed > there:
        raise InputError(
            f"--workers {recipe.workers} with --cpus-per-worker {cpus_per_worker} need {needed} CPUs, "
            f"but the cluster has {there:g}; lower one of them"
        )
    labelled = digits.training_digits(data)
    total = labelled.count()
    if total < 2 * recipe.workers:
        raise InputError(f"--data {data}: {total} readable digits cannot be shared by {recipe.workers} workers")
    held_out = min(HELD_OUT, max(1, total // 10))
    learned = total - held_out
    shares = share_sizes(learned, recipe.workers)
    cuts = np.cumsum([held_out, *shares])[:-1].tolist()
    validation, *parts = labelled.random_shuffle(seed=HELD_OUT_SEED).split_at_indices(cuts)

    source = "embedded MNIST" if data is None else locations.absolute(data)
    about = {"data": source, "data_digest": digits.digest(labelled), "digits": learned, "held_out": held_out}
    news = Queue()
    replicas: dict[int, str] = {}
    listener = threading.Thread(target=_listen, args=(news, recipe.epochs, replicas), daemon=True)
    filesystem, target = locations.resolve(out)
    folder, _, name = target.rpartition("/")
    storage = f"{folder}/.{name}.training-{os.getpid()}-{time.time_ns()}"
    filesystem.create_dir(storage)
    trainer = TensorflowTrainer(
        fit,
        train_loop_config={
            "recipe": asdict(recipe), "about": about, "shares": shares,
            "threads": cpus_per_worker, "news": news,
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=recipe.workers, resources_per_worker={"CPU": cpus_per_worker}
        ),
        # Named by rank and not split by Ray, whose split gives a worker whatever block is ready first.
        datasets={"validation": validation, **{f"train-{rank}": part for rank, part in enumerate(parts)}},
        dataset_config=ray.train.DataConfig(datasets_to_split=[]),
        run_config=ray.train.RunConfig(
            name="run",
            storage_path=storage,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    )  # fmt: skip
    listener.start()
    try:
        try:
            result = trainer.fit()
        finally:
            news.put(None)
            listener.join()
            news.shutdown(force=True)
        if len(set(replicas.values())) != 1:
            raise BooksError(f"the {recipe.workers} workers ended with different weights: {replicas}")
        with result.checkpoint.as_directory() as finished:
            return bundle.publish(Path(finished), out)
    finally:
        locations.delete_folder(filesystem, storage)


def share_sizes(total: int, workers: int) -> list[int]:
    """How many of ``total`` digits each worker gets: all of them, sizes differing by at most one."""
    return [total * (rank + 1) // workers - total * rank // workers for rank in range(workers)]


def _listen(news: Any, epochs: int, replicas: dict[int, str]) -> None:
    """Log a line an epoch and note each worker's digest of its weights, until None comes."""
    while (line := news.get()) is not None:
        if "weights" in line:
            replicas[line["rank"]] = line["weights"]
            continue
        log.info(
            "epoch %d of %d: loss %.4f, accuracy %.4f, validation loss %.4f, validation accuracy %.4f, "
            "%.1f s, %s images/s",
            line["epoch"], epochs, line["loss"], line["accuracy"], line["validation_loss"],
            line["validation_accuracy"], line["seconds"], f"{line['images_per_second']:,.0f}",
        )  # fmt: skip


# ---------------------------------------------------------------- what each worker runs


def fit(config: Mapping[str, Any]) -> None:
    """One worker's part: its share of the digits, every epoch together with the others, the bundle at the end.

    Ray sets TF_USE_LEGACY_KERAS in its TensorFlow workers, so this imports ``keras`` and never ``tf.keras``.
    """
    import keras
    import ray.train
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(config["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    recipe = Recipe(**config["recipe"])
    rank = ray.train.get_context().get_world_rank()
    images, labels = _share(f"train-{rank}")
    validation = tuple(array[rank :: recipe.workers] for array in _share("validation"))

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(recipe.seed)
    steps = -(-sum(config["shares"]) // recipe.batch_size)
    architecture = LADDER[recipe.model]
    with strategy.scope():
        model = architecture.build()
        optimizer = architecture.optimizer(steps * recipe.epochs)
        optimizer.build(model.trainable_variables)
    history = _resume(model, optimizer)
    run_epoch = make_epoch(strategy, model, optimizer, (images, labels), validation)
    counts = step_counts(config["shares"], steps)

    for epoch in range(len(history), recipe.epochs):
        started = time.monotonic()
        order = np.random.default_rng([recipe.seed, epoch, rank]).permutation(len(images))
        rows, weights = step_rows(order, steps)
        loss, correct, validation_loss, validation_correct = run_epoch(rows, weights, counts)
        seconds = time.monotonic() - started
        learned, held_out = sum(config["shares"]), config["about"]["held_out"]
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
        if rank == 0:
            config["news"].put(history[-1])
        _report(rank, history[-1], lambda folder: _save_state(folder, model, optimizer, history))

    config["news"].put({"rank": rank, "weights": _weights_digest(model)})
    _report(rank, {}, lambda folder: _save_bundle(folder, recipe, model, history, config["about"]))


def _share(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    import ray.train

    return digits.arrays(ray.train.get_dataset_shard(name).iter_batches(batch_size=None, batch_format="pyarrow"))


def step_counts(shares: list[int], steps: int) -> NDArray[np.float32]:
    """How many digits each step takes over all workers, float32 (steps,): within a few of the batch size."""
    bounds = [np.arange(steps + 1) * share // steps for share in shares]
    return np.asarray(sum(np.diff(bound) for bound in bounds), np.float32)


def step_rows(order: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A worker's digits in the given order spread evenly over the steps of an epoch, each digit once.

    Returns rows int32 and weights float32, both (steps, most digits a step): weight 0 pads a step that
    has one digit fewer, so that every step has the same shape.
    """
    bounds = np.arange(steps + 1) * len(order) // steps
    width = max(1, int(np.diff(bounds).max()))
    places = bounds[:-1, None] + np.arange(width)
    weights = places < bounds[1:, None]
    rows = order[np.minimum(places, len(order) - 1)]
    return rows.astype(np.int32), weights.astype(np.float32)


def make_step(model: Model, optimizer: Optimizer) -> Any:
    """One step of one replica: (images, labels, weights, count) -> (sum of losses, number correct).

    The gradient is that of the mean cross-entropy over the ``count`` digits of all replicas: each
    divides its sum by ``count``, and the optimizer adds them up. (Loss *objects* of Keras 3 rescale under a
    strategy; the function does not.)
    """
    import keras
    import tensorflow as tf

    def step(images: Any, labels: Any, weights: Any, count: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, outputs) * weights
            loss = tf.reduce_sum(losses)
            mean = loss / tf.maximum(count, 1.0)
        gradients = tape.gradient(mean, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        hits = tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == labels, tf.float32)
        return loss, tf.reduce_sum(hits * weights)

    return step


def make_epoch(strategy: Any, model: Model, optimizer: Optimizer, training: Any, validation: Any) -> Any:
    """An epoch of all workers as one ``tf.function``: (rows, weights, counts) -> four sums over all workers.

    ``training`` and ``validation`` are this worker's images and labels. The sums are those of loss and
    hits in training, then of loss and hits on the validation digits after it. Python meets TensorFlow once
    an epoch, which is what makes small models fast.
    """
    import keras
    import tensorflow as tf

    images, labels = tf.constant(training[0]), tf.constant(training[1], tf.int32)
    held_out, truth = tf.constant(validation[0]), tf.constant(validation[1], tf.int32)
    step = make_step(model, optimizer)
    averages = [
        variable
        for variable in model.non_trainable_variables
        if tf.as_dtype(variable.dtype).is_floating  # batch norm's; the others are seeds
    ]

    def all_reduce(how: str, values: Any) -> Any:
        with tf.device("/cpu:0"):  # a collective has to know where its tensors are
            placed = [tf.identity(value) for value in values]
        return strategy.run(lambda *own: tf.distribute.get_replica_context().all_reduce(how, list(own)), args=placed)

    def evaluate() -> tuple[Any, Any]:
        outputs = model(held_out, training=False)
        hits = tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == truth, tf.float32)
        return tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(truth, outputs)), tf.reduce_sum(hits)

    @tf.function
    def learn(rows: Any, weights: Any, counts: Any) -> tuple[Any, Any]:
        loss, hits = 0.0, 0.0
        for at in tf.range(tf.shape(rows)[0]):
            batch = (tf.gather(images, rows[at]), tf.gather(labels, rows[at]), weights[at], counts[at])
            step_loss, step_hits = strategy.run(step, args=batch)
            loss += step_loss
            hits += step_hits
        return loss, hits

    @tf.function
    def mean_averages() -> Any:
        return all_reduce("MEAN", [variable.value for variable in averages])

    @tf.function
    def sums(*values: Any) -> Any:
        return all_reduce("SUM", [*values, *strategy.run(evaluate)])

    def run_epoch(rows: Any, weights: Any, counts: Any) -> list[float]:
        loss, hits = learn(tf.constant(rows), tf.constant(weights), tf.constant(counts))
        if averages:  # each worker has kept batch norm's moving averages of its own digits only
            for variable, mean in zip(averages, mean_averages(), strict=True):
                variable.assign(mean)
        return [float(total) for total in sums(loss, hits)]

    return run_epoch


def _report(rank: int, metrics: Mapping[str, Any], save: Any) -> None:
    import ray.train

    if rank != 0:
        ray.train.report(dict(metrics))
        return
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        ray.train.report(dict(metrics), checkpoint=ray.train.Checkpoint.from_directory(folder))


def _weights_digest(model: Model) -> str:
    return hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in model.weights)).hexdigest()[:16]


def _save_state(folder: Path, model: Model, optimizer: Optimizer, history: list[dict[str, Any]]) -> None:
    variables = [*model.variables, *optimizer.variables]
    np.savez(folder / "state.npz", *(variable.numpy() for variable in variables))
    (folder / "history.json").write_text(json.dumps(history))


def _resume(model: Model, optimizer: Optimizer) -> list[dict[str, Any]]:
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as folder, np.load(Path(folder) / "state.npz") as state:
        for variable, saved in zip([*model.variables, *optimizer.variables], state.values(), strict=True):
            variable.assign(saved)
        history: list[dict[str, Any]] = json.loads((Path(folder) / "history.json").read_text())
    return history


def _save_bundle(
    folder: Path, recipe: Recipe, trained: Model, history: list[dict[str, Any]], about: Mapping[str, Any]
) -> None:
    # Built again outside the strategy: mirrored variables do not export.
    model = LADDER[recipe.model].build()
    model.set_weights([weight.numpy() for weight in trained.weights])
    images, labels = digits.mnist("test")
    outputs = model.predict(images, batch_size=1000, verbose=0)
    correct = int((outputs.argmax(axis=1) == labels).sum())
    model.save(folder / "model.keras")
    model.export(str(folder / "model.onnx"), format="onnx", verbose=False)
    (folder / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    (folder / "history.png").write_bytes(plots.history(history))
    bundle.describe(
        folder,
        {
            "architecture": recipe.model,
            "parameters": model.count_params(),
            "training": {**about, **asdict(recipe)},
            "validation": {"accuracy": history[-1]["validation_accuracy"], "digits": about["held_out"]},
            "weights": _weights_digest(model),
            "test": {"data": "MNIST test", "digits": len(labels), "accuracy": correct / len(labels)},
            "calibration": None,
            "versions": versions.versions(),
        },
    )
