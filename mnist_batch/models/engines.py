"""Engines that compute a model's outputs: ONNX Runtime, and Keras as the reference."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.models import bundle
from mnist_batch.schemas.tables import CLASSES

THREADS = 2  # that an actor answers with: there is one classifier for every two CPUs
BATCH_SIZE = 512  # ONNX Runtime and Keras both reach their best rate at about 256 images
PIECE = 16 * BATCH_SIZE  # pictures that are answered between two signs of life
SMALL_BATCH_SIZE = 64  # of what the first net leaves to the others, so that every thread has a batch
# What the first net has to give a digit so that the other nets are not asked. What a bundle answers depends on it, and
# its digest does not tell: a change makes other models of all bundles that have a first net.
SURE_FROM = 0.99


class Outputs(NamedTuple):
    """The raw outputs of a model for N pictures: ``values``, float32 (N, 10) or (N, 12).

    ``alone``, bool (N,), are those of the net that is asked first; the others are the mean of the other nets.
    """

    values: NDArray[np.float32]
    alone: NDArray[np.bool_]


class Engine(Protocol):
    """Pictures, uint8 (N, 28, 28), ink = 255, to the outputs of the model; N > 0."""

    def __call__(self, pictures: NDArray[np.uint8]) -> Outputs: ...


def in_pieces(engine: Engine, tell: Callable[[int], object]) -> Engine:
    """An engine that is asked of ``PIECE`` pictures at a time; ``tell`` is called between two, with how many are done.

    The pages of a shard of files have millions of cells, and somebody waits for a sign that the process is at work.
    """

    def answered(pictures: NDArray[np.uint8]) -> Outputs:
        outputs = []
        for first in range(0, len(pictures), PIECE):
            if first:
                tell(first)
            outputs.append(engine(pictures[first : first + PIECE]))
        return Outputs(*map(np.concatenate, zip(*outputs, strict=True))) if len(outputs) > 1 else outputs[0]

    return answered


def combined(mean: NDArray[np.float32], first: NDArray[np.float32] | None = None) -> Outputs:
    """The outputs of a model whose nets were all asked, from their mean and what the first of them gave."""
    if first is None:
        return Outputs(mean, np.zeros(len(mean), np.bool_))
    alone = _sure(first)
    return Outputs(np.where(alone[:, None], first, mean), alone)


def _sure(first: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(first[:, :CLASSES].max(axis=1) >= SURE_FROM)


class OnnxEngine:
    """``model.onnx`` of a bundle on ONNX Runtime: on the GPU that Ray assigns, otherwise on ``THREADS`` threads.

    Each batch is computed by one thread, so the outputs do not depend on the number of threads. Where the first net is
    sure, the others are not asked; without ``asks_first`` they are asked of everything, and the first one of nothing.
    """

    def __init__(self, model: bundle.Bundle, asks_first: bool = True) -> None:
        import onnx
        import onnxruntime
        from onnx.utils import Extractor

        self.pool = ThreadPoolExecutor(THREADS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        available = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        try:
            whole = onnx.load_from_string(model.read("model.onnx"))
            [self.input] = (value.name for value in whole.graph.input)
            # ONNX Runtime computes all of a graph, whatever output it is asked for: each output gets one of its own.
            names = [value.name for value in whole.graph.output][: None if asks_first else 1]
            parts = [Extractor(whole).extract_model([self.input], [name]) for name in names]
            self.mean, *self.first = (
                onnxruntime.InferenceSession(part.SerializeToString(), options, providers=providers) for part in parts
            )
        except Exception as error:  # noqa: BLE001 - the exceptions of ONNX and its Runtime have no common class
            raise _unloadable(model, "model.onnx", error) from None

    def __call__(self, pictures: NDArray[np.uint8]) -> Outputs:
        if not self.first:
            return combined(self._asked(self.mean, pictures, BATCH_SIZE))
        values = self._asked(self.first[0], pictures, BATCH_SIZE)
        alone = _sure(values)
        rest = np.flatnonzero(~alone)
        if len(rest):
            values[rest] = self._asked(self.mean, pictures[rest], SMALL_BATCH_SIZE)
        return Outputs(values, alone)

    def _asked(self, session: Any, pictures: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
        def of(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.asarray(session.run(None, {self.input: batch})[0], np.float32)

        return np.concatenate(list(self.pool.map(of, _batches(pictures, size))))


class KerasEngine:
    """``model.keras`` of a bundle in Keras: the reference, which starts and answers more slowly."""

    def __init__(self, model: bundle.Bundle, asks_first: bool = True) -> None:
        self.used = None if asks_first else 1
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            copy.write_bytes(model.read("model.keras"))
            try:
                self.model = keras.saving.load_model(copy, compile=False, safe_mode=True)
            except Exception as error:  # noqa: BLE001 - Keras raises exceptions of many classes
                raise _unloadable(model, "model.keras", error) from None

    def __call__(self, pictures: NDArray[np.uint8]) -> Outputs:
        batches = [self.model.predict_on_batch(batch) for batch in _batches(pictures, BATCH_SIZE)]
        outputs = [batch if isinstance(batch, list) else [batch] for batch in batches]
        used = [np.concatenate(each).astype(np.float32, copy=False) for each in zip(*outputs, strict=True)][: self.used]
        return combined(*used)


def _batches(pictures: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]


def _unloadable(model: bundle.Bundle, name: str, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0][:200]
    return InputError(
        f"--model {model.location}: {name} cannot be loaded ({first}); use a bundle that jobs.train wrote"
    )


ENGINES: dict[str, Callable[[bundle.Bundle, bool], Engine]] = {"onnx": OnnxEngine, "keras": KerasEngine}
