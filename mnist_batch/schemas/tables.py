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

VERSION = 5  # of the published tables; it grows when a column is added or changes its type
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

CELL = pa.struct(
    [
        _field("x", pa.int32(), "left edge of the cell, in pixels of the page, upright and with square pixels"),
        _field("y", pa.int32(), "upper edge of the cell"),
        _field("width", pa.int32(), "width of the cell"),
        _field("height", pa.int32(), "height of the cell"),
        _field(
            "corners",
            pa.list_(pa.field("element", pa.float32())),
            "x and y of its four corners on the page, clockwise from the upper left of the form: eight numbers",
        ),
    ]
)

KEY = ("source", "scan", "page")  # the columns that tell the pages of a run apart; those of a form have cells
# The columns of a cell of a form; null in the row of a scan or page that is none.
OF_CELL = (
    _field("form", TEXT, "the form that the page is of; null where no form was given or the page is of none"),
    _field("field", TEXT, "the field of the form that the cell belongs to; null where the row is no cell"),
    _field("position", pa.int16(), "the cell's place in its field, in writing order, from 0; null where it is no cell"),
    _field("cell", CELL, "where the cell lies on the page; null where it is no cell, or lies off the page"),
)

# The true numbers in the fields of a scan. A page that is null is every page; an empty value is an empty field.
FIELD_VALUES = pa.list_(
    pa.field(
        "element",
        pa.struct([pa.field("page", pa.int16()), pa.field("field", pa.string()), pa.field("value", pa.string())]),
    )
)

# What the listing knows of the file of a scan, and whether its answer is in another row.
SIZE = _field("size", pa.int64(), "bytes of the file when listed; null where it could not be examined")
MODIFIED_NS = _field("modified_ns", pa.int64(), "time of last change when listed, ns since 1970, UTC")
OF_COPIES = (
    _field("copies", pa.int32(), "scans of this run with these bytes, in the row of the first; null: not looked for"),
    _field("same_as", pa.string(), "the scan with the same bytes that has the answer; null where it is this one"),
    _field("same_as_source", pa.string(), "the source of that scan"),
    _field("same_as_run", pa.string(), "the run of that scan: this one, or an earlier one"),
)
OF_LISTING = (SIZE, MODIFIED_NS, *OF_COPIES)

MANIFEST = pa.schema(
    [
        _field("source", pa.string(), "the root this scan was listed under", nullable=False),
        _field("scan", pa.string(), "path below its source; bytes that are not UTF-8 as \\xNN", nullable=False),
        _field("path", pa.binary(), "the exact path to open, as bytes", nullable=False),
        SIZE,
        MODIFIED_NS,
        LABEL,
        _field(
            "page_labels",
            pa.list_(pa.field("element", pa.int8())),
            "the labels of its pages, in their order, where they have their own; null: all have label",
        ),
        _field(
            "field_values",
            FIELD_VALUES,
            "the true numbers in the fields of its pages, where a label file gives them; else null",
        ),
        _field("content", pa.binary(), "BLAKE2b-128 of the file's bytes, where it was read already; else null"),
        *OF_COPIES,
    ]
)

# How a page was registered, as it travels with the rows of its cells; the columns of ``PAGES``.
OF_PAGE = (
    _field("version", pa.string(), "the version of the form; null where it has none"),
    _field("form_page", pa.int16(), "the page of the form, from 0; null where the page is of none of the forms"),
    _field("turn", pa.int16(), "by how many degrees clockwise the page lies turned: 0, 90, 180 or 270"),
    _field("residual", pa.float32(), "pixels of the form's picture by which its points miss their places, in the mean"),
    _field("printed", pa.float32(), "share of what is printed on the form that was found where it belongs, 0 to 1"),
    _field("inliers", pa.int32(), "points of the page that agree on where the form lies"),
    _field("method", pa.string(), "what the form was found by: its marks, or points of its print by orb or sift"),
    _field(
        "matrix",
        pa.list_(pa.field("element", pa.float64())),
        "nine numbers, row by row: the homography from pixels of the form's picture to pixels of the page",
    ),
    _field("width", pa.int32(), "width of the page in pixels, upright and with square pixels"),
    _field("height", pa.int32(), "height of the page in pixels"),
    _field("seconds", pa.float32(), "time that reading the page took: decoding, registering, cutting, normalising"),
)
REGISTRATION = pa.struct(
    [_field("status", pa.string(), "the verdict"), _field("reason", pa.string(), "why it is so"), *OF_PAGE]
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
        *(pa.field(item.name, pa.string() if item.type == TEXT else item.type) for item in OF_CELL),
        *OF_LISTING,
        pa.field("registration", REGISTRATION),  # in the first row of a page that was compared with forms
    ]
)

