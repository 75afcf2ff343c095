"""What the tests share: one Ray, a model whose answers are known by construction, scans to write."""

import io
import json
import logging
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import numpy as np
import onnx
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnist_batch.models import bundle
from mnist_batch.pixels import normalising
from mnist_batch.reading import images
from tests.support import s3

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is slow, not wrong
hypothesis.settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the shared Ray is marked, so that make test-fast leaves it out; files with most of it come first.

    A process takes a file at a time: what takes longest is begun first, and short files fill the end.
    """
    for item in items:
        if "shared_ray" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)
    dear = Counter(item.path for item in items if any(map(item.get_closest_marker, ("ray", "long", "slow"))))
    items.sort(key=lambda item: -dear[item.path])


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """One Ray for the whole run, with four logical CPUs so that three workers fit, and a logical GPU."""
    import ray

    for name, value in s3.CREDENTIALS.items():  # for workers that go to a store, which a test names with its address
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # as on a job's own Ray
    ray.init(
        "local",
        num_cpus=4,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=400_000_000,
    )
    yield
    ray.shutdown()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their pictures, for tests that look at none."""
    from mnist_batch.reports import plots, report

    monkeypatch.setattr(plots, "import_ahead", lambda: None)
    drawn = dict.fromkeys(("heatmap", "reliability", "risk"), b"\x89PNG")
    monkeypatch.setattr(report, "_pictures", lambda *_: drawn)


