"""A published run as a CSV file, for spreadsheets."""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from mnist_batch.errors import InputError
from mnist_batch.intake import user_tables
from mnist_batch.reports import field_labels, report
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.statuses import READ
from mnist_batch.store import locations

log = logging.getLogger(__name__)

COLUMNS: Mapping[str, Sequence[str]] = {
    "predictions": [
        *("scan", "source", "page", "form", "field", "position", "status", "reason", "digit", "confidence", "label"),
        *("decision", "content", "model"),
    ],
    "fields": tables.FIELDS.names,
    "pages": [name for name in tables.PAGES.names if name not in ("matrix", "content", "field_values")],
}
MOST_ROWS = 1_048_575  # of a sheet in Excel, without its header

# The choices of ``rows``, and the rows of each table that each selects.
ROWS: Mapping[str, Mapping[str, pc.Expression]] = {
    "all": {},
    "review": {name: pc.field("decision") == "review" for name in ("predictions", "fields")},
    "mistakes": {
        "predictions": pc.field("digit") != pc.field("label"),
        "fields": pc.coalesce(pc.field("value"), "") != pc.field("label"),
    },
    "unread": {
        "predictions": ~pc.field("status").isin(READ),
        "fields": ~pc.field("status").isin(["ok", "empty"]),
        "pages": pc.field("status") != "registered",
    },
}


def write(run: Run, published: Published, file_name: str | Path, rows: str = "all", table: str | None = None) -> int:
    """Write rows of a table of a published run to a CSV file, whole or not at all, and return their number.

    ``table`` is one of ``COLUMNS``; left out, ``fields`` of a run with forms and else ``predictions``. ``rows`` is one
    of ``ROWS``. The columns are night, run and those of ``COLUMNS``. Labels are those of the last report,
    written as in a label file. The file is UTF-8 with a byte order mark, by which Excel recognises it. A text that a
    spreadsheet would run as a formula gets an apostrophe in front. Raises InputError if the file cannot be written.
    """
    if locations.is_uri(str(file_name)):
        raise InputError(
            f"--csv {str(file_name)!r}: a CSV file is written to a disk; give a path, then copy the file to the store"
        )
    path = Path(file_name)
    table = table or ("fields" if published.forms else "predictions")
    if table != "predictions" and not published.forms:
        raise InputError(f"--table {table}: run {run.run_id} has no forms; leave it out")
    if rows != "all" and table not in ROWS[rows]:
        raise InputError(f"--rows {rows}: the table {table} has no such rows; choose all or unread, or another --table")
    chosen, written, columns = ROWS[rows].get(table), 0, COLUMNS[table]
    temporary = None
    try:
        if path.is_file() or not path.exists():  # a pipe or terminal, such as /dev/stdout, cannot be replaced
            path = path.resolve()  # a link stays a link
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with (temporary or path).open("wb") as file:
            file.write(b"\xef\xbb\xbf" + ",".join(["night", "run", *columns]).encode() + b"\r\n")
            for part in _parts(run, published, table):
                part = part if chosen is None else part.filter(chosen)
                written += len(part)
                plain = _plain(run, part.select(columns))
                csv.write_csv(plain, file, csv.WriteOptions(include_header=False, eol="\r\n"))
        if temporary:
            temporary.replace(path)
    except OSError as error:
        if temporary:
            with suppress(OSError):  # where it has no folder
                temporary.unlink()
        raise InputError(f"--csv {str(path)!r}: cannot be written ({error.strerror}); give another file") from None
    if written > MOST_ROWS:
        log.warning("%s has %s rows; Excel shows the first %s", path, f"{written:,}", f"{MOST_ROWS:,}")
    return written


def _parts(run: Run, published: Published, table: str) -> Iterator[pa.Table]:
    """The rows of the table in each part, with the labels of the last report."""
    if published.forms:
        yield from (each[table] for each in field_labels.read_tables(run, published, COLUMNS["predictions"]))
        return
    late = report.late_labels(run, published)
    for part in parts.read_parts(run, COLUMNS[table]):
        yield part if late is None else report.relabel(part, late)


def _plain(run: Run, rows: pa.Table) -> pa.Table:
    of_run = {
        name: pa.array([value] * len(rows), pa.string())
        for name, value in (("night", run.run_date), ("run", run.run_id))
    }
    columns = {name: rows[name] for name in rows.column_names}
    if "content" in columns:
        hexadecimal = [None if value is None else value.hex() for value in rows["content"].to_pylist()]
        columns["content"] = pa.array(hexadecimal, pa.string())
    if "label" in columns:  # as a label file has them
        nothing = "" if pa.types.is_string(rows["label"].type) else tables.NO_DIGIT
        columns["label"] = pc.if_else(pc.equal(rows["label"], nothing), "none", rows["label"].cast(pa.string()))
    if "rules_failed" in columns:
        columns["rules_failed"] = pc.binary_join(columns["rules_failed"], "; ")
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):
            columns[name] = column = column.cast(pa.string())
        if pa.types.is_string(column.type):
            columns[name] = user_tables.without_formulas(column)
    return pa.table(of_run | columns)
