"""The answers of a model to pictures: digit or refusal, confidence, and the decision of a rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.models import bundle, calibrating
from mnist_batch.models.engines import ENGINES, Engine
from mnist_batch.pixels import decoding, normalising
from mnist_batch.schemas import tables
from mnist_batch.statuses import MEANINGS, REFUSALS, Status

REFUSED_FROM = 0.5  # the share of a model's outputs that are those for ``REFUSALS``


@dataclass(frozen=True)
class ModelSpec:
    """Which model answers: the location of its bundle, its digest as it was verified, or None, and its engine."""

    location: str
    digest: str | None = None
    engine: str = "onnx"


@dataclass(frozen=True)
class Answers:
    """The answers of a model to N pictures.

    ``blank``, bool (N,): without ink, whatever else is said; ``refusal``, int64 (N,): the place in
    ``REFUSALS``, -1 for none; ``probabilities``, float32 (N, 10); ``doubted``, bool (N,): answered, and never
    accepted.
    """

    blank: NDArray[np.bool_]
    refusal: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    doubted: NDArray[np.bool_]

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Read, and no digit or several: bool (N,)."""
        return (self.refusal >= 0) & ~self.blank

    @property
    def statuses(self) -> list[Status]:
        """The status of each picture, as ``predictions`` has it."""
        return [
            Status.BLANK if blank else Status.OK if refusal < 0 else REFUSALS[refusal]
            for blank, refusal in zip(self.blank, self.refusal, strict=True)
        ]

    @property
    def digit(self) -> NDArray[np.int64]:
        """The answers, int64 (N,); -1 for none."""
        return np.where(self.blank | self.refused, -1, self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the answers, float32 (N,)."""
        return np.asarray(self.probabilities.max(axis=1, initial=0))

    def accepted(self, threshold: float) -> NDArray[np.bool_]:
        """Which answers are sure enough for a rule: bool (N,)."""
        return (self.digit >= 0) & (self.confidence >= np.float32(threshold)) & ~self.doubted


@dataclass(frozen=True)
class Model:
    """A loaded model: what computes its outputs, its bundle's digest, and the temperature of its confidence."""

    engine: Engine
    digest: str
    temperature: float = 1.0

    @classmethod
    def open(cls, spec: ModelSpec) -> "Model":
        """Load a model; raises InputError if that fails or if it is not the model that was verified."""
        opened = bundle.open_bundle(spec.location)
        if spec.digest not in (None, opened.digest):
            raise InputError(
                f"--model {spec.location} changed while the run was starting: {opened.digest}, not {spec.digest}"
            )
        temperature = calibrating.temperature_of(opened.facts.calibration)
        return cls(ENGINES[spec.engine](opened), opened.digest, temperature)

    def answers(self, pictures: NDArray[np.uint8]) -> Answers:
        """What the model says of normalised pages, uint8 (N, 28, 28), ink = 255."""
        outputs = self.engine(pictures) if len(pictures) else np.empty((0, tables.CLASSES), np.float32)
        return answers_of(pictures, outputs, self.temperature)


def answers_of(pictures: NDArray[np.uint8], outputs: NDArray[Any], temperature: float) -> Answers:
    """What a model's outputs, (N, 10) or (N, 12), say of the pictures that they were computed from."""
    return Answers(
        blank=np.asarray(~pictures.any(axis=(1, 2))),
        refusal=refusals_of(outputs),
        probabilities=calibrating.tempered(outputs, temperature),
        doubted=calibrating.doubted(outputs),
    )


def answer(batch: pa.Table, model: Model, threshold: float | None = None, keep_images: bool = False) -> pa.Table:
    """Answer the pictures of ``batch``: its rows without the pictures, with the columns of ``predictions``.

    Answers whose confidence is at least ``threshold`` are accepted; if it is None, answers have no decision. Rows
    without an answer are for review, and with a threshold also answers from ink that meets an edge alone.
    """
    read = np.flatnonzero(batch["status"].to_numpy() == Status.OK)
    pictures = images_of(batch)[read]
    answers = model.answers(pictures)
    scored, count = answers.digit >= 0, len(batch)
    batch = _with_statuses(batch, read[~scored], [status for status in answers.statuses if status != Status.OK])
    decisions = np.full(count, "review", object)
    if threshold is None:
        decisions[read[scored]] = None
    else:
        decisions[read[answers.accepted(threshold) & ~batch["stray"].to_numpy()[read]]] = "accept"
    rows, probabilities = read[scored], answers.probabilities[scored]
    ends = np.arange(len(rows) + 1, dtype=np.int32) * tables.CLASSES
    kind = tables.PREDICTIONS.field("probabilities").type
    columns = {
        "digit": _spread(pa.array(answers.digit[scored], pa.int8()), rows, count),
        "confidence": _spread(pa.array(answers.confidence[scored], pa.float32()), rows, count),
        "probabilities": _spread(
            pa.ListArray.from_arrays(ends, pa.array(probabilities.ravel(), pa.float32()), type=kind), rows, count
        ),
        "decision": pa.array(decisions, pa.string()),
        "model": pa.array([model.digest] * count, pa.string()),
        "image": _spread(_as_png(pictures, keep_images), read, count),
    }
    table = batch.drop_columns(["picture", "stray"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _spread(values: pa.Array, rows: NDArray[np.int64], count: int) -> pa.Array:
    """The values at their rows of a column of ``count``; the others are null."""
    place = np.full(count, -1)
    place[rows] = np.arange(len(rows))
    return values.take(pa.array(place, mask=place < 0))


def refusals_of(outputs: NDArray[Any]) -> NDArray[np.int64]:
    """What a model's outputs (N, 10) or (N, 12) refuse: the places in ``REFUSALS``, int64 (N,); -1 for none."""
    others = outputs[:, tables.CLASSES :]
    if not others.shape[1]:
        return np.full(len(outputs), -1)
    return np.where(calibrating.refusal_shares(outputs) >= REFUSED_FROM, others.argmax(axis=1), -1)


def _with_statuses(batch: pa.Table, rows: NDArray[np.int64], statuses: list[Status]) -> pa.Table:
    """The batch whose ``rows`` have these statuses, and what they mean as their reason."""
    if not len(rows):
        return batch
    for name, values in (("status", statuses), ("reason", [MEANINGS[status] for status in statuses])):
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
