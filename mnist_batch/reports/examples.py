"""The rows of a run that its report shows, with the pictures that the model saw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.errors import InputError, StorageError
from mnist_batch.intake import listing
from mnist_batch.pixels import normalising
from mnist_batch.reading import images, isolated, preprocessing
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import FormFacts
from mnist_batch.statuses import OF_PAGES, READ, REFUSALS, Status

GALLERY = 24  # pictures of a kind
UNSEEN = ("unreadable", "of_no_form")  # the kinds that the model has not seen
AT_ONCE = 25  # scans that are read again at a time: each may have many pages
OF_FIELDS = ("value", "truth", "cells")  # the columns that only the examples of fields have


@dataclass
class Examples:
    """Rows worth looking at: confident mistakes, doubtful answers, answers for review, refusals, unreadable scans.

    Of a run with forms also the pages that are of none. Of a field that is cut off or shifted the first cell is kept;
    the fields themselves are in ``field_examples``. Each kind is a table of ``tables.EXAMPLES``.
    """

    mistakes: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    doubtful: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    review: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    refused: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    unreadable: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    of_no_form: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)

    def add(self, rows: pa.Table, pictures: pa.Array | None = None) -> None:
        """Keep the first of each kind, of the rows kept so far and these rows of predictions.

        ``pictures`` are what the model saw of them, 784 bytes each.
        """
        new = as_examples(rows, pictures)
        scored = new.filter(pc.equal(new["status"], Status.OK))
        differs = pc.not_equal(scored["label"], scored["digit"])  # null where there is no label
        self._keep("mistakes", scored.filter(differs))
        self._keep("doubtful", scored)
        self._keep("review", scored.filter(pc.equal(scored["decision"], "review")))
        self._keep("refused", new.filter(pc.is_in(new["status"], pa.array(REFUSALS))))
        later_cell = pc.greater(new["position"], 0).fill_null(False)
        unread = pc.and_not(pc.invert(pc.is_in(new["status"], pa.array(READ))), later_cell)
        self._keep("unreadable", new.filter(unread))
        self._keep("of_no_form", new.filter(pc.is_in(new["status"], pa.array(OF_PAGES))))

    def merge(self, kept: pa.Table) -> None:
        """Keep the first of each kind, of the rows kept so far and those in ``kept``, which ``table`` made."""
        for kind in self.__dataclass_fields__:
            self._keep(kind, kept.filter(pc.equal(kept["kind"], kind)))

    def table(self) -> pa.Table:
        """All examples, each with its kind and what the model saw as PNG."""
        return of_kinds(vars(self))

    def _keep(self, kind: str, new: pa.Table) -> None:
        both = pa.concat_tables([getattr(self, kind), new])
        if kind in ("refused", *UNSEEN):
            setattr(self, kind, both.slice(0, GALLERY if kind == "refused" else GALLERY * 2))
            return
        order = "descending" if kind == "mistakes" else "ascending"
        keys = [
            ("confidence", order),
            *((name, "ascending") for name in ("scan", "page", "source", "field", "position")),
        ]
        setattr(self, kind, both.take(pc.select_k_unstable(both, GALLERY, keys)))


def as_examples(rows: pa.Table, pictures: pa.Array | None = None) -> pa.Table:
    """Rows of predictions as ``tables.EXAMPLES`` of no kind, with their ``pictures`` if there are any."""
    seen = pa.nulls(len(rows), pa.binary()) if pictures is None else pictures.cast(pa.binary())
    none = [pa.nulls(len(rows), tables.EXAMPLES.field(name).type) for name in OF_FIELDS]
    columns = [pa.nulls(len(rows), pa.string()), *rows.select(tables.SHOWN).columns, seen, *none]
    return pa.table(columns, names=tables.EXAMPLES.names).cast(tables.EXAMPLES)


def of_kinds(kept: Mapping[str, pa.Table]) -> pa.Table:
    """The examples by kind as one table, each with its kind and what the model saw of it, if it did, as PNG."""
    kinds = []
    for kind, rows in kept.items():
        seen = [None if kind in UNSEEN else as_png(picture) for picture in rows["picture"].to_pylist()]
        kinds.append(tables.with_column(tables.with_column(rows, "picture", seen), "kind", [kind] * len(rows)))
    return pa.concat_tables(kinds)


def as_png(picture: bytes | None) -> bytes | None:
    """What the model saw, 784 bytes for each cell, as PNG, side by side; None for None."""
    if picture is None:
        return None
    cells = np.frombuffer(picture, np.uint8).reshape(-1, normalising.SIDE, normalising.SIDE)
    return images.encode(np.hstack([*cells]))


def read_again(rows: pa.Table, limits: preprocessing.Limits, forms: Sequence[FormFacts] = ()) -> pa.Table:
    """Read the scans of the examples without a picture again, if they still are what was scored, and add pictures."""
    lacking = rows.filter(rows["picture"].is_null())
    try:
        seen = {key_of(page): page["picture"] for page in pages_again(lacking, limits, forms=forms)}
    except (InputError, StorageError):  # the store is gone: the report does without pictures
        return rows
    found = [row["picture"] or as_png(seen.get(key_of(row))) for row in rows.to_pylist()]
    return tables.with_column(rows, "picture", found)


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """The key of a row and the digest of its scan, so that a scan that has changed since is not taken for it."""
    return tuple(row[name] for name in (*tables.KEY, "field", "position", "content"))


def pages_again(
    rows: pa.Table, limits: preprocessing.Limits, shown_side: int = 0, forms: Sequence[FormFacts] = ()
) -> Iterator[dict[str, Any]]:
    """Read the scans of these rows again, and yield the page of each row whose scan still is what was scored.

    They are read as a run reads them, in a process of its own and within the limits of that run. Raises InputError or
    StorageError if a store does not answer.
    """
    scans = sorted({(row["source"], row["scan"]) for row in rows.select(tables.KEY).to_pylist()})
    if not scans:
        return
    wanted = {key_of(row) for row in rows.to_pylist()}
    sources, names = (list(column) for column in zip(*scans, strict=True))
    known = {"source": sources, "scan": names, "path": [listing.path_of_named(*scan) for scan in scans]}
    nothing = {name: [None] * len(scans) for name in tables.MANIFEST.names if name not in known}
    manifest = tables.table(tables.MANIFEST, known | nothing)
    reader = isolated.Reader(limits, shown_side=shown_side, forms=forms)
    try:
        for first in range(0, len(manifest), AT_ONCE):
            for page in reader.read(manifest.slice(first, AT_ONCE)).to_pylist():
                if page["status"] == Status.OK and key_of(page) in wanted:
                    yield page
    finally:
        reader.close()