@pytest.fixture
def without_ray(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring does what the actors do in this process, one shard after the other; no Ray is started, nothing drawn."""
    from mnist_batch import scoring
    from mnist_batch.models.answers import ModelSpec
    from mnist_batch.pipeline import actors
    from mnist_batch.reading import isolated
    from mnist_batch.schemas.facts import Opened, Receipt

    def in_process(run: Any, opened: Opened, pending: Any, *_: object) -> Iterator[Receipt]:
        limits = isolated.Limits(opened.limits.max_bytes, opened.limits.max_pixels)
        spec = ModelSpec(opened.model.location, opened.model.digest, opened.engine)
        classify = actors.Classify(run, spec, opened.threshold)
        for number in pending:
            [receipt] = classify(isolated.preprocess(run.shard(number), number, limits)).to_pylist()
            yield Receipt(**receipt)

    monkeypatch.setattr(scoring, "run_pipeline", in_process)
    monkeypatch.setattr(scoring.ray, "cluster_resources", lambda: {"CPU": 2})
    from jobs import session

    monkeypatch.setattr(session, "connect", lambda _: None)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Scans of these names, while they are in the set, are on a disk that cannot be read; together with without_ray."""
    from mnist_batch.reading import isolated

    names: set[str] = set()
    read = isolated.images.read_scan

    def read_scan(source: str, path: bytes, *rest: Any) -> bytes:
        if Path(os.fsdecode(path)).name in names:
            raise isolated.images.Unreadable("missing", "[Errno 5] Input/output error")
        return read(source, path, *rest)

    monkeypatch.setattr(isolated.images, "read_scan", read_scan)
    return names


@pytest.fixture(scope="session")
def ruler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bundle that measures ``picture_of``: the width of its bar is the digit, the grey below it the confidence."""
    folder = tmp_path_factory.mktemp("ruler")
    picture = helper.make_tensor_value_info("picture", TensorProto.UINT8, ["n", 28, 28])
    outputs = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["n", 10])
    steps = [
        ("Cast", ["picture"], "grey", {"to": TensorProto.FLOAT}),
        ("Gather", ["grey", "bar"], "row", {"axis": 1}),
        ("ReduceSum", ["row", "last"], "sum", {"keepdims": 1}),
        ("Div", ["sum", "ink"], "width", {}),
        ("Round", ["width"], "pixels", {}),
        ("Sub", ["pixels", "narrowest"], "digit", {}),
        ("Cast", ["digit"], "whole", {"to": TensorProto.INT64}),
        ("Equal", ["whole", "classes"], "is", {}),
        ("Cast", ["is"], "one", {"to": TensorProto.FLOAT}),
        ("Gather", ["grey", "stem"], "line", {"axis": 1}),
        ("ReduceMax", ["line"], "stem_grey", {"axes": [1], "keepdims": 1}),
        ("Sub", ["stem_grey", "palest"], "above", {}),
        ("Div", ["above", "range"], "sure", {}),
        ("Sub", ["unit", "sure"], "rest", {}),
        ("Div", ["rest", "nine"], "each", {}),
        ("Sub", ["sure", "each"], "more", {}),
        ("Mul", ["one", "more"], "lifted", {}),
        ("Add", ["lifted", "each"], "outputs", {}),
    ]
    nodes = [helper.make_node(kind, inputs, [output], **options) for kind, inputs, output, options in steps]
    numbers = {"ink": 255, "narrowest": NARROWEST, "palest": PALEST, "range": 255 - PALEST, "unit": 1, "nine": 9}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    places = {"bar": 7, "stem": 14, "last": [1], "classes": list(range(10))}
    constants += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in places.items()]
    graph = helper.make_graph(nodes, "ruler", [picture], [outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    (folder / "model.keras").write_bytes(keras_archive({"module": "keras", "class_name": "Sequential", "config": {}}))
    bundle.describe(folder, {"architecture": "ruler", "test": {"accuracy": 1.0}, "calibration": None})
    return str(folder)


def calibrated(model: str, folder: Path, *, temperature: float = 1.0, threshold: float = 0.7) -> str:
    """The bundle ``model`` again at ``folder``, with a calibration that certifies 0.005 at ``threshold``."""
    shutil.copytree(model, folder)
    calibration = {
        "digits": 2_000,
        "temperature": temperature,
        "level": 0.95,
        "expected_calibration_error": 0.01,
        "thresholds": [
            {"threshold": float(np.float32(at)), "accepted": accepted, "errors": errors, "error_bound": bound}
            for at, accepted, errors, bound in [
                ((1 + threshold) / 2, 1_000, 0, 0.0030), (threshold, 1_500, 1, 0.0032), (0.1, 2_000, 90, 0.0537),
            ]
        ],
    }  # fmt: skip
    info = json.loads((folder / "model.json").read_text())
    bundle.describe(folder, info | {"calibration": calibration})
    return str(folder)


def keras_archive(config: object, **files: bytes) -> bytes:
    """What a ``.keras`` file is: a zip of its metadata, this configuration and no weights; ``files`` come on top."""
    weights = io.BytesIO()
    h5py.File(weights, "w").close()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        whole = {"metadata.json": b"{}", "config.json": json.dumps(config).encode()}
        for name, content in (whole | {"model.weights.h5": weights.getvalue()} | files).items():
            writer.writestr(name, content)
    return archive.getvalue()


NARROWEST, PALEST = 4, 80


def picture_of(digit: int, confidence: float = 1.0) -> NDArray[np.uint8]:
    """A picture that the ruler reads as ``digit``, with about this probability, and that normalisation leaves as it is.

    Two bars with a stem between them, 20 pixels high, where MNIST has its digits.
    """
    width = NARROWEST + digit
    picture = np.zeros((normalising.SIDE, normalising.SIDE), np.uint8)
    picture[10:20, 12:16] = round(PALEST + (255 - PALEST) * confidence)
    left = int(14 - (width - 1) / 2 + 0.5)
    picture[5:10, left : left + width] = picture[20:25, left : left + width] = 255
    return picture


def write_scan(path: Path, digit: int, confidence: float = 1.0) -> Path:
    """Write a PNG that the ruler reads as ``digit``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode(picture_of(digit, confidence)))
    return path


def touch(folder: Path, *names: str) -> None:
    """Write files of one byte below a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(listed: pa.Table) -> list[str]:
    """The scans that are listed."""
    return listed["scan"].to_pylist()


@pytest.fixture
def scans_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of ``count`` scans, ``<digit>/scan-<n>.png``, that the ruler reads rightly but for a few.

    Every 7th is read as the next digit, every 23rd is a file that is no image.
    """

    def make(count: int, name: str = "scans") -> Path:
        folder = tmp_path / name
        for number in range(count):
            digit = number % 10
            path = folder / str(digit) / f"scan-{number:04d}.png"
            write_scan(path, (digit + (number % 7 == 6)) % 10, confidence=0.4 + 0.5 * (number % 13) / 13)
            if number % 23 == 22:
                path.write_bytes(b"this is no image")
        return folder

    return make
