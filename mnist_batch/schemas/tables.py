"""Every Parquet schema, declared once; the metadata of each field describes it to readers of the file."""

import datetime
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from mnist_batch.statuses import Status

CLASSES = 10
IMAGE_BYTES = 28 * 28
NO_DIGIT = -1  # as a label: no valid digit is written there


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable, {"description": description})


LABEL = _field("label", pa.int8(), f"the true digit, where known; {NO_DIGIT}: no valid digit is written there")


def is_own_label(field: pa.Field) -> bool:
    """Whether a column is ``label`` of one of these tables, where -1 means ``NO_DIGIT``; elsewhere it may not."""
    return bool(field.metadata) and field.metadata.get(b"description") == LABEL.metadata[b"description"]


TEXT = pa.dictionary(pa.int32(), pa.string())

VERSION = 2  # of the published tables; it grows when a column is added or changes its type
# The first columns of every published table. They are not called run_date and run_id as the folders are: readers guess
# the types of those, and pandas cannot read a column that is both a folder name and in the files.
RUN = (
    _field("night", pa.date32(), "the date of the run, the same in all its rows", nullable=False),
    _field("run", pa.string(), "the id of the run, the same in all its rows", nullable=False),
)

NORMALISATION = pa.struct(
    [
        _field("polarity", pa.string(), "dark_on_light or light_on_dark"),
        _field("threshold", pa.float32(), "grey levels by which a pixel must differ from its paper to be ink"),
        _field("x", pa.int32(), "left edge of the ink's box, in pixels of the page, upright and with square pixels"),
        _field("y", pa.int32(), "upper edge of the ink's box"),
        _field("width", pa.int32(), "width of the ink's box"),
        _field("height", pa.int32(), "height of the ink's box"),
        _field("scale", pa.float32(), "pixels of the 28x28 picture per pixel of the page"),
        _field("shift_across", pa.int8(), "pixels that centring by mass moved the digit right (0 if its ink is even)"),
        _field("shift_down", pa.int8(), "pixels that it moved the digit down"),
        _field("touching_border", pa.bool_(), "the digit, not a line, meets an edge of the page"),
    ]
)

KEY = ("source", "scan", "page")  # the columns that tell the rows of a run apart

MANIFEST = pa.schema(
    [
        _field("source", pa.string(), "the root this scan was listed under", nullable=False),
        _field("scan", pa.string(), "path below its source; bytes that are not UTF-8 as \\xNN", nullable=False),
        _field("path", pa.binary(), "the exact path to open, as bytes", nullable=False),
        _field("size", pa.int64(), "bytes when listed; null where the file could not be examined"),
        _field("modified_ns", pa.int64(), "time of last change when listed, ns since 1970, UTC"),
        LABEL,
        _field(
            "page_labels",
            pa.list_(pa.field("element", pa.int8())),
            "the labels of its pages, in their order, where they have their own; null: all have label",
        ),
    ]
)

