"""Training on real workers: the same weights on every rank, the right gradient, and back from a kill."""

import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import fs

from jobs import score, train
from mnist_batch import training
from mnist_batch.errors import BooksError, InputError
from mnist_batch.learning import (
    assignment,
    checkpoints,
    digits,
    epochs,
    fine_tuning,
    holding_out,
    labelled,
    lessons,
    shares,
    validating,
)
from mnist_batch.learning.listed import list_data
from mnist_batch.learning.recipe import Data, Settings
from mnist_batch.models import bundle, calibrating, engines, ladder
from mnist_batch.pixels.normalising import normalise
from mnist_batch.reading import images
from mnist_batch.schemas.bundle_facts import BegunFrom, DataFacts, DatasetFacts, OwnScans
from tests.support import ROOT
from tests.support.pictures import write_labelled
from tests.support.processes import descendants


@given(total=st.integers(0, 2_000), workers=st.integers(1, 9))
def test_shares_are_all_digits_and_differ_by_one_at_most(total: int, workers: int) -> None:
    shares = epochs.share_sizes(total, workers)
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@given(total=st.integers(1, 400), workers=st.integers(1, 5), batch_size=st.integers(1, 64), seed=st.integers(0, 9))
def test_an_epoch_takes_every_digit_once_in_steps_of_about_the_batch_size(
    total: int, workers: int, batch_size: int, seed: int
) -> None:
    shares = [share for share in epochs.share_sizes(total, workers) if share]
    steps = -(-total // batch_size)
    taken = np.zeros(steps)
    for share in shares:
        order = np.random.default_rng(seed).permutation(share)
        rows, weights = epochs.step_rows(order, steps)
        assert rows.shape == weights.shape == (steps, rows.shape[1])
        assert sorted(rows[weights > 0].tolist()) == list(range(share))
        taken += weights.sum(axis=1)
    assert np.array_equal(taken, epochs.step_counts(shares, steps))
    assert np.all(taken <= batch_size + workers)


@given(digits_in_all=st.integers(1, 300), workers=st.integers(1, 4), batch_size=st.integers(4, 64))
@pytest.mark.parametrize("model", ["hidden", "ensemble"])
def test_the_steps_of_an_assignment_are_those_of_the_lessons_that_workers_have(
    model: str, digits_in_all: int, workers: int, batch_size: int
) -> None:
    sizes = epochs.share_sizes(digits_in_all, workers)
    names = [dict.fromkeys(f"{kind}-{rank}" for rank in range(workers)) for kind in ("training", "validation")]
    dealt = shares.Shares(*names, (1.0,), sizes, DatasetFacts((), digits=digits_in_all, held_out=3))
    recipe = training.Recipe(model=model, epochs=2, batch_size=batch_size, workers=workers, seed=5)
    given = assignment.assign(recipe, dealt, None, Settings(cpus_per_worker=3))
    assert [one.recipe.model for one in given] == list(ladder.nets_of(model))
    assert [(one.net, one.recipe.seed) for one in given] == [(net, 5 + net) for net in range(len(given))]
    negatives = sum(size // 4 + size // 15 for size in sizes) if model == "ensemble" else 0
    for one in given:
        assert one.learned == one.step_sizes.sum() == digits_in_all + negatives
        assert len(one.step_sizes) == -(-one.learned // batch_size)
        assert (one.held_out, one.threads, len(one.training), len(one.validation)) == (3, 3, workers, workers)


def test_the_first_net_alone_is_trained_where_the_others_are_kept() -> None:
    names = [dict.fromkeys(f"{kind}-{rank}" for rank in range(2)) for kind in ("training", "validation")]
    dealt = shares.Shares(*names, (1.0,), [50, 50], DatasetFacts((), digits=100, held_out=3))
    recipe = training.Recipe.completed({"model": "ensemble", "only_first": True, "seed": 5}, "ensemble")
    start = fine_tuning.Start("models/mine", "00", "ff", "ensemble", b"", has_first=False)
    [one] = assignment.assign(recipe, dealt, start, Settings())
    assert (one.net, one.recipe.model, one.recipe.seed, one.start) == (3, "quick", 8, None)
    assert one.recipe.epochs == ladder.LADDER["quick"].epochs


def test_keeping_nets_needs_a_bundle_that_has_them() -> None:
    scans = [Data("my-scans")]
    lacking = fine_tuning.Start("models/mine", "00", "ff", "ensemble", b"", has_first=False)
    recipe = training.Recipe.completed({"model": "ensemble"})
    keeping = replace(recipe, only_first=True)
    with pytest.raises(InputError, match="--only-first: hidden asks no net first"):
        training.Recipe.completed({"model": "hidden", "only_first": True})
    with pytest.raises(InputError, match="--only-first keeps the other nets of a bundle; give that bundle with --from"):
        fine_tuning.check(None, keeping, scans)
    with pytest.raises(InputError, match="models/mine: its ensemble lacks the net .*, with --only-first"):
        fine_tuning.check(lacking, recipe, scans)
    fine_tuning.check(lacking, keeping, scans)
    fine_tuning.check(replace(lacking, has_first=True), keeping, scans)
    fine_tuning.check(None, recipe, [])


@pytest.mark.parametrize(("model", "views"), [("hidden", 1), ("scanned", 2)])
def test_a_lesson_is_the_same_for_a_worker_that_takes_over(model: str, views: int) -> None:
    share = digits.mixed([digits.mnist("train").take(np.arange(40))])
    recipe = training.Recipe(model=model, epochs=4, batch_size=8, workers=2)
    whole = lessons.Lessons(share, [1.0], recipe, rank=1)
    taken = [(whole.of(epoch), whole.order(epoch)) for epoch in range(4)]
    for epoch, (lesson, order) in enumerate(taken):
        resumed = lessons.Lessons(share, [1.0], recipe, rank=1)
        assert np.array_equal(resumed.order(epoch), order)
        assert all(np.array_equal(*both) for both in zip(resumed.of(epoch), lesson, strict=True))
        assert np.array_equal(np.sort(order), np.arange(len(lesson.classes)))
        assert len(lesson.pictures) == len(lesson.classes)
        assert np.array_equal(lesson.classes, taken[0][0].classes)
    assert len({lesson.pictures.tobytes() for lesson, _ in taken}) == views
    assert len({order.tobytes() for _, order in taken}) == 4
    other = lessons.Lessons(share, [1.0], recipe, rank=0)
    assert not np.array_equal(other.order(0), taken[0][1])
    assert (views == 1) == np.array_equal(other.of(0).pictures, taken[0][0].pictures)


RECIPE = {"model": "hidden", "epochs": 3, "batch_size": 64, "seed": 7}


@pytest.mark.parametrize("replicas", [{0: "a", 1: "b"}, {0: "a"}, {}])
def test_workers_that_end_with_different_weights_or_say_nothing_are_a_fault(replicas: dict[int, str]) -> None:
    training.check_replicas({0: "a", 1: "a"}, workers=2)
    with pytest.raises(BooksError, match="the 2 workers did not end with the same weights"):
        training.check_replicas(replicas, workers=2)


def trained(folder: Path, workers: int, **changes: Any) -> tuple[bundle.Bundle, list[dict[str, float]]]:
    made = training.train(training.Recipe(workers=workers, **(RECIPE | changes)), str(folder / "bundle"))
    return made, json.loads((folder / "bundle/history.json").read_text())


def learned(history: list[dict[str, float]]) -> list[tuple[float, ...]]:
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    return [tuple(epoch[name] for name in names) for epoch in history]


@pytest.fixture(scope="module")
def two_workers(
    shared_ray: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bundle.Bundle, list[dict[str, float]]]:
    return trained(tmp_path_factory.mktemp("two"), workers=2)


SAVE = """
import pathlib, sys, keras, tensorflow
from mnist_batch.learning import digits, exporting
from mnist_batch.models import ladder
keras.utils.set_random_seed(1)
model = ladder.cnn()
model.predict(digits.mnist("test")[0][:1])
for _ in range(int(sys.argv[2])):  # TensorFlow counts the functions that a process has made
    tensorflow.function(lambda: tensorflow.constant(0))()
exporting.save_model(pathlib.Path(sys.argv[1]), model)
"""


@pytest.mark.long
@pytest.mark.slow
def test_the_same_weights_are_the_same_files_whenever_they_are_saved(tmp_path: Path) -> None:
    import onnxruntime

    for seed in ("1", "2"):  # of the hashes by which Python orders a set
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", SAVE, str(tmp_path / seed), seed]
        done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("model.keras", "model.onnx"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name

    import keras

    pictures = digits.mnist("test")[0][:100]
    [answers] = onnxruntime.InferenceSession(tmp_path / "1/model.onnx").run(None, {"keras_tensor": pictures})
    assert np.allclose(answers, keras.saving.load_model(tmp_path / "1/model.keras").predict(pictures), atol=1e-5)


def test_a_training_leaves_a_whole_bundle(two_workers: tuple[bundle.Bundle, list[dict[str, float]]]) -> None:
    made, history = two_workers
    folder = Path(made.location)
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.json",
        "history.png",
        "model.json",
        "model.keras",
        "model.onnx",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]
    assert (made.facts.training.digits, made.facts.training.held_out) == (55_000, 5_000)
    assert len(history) == 3
    assert history[0]["loss"] > history[1]["loss"] > history[2]["loss"]
    assert made.facts.validation.accuracy == history[2]["validation_accuracy"]
    assert made.facts.test.accuracy > 0.95
    calibration = made.facts.calibration
    assert calibration.digits + calibration.wrongly_labelled == 5_000
    assert calibration.wrongly_labelled > 0  # of the first 5,000 held out


def test_onnx_and_keras_agree_on_the_whole_test_set(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]],
) -> None:
    made, _ = two_workers
    images, labels = digits.mnist("test")
    answers = [np.concatenate([engine(made)(part).values for part in np.split(images, 10)]) for engine in ENGINES]
    onnx, keras = (calibrating.tempered(answer, 1) for answer in answers)
    assert np.abs(onnx - keras).max() <= 1e-5
    assert (onnx.argmax(axis=1) == labels).mean() == pytest.approx(made.facts.test.accuracy, abs=1e-9)


def test_normalising_digits_of_mnist_costs_hardly_an_answer(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]],
) -> None:
    made, _ = two_workers
    images, labels = digits.mnist("test")
    normalised = np.stack([normalise(image) for image in images])
    answers = np.concatenate([engines.OnnxEngine(made)(part).values for part in np.split(normalised, 10)])
    assert (answers.argmax(axis=1) == labels).mean() > made.facts.test.accuracy - 0.001


