"""Labelled digits to train on, as arrays and as tables, and the embedded MNIST."""

import csv
import hashlib
from collections.abc import Iterable
from importlib import resources

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.models import answers
from mnist_batch.schemas import tables

DIGITS = pa.schema(
    [
        pa.field("picture", pa.binary(tables.IMAGE_BYTES), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
    ]
)


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
    return answers.images_of(whole), whole["label"].to_numpy()


def digest(blocks: Iterable[pa.Table]) -> str:
    """What tables of ``DIGITS`` hold, in 32 hex digits, whatever its order."""
    total = 0
    for block in blocks:
        images, labels = arrays([block])
        for image, label in zip(images, labels, strict=True):
            row = hashlib.blake2b(image.tobytes() + bytes([label]), digest_size=16).digest()
            total = (total + int.from_bytes(row, "big")) % 2**128
    return f"{total:032x}"