# What travels between Preprocess and Classify: plain strings, since Ray may join blocks with different dictionaries.
# ``row`` is the row of the scan in its shard of the manifest.
PREPROCESSED = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("scan", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("page", pa.int16(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("label", pa.int8()),
        pa.field("content", pa.binary(16)),
        pa.field("picture", pa.binary(IMAGE_BYTES), nullable=False),
        pa.field("others", pa.list_(pa.binary(IMAGE_BYTES)), nullable=False),  # less likely readings of the ink
        pa.field("normalisation", NORMALISATION),
        pa.field("stray", pa.bool_(), nullable=False),
    ]
)

PREDICTIONS = pa.schema(
    [
        _field("scan", pa.string(), "path of the file below its source; of a manifest, as it names it", nullable=False),
        _field("source", TEXT, "the root this scan was listed under", nullable=False),
        _field(
            "page", pa.int16(), "page of a TIFF, or image of a PGM, PPM or PBM, from 0; 0 elsewhere", nullable=False
        ),
        _field("status", TEXT, "ok, or why there is no digit: " + ", ".join(list(Status)[1:]), nullable=False),
        _field("reason", pa.string(), "what was wrong with this scan, or why its answer is never accepted; else null"),
        _field("digit", pa.int8(), "the answer, 0 to 9; null where status is not ok"),
        _field("confidence", pa.float32(), "how likely it is that digit is right; null where status is not ok"),
        _field(
            "probabilities",
            pa.list_(pa.field("element", pa.float32())),
            "always ten: the model's outputs for 0 to 9, tempered by its calibration, divided by their sum",
        ),
        LABEL,
        _field(
            "decision",
            TEXT,
            "accept or review; rows without a digit are always review; null: has a digit, and no rule was set",
        ),
        _field("content", pa.binary(16), "BLAKE2b-128 of the file's bytes; null where they were not read"),
        _field("model", TEXT, "digest of the model bundle that answered", nullable=False),
        _field("normalisation", NORMALISATION, "what was done to the page, see below; null where status is not ok"),
        _field("image", pa.binary(), "what the model saw, 28x28, as PNG; null unless the run has --keep-images"),
    ]
)

# The columns of predictions that a report counts, and those that it shows.
COUNTED = ["source", "scan", "page", "label", "digit", "confidence", "decision", "status"]
SHOWN = [*COUNTED, "reason", "content"]
# Rows that a report shows: their kind, and the picture that the model saw.
EXAMPLES = pa.schema(
    [
        pa.field("kind", pa.string()),
        *(item.with_type(pa.string()) if item.type == TEXT else item for item in map(PREDICTIONS.field, SHOWN)),
        pa.field("picture", pa.binary()),
    ]
)

PER_CLASS = pa.schema(
    [
        _field("digit", pa.int8(), "the class, 0 to 9; always ten rows", nullable=False),
        _field("support", pa.int64(), "scored scans whose label is this digit; null in a run without labels"),
        _field(
            "predicted",
            pa.int64(),
            "scored scans answered with this digit; if the run has labels, only labelled scans (none included)",
        ),
        _field("correct", pa.int64(), "scored scans with this label and this answer; null without labels"),
        _field("precision", pa.float64(), "correct / predicted; null where support or predicted is 0"),
        _field("recall", pa.float64(), "correct / support; null where support is 0"),
        _field("f1", pa.float64(), "2 correct / (support + predicted); null where support is 0"),
        _field("recall_low", pa.float64(), "lower end of recall's 95 % Wilson interval"),
        _field("recall_high", pa.float64(), "upper end of recall's 95 % Wilson interval"),
        _field(
            "accepted",
            pa.int64(),
            "answers with this digit that were accepted; if the run has labels, only labelled scans; null: no rule",
        ),
        _field(
            "accepted_errors",
            pa.int64(),
            "of accepted, those whose label is another digit or none; null without labels or rule",
        ),
    ]
)

CONFUSION = pa.schema(
    [
        _field("label", pa.int8(), f"the true digit; {NO_DIGIT}: no valid digit; null: not known"),
        _field("digit", pa.int8(), "the answer; null: not scored"),
        _field("count", pa.int64(), "rows of predictions with this label and answer; they sum to all rows", False),
    ]
)

CALIBRATION = pa.schema(
    [
        _field(
            "low",
            pa.float64(),
            "lower end of the bin of confidence, which is not in it (0 is in the first)",
            nullable=False,
        ),
        _field("high", pa.float64(), "upper end of the bin, which is in it", nullable=False),
        _field("count", pa.int64(), "scored scans of this confidence; of the labelled, where any are", nullable=False),
        _field("correct", pa.int64(), "of count, those whose label is the answer; null without labels"),
        _field("mean_confidence", pa.float64(), "mean confidence of count; null where count is 0"),
        _field("accuracy", pa.float64(), "correct / count; null where count is 0 or without labels"),
    ]
)

RISK_COVERAGE = pa.schema(
    [
        _field("threshold", pa.float64(), "lowest confidence to accept", nullable=False),
        _field("accepted", pa.int64(), "scored scans at least as sure; of the labelled, where any are", nullable=False),
        _field("coverage", pa.float64(), "accepted / all scored (labelled) scans; null where there are none"),
        _field("errors", pa.int64(), "of accepted, those whose label is another digit or none; null without labels"),
        _field("risk", pa.float64(), "errors / accepted; null where accepted is 0 or without labels"),
    ]
)

LABELS = pa.schema(
    [
        _field("scan", pa.string(), "path of the file below its source, as in predictions", nullable=False),
        _field("source", TEXT, "the root this scan was listed under", nullable=False),
        _field("page", pa.int16(), "page of a multi-page TIFF, from 0; 0 elsewhere", nullable=False),
        LABEL.with_nullable(False),
    ]
)

# The report tables of a run, one file each.
REPORT: Mapping[str, pa.Schema] = {
    "per_class": PER_CLASS,
    "confusion": CONFUSION,
    "calibration": CALIBRATION,
    "risk_coverage": RISK_COVERAGE,
    "labels": LABELS,
}


def published(schema: pa.Schema) -> pa.Schema:
    """The schema of a published table: the columns of ``RUN``, then its own; the version is in its metadata."""
    return pa.schema([*RUN, *schema], {"mnist_batch.schema": str(VERSION)})


def of_run(rows: pa.Table, run_date: str, run_id: str) -> pa.Table:
    """The rows of a table as a run publishes them, with the schema from ``published``."""
    night = pa.array([datetime.date.fromisoformat(run_date)] * len(rows), pa.date32())
    run = pa.array([run_id] * len(rows), pa.string())
    return pa.table([night, run, *rows.columns], schema=published(rows.schema))


def table(schema: pa.Schema, columns: Mapping[str, Any]) -> pa.Table:
    """A table with this schema from its columns, in any order; ValueError if one is missing or unknown."""
    if set(columns) != set(schema.names):
        raise ValueError(f"columns {sorted(columns)} are not those of the schema, {sorted(schema.names)}")
    return pa.table([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, kind)