PREDICTIONS = pa.schema(
    [
        _field("scan", pa.string(), "path of the file below its source; of a manifest, as it names it", nullable=False),
        _field("source", TEXT, "the root this scan was listed under", nullable=False),
        _field(
            "page",
            pa.int16(),
            "page of a PDF or TIFF, or image of a PGM, PPM or PBM, from 0; 0 elsewhere",
            nullable=False,
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
            "accept or review; rows without a digit are always review; null: has a digit, and no rule was set, or has "
            "its answer in another row",
        ),
        _field("content", pa.binary(16), "BLAKE2b-128 of the file's bytes; null where they were not read"),
        _field("model", TEXT, "digest of the model bundle that answered", nullable=False),
        _field("first_alone", pa.bool_(), "whether the first net gave the answer alone; null without an answer"),
        _field("normalisation", NORMALISATION, "what was done to the page, see below; null where status is not ok"),
        _field("image", pa.binary(), "what the model saw, 28x28, as PNG; null unless the run has --keep-images"),
        *OF_CELL,
        *OF_LISTING,
    ]
)

# Two tables of runs with forms: a row for each field of each page that is of a form, and a row for each page.
FIELDS = pa.schema(
    [
        _field("scan", pa.string(), "path of the file below its source, as in predictions", nullable=False),
        _field("source", TEXT, "the root this scan was listed under", nullable=False),
        _field("page", pa.int16(), "page of the scan, from 0", nullable=False),
        _field("form", TEXT, "the form that the page is of", nullable=False),
        _field("field", TEXT, "the field of the form", nullable=False),
        _field("status", TEXT, "ok: there is a value; empty: nothing is written; else why there is none", False),
        _field(
            "reason", pa.string(), "why there is no value or it is never accepted, or that it is repaired; else null"
        ),
        _field("value", pa.string(), "the number, with its leading zeros; null where there is none"),
        _field("digits", pa.int16(), "how many digits the value has; null where there is none"),
        _field("confidence", pa.float32(), "how likely it is that the whole value is right; null where there is none"),
        _field(
            "decision",
            TEXT,
            "accept or review; what has no value, unless it may be empty and is, is always review; null: no rule",
        ),
        _field("check", TEXT, "passed or failed: the value's check digit; null where the field has none"),
        _field(
            "rules_failed",
            pa.list_(pa.field("element", pa.string())),
            "the rules across fields that the values break, as the form has them; empty where none is broken",
        ),
        _field("alternative", pa.string(), "the second most likely value that passes the checks; null where none is"),
        _field("alternative_confidence", pa.float32(), "how likely it is that the alternative is right"),
        _field("label", pa.string(), "the true number, where known; empty text where the field is empty"),
    ]
)

PAGES = pa.schema(
    [
        _field("scan", pa.string(), "path of the file below its source, as in predictions", nullable=False),
        _field("source", TEXT, "the root this scan was listed under", nullable=False),
        _field("page", pa.int16(), "page of the scan, from 0", nullable=False),
        _field(
            "status",
            TEXT,
            "registered, or why not: not_registered, unknown_form, other_version, two_sheets, blank_page; or the "
            "status of a file that could not be read",
            nullable=False,
        ),
        _field("reason", pa.string(), "a sentence on the status; null where the page is registered"),
        _field("form", TEXT, "the form that the page is of; null where it is of none of them"),
        *OF_PAGE,
        _field("cells", pa.int32(), "cells of the page: its rows of predictions that have a field", nullable=False),
        _field("answered", pa.int32(), "of its cells, those with a digit", nullable=False),
        _field("blank", pa.int32(), "of its cells, the blank ones", nullable=False),
        _field("crossed", pa.int32(), "of its cells, those crossed through", nullable=False),
        _field("refused", pa.int32(), "of its cells, those that hold no digit or several", nullable=False),
        _field("unreadable", pa.int32(), "of its cells, those cut off or shifted", nullable=False),
        _field("fields", pa.int32(), "fields of the page", nullable=False),
        _field("fields_accepted", pa.int32(), "of its fields, those accepted; null: no rule"),
        _field("content", pa.binary(16), "BLAKE2b-128 of the file's bytes; null where they were not read"),
        _field(
            "field_values",
            FIELD_VALUES,
            "where a page failed for a passing cause: the true numbers of its file, in the row of the first such page",
        ),
    ]
)

