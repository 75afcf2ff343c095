"""What each ``--data`` names, before any picture is opened: MNIST, a folder of labelled scans, or a Parquet file."""

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mnist_batch.errors import InputError
from mnist_batch.intake import listing, user_tables
from mnist_batch.intake.labels import parent_labels
from mnist_batch.intake.user_tables import Rows
from mnist_batch.learning.holding_out import HELD_OUT, LEARNED, PARTS
from mnist_batch.learning.recipe import MNIST, Data
from mnist_batch.schemas import tables
from mnist_batch.store import locations

PICTURE_COLUMNS = ("png", "image")
# The labelled pictures of a Parquet file; ``scan`` is the number of the row, and what is in no column is null.
PICTURES = pa.schema(
    [
        pa.field("scan", pa.string()),
        pa.field("label", pa.int8()),
        pa.field("content", pa.large_binary()),
        pa.field("writer", pa.string()),
        pa.field("part", pa.string()),
    ]
)


@dataclass(frozen=True)
class Listed:
    """The labelled scans of a ``--data``, none of which is opened.

    ``scans`` is ``tables.MANIFEST`` for a folder, ``PICTURES`` for a Parquet file and None for the embedded MNIST.
    ``ignored`` counts the other files of each folder, by its path below it: their folder is no digit. ``licence`` and
    ``source`` are what the metadata of a Parquet file say of its pictures.
    """

    data: Data
    scans: pa.Table | None = None
    ignored: dict[str, int] = field(default_factory=dict)
    licence: str | None = None
    source: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether the pictures are in one Parquet file."""
        return self.scans is not None and self.scans.schema == PICTURES

    @property
    def where(self) -> str:
        """Where its scans are, for messages."""
        return f"{'in' if self.is_file else 'under'} {self.data.location}"


def list_data(data: Data) -> Listed:
    """List what a ``--data`` names; opens no picture and needs no Ray.

    Raises InputError if there is nothing to learn from, or a row of a Parquet file breaks a rule.
    """
    if data.location == MNIST:
        return Listed(data)
    filesystem, path = locations.resolve(data.location)
    locations.reach("--data", data.location)
    if locations.exists(filesystem, path) and not locations.is_folder(filesystem, path):
        return _file(data)
    return _folder(data)


def _folder(data: Data) -> Listed:
    everything = listing.list_scans([data.location], "--data")
    labels = parent_labels(everything)
    everything = tables.with_column(everything, "label", labels)
    labelled = pc.is_valid(labels)
    manifest = everything.filter(labelled)
    if not manifest.num_rows:
        raise InputError(
            f"--data {data.location}: holds no scan in a folder named 0 to 9, so there is nothing to learn; put each "
            f"scan into a folder named by its digit, such as {posixpath.join(data.location, '7', 'scan.png')}"
        )
    others = everything.filter(pc.invert(labelled))["scan"].to_pylist()
    return Listed(data, manifest, dict(Counter(posixpath.dirname(scan) for scan in others)))


def _file(data: Data) -> Listed:
    filesystem, path = locations.resolve(data.location)
    if locations.read(filesystem, path, 4) != b"PAR1":
        raise InputError(
            f"--data {data.location}: is a file, but not Parquet; give a folder that holds folders named 0 to 9, a "
            f"Parquet file of labelled pictures, or {MNIST}"
        )
    batches = user_tables.read("--data", data.location, ["label"], [*PICTURE_COLUMNS, "writer", "part"])
    pictures = pa.concat_tables([_pictures(rows) for rows in batches])
    parts = set(pictures["part"].to_pylist())
    if parts != {None} and parts != {*PARTS}:
        [missing] = {*PARTS} - parts
        raise InputError(
            f"--data {data.location}: no row has the part {missing}; a column part needs rows of both {LEARNED} and "
            f"{HELD_OUT}, or leave it out"
        )
    schema = locations.ask(filesystem, path, lambda: pq.read_schema(path, filesystem=filesystem))
    said = {name: (schema.metadata or {}).get(name.encode()) for name in ("licence", "source")}
    return Listed(data, pictures, **{name: text.decode(errors="replace") for name, text in said.items() if text})


def _pictures(rows: Rows) -> pa.Table:
    there = [name for name in PICTURE_COLUMNS if name in rows.columns]
    if len(there) != 1:
        raise InputError(
            f"{rows.file}: needs one column of encoded pictures, called png or image; it has {' and '.join(there)}"
            if there
            else f"{rows.file}: needs a column of encoded pictures, called png or image"
        )
    for at, content in enumerate(rows.columns[there[0]]):
        if not isinstance(content, bytes):
            raise InputError(
                f"{rows.where(at)}: {there[0]} is {_short(content)}; it has to be the bytes of an encoded picture"
            )
    columns = {
        "scan": [f"{rows.unit} {number}" for number in rows.numbers],
        "label": [_label(rows, at, label) for at, label in enumerate(rows.columns["label"])],
        "content": rows.columns[there[0]],
        "writer": _writers(rows),
        "part": _parts(rows),
    }
    return tables.table(PICTURES, columns)


def _label(rows: Rows, at: int, label: object) -> int:
    # pandas writes integers as 3.0 if some are missing.
    if isinstance(label, bool) or not re.fullmatch(r"[0-9](\.0*)?", text := str(label).strip()):
        raise InputError(
            f"{rows.where(at)}: label is {_short(label)}; it has to be a digit, 0 to 9; leave out rows without a label"
        )
    return int(text[0])


def _writers(rows: Rows) -> Sequence[str | None]:
    writers = rows.columns.get("writer")
    if writers is None:
        return [None] * len(rows.numbers)
    for at, writer in enumerate(writers):
        if writer is None or not str(writer).strip():
            raise InputError(
                f"{rows.where(at)}: writer is {_short(writer)}; name the writer in every row, or leave the column out"
            )
    return [str(writer).strip() for writer in writers]


def _parts(rows: Rows) -> Sequence[str | None]:
    parts = rows.columns.get("part")
    if parts is None:
        return [None] * len(rows.numbers)
    for at, part in enumerate(parts):
        if part not in PARTS:
            raise InputError(
                f"{rows.where(at)}: part is {_short(part)}; it has to be {LEARNED} (learned from) or {HELD_OUT} (held "
                "out), or leave the column out"
            )
    return parts


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
