"""The two actors a scan passes through, each a small class around array functions."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import LifoQueue
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch import bundle, calibrating, failpoints, images, normalising, reading, runs, tables
from mnist_batch.errors import InputError
from mnist_batch.examples import Examples

READERS = 2  # processes an actor reads with: there is an actor of this kind for every two CPUs
CHUNK = 256  # scans that a reader is given at a time
REFUSED_FROM = 0.5  # the share of a model's outputs that are those for ``tables.REFUSALS``
THREADS = 2  # an actor answers with: there is an actor of this kind, too, for every two CPUs
BATCH_SIZE = 512  # ONNX Runtime and Keras are both at their best rate from about 256 images on


class Preprocess:
    """A shard's number in, one row per page of its scans out (``tables.PREPROCESSED``).

    Its scans are read by ``READERS`` processes, each given the next ``CHUNK`` of them when it is done with its last.
    """

    def __init__(self, run: runs.Run, limits: reading.Limits | None = None) -> None:
        self.run = run
        self.pool = ThreadPoolExecutor(READERS)
        self.idle: LifoQueue[reading.Reader] = LifoQueue()  # one that has its process already is taken first
        for _ in range(READERS):
            self.idle.put(reading.Reader(limits))

    def __call__(self, batch: pa.Table) -> pa.Table:
        """``batch`` has one row with one column, ``shard``."""
        [shard] = batch["shard"].to_pylist()
        manifest, fatal = self.run.shard(shard), self.run.fatal(shard)

        def read(first: int) -> pa.Table:
            known = {row - first: what for row, what in fatal.items() if first <= row < first + CHUNK}
            reader = self.idle.get()
            try:
                pages = reader.read(
                    manifest.slice(first, CHUNK),
                    shard,
                    known,
                    note=lambda row, *what: self.run.note_fatal(shard, first + row, *what),
                    beat=lambda row: self.run.beat(shard, first + row),
                )
                return reading.shifted(pages, first)
            finally:
                self.idle.put(reader)

        return pa.concat_tables(self.pool.map(read, range(0, len(manifest), CHUNK))).combine_chunks()


class Engine(Protocol):
    """uint8 (N, 28, 28), ink = 255 -> float32 (N, 10) or (N, 12), the outputs as the model gives them.

    N is above 0.
    """

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class OnnxEngine:
    """``model.onnx`` of a bundle on ONNX Runtime: on the GPU that Ray shows it, or on ``THREADS`` threads.

    A batch is one thread's, so the answers are the same whatever the number of threads.
    """

    def __init__(self, model: bundle.Bundle) -> None:
        import onnxruntime

        self.pool = ThreadPoolExecutor(THREADS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        there = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there]
        try:
            self.session = onnxruntime.InferenceSession(model.read("model.onnx"), options, providers=providers)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's own have no class in common
            raise _unloadable(model, "model.onnx", error) from None
        self.input = self.session.get_inputs()[0].name

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(list(self.pool.map(self._batch, _batches(pictures))))

    def _batch(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
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
        answers = [self.model.predict_on_batch(batch) for batch in _batches(pictures)]
        return np.concatenate(answers).astype(np.float32, copy=False)


def _batches(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pictures[start : start + BATCH_SIZE] for start in range(0, len(pictures), BATCH_SIZE)]


def _unloadable(model: bundle.Bundle, name: str, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0][:200]
    return InputError(
        f"--model {model.location}: {name} cannot be loaded ({first}); use a bundle that jobs.train wrote"
    )


ENGINES: dict[str, Callable[[bundle.Bundle], Engine]] = {"onnx": OnnxEngine, "keras": KerasEngine}


class Classify:
    """A shard's rows of ``tables.PREPROCESSED`` in, answered and written as its part; the part's receipt out.

    ``model`` is the bundle's location; ``digest`` is the one the driver verified, and a bundle that has
    changed since is refused. Answers at least as sure as ``threshold`` are accepted; with ``keep_images`` the column
    ``image`` has the pictures. What is wrong with a bundle is raised by the first call: what a constructor raises,
    Ray tells as the death of an actor.
    """

    def __init__(
        self,
        run: runs.Run,
        model: str,
        digest: str,
        engine: str = "onnx",
        threshold: float | None = None,
        keep_images: bool = False,
    ) -> None:
        self.run, self.digest, self.threshold, self.keep_images = run, digest, threshold, keep_images
        self.engine: Engine | None = None
        try:
            opened = bundle.open_bundle(model)
            if opened.digest != digest:
                raise InputError(f"--model {model} changed while the run was starting: {opened.digest}, not {digest}")
            self.temperature = calibrating.temperature_of(opened.info.get("calibration"))
            self.engine = ENGINES[engine](opened)
        except InputError as error:
            self.fault = error

    def __call__(self, batch: pa.Table) -> pa.Table:
        # Written here and not by tasks of their own, which Ray would start a process for every few seconds.
        rows, examples = self.answered(batch), Examples()
        examples.add(rows, batch["picture"])
        receipt = self.run.write_part(rows, examples.table())
        failpoints.reach("part written")
        return pa.Table.from_pylist([asdict(receipt)])

    def answered(self, batch: pa.Table) -> pa.Table:
        """The rows without their pictures, with their answers (``answer``)."""
        if self.engine is None:
            raise self.fault
        return answer(batch, self.engine, self.digest, self.temperature, self.threshold, self.keep_images)


def answer(
    batch: pa.Table,
    engine: Engine,
    digest: str,
    temperature: float = 1.0,
    threshold: float | None = None,
    keep_images: bool = False,
) -> pa.Table:
    """The rows of ``batch`` without their pictures, with ``shard`` and the columns of ``predictions``."""
    read = np.flatnonzero(batch["status"].to_numpy() == "ok")
    pictures = images_of(batch)[read]
    outputs = engine(pictures) if len(read) else np.empty((0, tables.CLASSES))
    refusals = refusals_of(outputs)
    refused, scored = read[refusals >= 0], read[refusals < 0]
    batch = _with_statuses(batch, refused, refusals[refusals >= 0])
    columns = {
        **_answers(outputs[refusals < 0], scored, batch["stray"].to_numpy(), temperature, threshold),
        "model": pa.array([digest] * len(batch), pa.string()),
        "image": _spread(_as_png(pictures, keep_images), read, len(batch)),
    }
    table = batch.drop_columns(["picture", "stray"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _answers(
    outputs: NDArray[Any],
    rows: NDArray[np.int64],
    stray: NDArray[np.bool_],
    temperature: float,
    threshold: float | None,
) -> dict[str, pa.Array]:
    """What the outputs for ``rows`` say, in columns as long as ``stray``; the other rows have no answer, for review."""
    count = len(stray)
    probabilities = calibrating.tempered(outputs, temperature)
    confidence = probabilities.max(axis=1, initial=0)
    decisions = np.full(count, "review", object)
    if threshold is None:
        decisions[rows] = None
    else:
        sure = (confidence >= np.float32(threshold)) & ~calibrating.doubted(outputs) & ~stray[rows]
        decisions[rows[sure]] = "accept"
    ends = np.arange(len(rows) + 1, dtype=np.int32) * tables.CLASSES
    kind = tables.PREDICTIONS.field("probabilities").type
    found = {
        "digit": pa.array(probabilities.argmax(axis=1), pa.int8()),
        "confidence": pa.array(confidence, pa.float32()),
        "probabilities": pa.ListArray.from_arrays(ends, pa.array(probabilities.ravel(), pa.float32()), type=kind),
    }
    return {name: _spread(values, rows, count) for name, values in found.items()} | {
        "decision": pa.array(decisions, pa.string())
    }


def _spread(values: pa.Array, rows: NDArray[np.int64], count: int) -> pa.Array:
    """The values at their rows of a column of ``count``; the others are null."""
    place = np.full(count, -1)
    place[rows] = np.arange(len(rows))
    return values.take(pa.array(place, mask=place < 0))


def refusals_of(outputs: NDArray[Any]) -> NDArray[np.int64]:
    """What a model's outputs (N, 10) or (N, 12) refuse: the places in ``tables.REFUSALS``, int64 (N,); -1 for none."""
    others = outputs[:, tables.CLASSES :]
    if not others.shape[1]:
        return np.full(len(outputs), -1)
    return np.where(calibrating.refusal_shares(outputs) >= REFUSED_FROM, others.argmax(axis=1), -1)


def _with_statuses(batch: pa.Table, rows: NDArray[np.int64], refusals: NDArray[np.int64]) -> pa.Table:
    """The batch whose ``rows`` have the status and reason of their refusals."""
    if not len(rows):
        return batch
    statuses = [tables.REFUSALS[kind] for kind in refusals]
    for name, values in (("status", statuses), ("reason", [tables.STATUSES[status] for status in statuses])):
        column = batch[name].to_numpy().copy()
        column[rows] = values
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(name), pa.array(column, pa.string()))
    return batch


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
