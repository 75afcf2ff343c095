"""The answers of a model to pictures: digit or refusal, confidence, and the decision of a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.models import beta, bundle, calibrating
from mnist_batch.models.engines import ENGINES, Engine
from mnist_batch.pixels import decoding, normalising, zigzags
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Beta
from mnist_batch.statuses import MEANINGS, REFUSALS, SAME, Status

OTHERS_WEIGH = 0.5  # of what the likeliest reading of a page's ink weighs in its answer
# Why an answer is never accepted, whatever its confidence; in ``reason``.
DOUBTED = "never accepted: it may be no digit, or another one by another reading of its ink"
STRAY = "never accepted: its ink meets an edge of the page, as a stroke of a neighbouring cell does"
PALE = "never accepted: its ink is far paler than that of the run, as where the back of a page shows through"
REFUSED_FROM = 0.5  # the share of a model's outputs that are those for ``REFUSALS``


@dataclass(frozen=True)
class ModelSpec:
    """Which model answers: the location of its bundle, its digest as it was verified, or None, and its engine.

    ``asks_first``: whether its first net is asked before the others, if it has one.
    """

    location: str
    digest: str | None = None
    engine: str = "onnx"
    asks_first: bool = True


@dataclass(frozen=True)
class Answers:
    """The answers of a model to N pictures.

    ``blank``, bool (N,): without ink, whatever else is said; ``refusal``, int64 (N,): the place in ``REFUSALS``, -1
    for none; ``probabilities``, float32 (N, 10); ``refusal_share``, float (N,): how likely it is no digit or several;
    ``doubted``, bool (N,): answered, and never accepted; ``map`` makes confidences of the probabilities; ``alone``,
    bool (N,): by the net that is asked first, none if it is None.
    """

    blank: NDArray[np.bool_]
    refusal: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    refusal_share: NDArray[Any]
    doubted: NDArray[np.bool_]
    map: Beta | None = None
    alone: NDArray[np.bool_] | None = None

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
        """How sure the answers are, float32 (N,)."""
        return beta.confidence(self.probabilities, self.map)

    def accepted(self, threshold: float | NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which answers are sure enough for a rule: bool (N,)."""
        return (self.digit >= 0) & (self.confidence >= np.asarray(threshold, np.float32)) & ~self.doubted


@dataclass(frozen=True)
class Others:
    """Less likely readings of some pages: ``pictures``, uint8 (M, 28, 28), and ``of``, int64 (M,), the page of each."""

    pictures: NDArray[np.uint8]
    of: NDArray[np.int64]

    @classmethod
    def split(cls, readings: Sequence[Sequence[NDArray[np.uint8]]]) -> tuple[NDArray[np.uint8], "Others"]:
        """The likeliest picture of each page, uint8 (N, 28, 28), and the others, of the pictures of N > 0 pages."""
        first = np.stack([pictures[0] for pictures in readings])
        others = [picture for pictures in readings for picture in pictures[1:]]
        of = np.repeat(np.arange(len(readings)), [len(pictures) - 1 for pictures in readings])
        return first, cls(np.stack(others) if others else first[:0], of)


@dataclass(frozen=True)
class Model:
    """A loaded model: what computes its outputs, its bundle's digest, and the two maps of its confidence."""

    engine: Engine
    digest: str
    temperature: float = 1.0
    map: Beta | None = None

    @classmethod
    def open(cls, spec: ModelSpec) -> "Model":
        """Load a model; raises InputError if that fails or if it is not the model that was verified."""
        opened = bundle.open_bundle(spec.location)
        if spec.digest not in (None, opened.digest):
            raise InputError(
                f"--model {spec.location} changed while the run was starting: {opened.digest}, not {spec.digest}"
            )
        asks_first = spec.asks_first and opened.facts.first_calibration is not None
        calibration = opened.facts.calibration_where(asks_first)
        temperature, map_ = calibrating.temperature_of(calibration), calibration.beta if calibration else None
        return cls(ENGINES[spec.engine](opened, asks_first), opened.digest, temperature, map_)

    def answers(self, pictures: NDArray[np.uint8], others: Others | None = None) -> Answers:
        """What the model says of normalised pages, uint8 (N, 28, 28), ink = 255, and of other readings of them."""
        if not len(pictures):
            return answers_of(pictures, np.empty((0, tables.CLASSES), np.float32), self.temperature, self.map)
        if others is None or not len(others.pictures):
            values, alone = self.engine(pictures)
            return replace(answers_of(pictures, values, self.temperature, self.map), alone=alone)
        values, alone = self.engine(np.concatenate([pictures, others.pictures]))
        of_all = alone[: len(pictures)].copy()
        np.logical_and.at(of_all, others.of, alone[len(pictures) :])
        return replace(reconciled(pictures, values, others, self.temperature), map=self.map, alone=of_all)


