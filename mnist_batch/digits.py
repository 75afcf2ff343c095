"""Labelled digits to train on: the embedded MNIST, or folders of labelled scans."""

import csv
import hashlib
import logging
from collections.abc import Iterable
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch import inference, listing, reading, scans, tables
from mnist_batch.errors import InputError

if TYPE_CHECKING:
    import ray.data

log = logging.getLogger(__name__)

DIGITS = pa.schema(
    [
        pa.field("picture", pa.binary(tables.IMAGE_BYTES), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
    ]
)
BLOCK_SIZE = 5_000


def mnist(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """The embedded MNIST: images uint8 (N, 28, 28), ink = 255, and labels int8 (N,).

    ``split`` is ``train`` (60,000) or ``test`` (10,000).
    """
    with (
        resources.files("mnist_batch").joinpath("data/mnist.npz").open("rb") as file,
        np.load(file) as arrays,
    ):
        return arrays[f"x_{split}"], arrays[f"y_{split}"].astype(np.int8)


def wrongly_labelled() -> set[bytes]:
    """Training digits of the embedded MNIST whose label was found wrong when they were read again, as bytes.

    ``data/wrong_labels.csv`` has the index of each in MNIST, its label and what it was read as; docs/accuracy.md says
    how they were found. They stay in training, and are left out where an error is to be certified.
    """
    listed = resources.files("mnist_batch").joinpath("data/wrong_labels.csv").read_text()
    images, _ = mnist("train")
    return {images[int(row["index"])].tobytes() for row in csv.DictReader(listed.splitlines())}


def table(images: NDArray[np.uint8], labels: NDArray[np.int8]) -> pa.Table:
    """Images uint8 (N, 28, 28) and their labels as a table of ``DIGITS``."""
    buffer = pa.py_buffer(np.ascontiguousarray(images))
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(tables.IMAGE_BYTES), len(images), [None, buffer])
    return pa.table([column, pa.array(labels, pa.int8())], schema=DIGITS)


def arrays(digits: Iterable[pa.Table]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Tables of ``DIGITS`` as images uint8 (N, 28, 28) and labels int8 (N,)."""
    whole = pa.concat_tables([DIGITS.empty_table(), *digits]).combine_chunks()
    return inference.images_of(whole), whole["label"].to_numpy()


def training_digits(data: str | None) -> "ray.data.Dataset":
    """All labelled digits to train on, as a Ray dataset of ``DIGITS`` held in the object store.

    ``data`` is a folder of scans, each in a folder named by its digit, read and normalised just as in
    scoring; None is the embedded MNIST. Raises InputError where the folder has no labelled scan.
    """
    import ray.data

    if data is None:
        images, labels = mnist("train")
        starts = range(0, len(images), BLOCK_SIZE)
        blocks = [table(images[at : at + BLOCK_SIZE], labels[at : at + BLOCK_SIZE]) for at in starts]
        return ray.data.from_arrow(blocks).materialize()

    manifest = listing.list_scans([data], "--data")
    manifest = manifest.set_column(manifest.schema.get_field_index("label"), "label", scans.parent_labels(manifest))
    manifest = manifest.filter(manifest["label"].is_valid()).cast(tables.MANIFEST)
    if not manifest.num_rows:
        raise InputError(f"--data {data}: holds no scan in a folder named 0 to 9, so there is nothing to learn")
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True  # or the same seed would hold out other digits
    with ray.data.DataContext.current(context):
        rows = (
            ray.data.from_arrow(scans.cut(manifest))
            .map_batches(_read, batch_size=None, batch_format="pyarrow")
            .materialize()
        )
        read = rows.map_batches(_readable, batch_size=None, batch_format="pyarrow").materialize()
    if left_out := rows.count() - read.count():
        log.warning("%d scans under %s could not be read and are left out", left_out, data)
    return read


def _read(manifest: pa.Table) -> pa.Table:
    reader = reading.Reader()
    try:
        return reader.read(manifest)
    finally:
        reader.close()


def _readable(rows: pa.Table) -> pa.Table:
    return rows.filter(pa.compute.equal(rows["status"], "ok")).select(DIGITS.names).cast(DIGITS)


def digest(dataset: Any) -> str:
    """What a dataset of ``DIGITS`` holds, in 32 hex digits, whatever its order."""
    total = 0
    for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        images, labels = arrays([block])
        for image, label in zip(images, labels, strict=True):
            row = hashlib.blake2b(image.tobytes() + bytes([label]), digest_size=16).digest()
            total = (total + int.from_bytes(row, "big")) % 2**128
    return f"{total:032x}"
