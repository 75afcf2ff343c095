"""Ray Data as its documentation writes batch inference: read_images, a Keras model in an actor, write_parquet."""

import sys
from typing import Any

import numpy as np
import ray
import ray.data

from mnist_batch.pixels.normalising import normalise
from mnist_batch.schemas.tables import CLASSES


class Predict:
    """A Keras model that is loaded once an actor."""

    def __init__(self, bundle: str) -> None:
        import keras

        self.model = keras.saving.load_model(f"{bundle}/model.keras")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """``image`` and ``path`` of a batch in, ``path`` and ``digit`` out."""
        pictures = np.stack([normalise(page) for page in batch["image"]])
        outputs = self.model.predict_on_batch(pictures)
        mean = outputs[0] if isinstance(outputs, list) else outputs
        return {"path": batch["path"], "digit": mean[:, :CLASSES].argmax(axis=1)}


def main(scans: str, bundle: str, out: str) -> None:
    """The pipeline on a Ray of its own."""
    ray.init("local", include_dashboard=False, log_to_driver=False)
    images = ray.data.read_images(scans, mode="L", include_paths=True)
    answers = images.map_batches(Predict, fn_constructor_args=[bundle], batch_size=256, concurrency=1)
    answers.write_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
