"""The two actors a scan passes through, each a small class around array functions."""

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch import bundle, images, normalising, reading, runs, tables
from mnist_batch.errors import InputError

BEAT_SECONDS = 5  # between signs of life of a shard that takes long: most are done before the first
BATCH_SIZE = 512  # ONNX Runtime and Keras are both at their best rate from about 256 images on


class Preprocess:
    """A shard's number in, one row per page of its scans out (``tables.PREPROCESSED``)."""

    def __init__(self, run: runs.Run, limits: reading.Limits | None = None) -> None:
        self.run = run
        self.reader = reading.Reader(limits)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """``batch`` has one row with one column, ``shard``."""
        [shard] = batch["shard"].to_pylist()
        beaten = time.monotonic()

        def beat(row: int) -> None:
            nonlocal beaten
            if time.monotonic() - beaten > BEAT_SECONDS:
                self.run.beat(shard, row)
                beaten = time.monotonic()

        note = partial(self.run.note_fatal, shard)
        return self.reader.read(self.run.shard(shard), shard, self.run.fatal(shard), note, beat)


class Engine(Protocol):
    """uint8 (N, 28, 28), ink = 255 -> float32 (N, 10), the outputs as the model gives them."""

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class OnnxEngine:
    """``model.onnx`` of a bundle on ONNX Runtime, on as many threads as asked."""

    def __init__(self, model: bundle.Bundle, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self.session = onnxruntime.InferenceSession(
                model.read("model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's own have no class in common
            raise _unloadable(model, "model.onnx", error) from None
        self.input = self.session.get_inputs()[0].name

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self.session.run(None, {self.input: pictures})[0], np.float32)


class KerasEngine:
    """``model.keras`` of a bundle in Keras: the reference, slower to start and to answer."""

    def __init__(self, model: bundle.Bundle) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            copy.write_bytes(model.read("model.keras"))
            try:
                self.model = keras.saving.load_model(copy, compile=False, safe_mode=True)
            except Exception as error:  # noqa: BLE001 - Keras raises what it likes
                raise _unloadable(model, "model.keras", error) from None

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self.model.predict_on_batch(pictures), np.float32)


def _unloadable(model: bundle.Bundle, name: str, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0][:200]
    return InputError(
        f"--model {model.location}: {name} cannot be loaded ({first}); use a bundle that jobs.train wrote"
    )


ENGINES = {"onnx": OnnxEngine, "keras": KerasEngine}


class Classify:
    """Rows of ``tables.PREPROCESSED`` in, the same rows with their answers out (``answer_columns``).

    ``model`` is the bundle's location; ``digest`` is the one the driver verified, and a bundle that has
    changed since is refused; with ``keep_images`` the column ``image`` has the pictures. What is wrong with a bundle
    is raised by the first call: what a constructor raises, Ray tells as the death of an actor.
    """

    def __init__(self, model: str, digest: str, engine: str = "onnx", keep_images: bool = False) -> None:
        self.digest, self.keep_images = digest, keep_images
        self.engine: Engine | None = None
        try:
            opened = bundle.open_bundle(model)
            if opened.digest != digest:
                raise InputError(f"--model {model} changed while the run was starting: {opened.digest}, not {digest}")
            self.engine = ENGINES[engine](opened)
        except InputError as error:
            self.fault = error

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self.engine is None:
            raise self.fault
        return answer(batch, self.engine, self.digest, self.keep_images)


def answer(batch: pa.Table, engine: Engine, digest: str, keep_images: bool = False) -> pa.Table:
    """The rows of ``batch`` without their pictures, with ``shard`` and the columns of ``predictions``."""
    scored = np.flatnonzero(batch["status"].to_numpy() == "ok")
    pictures = images_of(batch)[scored]
    outputs = [engine(pictures[start : start + BATCH_SIZE]) for start in range(0, len(scored), BATCH_SIZE)]
    probabilities = probabilities_of(np.concatenate(outputs) if outputs else np.empty((0, tables.CLASSES)))
    digits = probabilities.argmax(axis=1)

    # From one entry an answer back to one a row: taking at a null index gives null.
    place = np.full(len(batch), -1)
    place[scored] = np.arange(len(scored))
    unscored = place < 0
    index = pa.array(place, mask=unscored)
    element = tables.PREDICTIONS.field("probabilities").type
    flat = pa.array(probabilities.ravel(), pa.float32())
    columns = {
        "digit": pa.array(digits, pa.int8()).take(index),
        "confidence": pa.array(probabilities.max(axis=1, initial=0), pa.float32()).take(index),
        "probabilities": pa.FixedSizeListArray.from_arrays(flat, type=element).take(index),
        "decision": pa.array(["review"] * len(batch), pa.string(), mask=~unscored),
        "model": pa.array([digest] * len(batch), pa.string()),
        "image": _as_png(pictures, keep_images).take(index),
    }
    table = batch.drop_columns(["picture"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _as_png(pictures: NDArray[np.uint8], keep: bool) -> pa.Array:
    if not keep:
        return pa.nulls(len(pictures), pa.binary())
    return pa.array([images.encode(picture) for picture in pictures], pa.binary())


def images_of(batch: pa.Table) -> NDArray[np.uint8]:
    """The pictures of a batch, uint8 (N, 28, 28), without copying where the batch is one chunk."""
    column = batch["picture"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combine_chunks keeps a column of no chunks as it is
        return np.empty((0, normalising.SIDE, normalising.SIDE), np.uint8)
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    first = column.offset * tables.IMAGE_BYTES
    return flat[first : first + len(column) * tables.IMAGE_BYTES].reshape(-1, normalising.SIDE, normalising.SIDE)


def probabilities_of(outputs: NDArray[Any]) -> NDArray[np.float32]:
    """A model's outputs (N, 10), sigmoid or softmax, divided by their sum; ten equal ones where all are 0."""
    outputs = outputs.astype(np.float64)
    totals = outputs.sum(axis=1, keepdims=True)
    outputs = np.where(totals > 0, outputs, 1.0)
    return np.asarray(outputs / outputs.sum(axis=1, keepdims=True), np.float32)
