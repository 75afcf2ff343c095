"""Tables of users, manifests and labels, as CSV or Parquet: recognised by their content, checked row by row."""

import codecs
import csv
import gzip
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from mnist_batch.errors import InputError, StorageError
from mnist_batch.schemas import tables
from mnist_batch.store import locations
from mnist_batch.wording import counted

BATCH = 50_000  # rows
SEPARATORS = ",;\t"
NO_SEPARATOR = "\x1f"  # for a file with one column, whose names may have commas
FORMULA = r"^[=+\-@\t\r]"  # how a text begins that a spreadsheet runs as a formula
# How programs write a missing value: SAS and Stata as a dot, databases as \N, Julia as a word.
UNKNOWN = {"", "nan", "null", "na", "n/a", "#n/a", "<na>", "#null!", ".", "\\n", "missing"}
READ_BYTES = 1 << 20  # from a store, where each read is a request


@dataclass(frozen=True)
class Rows:
    """Some rows of a user's table as Python values, with their numbers: ``unit`` is line or row, counted from 1.

    Lines are counted as a spreadsheet shows them: the header is line 1.
    """

    file: str
    unit: str
    numbers: Sequence[int]
    columns: Mapping[str, list[Any]]

    def where(self, at: int) -> str:
        """The beginning of a message about the ``at``-th of these rows: the file, and the line or row."""
        return f"{self.file}, {self.unit} {self.numbers[at]}"

    def texts(self, name: str) -> list[str]:
        """A column of texts; raises InputError for a value that is empty or no text."""
        for at, value in enumerate(self.columns[name]):
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"{self.where(at)}: {name} is {value!r}; it has to be a text")
        return self.columns[name]

    def pages(self) -> list[int | None]:
        """The column ``page``, from 0; None if it is empty or the table has no such column.

        Raises InputError for anything else.
        """
        return [self._page(at, value) for at, value in enumerate(self.columns.get("page", [None] * len(self.numbers)))]

    def _page(self, at: int, value: object) -> int | None:
        text = "" if value is None else str(value).strip().lower()
        if text in UNKNOWN:
            return None
        if not re.fullmatch(r"[0-9]{1,5}([.,]0*)?", text):
            raise InputError(f"{self.where(at)}: page is {value!r}; it has to be a number from 0, or empty (all pages)")
        return int(re.split("[.,]", text)[0])

    def digits(self) -> list[int | None]:
        """The column ``label``: 0 to 9, ``tables.NO_DIGIT`` for none, None if it is empty.

        Raises InputError for anything else.
        """
        return [self._digit(at, value) for at, value in enumerate(self.columns["label"])]

    def _digit(self, at: int, value: object) -> int | None:
        text = "" if value is None else str(value).strip().lower()
        if text in UNKNOWN:
            return None
        if text == "none":
            return tables.NO_DIGIT
        # pandas writes integers as 3.0 if some are missing, and spreadsheets in many countries write 3,0.
        if not re.fullmatch(r"0*[0-9]([.,]0*)?", text):
            raise InputError(
                f"{self.where(at)}: label is {value!r}; it has to be 0 to 9, none (no valid digit is written there), "
                "or empty (not known)"
            )
        return int(re.split("[.,]", text)[0])


