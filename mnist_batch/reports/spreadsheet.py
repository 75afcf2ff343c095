"""A published run as a CSV file, for spreadsheets."""

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from mnist_batch.errors import InputError
from mnist_batch.intake import user_tables
from mnist_batch.reports import report
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.statuses import READ
from mnist_batch.store import locations

log = logging.getLogger(__name__)

COLUMNS = ["scan", "source", "page", "status", "reason", "digit", "confidence", "label", "decision", "content", "model"]
MOST_ROWS = 1_048_575  # of a sheet in Excel, without its header

# The choices of ``rows``, and the rows of predictions that each selects.
ROWS: Mapping[str, pc.Expression | None] = {
    "all": None,
    "review": pc.field("decision") == "review",
    "mistakes": pc.field("digit") != pc.field("label"),
    "unread": ~pc.field("status").isin(READ),
}


def write(run: Run, published: Published, file_name: str | Path, rows: str = "all") -> int:
    """Write rows of a published run to a CSV file, whole or not at all, and return their number.

    ``rows`` is one of ``ROWS``. The columns are night, run and ``COLUMNS``. Labels are those of the last report,
    written as in a label file. The file is UTF-8 with a byte order mark, by which Excel recognises it. A text that a
    spreadsheet would run as a formula gets an apostrophe in front. Raises InputError if the file cannot be written.
    """
    if locations.is_uri(str(file_name)):
        raise InputError(
            f"--csv {str(file_name)!r}: a CSV file is written to a disk; give a path, then copy the file to the store"
        )
    path = Path(file_name)
    chosen, written, late = ROWS[rows], 0, report.late_labels(run, published)
    temporary = None
    try:
        if path.is_file() or not path.exists():  # a pipe or terminal, such as /dev/stdout, cannot be replaced
            path = path.resolve()  # a link stays a link
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with (temporary or path).open("wb") as file:
            file.write(b"\xef\xbb\xbf" + ",".join(["night", "run", *COLUMNS]).encode() + b"\r\n")
            for part in parts.read_parts(run, COLUMNS):
                part = part if late is None else report.relabel(part, late)
                part = part if chosen is None else part.filter(chosen)
                written += len(part)
                csv.write_csv(_plain(run, part), file, csv.WriteOptions(include_header=False, eol="\r\n"))
        if temporary:
            temporary.replace(path)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise InputError(f"--csv {str(path)!r}: cannot be written ({error.strerror}); give another file") from None
    if written > MOST_ROWS:
        log.warning("%s has %s rows; Excel shows the first %s", path, f"{written:,}", f"{MOST_ROWS:,}")
    return written


def _plain(run: Run, rows: pa.Table) -> pa.Table:
    of_run = {
        name: pa.array([value] * len(rows), pa.string())
        for name, value in (("night", run.run_date), ("run", run.run_id))
    }
    hexadecimal = [None if value is None else value.hex() for value in rows["content"].to_pylist()]
    labels = pc.if_else(pc.equal(rows["label"], tables.NO_DIGIT), "none", rows["label"].cast(pa.string()))
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {"content": pa.array(hexadecimal, pa.string()), "label": labels}
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):
            columns[name] = column = column.cast(pa.string())
        if pa.types.is_string(column.type):
            columns[name] = user_tables.without_formulas(column)
    return pa.table(of_run | columns)
