"""Engines that compute a model's outputs: ONNX Runtime, and Keras as the reference."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.models import bundle

THREADS = 2  # that an actor answers with: there is one classifier for every two CPUs
BATCH_SIZE = 512  # ONNX Runtime and Keras both reach their best rate at about 256 images


class Engine(Protocol):
    """Pictures, uint8 (N, 28, 28), ink = 255, to the raw outputs of the model, float32 (N, 10) or (N, 12); N > 0."""

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class OnnxEngine:
    """``model.onnx`` of a bundle on ONNX Runtime: on the GPU that Ray assigns, otherwise on ``THREADS`` threads.

    Each batch is computed by one thread, so the outputs do not depend on the number of threads.
    """

    def __init__(self, model: bundle.Bundle) -> None:
        import onnxruntime

        self.pool = ThreadPoolExecutor(THREADS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        available = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        try:
            self.session = onnxruntime.InferenceSession(model.read("model.onnx"), options, providers=providers)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no common class
            raise _unloadable(model, "model.onnx", error) from None
        self.input = self.session.get_inputs()[0].name

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(list(self.pool.map(self._batch, _batches(pictures))))

    def _batch(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self.session.run(None, {self.input: pictures})[0], np.float32)


class KerasEngine:
    """``model.keras`` of a bundle in Keras: the reference, which starts and answers more slowly."""

    def __init__(self, model: bundle.Bundle) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            copy.write_bytes(model.read("model.keras"))
            try:
                self.model = keras.saving.load_model(copy, compile=False, safe_mode=True)
            except Exception as error:  # noqa: BLE001 - Keras raises exceptions of many classes
                raise _unloadable(model, "model.keras", error) from None

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = [self.model.predict_on_batch(batch) for batch in _batches(pictures)]
        return np.concatenate(outputs).astype(np.float32, copy=False)


def _batches(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pictures[start : start + BATCH_SIZE] for start in range(0, len(pictures), BATCH_SIZE)]


def _unloadable(model: bundle.Bundle, name: str, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0][:200]
    return InputError(
        f"--model {model.location}: {name} cannot be loaded ({first}); use a bundle that jobs.train wrote"
    )


ENGINES: dict[str, Callable[[bundle.Bundle], Engine]] = {"onnx": OnnxEngine, "keras": KerasEngine}
