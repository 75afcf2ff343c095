"""Labelled digits as arrays and as tables, and the embedded MNIST."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.models import answers
from mnist_batch.reading.images import content_digest
from mnist_batch.schemas import tables

EMBEDDED = "embedded MNIST"
UNKNOWN = -1  # the number of a writer who is not known
SCHEMA = pa.schema(
    [
        pa.field("picture", pa.binary(tables.IMAGE_BYTES), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("data", pa.int16(), nullable=False),  # the number of the data set that the digit is from
        pa.field("writer", pa.int16(), nullable=False),  # the number of its writer there, or UNKNOWN
    ]
)


class Digits(NamedTuple):
    """Labelled digits: images uint8 (N, 28, 28), ink = 255, and their labels, int8 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int8]

    def take(self, rows: NDArray[Any]) -> "Digits":
        """The digits at these rows, or where a mask is True."""
        return Digits(self.images[rows], self.labels[rows])


class Mixture(NamedTuple):
    """Digits of several data sets; the number of the set that each is from, and of its writer there: int16 (N,)."""

    digits: Digits
    data: NDArray[np.int16]
    writers: NDArray[np.int16]

    def take(self, rows: NDArray[Any]) -> "Mixture":
        """The digits at these rows, or where a mask is True."""
        return Mixture(self.digits.take(rows), self.data[rows], self.writers[rows])


def mixed(parts: Sequence[Digits], writers: Sequence[NDArray[np.int16]] | None = None) -> Mixture:
    """The digits of data sets, one set after the other, numbered by their places; ``writers`` are those of each set."""
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    data = np.repeat(np.arange(len(parts), dtype=np.int16), [len(part.labels) for part in parts])
    unknown = np.full(len(labels), UNKNOWN, np.int16)
    return Mixture(Digits(images, labels), data, unknown if writers is None else np.concatenate(writers))


def mnist(split: str) -> Digits:
    """The embedded MNIST; ``split`` is ``train`` (60,000 digits) or ``test`` (10,000)."""
    with (
        resources.files("mnist_batch").joinpath("data/mnist.npz").open("rb") as file,
        np.load(file) as arrays,
    ):
        return Digits(arrays[f"x_{split}"], arrays[f"y_{split}"].astype(np.int8))


def contents(images: NDArray[np.uint8]) -> list[bytes]:
    """The BLAKE2b-128 of each image's pixels: what identifies a digit of MNIST, as a file's bytes do any other."""
    return [content_digest(image.tobytes()) for image in images]


def wrongly_labelled(contents: Sequence[bytes], labels: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which of N labels were found to be wrong, bool (N,), by the BLAKE2b-128 of the bytes of each picture.

    ``data/wrong_labels.csv`` lists them, each with what is to be read; docs/accuracy.md says how they were found. They
    are learned from all the same, and left out where an error is certified. A label that was put right counts.
    """
    listed = wrong_labels()
    return np.array([known in listed for known in zip(contents, labels.tolist(), strict=True)], bool)


def wrong_labels() -> set[tuple[bytes, int]]:
    """The pictures of ``data/wrong_labels.csv``, by the BLAKE2b-128 of their bytes, each with its wrong label."""
    file = resources.files("mnist_batch").joinpath("data/wrong_labels.csv").read_text()
    return {(bytes.fromhex(row["content"]), int(row["label"])) for row in csv.DictReader(file.splitlines())}


def table(mixture: Mixture) -> pa.Table:
    """Digits as a table of ``SCHEMA``."""
    images, labels = mixture.digits
    buffer = pa.py_buffer(np.ascontiguousarray(images))
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(tables.IMAGE_BYTES), len(images), [None, buffer])
    numbers = [pa.array(each, pa.int16()) for each in (mixture.data, mixture.writers)]
    return pa.table([column, pa.array(labels, pa.int8()), *numbers], schema=SCHEMA)


def arrays(blocks: Iterable[pa.Table]) -> Mixture:
    """Tables of ``SCHEMA``, one after the other, as arrays."""
    whole = pa.concat_tables([SCHEMA.empty_table(), *blocks]).combine_chunks()
    labels, data, writers = (whole[name].to_numpy() for name in ("label", "data", "writer"))
    return Mixture(Digits(answers.images_of(whole), labels), data, writers)


def digest(digits: Digits) -> str:
    """The content of a set of digits in 32 hex digits, whatever their order.

    It is the sum of a BLAKE2b of each digit, so that the blocks of a dataset may be added up in any order.
    """
    total = 0
    for image, label in zip(*digits, strict=True):
        row = hashlib.blake2b(image.tobytes() + bytes([label]), digest_size=16).digest()
        total = (total + int.from_bytes(row, "big")) % 2**128
    return f"{total:032x}"