def answers_of(
    pictures: NDArray[np.uint8], outputs: NDArray[Any], temperature: float, map: Beta | None = None
) -> Answers:
    """What a model's outputs, (N, 10) or (N, 12), say of the pictures that they were computed from.

    Whatever they say, a zigzag that voids its cell is no digit.
    """
    void, refusal = zigzags.found(pictures), refusals_of(outputs)
    return Answers(
        blank=np.asarray(~pictures.any(axis=(1, 2))),
        refusal=np.where(void & (refusal < 0), REFUSALS.index(Status.NOT_A_DIGIT), refusal),
        probabilities=calibrating.tempered(outputs, temperature),
        refusal_share=np.where(void, 1.0, calibrating.refusal_shares(outputs)),
        doubted=calibrating.doubted(outputs),
        map=map,
    )


def reconciled(pictures: NDArray[np.uint8], outputs: NDArray[Any], others: Others, temperature: float) -> Answers:
    """The answer to the mean of each page's readings; one that some reading alone would not give is doubted.

    ``outputs`` are the model's for the pictures and then for the others. Another reading weighs the less, the likelier
    it holds no digit: a stamp that was left in does not refuse the digit that was found without it.
    """
    first, second = outputs[: len(pictures)].astype(np.float64), outputs[len(pictures) :]
    weights, weigh = np.ones(len(pictures)), OTHERS_WEIGH * (1 - calibrating.refusal_shares(second))
    np.add.at(first, others.of, weigh[:, None] * second)
    np.add.at(weights, others.of, weigh)
    answers = answers_of(pictures, first / weights[:, None], temperature)
    readers = np.concatenate([np.arange(len(pictures)), others.of])
    alone = answers_of(np.concatenate([pictures, others.pictures]), outputs, temperature).digit
    doubted = answers.doubted.copy()
    np.logical_or.at(doubted, readers, alone != answers.digit[readers])
    return replace(answers, doubted=doubted)