ENGINES = list(engines.ENGINES.values())


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_learns_as_well(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]], tmp_path: Path, workers: int
) -> None:
    made, _ = two_workers
    other, _ = trained(tmp_path, workers=workers)
    share = made.facts.test.accuracy
    noise = 4 * (2 * share * (1 - share) / 10_000) ** 0.5  # four standard errors of a difference
    assert other.facts.test.accuracy == pytest.approx(share, abs=noise)
    assert other.facts.training.data == made.facts.training.data


@pytest.mark.slow
def test_layers_that_compute_in_bfloat16_learn_as_well_and_keep_their_weights_in_float32(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]], tmp_path: Path
) -> None:
    exact, _ = two_workers
    made, _ = trained(tmp_path, workers=2, precision="bfloat16")
    share = exact.facts.test.accuracy
    noise = 4 * (2 * share * (1 - share) / 10_000) ** 0.5  # four standard errors of a difference
    assert made.facts.test.accuracy == pytest.approx(share, abs=noise)
    assert made.facts.weights != exact.facts.weights
    assert "--precision bfloat16" in made.facts.command
    pictures = digits.mnist("test")[0][:500]
    onnx, keras = (engine(made)(pictures).values for engine in ENGINES)
    assert np.abs(onnx - keras).max() <= 1e-5