def without_formulas(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts for a spreadsheet: one that it would run as a formula gets an apostrophe in front."""
    formula = pc.match_substring_regex(texts, FORMULA)
    return pc.if_else(formula, pc.binary_join_element_wise("'", texts, ""), texts)


def as_meant(text: str) -> str:
    """A text without the apostrophe that ``without_formulas`` put in front."""
    return text[1:] if text.startswith("'") and re.match(FORMULA, text[1:]) else text


def read(argument: str, location: str, needed: Sequence[str], others: Sequence[str] = ()) -> Iterator[Rows]:
    """Read a table in batches: the columns ``needed``, and those of ``others`` that it has.

    CSV may use commas, semicolons or tabs, may be UTF-8 or UTF-16, and may be gzipped. Raises InputError, naming
    ``argument``, if the table cannot be read, has no row or lacks a column.
    """
    file = f"{argument} {location}"
    filesystem, path = locations.resolve(location)
    locations.reach(argument, location)
    found = False
    try:
        if not locations.exists(filesystem, path):
            raise InputError(f"{file}: no such file; check the path")
        for rows in _read(file, filesystem, path, [*needed], [*others]):
            found = True
            yield rows
    except StorageError:  # of a store; it has its own message
        raise
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: not a readable CSV or Parquet file ({error})") from None
    if not found:
        raise InputError(f"{file}: has no row; leave the argument out, or check how the file was made")


def _read(file: str, filesystem: fs.FileSystem, path: str, needed: list[str], others: list[str]) -> Iterator[Rows]:
    if locations.is_folder(filesystem, path):
        yield from _of_parquet(file, filesystem, path, needed, others)
        return
    with _on_disk(filesystem, path) as there, open(there, "rb") as content:
        if content.peek(4)[:4] == b"PAR1":
            yield from _of_parquet(file, fs.LocalFileSystem(), there, needed, others)
        elif content.peek(2)[:2] == b"\x1f\x8b":
            yield from _of_csv(file, io.BufferedReader(gzip.GzipFile(fileobj=content)), needed, others)
        else:
            yield from _of_csv(file, content, needed, others)


@contextmanager
def _on_disk(filesystem: fs.FileSystem, path: str) -> Iterator[str]:
    """The path of a file on this machine; a file at a store is copied for as long as the context lasts."""
    if locations.is_disk(filesystem):
        yield path
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(_Parts(filesystem, path), copy, READ_BYTES)
        copy.flush()
        yield copy.name


class _Parts(io.RawIOBase):
    """A file at a store, read part by part; a part is requested again if the store throttles."""

    def __init__(self, filesystem: fs.FileSystem, path: str) -> None:
        self._filesystem, self._path, self._at = filesystem, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = locations.ask(self._filesystem, self._path, lambda: self._part(len(buffer)))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _part(self, size: int) -> bytes:
        with self._filesystem.open_input_file(self._path) as file:
            return bytes(file.read_at(size, self._at))


def _of_parquet(
    file: str, filesystem: fs.FileSystem, path: str, needed: list[str], others: list[str]
) -> Iterator[Rows]:
    given = locations.ask(
        filesystem, path, lambda: ds.dataset(path, filesystem=filesystem, format="parquet", partitioning=None)
    )
    at = _places(file, given.schema.names, needed, others)
    columns = {name: given.schema.names[place] for name, place in at.items()}
    first = 1
    for batch in given.to_batches(columns=[*columns.values()], batch_size=BATCH):
        values = {name: batch[column].to_pylist() for name, column in columns.items()}
        if "label" in columns and tables.is_own_label(given.schema.field(columns["label"])):
            values["label"] = ["none" if label == tables.NO_DIGIT else label for label in values["label"]]
        if len(batch):
            yield Rows(file, "row", range(first, first + len(batch)), values)
        first += len(batch)


def _of_csv(file: str, content: "io.BufferedReader[Any]", needed: list[str], others: list[str]) -> Iterator[Rows]:
    lines = io.TextIOWrapper(content, _encoding(file, content), "backslashreplace", newline="")
    line, header = 1, lines.readline()
    if header.lower().startswith("sep="):  # a line for Excel, which does not show it
        header = lines.readline()
    while header and not header.strip():
        line, header = line + 1, lines.readline()
    separator, names = _header(header, needed)
    hint = ". The first line of a CSV file names the columns, between commas, semicolons or tabs"
    at = _places(file, names, needed, others, hint)
    records = _records(file, csv.reader(lines, delimiter=separator, strict=True), line + 1)
    # Excel may end a file with a line of separators.
    written = ((number, row) for number, row in records if any(map(_value, row)))
    while batch := list(islice(written, BATCH)):
        for number, row in batch:
            if len(row) <= max(at.values()) or any(map(_value, row[len(names) :])):
                raise InputError(
                    f"{file}, line {number}: has {len(row)} of {counted(len(names), 'column')}; a value that holds the "
                    "separator has to be in quotes"
                )
        numbers, rows = zip(*batch, strict=True)
        yield Rows(file, "line", numbers, {name: [row[place] for row in rows] for name, place in at.items()})


def _value(text: str) -> str:
    return text.strip(f"{SEPARATORS} \r\n")


def _encoding(file: str, content: "io.BufferedReader[Any]") -> str:
    head = content.peek(1024)
    if not head:
        raise InputError(f"{file}: is empty")
    if head.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{file}: is a workbook of a spreadsheet, or an archive; save it as CSV (UTF-8)")
    if re.match(rb'(\xef\xbb\xbf)?\s*(\[\s*[{\]]|\{\s*["}])', head):
        raise InputError(f"{file}: is JSON; export it as CSV, which Label Studio and others do, too")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise InputError(f"{file}: holds zero bytes, so it is neither CSV nor Parquet; save it as CSV (UTF-8)")
    return "utf-8-sig"


def _header(header: str, needed: list[str]) -> tuple[str, list[str]]:
    """The separator of a CSV file and its column names: the separator that yields the columns needed."""
    splits = {separator: next(csv.reader([header], delimiter=separator), []) for separator in SEPARATORS}
    for separator, names in splits.items():
        if {*needed} <= {_plain(name) for name in names}:
            return (separator if len(names) > 1 else NO_SEPARATOR), names
    most = max(splits, key=lambda separator: len(splits[separator]))
    return most, splits[most]


def _places(file: str, names: list[str], needed: list[str], others: list[str], hint: str = "") -> dict[str, int]:
    """The positions of the columns ``needed``, and of those of ``others`` that are there, by name."""
    there = [_plain(name) for name in names]
    for name in needed:
        if name not in there:
            raise InputError(f"{file}: needs a column {name!r}; it has {names}{hint}")
    for name in (wanted := [name for name in [*needed, *others] if name in there]):
        if there.count(name) > 1:
            raise InputError(f"{file}: has {there.count(name)} columns called {name!r}; keep only one of them")
    return {name: there.index(name) for name in wanted}


def _plain(name: str) -> str:
    return name.strip().casefold()


def _records(file: str, reader: Iterator[list[str]], first: int) -> Iterator[tuple[int, list[str]]]:
    for line in count(first):
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{file}, line {line}: is not CSV ({error}); check the quotes in it") from None
