"""A bundle whose answers are known by construction, and scans that it reads."""

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnist_batch.models import bundle
from mnist_batch.pixels import normalising
from mnist_batch.reading import images
from mnist_batch.schemas.bundle_facts import BundleFacts, Calibration, CalibrationSet, MnistTest, Threshold
from mnist_batch.schemas.likeness_facts import Profile


def calibrated(
    model: str, folder: Path, *, temperature: float = 1.0, threshold: float = 0.7, profile: Profile | None = None
) -> str:
    """The bundle ``model`` again at ``folder``, with a calibration that certifies 0.005 at ``threshold``."""
    shutil.copytree(model, folder)
    thresholds = (
        Threshold(float(np.float32(at)), *counts)
        for at, *counts in (
            ((1 + threshold) / 2, 1_000, 0, 0.0030),
            (threshold, 1_500, 1, 0.0032),
            (0.1, 2_000, 90, 0.0537),
        )
    )
    lines = CalibrationSet("ruled lines", 2_000, tuple(thresholds), profile=profile)
    calibration = Calibration(temperature, 0.95, 0.01, (lines,))
    bundle.describe(folder, replace(bundle.open_bundle(str(folder)).facts, calibration=calibration))
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
    picture[7:23, 12:16] = round(PALEST + (255 - PALEST) * confidence)
    left = int(14 - (width - 1) / 2 + 0.5)
    picture[5:7, left : left + width] = picture[23:25, left : left + width] = 255
    return picture


def write_scan(path: Path, digit: int, confidence: float = 1.0) -> Path:
    """Write a PNG that the ruler reads as ``digit``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode(picture_of(digit, confidence)))
    return path


def write_ruler(folder: Path, narrowest: int = NARROWEST) -> str:
    """Write a bundle that measures ``picture_of``: the bar's width is the digit, the grey below it the confidence.

    One that takes another width for ``narrowest`` reads every digit wrongly.
    """
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
    numbers = {"ink": 255, "narrowest": narrowest, "palest": PALEST, "range": 255 - PALEST, "unit": 1, "nine": 9}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    places = {"bar": 6, "stem": 14, "last": [1], "classes": list(range(10))}
    constants += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in places.items()]
    graph = helper.make_graph(nodes, "ruler", [picture], [outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    (folder / "model.keras").write_bytes(keras_archive({"module": "keras", "class_name": "Sequential", "config": {}}))
    bundle.describe(folder, BundleFacts(architecture="ruler", test=MnistTest(1.0)))
    return str(folder)