def labelled_scans(folder: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Digits of the MNIST test set as PNG files, each in a folder named by its label."""
    import cv2

    pictures, labels = (array[:count] for array in digits.mnist("test"))
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        path = folder / f"{label}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
    return pictures, labels


@pytest.mark.slow
@pytest.mark.timeout(900)  # four trainings of several nets each
def test_an_ensemble_that_was_killed_in_its_second_net_ends_as_one_that_was_not(tmp_path: Path) -> None:
    import keras

    labelled_scans(tmp_path / "scans", 300)
    command = [sys.executable, "-m", "jobs.train", "--model", "ensemble", "--seed", "4", "--epochs", "4"]
    command += ["--data", str(tmp_path / "scans"), "--out"]
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    subprocess.run([*command, whole], capture_output=True, check=True)
    job = subprocess.Popen([*command, killed], stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert job.stderr is not None
    seen = 0
    for line in job.stderr:
        seen += "epoch 3 of 4" in line  # in the middle of the views that epochs 3 and 4 share
        if seen == 2:
            break
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    again = subprocess.run([*command, killed], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert re.findall(r"it goes on after epoch (\d)", again.stderr)[0] == "4", again.stderr
    made, same = bundle.open_bundle(whole), bundle.open_bundle(killed)
    assert same.facts.weights == made.facts.weights
    assert made.facts.training.members == ladder.nets_of("ensemble")
    assert made.facts.training.seeds == (4, 5, 6, 7)
    history = json.loads((tmp_path / "whole/history.json").read_text())
    assert [(line["seed"], line["epoch"]) for line in history] == [(s, e) for s in (4, 5, 6, 7) for e in (1, 2, 3, 4)]
    images, labels = digits.mnist("test")
    nets = [net for net in keras.saving.load_model(f"{whole}/model.keras").layers if isinstance(net, keras.Sequential)]
    answers = [net.predict(images, batch_size=1000, verbose=0)[:, :10].argmax(axis=1) for net in nets]
    assert [(own == labels).mean() for own in answers] == pytest.approx(made.facts.test.members, abs=2e-4)
    assert (answers[0] != answers[2]).any()
    only_first = ["--from", whole, "--only-first", "--model", "ensemble", "--data", str(tmp_path / "scans")]
    only_first += ["--data", "mnist", "--epochs", "1", "--seed", "9", "--out", str(tmp_path / "other")]
    subprocess.run([sys.executable, "-m", "jobs.train", *only_first], capture_output=True, check=True)
    other = bundle.open_bundle(str(tmp_path / "other"))
    theirs = keras.saving.load_model(f"{other.location}/model.keras").layers
    weights = [[w.numpy() for net in nets[:3] for w in net.weights]]
    weights += [[w.numpy() for net in theirs if isinstance(net, keras.Sequential) for w in net.weights]]
    assert all(np.array_equal(*both) for both in zip(weights[0], weights[1], strict=False))
    assert len(weights[1]) == len(weights[0]) + len(nets[3].weights)
    assert other.facts.training.seeds == (12,)
    assert "--only-first " in other.facts.command


def one_step(config: Mapping[str, Any]) -> None:
    """On each worker: one step with plain gradient descent at rate 1 on its half, the weights to a file."""
    import keras
    import ray.train
    import tensorflow as tf

    rank = ray.train.get_context().get_world_rank()
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = reference_model()
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(model.trainable_variables)
    step = epochs.make_step(model, optimizer)
    images, labels = config["images"][rank::2], config["labels"][rank::2]
    ones = np.ones(len(images), np.float32)

    @tf.function
    def once() -> Any:
        return strategy.run(step, args=(images, labels, ones, np.float32(len(config["images"]))))

    once()
    np.savez(Path(config["folder"]) / f"rank-{rank}.npz", *(weight.numpy() for weight in model.weights))
    ray.train.report({})


def reference_model() -> Any:
    import keras

    keras.utils.set_random_seed(3)
    return ladder.LADDER["hidden"].build()


def mean_gradient(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> list[NDArray[np.float32]]:
    import keras
    import tensorflow as tf

    model = reference_model()
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy()(labels, model(images, training=True))
    return [gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables)]


@pytest.mark.long
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_fused_batch_norm_learns_what_one_of_keras_does(policy: str) -> None:
    import keras
    import tensorflow as tf

    random = np.random.default_rng(1)
    computed = keras.DTypePolicy(policy).compute_dtype
    inputs, upstream = (tf.constant(random.normal(1, 2, (4, 3, 3, 8)), computed) for _ in range(2))
    found = []
    for fuse in (lambda _: None, epochs.fuse_batch_norm):
        norm = keras.layers.BatchNormalization(dtype=policy)
        model = keras.Sequential([keras.Input(inputs.shape[1:], dtype=computed), norm])
        fuse(model)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = model(inputs, training=True)
            total = tf.reduce_sum(outputs * upstream)
        gradients = tape.gradient(total, [inputs, *model.trainable_variables])
        found.append([outputs, *gradients, *model.get_weights(), model(inputs, training=False)])
    for plain, fused in zip(*found, strict=True):
        plain, fused = np.asarray(plain), np.asarray(fused)
        assert fused.dtype == plain.dtype
        # Sums over numbers of 8 bits; these numbers themselves are as exact as they can be.
        tolerance = 1e-5 if policy == "float32" else 0.002 if fused.dtype == np.float32 else 0.02
        np.testing.assert_allclose(np.float32(fused), np.float32(plain), rtol=10 * tolerance, atol=tolerance)
    for moved in found:
        assert not np.allclose(moved[-2], 1, atol=0.005)  # the moving variance


@pytest.mark.usefixtures("shared_ray")
def test_the_gradient_of_two_workers_is_that_of_one(tmp_path: Path) -> None:
    import ray.train

    from mnist_batch.learning import ray_train

    images, labels = (array[:33] for array in digits.mnist("train"))  # an odd number: the halves differ
    labels = labels.astype(np.int32)
    ray_train.Trainer(
        one_step,
        train_loop_config={"images": images, "labels": labels, "folder": str(tmp_path)},
        backend_config=ray_train.TensorflowWorkers(),
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(storage_path=str(tmp_path / "ray")),
    ).fit()
    ranks = [list(np.load(tmp_path / f"rank-{rank}.npz").values()) for rank in (0, 1)]
    assert all(np.array_equal(first, second) for first, second in zip(*ranks, strict=True))
    before = reference_model().get_weights()
    for start, end, gradient in zip(before, ranks[0], mean_gradient(images, labels), strict=True):
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(start - end, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_worker_killed_in_the_second_epoch_changes_nothing(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]], tmp_path: Path
) -> None:
    """The job as a user runs it, on a Ray of its own: a worker gets SIGKILL, the weights are the undisturbed ones.

    Which says, too, that the same seed gives the same weights, in another process on another Ray.
    """
    command = [sys.executable, "-m", "jobs.train", "--out", str(tmp_path / "killed")]
    for name, value in RECIPE.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    with tempfile.TemporaryFile("w+") as stdout:
        job = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
        assert job.stderr is not None
        said: list[str] = []
        first: list[int] = []
        for line in job.stderr:
            said.append(line)
            if "epoch 1 of 3" in line and not first:
                first = workers_of(job.pid)
                while not list(tmp_path.glob(".killed.training-*/seed-*/run/checkpoint_manager_snapshot.json")):
                    time.sleep(0.01)  # until Ray has noted the first epoch's checkpoint
                os.kill(first[0], signal.SIGKILL)
            if "epoch 2 of 3" in line:
                second = workers_of(job.pid)
        assert job.wait() == 0, "".join(said)
        assert len(first) == len(second) == 2
        assert not set(first) & set(second)
        stdout.seek(0)
        assert json.loads(stdout.read().splitlines()[-1])["status"] == "done"
    said_epochs = [int(found[1]) for found in (re.search(r"epoch (\d) of 3", line) for line in said) if found]
    assert said_epochs.count(1) == 1  # the second began at the first one's checkpoint, not at the beginning
    assert said_epochs[-2:] == [2, 3]
    made, history = two_workers
    assert bundle.open_bundle(str(tmp_path / "killed")).facts.weights == made.facts.weights
    assert learned(json.loads((tmp_path / "killed/history.json").read_text())) == learned(history)


class OtherRay(BaseHTTPRequestHandler):
    """The dashboard of a Ray that knows no actor of this one."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answer = {"result": True, "msg": "", "data": {"result": {"result": [], "total": 0, "num_filtered": 0}}}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


@pytest.mark.slow
@pytest.mark.ray
def test_another_ray_on_this_machine_has_no_say_in_a_training(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pictures, labels = digits.mnist("test")
    for number, (picture, label) in enumerate(zip(pictures[:40], labels, strict=False)):
        (tmp_path / f"in/{label}").mkdir(exist_ok=True)
        (tmp_path / f"in/{label}/{number}.png").write_bytes(images.encode(picture))
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherRay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{server.server_port}"}
        command = [sys.executable, "-m", "jobs.train", "--model", "linear", "--epochs", "1", "--workers", "1"]
        command += ["--data", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
        job = subprocess.run(command, env=os.environ | there, capture_output=True, text=True, check=False)
        server.shutdown()
    assert job.returncode == 0, job.stdout
    assert not OtherRay.asked


@pytest.mark.slow
def test_a_training_killed_as_a_whole_goes_on_when_begun_again(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "jobs.train", "--out", str(tmp_path / "killed")]
    for name, value in RECIPE.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    job = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert job.stderr is not None
    for line in job.stderr:
        if "epoch 2 of 3" in line:
            break
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    [storage] = tmp_path.glob(".killed.training-*")
    (tmp_path / f"{storage.name[:-1]}-").mkdir()  # of another recipe: none of this one's business
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    begun = re.search(r"it goes on after epoch (\d)", again.stderr)
    assert begun, again.stderr
    said_epochs = [int(epoch) for epoch in re.findall(r"epoch (\d) of 3", again.stderr)]
    assert said_epochs == list(range(int(begun[1]) + 1, 4))
    assert int(begun[1]) >= 1
    made, history = two_workers
    assert bundle.open_bundle(str(tmp_path / "killed")).facts.weights == made.facts.weights
    assert learned(json.loads((tmp_path / "killed/history.json").read_text())) == learned(history)
    assert not storage.exists()


SMALL = ["--model", "linear", "--epochs", "1", "--workers", "1"]
# The job as a user runs it; exit code 9 says that the driver has imported TensorFlow.
DRIVER = "import sys; from jobs import train; sys.exit(train.main(sys.argv[1:]) or 9 * ('tensorflow' in sys.modules))"


@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_training_that_ended_before_its_bundle_was_there_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    labelled_scans(tmp_path / "scans", 60)
    pictures, labels = (array[60:120] for array in digits.mnist("test"))
    write_labelled(tmp_path / "more", pictures, label=labels)
    data = [Data(str(tmp_path / "scans")), Data(str(tmp_path / "more"), 1.5)]
    recipe = training.Recipe(model="linear", epochs=2, batch_size=16, workers=1)

    first: dict[str, bytes] = {}

    def train_it() -> bundle.Bundle:
        return training.train(recipe, str(tmp_path / "ended"), data=data)

    def full(folder: Path, _: str) -> bundle.Bundle:
        first.update({file.name: file.read_bytes() for file in folder.iterdir()})
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(bundle, "publish", full)
        with pytest.raises(OSError, match="no space left"):
            train_it()
    assert len(list(tmp_path.glob(".ended.training-*"))) == 1
    assert not (tmp_path / "ended").exists()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train_it()
    assert "it goes on after epoch 2" in caplog.text
    assert "epoch 1 of 2" not in caplog.text
    assert not list(tmp_path.glob(".ended.training-*"))
    assert len(first) == 5
    assert {name: (tmp_path / "ended" / name).read_bytes() for name in first} == first


@pytest.mark.slow
def test_a_training_killed_while_its_bundle_is_made_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """First the task that exports dies, and Ray starts it again; then the driver dies, and the user starts it again."""
    labelled_scans(tmp_path / "scans", 60)
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    environment = os.environ | {"MNIST_BATCH_FAILPOINTS": str(failpoints)}

    def job(out: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            DRIVER,
            *SMALL,
            "--data",
            str(tmp_path / "scans"),
            "--out",
            str(tmp_path / out),
        ]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, start_new_session=True
        )

    assert (done := job("whole")).returncode == 0, done.stderr
    for point in ("exporting", "exported"):
        (failpoints / point).write_text("kill")
    assert job("killed").returncode == -signal.SIGKILL
    assert sorted(path.name for path in failpoints.iterdir()) == ["exported.fired", "exporting.fired"]
    assert not (tmp_path / "killed").exists()
    again = job("killed")
    assert again.returncode == 0, again.stderr
    assert "it goes on after epoch 1" in again.stderr
    for name in ("model.keras", "model.onnx", "model.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("damage", ["half a snapshot", "no checkpoint", "half a checkpoint", "nothing"])
def test_what_a_killed_training_left_is_set_aside_where_it_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    storage = tmp_path / ".hidden.training-0123"
    checkpoint = storage / checkpoints.RUN / "checkpoint_1"
    checkpoint.mkdir(parents=True)
    np.savez(checkpoint / "state.npz", np.arange(1_000))
    (checkpoint / "history.json").write_text(json.dumps([{"epoch": 1}]))
    snapshot = storage / checkpoints.RUN / "checkpoint_manager_snapshot.json"
    snapshot.write_text(json.dumps({"checkpoint_results": [{"checkpoint_dir_name": "checkpoint_1"}]}))
    if damage == "half a snapshot":
        snapshot.write_bytes(snapshot.read_bytes()[:20])
    elif damage == "no checkpoint":
        shutil.rmtree(checkpoint)
    elif damage == "half a checkpoint":
        state = bytearray((checkpoint / "state.npz").read_bytes())
        state[4_000] ^= 1
        (checkpoint / "state.npz").write_bytes(state)
    caplog.set_level(logging.INFO)
    checkpoints.set_damaged_aside(fs.LocalFileSystem(), str(storage))
    if damage == "nothing":
        assert "it goes on after epoch 1" in caplog.text
        assert snapshot.exists()
    else:
        assert "is damaged" in caplog.text
        [aside] = tmp_path.iterdir()
        assert aside.name.startswith(".hidden.training-0123.damaged-")
        assert str(aside) in caplog.text


def test_only_the_very_same_training_is_gone_on_with() -> None:
    recipe = training.Recipe(workers=2, **RECIPE)
    data = DataFacts("embedded MNIST", "00", digits=9, held_out=1)
    facts = DatasetFacts((data,), digits=9, held_out=1)
    fingerprints = {checkpoints.fingerprint(recipe, ["hidden"], facts)}
    for change in ({"seed": 8}, {"epochs": 4}, {"batch_size": 32}, {"model": "deep"}, {"precision": "bfloat16"}):
        fingerprints.add(checkpoints.fingerprint(replace(recipe, **change), ["hidden"], facts))
    fingerprints.add(checkpoints.fingerprint(replace(recipe, workers=3), ["hidden"], facts))
    fingerprints.add(checkpoints.fingerprint(recipe, ["hidden"], replace(facts, data=(data, data))))
    for change in ({"digest": "01"}, {"held_out_digest": "01"}, {"weight": 2.0}):
        changed = replace(facts, data=(replace(data, **change),))
        fingerprints.add(checkpoints.fingerprint(recipe, ["hidden"], changed))
    fingerprints.add(checkpoints.fingerprint(recipe, ["hidden", "deep"], facts))
    for digest in ("00", "01"):
        start = fine_tuning.Start("models/mine", digest, "ff", "hidden", b"")
        fine_tuned = replace(facts, rehearsed=2_000, begun_from=start.recorded())
        fingerprints.add(checkpoints.fingerprint(recipe, ["hidden"], fine_tuned))
    assert len(fingerprints) == 14
    assert checkpoints.fingerprint(replace(recipe), ["hidden"], replace(facts)) in fingerprints


def workers_of(job: int) -> list[int]:
    """The Ray Train workers among the descendants of a job's process."""
    return [process for process, command in descendants(job) if "RayTrainWorker" in command]


@pytest.mark.parametrize(
    ("changes", "workers", "message"),
    [
        ({"model": "abacus"}, 2, "--model 'abacus' is not on the ladder; choose from linear, hidden"),
        ({"precision": "half"}, 2, "--precision 'half' is not known; choose from float32, bfloat16"),
        ({"epochs": 0}, 2, "--epochs is 0; it has to be at least 1"),
        ({"seed": -1}, 2, "--seed is -1; it has to be at least 0"),
        ({"batch_size": 2}, 3, "--workers 3 cannot share --batch-size 2"),
        ({"hold_out": 0}, 2, "--hold-out is 0; it has to be at least 1"),
        ({}, 0, "--workers is 0"),
        ({}, 9, "need 9 CPUs, but the cluster has 4"),
    ],
)
@pytest.mark.usefixtures("shared_ray")
def test_a_recipe_that_breaks_a_rule_is_refused(
    tmp_path: Path, changes: dict[str, Any], workers: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trained(tmp_path, workers=workers, **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("shared_ray")
def test_workers_get_the_gpus_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mnist_batch.learning import ray_train

    asked = []

    class Trainer:
        def __init__(self, *_: Any, scaling_config: Any, **__: Any) -> None:
            asked.append((scaling_config.use_gpu, scaling_config.resources_per_worker))

        def fit(self) -> None:
            raise NotImplementedError

    monkeypatch.setattr(ray_train, "Trainer", Trainer)
    recipe = training.Recipe(workers=2, **RECIPE)
    for gpus in (0, 0.5):
        with pytest.raises(NotImplementedError):
            training.train(recipe, str(tmp_path / "bundle"), settings=Settings(gpus_per_worker=gpus))
    assert asked == [(False, {"CPU": 1, "GPU": 0}), (True, {"CPU": 1, "GPU": 0.5})]
    with pytest.raises(InputError, match="--workers 2 with --gpus-per-worker 1 need 2 GPUs, but the cluster has 1"):
        training.train(recipe, str(tmp_path / "bundle"), settings=Settings(gpus_per_worker=1))


def commands_of(page: str) -> list[list[str]]:
    """The arguments of the jobs in a page's first block of commands."""
    text = (ROOT / "docs" / page).read_text()
    lines = text.split("```")[1].splitlines()
    return [shlex.split(line.removeprefix("python -m jobs.")) for line in lines if line.startswith("python -m jobs.")]


def test_the_commands_for_scans_of_ones_own_work_and_begin_where_the_bundle_ended(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun, _ = two_workers
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundle, "SHIPPED", begun.location)
    pictures, labels = labelled_scans(tmp_path / "my-scans", 120)
    labelled_scans(tmp_path / "more-scans", 30)
    fine_tune, judge, read = commands_of("training.md")
    # One step over all digits: the first one of Adam moves no weight by more than its learning rate.
    assert train.main([*fine_tune[1:], "--workers", "1", "--epochs", "1", "--batch-size", "3000"]) == 0
    said = capsys.readouterr()
    made = bundle.open_bundle("models/mine")
    weights = [
        [weight.numpy() for net in fine_tuning.load_nets(model.read("model.keras")) for weight in net.weights]
        for model in (begun, made)
    ]
    moved = max(float(np.abs(after - before).max()) for before, after in zip(*weights, strict=True))
    assert 0 < moved <= 0.001001

    training_facts, validation = made.facts.training, made.facts.validation
    assert training_facts.begun_from == BegunFrom("shipped", begun.digest, begun.facts.weights)
    assert training_facts.rehearsed == fine_tuning.REHEARSED
    assert "--from shipped" in made.facts.command
    own = np.stack([normalise(picture) for picture in pictures])
    kept, _ = holding_out.distinct(own, labels)
    held_out = kept[holding_out.by_digit(labels[kept], 5_000)]
    scans = made.facts.scans["my-scans"]
    assert list(scans.held_out) == np.bincount(labels[held_out], minlength=10).tolist()
    assert (sum(scans.learned), sum(scans.held_out)) == (training_facts.digits, training_facts.held_out)
    for model, found in ((begun, validation.before), (made, validation)):
        judged = validating.validate(engines.OnnxEngine(model)(own[held_out]).values, labels[held_out])
        assert replace(judged, per_class=found.per_class and judged.per_class) == replace(found, before=None)
    summary = json.loads(said.out.splitlines()[-1])
    assert summary["validation_accuracy"] == validation.accuracy
    assert (summary["validation_correct"], summary["validation_digits"]) == (validation.correct, len(held_out))
    assert said.out.startswith(f"hidden: {validation.correct} of {len(held_out)} held-out scans of ")
    assert said.out.index("held-out scans") < said.out.index("MNIST test")

    assert score.main(judge[1:]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["labelled"] == 30
    assert score.main(read[1:]) == 0


@pytest.mark.usefixtures("shared_ray")
def test_labelled_scans_are_read_as_in_scoring(tmp_path: Path) -> None:
    images, labels = labelled_scans(tmp_path / "scans", 60)
    (tmp_path / "scans/3/broken.png").write_bytes(b"")
    (tmp_path / "scans/elsewhere.png").write_bytes(b"not labelled")
    read = labelled.read(list_data(Data(str(tmp_path / "scans"))), 5_000)
    assert read.scans is not None
    assert read.scans.unreadable == {"empty": 1}
    assert read.scans.ignored == {"": 1}
    held_out = read.scans.held_out
    assert [one + other for one, other in zip(read.scans.learned, held_out, strict=True)] == np.bincount(
        labels
    ).tolist()
    memory = {(normalise(image).tobytes(), label) for image, label in zip(images, labels, strict=True)}
    assert {(image.tobytes(), label) for image, label in zip(*read.digits, strict=True)} == memory
    assert read.held_out.sum() == sum(held_out)


def some(data: DataFacts, rows: slice, held: int) -> labelled.Labelled:
    """Digits of MNIST, of which the first are held out, as those of a data set."""
    own = digits.mnist("train").take(np.arange(60_000)[rows])
    held_out = np.arange(len(own.labels)) < held
    scans = OwnScans((0,) * 10, (0,) * 10, 0, 0, {}, {})
    facts = replace(data, digits=int((~held_out).sum()), held_out=held)
    return labelled.Labelled(own, held_out, np.arange(len(held_out), dtype=np.int16) % 4, facts, scans)


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.usefixtures("shared_ray")
def test_several_data_are_dealt_as_the_same_digits_to_any_number_of_workers(tuned: bool) -> None:
    start = fine_tuning.Start("models/mine", "00", "ff", "hidden", b"") if tuned else None
    data = [
        some(DataFacts("one", "00", 0, 0, weight=1.5), slice(0, 100), 17),
        some(DataFacts("two", "01", 0, 0, weight=2), slice(100, 151), 8),
    ]
    rehearsed = fine_tuning.rehearsal(np.concatenate([one.digits.images for one in data])) if tuned else None
    parts = [one.digits.take(~one.held_out) for one in data] + ([rehearsed] if rehearsed else [])
    expected = [
        sorted(
            (image.tobytes(), label, number)
            for number, part in enumerate(dealt)
            for image, label in zip(*part, strict=True)
        )
        for dealt in (parts, [one.digits.take(one.held_out) for one in data])
    ]
    for workers in (1, 2, 3):
        dealt = shares.deal(data, start, workers)
        assert dealt.weights == ((1.5, 2, 1.0) if tuned else (1.5, 2))
        assert (dealt.facts.digits, dealt.facts.held_out) == (83 + 43, 17 + 8)
        assert dealt.facts.rehearsed == (len(rehearsed.labels) if rehearsed else None)
        assert dealt.facts.data == tuple(one.facts for one in data)
        for kind, digits_there in zip((dealt.training, dealt.validation), expected, strict=True):
            blocks = [digits.arrays(ray_data.iter_batches(batch_format="pyarrow")) for ray_data in kind.values()]
            assert len(blocks) == workers
            found = [row for own, data_of, _ in blocks for row in zip(*own, data_of, strict=True)]
            assert sorted((image.tobytes(), label, number) for image, label, number in found) == digits_there
            if kind is dealt.validation:
                writers = np.concatenate([block.writers for block in blocks])
                assert np.array_equal(writers, np.concatenate([one.writers[one.held_out] for one in data]))
            if kind is dealt.training:
                assert dealt.sizes == [lessons.drawn_size(block.data, dealt.weights) for block in blocks]


@pytest.mark.usefixtures("shared_ray")
def test_a_picture_that_two_data_have_counts_for_the_first(tmp_path: Path) -> None:
    mnist = digits.mnist("train")
    names = [write_labelled(tmp_path / name, mnist.images[rows], label=mnist.labels[rows])
             for name, rows in (("one", slice(0, 30)), ("two", slice(20, 60)))]  # fmt: skip
    listed = [list_data(Data(str(name))) for name in names]
    one, two = labelled.read_all(listed, 5_000)
    assert (len(one.digits.labels), len(two.digits.labels)) == (30, 30)
    assert (two.scans and two.scans.copies) == 10
    known = {normalise(image).tobytes() for image in mnist.images[:30]}
    assert {image.tobytes() for image in one.digits.images} == known
    assert not known & {image.tobytes() for image in two.digits.images}


@pytest.mark.slow
def test_the_commands_for_scans_beside_mnist_work_and_are_recorded(
    shared_ray: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The script of the page makes the file of which the page speaks, and its commands train on that."""
    monkeypatch.chdir(tmp_path)
    pictures, labels = (array[:240] for array in digits.mnist("test"))
    mnist_digits = digits.mnist  # of which a tenth is enough for commands to work
    tenth = {split: digits.Digits(*(array[::10] for array in mnist_digits(split))) for split in ("train", "test")}
    monkeypatch.setattr(digits, "mnist", tenth.get)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        path = tmp_path / f"numbers/{number % 8:04}_CH4M/{label}/number-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode(255 - picture))
    page = (ROOT / "docs/training.md").read_text().split("## Beside MNIST")[1]
    exec(page.split("```python\n")[1].split("```")[0], {})
    command = next(line for line in page.splitlines() if line.startswith("python -m jobs.train"))
    small = ["--model", "linear", "--epochs", "1", "--batch-size", "3000"]
    assert train.main([*shlex.split(command)[3:], *small]) == 0
    said = capsys.readouterr()
    made = bundle.open_bundle("models/both").facts
    assert made.training
    assert made.validation
    mnist, own = made.training.data
    assert (mnist.location, mnist.held_out, mnist.weight) == (digits.EMBEDDED, 1_000, 1)
    assert (own.location, own.digits + own.held_out, own.weight) == ("numbers.parquet", 240, 2)
    assert (own.writers, own.held_out_writers) == (8, 1)
    assert (own.licence, own.source) == ("CC0 1.0", "kensanata/numbers")
    by_data = made.validation.by_data
    assert {name: one.digits for name, one in by_data.items()} == {digits.EMBEDDED: 1_000, own.location: own.held_out}
    assert sum(one.correct or 0 for one in by_data.values()) == made.validation.correct
    assert made.calibration
    sets = {each.name: (each.digits, each.wrongly_labelled) for each in made.calibration.sets}
    assert sets["1 writer of kensanata/numbers"] == (own.held_out, 0)
    assert sum(sets[digits.EMBEDDED]) == 1_000
    assert json.loads(said.out.splitlines()[-1])["validation_accuracies"].keys() == by_data.keys()
    assert f"numbers.parquet {100 * by_data[own.location].accuracy:.2f} % of {own.held_out}" in said.out.splitlines()[0]

    assert train.main([*shlex.split(made.command or "")[3:-1], "models/again"]) == 0
    assert bundle.open_bundle("models/again").facts.weights == made.weights


@pytest.mark.usefixtures("shared_ray")
def test_more_workers_than_scans_to_learn_from_are_told_what_to_do(tmp_path: Path) -> None:
    labelled_scans(tmp_path / "scans", 3)
    recipe = training.Recipe(workers=3, **RECIPE)
    with pytest.raises(InputError) as refused:
        training.train(recipe, str(tmp_path / "bundle"), data=[Data(str(tmp_path / "scans"))])
    said = "3 scans can be learned from, 1 of them held out, and --workers 3 cannot share the other 2; lower --workers"
    assert said in str(refused.value)


@pytest.mark.long
def test_the_bundle_of_the_package_is_taken_apart_into_its_nets() -> None:
    start = fine_tuning.open_start("shipped")
    pictures = digits.mnist("test")[0][:200]
    nets = [ladder.LADDER[name].build() for name in ladder.nets_of("ensemble")]
    for number, net in enumerate(nets):
        fine_tuning.begin(net, start, number)
    *members, first = (net.predict(pictures, verbose=0) for net in nets)
    outputs = engines.combined(np.mean(members, axis=0), first)
    shipped = engines.OnnxEngine(bundle.open_bundle(bundle.SHIPPED))
    assert np.abs(outputs.values - shipped(pictures).values).max() <= 1e-5
    for number, wrong in ((0, "strided"), (1, "scanned"), (3, "scanned")):
        with pytest.raises(InputError, match="its weights are not those of this version's 'ensemble'"):
            fine_tuning.begin(ladder.LADDER[wrong].build(), start, number)


@pytest.mark.slow
def test_a_fine_tuning_that_was_killed_goes_on_when_begun_again(
    two_workers: tuple[bundle.Bundle, list[dict[str, float]]], tmp_path: Path
) -> None:
    begun, _ = two_workers
    labelled_scans(tmp_path / "scans", 120)
    pictures, labels = (array[120:240] for array in digits.mnist("test"))
    write_labelled(tmp_path / "more", pictures, label=labels, writer=np.arange(120) % 6)
    command = [sys.executable, "-m", "jobs.train", "--data", str(tmp_path / "scans"), "--data", str(tmp_path / "more")]
    command += ["--weight", "1", "--weight", "0.7", "--from", begun.location, "--epochs", "40", "--out"]
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    subprocess.run([*command, whole], capture_output=True, check=True)
    job = subprocess.Popen([*command, killed], stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert job.stderr is not None
    for line in job.stderr:
        if "epoch 3 of 40" in line:
            break
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    again = subprocess.run([*command, killed], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    begun_again = re.search(r"it goes on after epoch (\d+)", again.stderr)
    assert begun_again, again.stderr
    assert 2 <= int(begun_again[1]) < 40
    made, same = bundle.open_bundle(whole), bundle.open_bundle(killed)
    assert same.facts.weights == made.facts.weights != begun.facts.weights
