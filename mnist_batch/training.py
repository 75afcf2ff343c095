"""From labelled digits to a model bundle, across Ray workers: ``train`` is the order of things."""

import hashlib
import json
import logging
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import fs

from mnist_batch import augmenting, bundle, digits, epochs, locations, locks, plots, versions
from mnist_batch.errors import BooksError, InputError
from mnist_batch.models import LADDER, Model, Optimizer

log = logging.getLogger(__name__)

RUN = "run"  # the name of Ray Train's run, in a folder that is one training's own
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
    worker that dies is replaced, and training goes on from the last epoch, up to ``max_failures`` times; so it
    does where the same training was killed as a whole and is begun again.
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
    filesystem, target = locations.resolve(out)
    folder, _, name = target.rpartition("/")
    with locks.locked(filesystem, f"{folder}/.{name}.lock", f"the bundle {out}"):
        datasets, about = _share_out(recipe, data)
        storage = f"{folder}/.{name}.training-{_mark(recipe, about)}"
        set_damaged_aside(filesystem, storage)
        filesystem.create_dir(storage)
        news = Queue()
        replicas: dict[int, str] = {}
        listener = threading.Thread(target=_listen, args=(news, recipe.epochs, replicas), daemon=True)
        trainer = TensorflowTrainer(
            fit,
            train_loop_config={
                "recipe": asdict(recipe), "about": about, "threads": cpus_per_worker, "news": news,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=recipe.workers, resources_per_worker={"CPU": cpus_per_worker}
            ),
            # Named by rank and not split by Ray, whose split gives a worker whatever block is ready first.
            datasets=datasets,
            dataset_config=ray.train.DataConfig(datasets_to_split=[]),
            # Where a run of this name was killed here, Ray goes on from its last checkpoint.
            run_config=ray.train.RunConfig(
                name=RUN,
                storage_path=storage,
                storage_filesystem=filesystem,
                failure_config=ray.train.FailureConfig(max_failures=max_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            ),
        )  # fmt: skip
        listener.start()
        try:
            result = trainer.fit()
        finally:
            news.put(None)
            listener.join()
            news.shutdown(force=True)
        check_replicas(replicas, recipe.workers)
        with result.checkpoint.as_directory() as finished:
            trained = bundle.publish(Path(finished) / "bundle", out)
        locations.delete_folder(filesystem, storage)
        return trained


def _mark(recipe: Recipe, about: Mapping[str, Any]) -> str:
    # All that decides the weights: a killed training goes on only as the very same one.
    identity = [asdict(recipe), about, versions.versions()]
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()


def set_damaged_aside(filesystem: fs.FileSystem, storage: str) -> None:
    """Rename what a killed training left where it cannot be gone on from, and say what becomes of it.

    Ray writes its snapshot in place, so that a kill may leave half of one, on which every later run would end.
    """
    snapshot = f"{storage}/{RUN}/checkpoint_manager_snapshot.json"
    if not locations.exists(filesystem, snapshot):
        return
    epochs_done = 0
    try:
        state = json.loads(locations.read(filesystem, snapshot))
        for kept in state["checkpoint_results"]:
            checkpoint = f"{storage}/{RUN}/{kept['checkpoint_dir_name']}"
            epochs_done = len(json.loads(locations.read(filesystem, f"{checkpoint}/history.json")))
            with np.load(BytesIO(locations.read(filesystem, f"{checkpoint}/state.npz"))) as arrays:
                for name in arrays:
                    arrays[name]
        log.info("this training was begun before: it goes on after epoch %d", epochs_done)
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        aside = f"{storage}.damaged-{time.time_ns()}"
        log.warning("what a killed training left is damaged (%s): moved to %s, beginning anew", error, aside)
        filesystem.move(storage, aside)


def _share_out(recipe: Recipe, data: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The digits for each rank and for validation, by name, and what model.json says about them."""
    labelled = digits.training_digits(data)
    total = labelled.count()
    if total < 2 * recipe.workers:
        raise InputError(f"--data {data}: {total} readable digits cannot be shared by {recipe.workers} workers")
    held_out = min(HELD_OUT, max(1, total // 10))
    shares = epochs.share_sizes(total - held_out, recipe.workers)
    cuts = np.cumsum([held_out, *shares])[:-1].tolist()
    validation, *parts = labelled.random_shuffle(seed=HELD_OUT_SEED).split_at_indices(cuts)
    return {"validation": validation, **{f"train-{rank}": part for rank, part in enumerate(parts)}}, {
        "data": "embedded MNIST" if data is None else locations.absolute(data),
        "data_digest": digits.digest(labelled),
        "digits": total - held_out,
        "held_out": held_out,
    }


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
    learned, held_out = config["about"]["digits"], config["about"]["held_out"]
    steps = -(-learned // recipe.batch_size)
    architecture = LADDER[recipe.model]
    with strategy.scope():
        model = architecture.build()
        optimizer = architecture.optimizer(steps * recipe.epochs)
        optimizer.build(model.trainable_variables)
    history = _resume(model, optimizer)
    run_epoch = epochs.make_epoch(strategy, model, optimizer, labels, validation)
    counts = epochs.step_counts(epochs.share_sizes(learned, recipe.workers), steps)

    for epoch in range(len(history), recipe.epochs):
        started = time.monotonic()
        random = np.random.default_rng([recipe.seed, epoch, rank])
        rows, weights = epochs.step_rows(random.permutation(len(images)), steps)
        seen = augmenting.augment(images, random) if architecture.augmented else images
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
        _report(rank, history[-1], lambda folder: _save_state(folder, model, optimizer, history))
        if rank == 0:
            config["news"].put(history[-1])

    config["news"].put({"rank": rank, "weights": _weights_digest(model)})

    def save_all(folder: Path) -> None:
        _save_state(folder, model, optimizer, history)  # a worker that dies from here on resumes as well
        _save_bundle(folder / "bundle", recipe, model, history, config["about"])

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
    folder.mkdir()
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