# The columns of predictions that a report counts, and those that it shows.
COUNTED = ["source", "scan", "page", "label", "digit", "confidence", "decision", "status"]
SHOWN = [*COUNTED, "reason", "content", "form", "field", "position"]
# Rows that a report shows: their kind, and the picture that the model saw. Of a field also what was read, what it is,
# and the corners of its cells on the page, eight numbers a cell.
EXAMPLES = pa.schema(
    [
        pa.field("kind", pa.string()),
        *(item.with_type(pa.string()) if item.type == TEXT else item for item in map(PREDICTIONS.field, SHOWN)),
        pa.field("picture", pa.binary()),
        pa.field("value", pa.string()),
        pa.field("truth", pa.string()),
        pa.field("cells", pa.list_(pa.list_(pa.float32()))),
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
        _field("page", pa.int16(), "page of a PDF or multi-page TIFF, from 0; 0 elsewhere", nullable=False),
        LABEL.with_nullable(False),
    ]
)

FIELD_REPORT = pa.schema(
    [
        _field("form", pa.string(), "the form", nullable=False),
        _field("field", pa.string(), "the field of the form", nullable=False),
        _field("fields", pa.int64(), "its rows in fields: one for each page that is of the form", nullable=False),
        _field("read", pa.int64(), "of fields, those with a value, or rightly empty", nullable=False),
        _field("labelled", pa.int64(), "of fields, those with a label; null in a run without labels"),
        _field("correct", pa.int64(), "of labelled, those whose value is the label; null without labels"),
        _field("accuracy", pa.float64(), "correct / labelled; null where labelled is 0"),
        _field("accuracy_low", pa.float64(), "lower end of accuracy's 95 % Wilson interval"),
        _field("accuracy_high", pa.float64(), "upper end of accuracy's 95 % Wilson interval"),
        _field("accepted", pa.int64(), "of fields, those accepted; of the labelled, where any are; null: no rule"),
        _field("accepted_errors", pa.int64(), "of accepted, those whose value is not the label; null without labels"),
        _field("error", pa.float64(), "accepted_errors / accepted; null where accepted is 0 or without labels"),
        _field("error_low", pa.float64(), "lower end of error's 95 % Wilson interval"),
        _field("error_high", pa.float64(), "upper end of error's 95 % Wilson interval"),
        _field("checks_failed", pa.int64(), "of fields, those whose check digit or a rule failed", nullable=False),
    ]
)

FIELD_LABELS = pa.schema(
    [
        _field("scan", pa.string(), "path of the file below its source, as in predictions", nullable=False),
        _field("source", TEXT, "the root this scan was listed under", nullable=False),
        _field("page", pa.int16(), "page of the scan, from 0", nullable=False),
        _field("field", TEXT, "the field of the form that the page is of", nullable=False),
        _field("value", pa.string(), "the true number; empty text where the field is empty", nullable=False),
    ]
)

DRIFT = pa.schema(
    [
        _field("source", pa.string(), "the root that the scans were listed under; null: all of them together"),
        _field("form", pa.string(), "the form of the pages; null: not told apart"),
        _field("field", pa.string(), "the field of the form; null: not told apart"),
        _field("metric", pa.string(), "what is measured, see below", nullable=False),
        _field("pages", pa.int64(), "pages with a value", nullable=False),
        _field("rows", pa.int64(), "rows with a value", nullable=False),
        _field("value", pa.float64(), "the mean of these values, or the share of the rows", nullable=False),
        _field(
            "error", pa.float64(), "the standard error of value, from the differences between pages", nullable=False
        ),
        _field("expected", pa.float64(), "what the baseline let expect; null: not compared"),
        _field("low", pa.float64(), "lower end of the range without an alert"),
        _field("high", pa.float64(), "upper end of that range"),
        _field("z", pa.float64(), "by how many standard errors value is away from what was expected"),
        _field("alert", pa.bool_(), "whether value is out of the range; null: not compared"),
    ]
)

# The report tables of a run, one file each.
REPORT: Mapping[str, pa.Schema] = {
    "per_class": PER_CLASS,
    "confusion": CONFUSION,
    "calibration": CALIBRATION,
    "risk_coverage": RISK_COVERAGE,
    "labels": LABELS,
    "drift": DRIFT,
}
# What a run with forms has besides: tables in one part per shard, beside predictions, and further report tables.
BESIDE: Mapping[str, pa.Schema] = {"fields": FIELDS, "pages": PAGES}
REPORT_OF_FORMS: Mapping[str, pa.Schema] = {"field_report": FIELD_REPORT, "field_labels": FIELD_LABELS}
# All published tables: predictions first, as it is the first to be published and the last to be withdrawn.
TABLES: Mapping[str, pa.Schema] = {"predictions": PREDICTIONS, **BESIDE, **REPORT, **REPORT_OF_FORMS}


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


def with_column(rows: pa.Table, name: str, values: Any) -> pa.Table:
    """The rows with other values in a column, which keeps its place, type and description."""
    at = rows.schema.get_field_index(name)
    field = rows.schema.field(at)
    return rows.set_column(at, field, _column(values, field.type))


def _column(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, kind)