def answer(
    batch: pa.Table,
    model: Model,
    threshold: float | None = None,
    keep_images: bool = False,
    by_source: Mapping[str, float | None] | None = None,
) -> pa.Table:
    """Answer the pictures of ``batch``: its rows without the pictures, with the columns of ``predictions``.

    Answers whose confidence is at least ``threshold`` are accepted; if it is None, answers have no decision. Sources in
    ``by_source`` have thresholds of their own, None where nothing is accepted. Rows without an answer are for review,
    and ``reason`` says why an answer is never accepted. Further columns say which answers a rule may accept
    (``clear``), which are ``doubted``, and of every picture that was shown to the model what it gave the ten digits
    (``shares``) and all else (``refusal_share``).
    """
    read = np.flatnonzero(batch["status"].to_numpy() == Status.OK)
    pictures = images_of(batch)[read]
    answers = model.answers(pictures, _others_of(batch, read))
    scored, stray, count = answers.digit >= 0, batch["stray"].to_numpy()[read], len(batch)
    batch = _with_reasons(batch, read, answers, stray)
    each = None if threshold is None else _thresholds(batch["source"].take(pa.array(read)), threshold, by_source or {})
    rows = read[scored]
    columns = {
        "digit": _spread(pa.array(answers.digit[scored], pa.int8()), rows, count),
        "confidence": _spread(pa.array(answers.confidence[scored], pa.float32()), rows, count),
        "probabilities": _spread(_lists(answers.probabilities[scored]), rows, count),
        "decision": _decisions(batch, read, answers, stray, each),
        "model": pa.array([model.digest] * count, pa.string()),
        "first_alone": _spread(pa.array(_alone(answers)[scored]), rows, count),
        "clear": _flags(read[scored & ~answers.doubted & ~stray], count),
        "doubted": _flags(read[scored & answers.doubted], count),
        "shares": _spread(_lists(answers.probabilities), read, count),
        "refusal_share": _spread(pa.array(answers.refusal_share, pa.float32()), read, count),
        "image": _spread(_as_png(pictures, keep_images), read, count),
    }
    table = batch.drop_columns(["picture", "others", "stray"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _with_reasons(batch: pa.Table, read: NDArray[np.int64], answers: Answers, stray: NDArray[np.bool_]) -> pa.Table:
    """The batch with the status and reason of the rows ``read`` that have no answer, or one that is never accepted."""
    scored = answers.digit >= 0
    batch = _with_statuses(batch, read[~scored], [status for status in answers.statuses if status != Status.OK])
    batch = _with(batch, "reason", read[scored & stray], STRAY)
    return _with(batch, "reason", read[scored & answers.doubted], DOUBTED)


def _decisions(
    batch: pa.Table,
    read: NDArray[np.int64],
    answers: Answers,
    stray: NDArray[np.bool_],
    thresholds: NDArray[np.float32] | None,
) -> pa.Array:
    """The decision for each row of a batch: for answers by the threshold of each, none if that is None."""
    decisions = np.full(len(batch), "review", object)
    decisions[np.isin(batch["status"].to_numpy(), SAME)] = None
    if thresholds is None:
        decisions[read[answers.digit >= 0]] = None
    else:
        decisions[read[answers.accepted(thresholds) & ~stray]] = "accept"
    return pa.array(decisions, pa.string())


def _flags(rows: NDArray[np.int64], count: int) -> pa.Array:
    """A column of ``count`` that is true at these rows."""
    flags = np.zeros(count, np.bool_)
    flags[rows] = True
    return pa.array(flags)


def _alone(answers: Answers) -> NDArray[np.bool_]:
    return np.zeros(len(answers.blank), np.bool_) if answers.alone is None else answers.alone


def _lists(probabilities: NDArray[np.float32]) -> pa.Array:
    """Probabilities (N, 10) as a column of lists."""
    ends = np.arange(len(probabilities) + 1, dtype=np.int32) * tables.CLASSES
    kind = tables.PREDICTIONS.field("probabilities").type
    return pa.ListArray.from_arrays(ends, pa.array(probabilities.ravel(), pa.float32()), type=kind)


def _thresholds(sources: pa.ChunkedArray, threshold: float, by_source: Mapping[str, float | None]) -> NDArray[Any]:
    """The threshold of each row by its source, float32 (N,); above every confidence where nothing is accepted."""
    own = {source: np.inf if at is None else at for source, at in by_source.items()}
    return np.array([own.get(source, threshold) for source in sources.to_pylist()] if own else threshold, np.float32)


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
    batch = _with(batch, "status", rows, statuses)
    return _with(batch, "reason", rows, [MEANINGS[status] for status in statuses])


def _with(batch: pa.Table, name: str, rows: NDArray[np.int64], values: str | Sequence[str]) -> pa.Table:
    """The batch whose ``rows`` have these values, or this one, in the column ``name``."""
    if not len(rows):
        return batch
    column = batch[name].to_numpy().copy()
    column[rows] = values
    return tables.with_column(batch, name, column)


def _as_png(pictures: NDArray[np.uint8], keep: bool) -> pa.Array:
    if not keep:
        return pa.nulls(len(pictures), pa.binary())
    return pa.array([decoding.encode(picture) for picture in pictures], pa.binary())


def _others_of(batch: pa.Table, read: NDArray[np.int64]) -> Others:
    """The other readings of the rows ``read`` of a batch; ``of`` counts these rows."""
    lists = batch["others"].take(pa.array(read)).combine_chunks()
    flat = pa.table({"picture": lists.flatten()})
    return Others(images_of(flat), lists.value_parent_indices().to_numpy().astype(np.int64))


def images_of(batch: pa.Table) -> NDArray[np.uint8]:
    """The pictures of a batch, uint8 (N, 28, 28), without copying where the batch is one chunk."""
    column = batch["picture"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combine_chunks keeps a column of no chunks as it is
        return np.empty((0, normalising.SIDE, normalising.SIDE), np.uint8)
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    first = column.offset * tables.IMAGE_BYTES
    return flat[first : first + len(column) * tables.IMAGE_BYTES].reshape(-1, normalising.SIDE, normalising.SIDE)
