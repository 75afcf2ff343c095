"""What of a run a person should look at: answers and fields for review, and accepted ones drawn at random."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.errors import InputError
from mnist_batch.intake import scans
from mnist_batch.reports import sampling
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.statuses import MEANINGS, REFUSALS, Status
from mnist_batch.store import locations
from mnist_batch.wording import counted

NOTHING = "none"  # as in a label file: no valid digit, or an empty field
OF_SCANS = [*tables.KEY, "status", "reason", "digit", "confidence", "probabilities", "decision", "content"]
OF_CELLS = [*tables.KEY, "field", "position", "cell", "content"]
OF_FIELDS = [*tables.KEY, "form", "field", "status", "reason", "value", "confidence", "decision", "check"]
OF_FIELDS += ["rules_failed", "alternative", "alternative_confidence"]
FILED = ("registered", Status.BLANK_PAGE)  # of the statuses of a page with forms: nothing of it is left to look at
SHOWN = (Status.OK, Status.BLANK, *REFUSALS, Status.CROSSED)  # of the statuses of a scan: there is something to see
MOST = 20_000

Key = tuple[str, str, int, str | None]  # source, scan, page, field


@dataclass(frozen=True)
class Item:
    """One decision of a person: which digit a scan holds, or which number a field of a form, ``field``.

    ``readings`` are the two best, each with how likely it is; ``suggestion`` is what to take if they are right,
    ``none`` for nothing, and None if there is none. ``note`` says why it is for review. ``digits`` is how many it has
    at most. ``cells`` are the corners of its cells on the page, x and y of each clockwise, eight numbers a cell.
    ``content`` is the digest of the scan, ``rank`` its place in a random order. An item that is ``drawn`` was accepted:
    it is shown without the readings.
    """

    source: str
    scan: str
    page: int
    content: bytes | None
    rank: bytes
    form: str | None = None
    field: str | None = None
    digits: int = 1
    readings: tuple[tuple[str, float], ...] = ()
    suggestion: str | None = None
    note: str | None = None
    drawn: bool = False
    cells: tuple[tuple[float, ...], ...] = ()

    @property
    def key(self) -> Key:
        """What tells it from every other item of its run."""
        return self.source, self.scan, self.page, self.field

    @property
    def group(self) -> str:
        """What it is shown together with."""
        if self.drawn:
            return "Accepted, drawn at random: read without help"
        if self.field is not None:
            return f"{self.form}: {self.field}"
        return f"Read as {self.readings[0][0]}" if self.readings else "No digit was found"

    @property
    def order(self) -> tuple[Any, ...]:
        """Where it is shown: group by group; in each the same readings together, the surest first."""
        if self.drawn:
            return (1, self.rank)
        alike = self.suggestion if self.digits == 1 else ""
        surest = -self.readings[0][1] if self.readings else 0.0
        return (0, self.form or "", self.field or "", not self.readings, alike or "", surest, self.rank)


@dataclass(frozen=True)
class Chosen:
    """Items in the order in which they are shown.

    ``waiting`` is how many are for review and can be shown, ``accepted`` how many were accepted, and ``unread`` how
    many pages cannot be shown, since they could not be read or are of none of the forms.
    """

    items: tuple[Item, ...]
    waiting: int
    accepted: int
    unread: int


def choose(run: Run, published: Published, most: int, audit: int = 0) -> Chosen:
    """At most ``most`` items for review, and ``audit`` of what was accepted; each chosen by hash, so always the same.

    Raises InputError for numbers that are not possible.
    """
    if not 1 <= most <= MOST:
        raise InputError(f"--most is {most}; it has to be a number of items from 1 to {MOST:,}")
    if not 0 <= audit <= sampling.MOST:
        raise InputError(f"--audit is {audit}; it has to be a number of answers from 0 to {sampling.MOST:,}")
    if audit and published.threshold is None:
        sampling.check(published, audit)
    of_fields = bool(parts.table_paths(run, "fields"))
    rows = _fields(run) if of_fields else _scans(run)
    review, drawn = _Lowest(published, most, of_fields), _Lowest(published, audit, of_fields)
    unread = _unfiled(run) if of_fields else 0
    for part, shown in rows:
        decisions = part["decision"].cast(pa.string())
        for_review = pc.equal(decisions, "review").fill_null(False)
        unread += pc.sum(pc.and_(for_review, pc.invert(shown))).as_py() or 0
        review.add(part.filter(pc.and_(for_review, shown)))
        drawn.add(part.filter(pc.equal(decisions, "accept").fill_null(False)))
    make = _field_item if of_fields else _scan_item
    items = [make(row) for row in review.rows()] + [make(row, drawn=True) for row in drawn.rows()]
    items = _with_cells(run, items) if of_fields else items
    return Chosen(tuple(sorted(items, key=lambda item: item.order)), review.seen, drawn.seen, unread)


def ranked(published: Published, rows: pa.Table, of_fields: bool) -> pa.Table:
    """Rows of a run with one more column, ``rank``: their places in a random order, of which the first are drawn."""
    keys: list[tuple[Any, ...]] = list(scans.keys(rows))
    if of_fields:
        keys = [(*key, field) for key, field in zip(keys, rows["field"].to_pylist(), strict=True)]
    return sampling.ranked(published, rows, keys)


class _Lowest:
    """The rows of the lowest ranks of all that are added."""

    def __init__(self, published: Published, size: int, of_fields: bool) -> None:
        self.published, self.size, self.of_fields = published, size, of_fields
        self.kept: pa.Table | None = None
        self.seen = 0

    def add(self, rows: pa.Table) -> None:
        self.seen += len(rows)
        new = ranked(self.published, rows, self.of_fields)
        self.kept = sampling.lowest(new.slice(0, 0) if self.kept is None else self.kept, new, self.size)

    def rows(self) -> list[dict[str, Any]]:
        return [] if self.kept is None else self.kept.to_pylist()


Rows = Iterator[tuple[pa.Table, pa.Array]]  # rows, and whether each can be shown


def _scans(run: Run) -> Rows:
    for part in parts.read_parts(run, OF_SCANS):
        part = _plain(part)
        yield part, pc.is_in(part["status"], pa.array(SHOWN, pa.string()))


def _fields(run: Run) -> Rows:
    for part in parts_of(run, "fields", OF_FIELDS):
        yield part, pa.chunked_array([pa.array([True] * len(part), pa.bool_())])


def parts_of(run: Run, table: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of each part of a table, with texts in place of dictionaries."""
    for _, path in sorted(parts.table_paths(run, table).items()):
        yield _plain(locations.read_table(run.filesystem, path, columns))


