"""From a model's outputs to what is said of each page: its status, digit, confidence and decision."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.models import calibrating
from mnist_batch.models.engines import Engine
from mnist_batch.pixels import decoding, normalising
from mnist_batch.schemas import tables

REFUSED_FROM = 0.5  # the share of a model's outputs that are those for ``tables.REFUSALS``


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
    return pa.array([decoding.encode(picture) for picture in pictures], pa.binary())


def images_of(batch: pa.Table) -> NDArray[np.uint8]:
    """The pictures of a batch, uint8 (N, 28, 28), without copying where the batch is one chunk."""
    column = batch["picture"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combine_chunks keeps a column of no chunks as it is
        return np.empty((0, normalising.SIDE, normalising.SIDE), np.uint8)
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    first = column.offset * tables.IMAGE_BYTES
    return flat[first : first + len(column) * tables.IMAGE_BYTES].reshape(-1, normalising.SIDE, normalising.SIDE)
