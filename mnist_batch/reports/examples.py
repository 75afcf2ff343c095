"""The rows of a run that its report shows, with the pictures that the model saw."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.errors import InputError, StorageError
from mnist_batch.intake import listing
from mnist_batch.pixels import normalising
from mnist_batch.reading import images, isolated
from mnist_batch.schemas import tables
from mnist_batch.statuses import READ, REFUSALS, Status

GALLERY = 24  # pictures of a kind
NAMES = tables.EXAMPLES.names[1:-1]  # the columns of predictions among those of an example


@dataclass
class Examples:
    """Rows worth looking at: confident mistakes, doubtful answers, answers for review, refusals, unreadable scans.

    Each is a table of ``tables.EXAMPLES``.
    """

    mistakes: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    doubtful: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    review: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    refused: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    unreadable: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)

    def add(self, rows: pa.Table, pictures: pa.Array | None = None) -> None:
        """Keep the first of each kind, of the rows kept so far and these rows of predictions.

        ``pictures`` are what the model saw of them, 784 bytes each.
        """
        seen = pa.nulls(len(rows), pa.binary()) if pictures is None else pictures.cast(pa.binary())
        columns = [pa.nulls(len(rows), pa.string()), *rows.select(NAMES).columns, seen]
        new = pa.table(columns, names=tables.EXAMPLES.names).cast(tables.EXAMPLES)
        scored = new.filter(pc.equal(new["status"], Status.OK))
        self._keep(
            "mistakes", scored.filter(pc.not_equal(scored["label"], scored["digit"]))
        )  # a comparison with no label is null
        self._keep("doubtful", scored)
        self._keep("review", scored.filter(pc.equal(scored["decision"], "review")))
        self._keep("refused", new.filter(pc.is_in(new["status"], pa.array(REFUSALS))))
        self._keep("unreadable", new.filter(pc.invert(pc.is_in(new["status"], pa.array(READ)))))

    def merge(self, kept: pa.Table) -> None:
        """Keep the first of each kind, of the rows kept so far and those in ``kept``, which ``table`` made."""
        for kind in pc.unique(kept["kind"]).to_pylist():
            self._keep(kind, kept.filter(pc.equal(kept["kind"], kind)))

    def table(self) -> pa.Table:
        """All examples, each with its kind and its picture as PNG."""
        kinds = []
        for kind in self.__dataclass_fields__:
            kept: pa.Table = getattr(self, kind)
            seen = [None if kind == "unreadable" else _as_png(picture) for picture in kept["picture"].to_pylist()]
            kept = kept.set_column(0, tables.EXAMPLES.field("kind"), pa.array([kind] * len(kept), pa.string()))
            kinds.append(kept.set_column(kept.num_columns - 1, "picture", pa.array(seen, pa.binary())))
        return pa.concat_tables(kinds)

    def _keep(self, kind: str, new: pa.Table) -> None:
        both = pa.concat_tables([getattr(self, kind), new])
        if kind in ("refused", "unreadable"):
            setattr(self, kind, both.slice(0, GALLERY if kind == "refused" else GALLERY * 2))
            return
        order = "descending" if kind == "mistakes" else "ascending"
        keys = [("confidence", order), *((name, "ascending") for name in ("scan", "page", "source"))]
        setattr(self, kind, both.take(pc.select_k_unstable(both, GALLERY, keys)))


def _as_png(picture: bytes | None) -> bytes | None:
    if picture is None:
        return None
    return images.encode(np.frombuffer(picture, np.uint8).reshape(normalising.SIDE, normalising.SIDE))


def read_again(rows: pa.Table, limits: isolated.Limits) -> pa.Table:
    """Read the scans of the examples without a picture again, if they still are what was scored, and add pictures.

    They are read as a run reads them, in a process of its own and within the limits of that run.
    """
    lacking = rows.filter(rows["picture"].is_null())
    scans = sorted({(row["source"], row["scan"]) for row in lacking.to_pylist()})
    if not scans:
        return rows
    sources, names = (list(column) for column in zip(*scans, strict=True))
    paths = [listing.path_of_named(*scan) for scan in scans]
    known = {"source": sources, "scan": names, "path": paths}
    nothing = {name: [None] * len(scans) for name in tables.MANIFEST.names if name not in known}
    manifest = tables.table(tables.MANIFEST, known | nothing)
    reader = isolated.Reader(limits)
    try:
        pages = reader.read(manifest).to_pylist()
    except (InputError, StorageError):  # the store is gone: the report does without pictures
        return rows
    finally:
        reader.close()
    key = (*tables.KEY, "content")  # so that a scan that has changed since is not shown
    seen = {tuple(page[name] for name in key): page["picture"] for page in pages if page["status"] == Status.OK}
    found = [row["picture"] or _as_png(seen.get(tuple(row[name] for name in key))) for row in rows.to_pylist()]
    return rows.set_column(rows.num_columns - 1, "picture", pa.array(found, pa.binary()))
