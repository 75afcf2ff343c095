"""One ``predict`` a file, as the tutorials that this project grew out of do it, for the first files of a folder."""

import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

from mnist_batch.pixels.normalising import normalise
from mnist_batch.schemas.tables import CLASSES


def main(scans: str, bundle: str, out: str, files: str) -> None:
    """Read so many files, predict each, write one table."""
    model = keras.saving.load_model(f"{bundle}/model.keras")
    rows = []
    for path in sorted(Path(scans).rglob("*.png"))[: int(files)]:
        picture = normalise(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
        outputs = model.predict(picture[None], verbose=0)
        mean = outputs[0] if isinstance(outputs, list) else outputs
        rows.append((str(path), int(mean[0, :CLASSES].argmax())))
    Path(out).mkdir()
    pd.DataFrame(rows, columns=["path", "digit"]).to_parquet(f"{out}/predictions.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
