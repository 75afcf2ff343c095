"""Two processes and no Ray, no status, no label, no digest, no rerun: what the machine can do."""

import os
import sys
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mnist_batch.models import bundle, engines
from mnist_batch.pixels.normalising import examine_each
from mnist_batch.schemas.tables import CLASSES

PROCESSES = 2
BATCH_SIZE = 512


def list_files(folder: str) -> list[str]:
    """All files below a folder, sorted."""
    found = []
    for entry in os.scandir(folder):
        found += list_files(entry.path) if entry.is_dir() else [entry.path]
    return sorted(found)


def work(paths: list[str], model: str, part: str) -> None:
    """Read, normalise and answer files, and write them as one part."""
    cv2.setNumThreads(1)
    engines.THREADS = 1
    engine, digits = engines.OnnxEngine(bundle.open_bundle(model)), []
    for start in range(0, len(paths), BATCH_SIZE):
        pages = [
            np.asarray(cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE))
            for path in paths[start : start + BATCH_SIZE]
        ]
        outputs = engine(np.stack([likeliest.picture for likeliest, *_ in examine_each(pages)])).values
        digits.append(outputs[:, :CLASSES].argmax(axis=1))
    pq.write_table(pa.table({"path": paths, "digit": np.concatenate(digits)}), part)


def main(scans: str, model: str, out: str) -> None:
    """Share the files out over the processes."""
    paths = list_files(scans)
    Path(out).mkdir()
    context = get_context("spawn")
    bounds = [len(paths) * rank // PROCESSES for rank in range(PROCESSES + 1)]
    workers = [
        context.Process(target=work, args=(paths[start:end], model, f"{out}/part-{start}.parquet"))
        for start, end in pairwise(bounds)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(any(worker.exitcode for worker in workers))


if __name__ == "__main__":
    main(*sys.argv[1:])
