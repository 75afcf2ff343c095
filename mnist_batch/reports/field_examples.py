"""The fields and pages of a run with forms that its report shows, with where they lie on the scans."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.reports import examples
from mnist_batch.schemas import tables
from mnist_batch.statuses import Status

GALLERY = 24  # fields of a kind
OF_A_STATUS = 12  # pages
UNREGISTERED = (Status.UNKNOWN_FORM, Status.OTHER_VERSION, Status.TWO_SHEETS, Status.NOT_REGISTERED)
MOST_CELLS = 20  # of a field, of which what the model saw is shown

Key = tuple[str, str, int, str]  # source, scan, page, field


@dataclass
class FieldExamples:
    """Fields worth looking at, and pages on which no form was found: each a table of ``tables.EXAMPLES``.

    The surest mistakes, the least certain values, and fields for review, drawn by a digest of their keys.
    """

    field_mistakes: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    field_doubtful: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    field_review: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)
    unregistered: pa.Table = field(default_factory=tables.EXAMPLES.empty_table)

    def add(self, beside: Mapping[str, pa.Table], rows: pa.Table, pictures: pa.Array | None = None) -> None:
        """Keep the first of each kind, of those kept so far and those of a shard.

        ``beside`` are its tables ``tables.BESIDE``, ``rows`` those of its cells, with the column ``cell``, and
        ``pictures`` what the model saw of these, 784 bytes each.
        """
        fields = _of_fields(beside["fields"])
        wrong = pc.not_equal(pc.fill_null(fields["value"], ""), fields["truth"])  # null where there is no label
        answered = pc.or_(pc.is_valid(fields["value"]), pc.equal(fields["status"], "empty"))
        kinds = {
            "field_mistakes": pc.and_(wrong, answered),
            "field_doubtful": pc.is_valid(fields["confidence"]),
            "field_review": pc.equal(fields["decision"], "review"),
        }
        chosen = {kind: _first(kind, fields.filter(pc.fill_null(which, False))) for kind, which in kinds.items()}
        cells = _cells(rows, pictures, {_key(row) for each in chosen.values() for row in each.to_pylist()})
        for kind, each in chosen.items():
            self._keep(kind, _placed(each, cells))
        self._keep("unregistered", _of_pages(beside["pages"]))

    def merge(self, kept: pa.Table) -> None:
        """Keep the first of each kind, of those kept so far and those in ``kept``, which ``table`` made."""
        for kind in self.__dataclass_fields__:
            self._keep(kind, kept.filter(pc.equal(kept["kind"], kind)))

    def table(self) -> pa.Table:
        """All examples, each with its kind and what the model saw as PNG."""
        return examples.of_kinds(vars(self))

    def pages(self, counts: Mapping[str, int]) -> pa.Table:
        """The pages on which no form was found, those of the most frequent status first, by their ``counts``."""
        statuses = sorted(UNREGISTERED, key=lambda status: -counts.get(status, 0))
        found = self.unregistered
        return pa.concat_tables([found.filter(pc.equal(found["status"], status)) for status in statuses])

    def _keep(self, kind: str, new: pa.Table) -> None:
        setattr(self, kind, _first(kind, pa.concat_tables([getattr(self, kind), new])))


def _first(kind: str, rows: pa.Table) -> pa.Table:
    """The examples of a kind that are kept, of all that there are."""
    if kind == "unregistered":
        return pa.concat_tables(
            rows.filter(pc.equal(rows["status"], status)).slice(0, OF_A_STATUS) for status in UNREGISTERED
        )
    if kind == "field_review":
        ranks = [hashlib.blake2b(json.dumps(_key(row)).encode()).digest() for row in rows.select(_KEY).to_pylist()]
        return rows.take(pa.array(sorted(range(len(ranks)), key=ranks.__getitem__)[:GALLERY], pa.int64()))
    order = "descending" if kind == "field_mistakes" else "ascending"
    keys = [("confidence", order), *((name, "ascending") for name in ("scan", "page", "source", "field"))]
    return rows.take(pc.sort_indices(rows, keys)[:GALLERY])


_KEY = [*tables.KEY, "field"]


def _key(row: Mapping[str, Any]) -> Key:
    return row["source"], row["scan"], row["page"], row["field"]


def _of_fields(fields: pa.Table) -> pa.Table:
    """Rows of ``tables.FIELDS`` as examples of no kind, without their places."""
    same = {name: fields[name] for name in (*_KEY, "form", "status", "reason", "confidence", "decision", "value")}
    return _examples(same | {"truth": fields["label"]}, len(fields))


def _of_pages(pages: pa.Table) -> pa.Table:
    """The rows of ``tables.PAGES`` on which no form was found, as examples of no kind."""
    found = pages.filter(pc.is_in(pages["status"].cast(pa.string()), pa.array(UNREGISTERED)))
    return _examples({name: found[name] for name in (*tables.KEY, "status", "reason", "content")}, len(found))


def _examples(columns: Mapping[str, Any], count: int) -> pa.Table:
    nothing = {item.name: pa.nulls(count, item.type) for item in tables.EXAMPLES if item.name not in columns}
    return tables.table(tables.EXAMPLES.remove_metadata(), {**columns, **nothing})


def _cells(rows: pa.Table, pictures: pa.Array | None, wanted: set[Key]) -> dict[Key, list[dict[str, Any]]]:
    """The cells of some fields in writing order, each with its corners, its content and its picture."""
    near = [pc.is_in(rows[name], pa.array(sorted({key[at] for key in wanted}), kind)) for at, name, kind in _NEAR]
    places = pc.indices_nonzero(pc.and_(pc.and_(*near), pc.is_valid(rows["field"])))
    cells: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for place, row in zip(places, rows.select([*_KEY, "position", "cell", "content"]).take(places).to_pylist(),
                          strict=True):  # fmt: skip
        if _key(row) in wanted:
            picture = None if pictures is None else pictures[place.as_py()].as_py()
            corners = (row["cell"] or {}).get("corners")
            cells[_key(row)].append({**row, "picture": picture, "corners": corners})
    return {key: sorted(each, key=lambda cell: cell["position"]) for key, each in cells.items()}


_NEAR = ((1, "scan", pa.string()), (2, "page", pa.int16()))


def _placed(fields: pa.Table, cells: Mapping[Key, Sequence[Mapping[str, Any]]]) -> pa.Table:
    """The examples of fields with the places of their cells, and what the model saw of these, side by side."""
    of_rows = [cells.get(_key(row), ()) for row in fields.to_pylist()]
    seen = [b"".join(cell["picture"] or b"" for cell in each[:MOST_CELLS]) or None for each in of_rows]
    corners = [[cell["corners"] for cell in each if cell["corners"]] for each in of_rows]
    fields = tables.with_column(fields, "content", [each[0]["content"] if each else None for each in of_rows])
    return tables.with_column(tables.with_column(fields, "picture", seen), "cells", corners)
