"""Join the corrections of several people to one file, and tell where they differ."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_batch.errors import InputError
from mnist_batch.intake import user_tables
from mnist_batch.intake.user_tables import UNKNOWN
from mnist_batch.store import locations

FLAG = "--merge"
KEY = ("scan", "page", "field", "source")

Key = tuple[str, ...]  # as KEY


@dataclass(frozen=True)
class Merged:
    """How many rows were written, how many of them several people had decided, and the rows that they decided unlike.

    The latter are left out of the file; each has what every person said, by file.
    """

    rows: int
    alike: int
    unlike: dict[Key, dict[str, str]]


def merge(files: Sequence[str], to: str) -> Merged:
    """Write the rows of several corrections.csv that nobody contradicts as one, for ``jobs.report --labels``.

    Raises InputError for a file that cannot be read, or that is of scans where another is of fields; if there is
    something at ``to``, or it cannot be written.
    """
    path = Path(to)
    if locations.is_uri(to):
        raise InputError(f"--to {to!r}: the file is written to a disk; give a path")
    if path.exists():
        raise InputError(f"--to {to}: something is there already; give a new file")
    said: dict[Key, dict[str, str]] = defaultdict(dict)
    columns = {column for file in files for column in [_read(file, said)]}
    if len(columns) > 1:
        raise InputError(
            f"{FLAG}: some files have a column label, of scans, and others value, of fields; join them apart"
        )
    unlike = {key: answers for key, answers in said.items() if len(set(answers.values())) > 1}
    agreed = {key: next(iter(answers.values())) for key, answers in said.items() if key not in unlike}
    try:
        path.write_bytes(_sheet(agreed, columns.pop()))
    except OSError as error:
        raise InputError(f"--to {to}: cannot be written ({error.strerror}); give another file") from None
    return Merged(len(agreed), sum(len(said[key]) > 1 for key in agreed), unlike)


def _read(file: str, said: dict[Key, dict[str, str]]) -> str:
    """Add what a file says, and return its column of answers: ``label`` or ``value``."""
    name = ""
    for rows in user_tables.read(FLAG, file, ["scan"], ["page", "field", "source", "label", "value"]):
        name = "value" if "value" in rows.columns else "label"
        if name not in rows.columns:
            raise InputError(f"{FLAG} {file}: has neither a column label nor value; give a corrections.csv")
        nothing = [None] * len(rows.numbers)
        keys = zip(*(rows.columns.get(column, nothing) for column in KEY), strict=True)
        for at, (key, answer) in enumerate(zip(keys, rows.columns[name], strict=True)):
            texts = tuple(_text(part) for part in key)
            answered = _text(answer).lower()
            if answered in UNKNOWN:
                continue
            if said[texts].setdefault(file, answered) != answered:
                raise InputError(f"{rows.where(at)}: {texts[0]!r} is decided twice, and differently; keep one row")
    return name


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _sheet(answers: dict[Key, str], column: str) -> bytes:
    content = io.StringIO()
    fields = ["field"] if column == "value" else []
    writer = csv.writer(content, lineterminator="\r\n")
    writer.writerow(["scan", "page", *fields, column, "source"])
    for (scan, page, field, source), answer in answers.items():
        writer.writerow([scan, page, *([field] if fields else []), answer, source])
    return content.getvalue().encode("utf-8-sig")
