"""The tables ``fields`` and ``pages`` of a shard, from the answers to its cells: the numbers in the fields of forms."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from mnist_batch.forms import truth, values
from mnist_batch.forms.form import Field, Form
from mnist_batch.forms.spans import CellAnswer
from mnist_batch.intake import field_values
from mnist_batch.schemas import tables
from mnist_batch.statuses import PASSING, REFUSALS, Status

Accepts = Callable[[values.FieldValue, str], bool]  # a value and the source of its scan
Row = dict[str, Any]
OF_ROWS = ("row", "source", "scan", "page", "status", "reason", "content", "form", "field", "registration")
OF_VALUES = (
    *("status", "reason", "value", "digits", "confidence", "check", "rules_failed", "alternative"),
    "alternative_confidence",
)
OF_ANSWERS = ("status", "confidence", "clear", "shares", "refusal_share")


@dataclass(frozen=True)
class _Page:
    """The rows of a page, from ``first`` to ``last``, of the answers of a shard; ``of`` are the facts of its first."""

    first: int
    last: int
    of: Row

    @property
    def registration(self) -> Mapping[str, Any]:
        return self.of["registration"] or {}

    @property
    def key(self) -> Row:
        return {name: self.of[name] for name in tables.KEY}


def tabulate(
    rows: pa.Table, manifest: pa.Table, forms: Sequence[Form], accepts: Accepts | None
) -> tuple[pa.Table, dict[str, pa.Table], int]:
    """Read the fields of the pages of a shard from its answered ``rows``, which have the columns of ``answers.answer``.

    ``manifest`` has the scans of the shard with their ``field_values``; ``accepts`` says which values are accepted;
    without a rule it is None. Returns the rows with the labels and decisions of their fields, the tables
    ``tables.BESIDE`` by name, and how many true numbers belong to no field of any page.
    """
    said = [each or [] for each in manifest["field_values"].to_pylist()]
    names, answers = rows["field"].to_pylist(), rows.select(OF_ANSWERS).to_pylist()
    labels, decisions = rows["label"].to_pylist(), rows["decision"].to_pylist()
    of_name = {(form.name, form.version): form for form in forms}
    pages, fields = list(_pages(rows)), list[Row]()
    used = set()
    for copy in _copies(pages):
        form = of_name[copy[0].of["form"], copy[0].registration["version"]]
        places = [(page, field, span) for page in copy for field, span in _spans(page, form, names)]
        cells = [(field, [_answer(each) for each in answers[span]]) for _, field, span in places]
        for (page, field, span), value in zip(places, values.values_of_copy(form, cells), strict=True):
            label = field_values.value_at(said[page.of["row"]], page.of["page"], field.name)
            used |= {(page.of["row"], field.name, number) for number in (page.of["page"], None)}
            decision = None if accepts is None else "accept" if accepts(value, page.of["source"]) else "review"
            named = {"form": form.name, "field": field.name, "label": label, "decision": decision}
            fields.append(page.key | named | {name: getattr(value, name) for name in OF_VALUES})
            decisions[span] = [decision if each["status"] == Status.OK else "review" for each in answers[span]]
            if label is not None:
                labels[span] = truth.cell_labels(field, label)
    rows = tables.with_column(tables.with_column(rows, "label", labels), "decision", decisions)
    beside = {
        "fields": _table(tables.FIELDS, fields),
        "pages": _table(tables.PAGES, _page_rows(pages, rows, fields, said, accepts is not None)),
    }
    answered_here = manifest["same_as"].is_null().to_pylist()
    unplaced = sum(
        (row, each["field"], each["page"]) not in used
        for row, own in enumerate(said)
        for each in own
        if answered_here[row]
    )
    return rows, beside, unplaced


def withheld(
    rows: pa.Table, beside: Mapping[str, pa.Table], pale: Sequence[bool], every: bool, reason: str
) -> tuple[pa.Table, dict[str, pa.Table]]:
    """The rows and tables of a shard in which fields with a ``pale`` cell, or all of them, are left for review.

    ``rows`` are predictions, ``pale`` says which of them are; ``reason`` is why.
    """
    of_cells = list(zip(*(rows[name].to_pylist() for name in (*tables.KEY, "field")), strict=True))
    fields, pages = beside["fields"], beside["pages"]
    of_fields = list(zip(*(fields[name].to_pylist() for name in (*tables.KEY, "field")), strict=True))
    found = {cell for cell, is_pale in zip(of_cells, pale, strict=True) if is_pale}
    decisions, reasons = fields["decision"].to_pylist(), fields["reason"].to_pylist()
    for at, key in enumerate(of_fields):
        decisions[at] = "review" if every or key in found else decisions[at]
        reasons[at] = reasons[at] or (reason if key in found else None)
    accepted = Counter(key[:-1] for key, decision in zip(of_fields, decisions, strict=True) if decision == "accept")
    of_pages = zip(*(pages[name].to_pylist() for name in tables.KEY), strict=True)
    fields = tables.with_column(tables.with_column(fields, "decision", decisions), "reason", reasons)
    pages = tables.with_column(pages, "fields_accepted", [accepted[key] for key in of_pages])
    kept = {key for key, decision in zip(of_fields, decisions, strict=True) if decision == "accept"}
    before = rows["decision"].to_pylist()
    of_rows = [old if cell in kept or old is None else "review" for cell, old in zip(of_cells, before, strict=True)]
    return tables.with_column(rows, "decision", of_rows), {"fields": fields, "pages": pages}


def _pages(rows: pa.Table) -> Iterator[_Page]:
    number, page = (rows[name].to_numpy() for name in ("row", "page"))
    firsts = np.flatnonzero(np.diff(number, prepend=-1) | np.diff(page, prepend=-1)).tolist()
    heads = rows.select(OF_ROWS).take(firsts).to_pylist()
    for first, last, head in zip(firsts, [*firsts[1:], len(rows)], heads, strict=True):
        yield _Page(first, last, head)


def _copies(pages: Sequence[_Page]) -> Iterator[list[_Page]]:
    """The registered pages in filled-in copies of their forms: pages of one scan up to the next of the same number."""
    copy: list[_Page] = []
    for page in (page for page in pages if page.of["form"] is not None):
        if copy and not _belongs(page, copy):
            yield copy
            copy = []
        copy.append(page)
    if copy:
        yield copy


def _belongs(page: _Page, copy: Sequence[_Page]) -> bool:
    first, numbers = copy[0], {each.registration["form_page"] for each in copy}
    same = all(page.of[name] == first.of[name] for name in ("row", "form"))
    alike = page.registration["version"] == first.registration["version"]
    return same and alike and page.registration["form_page"] not in numbers


def _spans(page: _Page, form: Form, names: Sequence[str]) -> Iterator[tuple[Field, slice]]:
    """The fields of a page, each with the rows of its cells."""
    of_name = {field.name: field for field in form.fields}
    at = page.first
    for name, cells in groupby(names[page.first : page.last]):
        end = at + len(list(cells))
        yield of_name[name], slice(at, end)
        at = end


def _answer(row: Row) -> CellAnswer:
    if row["shares"] is None:
        return CellAnswer(Status(row["status"]), None, False)
    status, doubted = Status(row["status"]), not row["clear"]
    return CellAnswer.of(status, row["shares"], row["refusal_share"], doubted, row["confidence"])


def _page_rows(
    pages: Sequence[_Page], rows: pa.Table, fields: Sequence[Row], said: Sequence[Sequence[Row]], ruled: bool
) -> list[Row]:
    statuses = rows["status"].to_pylist()
    of_pages, accepted = Counter[Any](), Counter[Any]()
    for field in fields:
        key = tuple(field[name] for name in tables.KEY)
        of_pages[key] += 1
        accepted[key] += field["decision"] == "accept"
    found, failed = list[Row](), set[int]()
    for page in pages:
        cells = statuses[page.first : page.last] if page.of["form"] is not None else []
        counts = Counter(cells)
        key = tuple(page.key.values())
        registration = dict(page.registration)
        status, reason = registration.pop("status", None), registration.pop("reason", None)
        unread = page.of["form"] is None and page.of["registration"] is None
        first_failed = page.of["status"] in PASSING and page.of["row"] not in failed
        failed |= {page.of["row"]} if first_failed else set()
        found.append(
            {
                **page.key,
                **{item.name: registration.get(item.name) for item in tables.OF_PAGE},
                "status": page.of["status"] if unread else status,
                "reason": page.of["reason"] if unread else reason,
                "form": page.of["form"],
                "cells": len(cells),
                "answered": counts[Status.OK],
                "blank": counts[Status.BLANK],
                "crossed": counts[Status.CROSSED],
                "refused": sum(counts[each] for each in REFUSALS),
                "unreadable": counts[Status.CUT_OFF] + counts[Status.SHIFTED],
                "fields": of_pages[key],
                "fields_accepted": accepted[key] if ruled else None,
                "content": page.of["content"],
                "field_values": (said[page.of["row"]] or None) if first_failed else None,
            }
        )
    return found


def _table(schema: pa.Schema, rows: Sequence[Row]) -> pa.Table:
    return tables.table(schema, {name: [row[name] for row in rows] for name in schema.names})