def _unfiled(run: Run) -> int:
    """How many pages could not be read, or are of none of the forms."""
    filed = pa.array(FILED, pa.string())
    statuses = (part["status"] for part in parts_of(run, "pages", ["status"]))
    return sum(len(each) - pc.sum(pc.is_in(each, filed)).as_py() for each in statuses if len(each))


def _plain(rows: pa.Table) -> pa.Table:
    """The rows with texts in place of dictionaries, which differ between parts."""
    for at, column in enumerate(rows.schema):
        if pa.types.is_dictionary(column.type):
            rows = rows.set_column(at, column.name, rows[column.name].cast(pa.string()))
    return rows


def _scan_item(row: dict[str, Any], drawn: bool = False) -> Item:
    readings: tuple[tuple[str, float], ...] = ()
    if row["digit"] is not None and not drawn:
        shares = {str(digit): share for digit, share in enumerate(row["probabilities"]) if digit != row["digit"]}
        second = max(shares, key=lambda digit: shares[digit])
        readings = ((str(row["digit"]), row["confidence"]), (second, shares[second]))
    suggestion = None if drawn else readings[0][0] if readings else NOTHING
    said = row["reason"] or (MEANINGS[Status(row["status"])] if row["status"] != Status.OK else None)
    key = {name: row[name] for name in (*tables.KEY, "content", "rank")}
    return Item(**key, readings=readings, suggestion=suggestion, note=None if drawn else said, drawn=drawn)


def _field_item(row: dict[str, Any], drawn: bool = False) -> Item:
    found = ((row["value"], row["confidence"]), (row["alternative"], row["alternative_confidence"]))
    readings = () if drawn else tuple((value, share or 0.0) for value, share in found if value is not None)
    suggestion = None if drawn else readings[0][0] if row["value"] is not None else None
    if row["status"] == "empty" and not drawn:
        suggestion = NOTHING
    said = [row["reason"]] if row["reason"] else []
    said += ["its check digit is wrong"] if row["check"] == "failed" else []
    said += [f"the rule fails: {rule}" for rule in row["rules_failed"] or ()]
    key = {name: row[name] for name in (*tables.KEY, "rank", "form", "field")}
    note = None if drawn else "; ".join(said) or None
    return Item(**key, content=None, readings=readings, suggestion=suggestion, note=note, drawn=drawn)


def _with_cells(run: Run, items: Sequence[Item]) -> list[Item]:
    """The items with the cells of their fields, and the digest of their scans, from the rows of the cells."""
    wanted = {item.key for item in items}
    names = pa.array(sorted({item.scan for item in items}), pa.string())
    cells: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for part in parts.read_parts(run, OF_CELLS):
        for row in part.filter(pc.is_in(part["scan"], names)).to_pylist():
            key = row["source"], row["scan"], row["page"], row["field"]
            if key in wanted:
                cells[key].append(row)
    return [_placed(item, sorted(cells[item.key], key=lambda cell: cell["position"])) for item in items]


def _placed(item: Item, cells: Sequence[dict[str, Any]]) -> Item:
    corners = tuple(tuple(cell["cell"]["corners"]) for cell in cells if cell["cell"] and cell["cell"]["corners"])
    content = cells[0]["content"] if cells else None
    return Item(**{**item.__dict__, "cells": corners, "digits": max(len(cells), 1), "content": content})


def sentences(published: Published, chosen: Chosen) -> list[str]:
    """What a person should know of what was chosen before the work begins."""
    shown = sum(not item.drawn for item in chosen.items)
    said = [f"{counted(chosen.waiting, 'item')} for review"]
    if shown < chosen.waiting:
        said.append(f"{shown:,} of them were drawn at random; --most takes more, and these are among them")
    if published.threshold is None:
        said.append("the run was scored without --target-error, so that only what has no answer is for review")
    if chosen.unread:
        said.append(f"{counted(chosen.unread, 'page')} cannot be shown: not readable, or of no form that was given")
    return said
