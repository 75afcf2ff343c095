"""The rows of a published run with forms for a new report: with their own labels of fields, or with later ones."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.forms import truth
from mnist_batch.forms.form import Field
from mnist_batch.forms.registration import Verdict
from mnist_batch.intake import field_values, scans
from mnist_batch.intake.labels import LabelFile, parse_labels
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import ledger, parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.store import locations
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

SEEN = frozenset(Verdict)  # the statuses of a page of a file that could be read
Values = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # by source and scan: page, field and value


def gather(
    gathered: Aggregates,
    run: Run,
    published: Published,
    labels: str | None,
    ignore_unlisted: bool,
    add: NDArray[np.uint64] | None = None,
) -> str | None:
    """Add the rows of a run with forms to ``gathered``, with the labels of a file, and return where these came from.

    ``labels`` and ``add`` are as for ``report.rebuild``. Raises InputError for labels that do not fit the forms or the
    scans.
    """
    is_given = labels is not None and add is None
    labels, values = _chosen(run, published, labels, ignore_unlisted, add)
    if add is not None and values is not None:
        values = _merged(_kept(run), values)
    given = values or {} if is_given else {}
    unplaced = {(*key, value["page"], value["field"]) for key, own in given.items() for value in own}
    for rows, beside in _parts(run, values, [*tables.SHOWN, "cell"]):
        gathered.add(rows)
        gathered.add_beside(beside, rows)
        if unplaced:
            unplaced -= _places(beside["fields"])
    if unplaced:
        log.warning("--labels: %s not used, for pages that have no such field", counted(len(unplaced), "label"))
    return labels


def read_tables(
    run: Run, published: Published, columns: Sequence[str], labels: str | None = None, ignore_unlisted: bool = False
) -> Iterator[Mapping[str, pa.Table]]:
    """The tables of each part of a run with forms by their names; ``columns`` are those of predictions.

    ``labels`` are as for ``report.rebuild``: those of the last report if they are left out. Raises InputError like
    ``gather``.
    """
    _, values = _chosen(run, published, labels, ignore_unlisted)
    for rows, beside in _parts(run, values, columns):
        yield {"predictions": rows, **beside}


def _parts(run: Run, values: Values | None, columns: Sequence[str]) -> Iterator[tuple[pa.Table, dict[str, pa.Table]]]:
    fields_by_name = {(form.name, field.name): field for form in run.forms for field in form.fields}
    of_tables = {table: parts.table_paths(run, table) for table in tables.BESIDE}
    for name, path in sorted(parts.part_paths(run).items()):
        rows = parts.completed(locations.read_table(run.filesystem, path, columns), columns)
        beside = {table: locations.read_table(run.filesystem, paths[name]) for table, paths in of_tables.items()}
        if values is not None:
            beside["fields"] = _labelled(beside["fields"], values)
            rows = _with_cells(rows, beside["fields"], fields_by_name)
        yield rows, beside


def _chosen(
    run: Run,
    published: Published,
    labels: str | None,
    ignore_unlisted: bool,
    add: NDArray[np.uint64] | None = None,
) -> tuple[str | None, Values | None]:
    if labels == "none" or (labels is None and published.report_labels is None):
        return None, None
    if labels is None:
        return published.report_labels, _kept(run)
    if not isinstance(parse_labels(labels), LabelFile):
        raise InputError(
            f"--labels {labels}: run {run.run_id} has forms; give a file with columns scan,page,field,value"
        )
    given = field_values.read(pages_of(run, add), labels, run.forms, ignore_unlisted)
    return labels, {
        key: [{"page": page, "field": field, "value": value} for page, field, value in values]
        for key, values in given.items()
    }


def pages_of(run: Run, beside: NDArray[np.uint64] | None = None) -> dict[tuple[str, str], int | None]:
    """How many pages each scan has, None where that is not known; without those at these ``scans.paths_of``."""
    pages, unknown = Counter[tuple[str, str]](), set[tuple[str, str]]()
    for path in parts.table_paths(run, "pages").values():
        rows = ledger.beside(locations.read_table(run.filesystem, path, ["source", "scan", "status"]), beside)
        named = scans.identities(rows)
        pages.update(named)
        unknown |= {key for key, status in zip(named, rows["status"].to_pylist(), strict=True) if status not in SEEN}
    return {key: None if key in unknown else number for key, number in pages.items()}


def adds(run: Run, published: Published, labels: str, add: NDArray[np.uint64]) -> bool:
    """Whether a label file says anything of the fields of a run that the labels of its last report do not.

    Its labels of what has no fields, such as a page that is of no form, or a file whose answer is in another row, are
    in no report.
    """
    given, kept = _chosen(run, published, labels, True, add)[1] or {}, _kept(run)
    for path in parts.table_paths(run, "fields").values() if given else ():
        fields = locations.read_table(run.filesystem, path, key := [*tables.KEY, "field"])
        for source, scan, page, field in zip(*(fields[name].to_pylist() for name in key), strict=True):
            said, was = (field_values.value_at(values.get((source, scan)), page, field) for values in (given, kept))
            if said not in (None, was):
                return True
    return False


def _kept(run: Run) -> Values:
    """The labels of the last report: those that it brought, or those of the run itself."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    kept = locations.read_table(run.filesystem, parts.table_paths(run, "field_labels")["report"])
    for row in kept.to_pylist():
        found[row["source"], row["scan"]].append(row)
    return found


def _places(fields: pa.Table) -> set[tuple[str, str, int | None, str]]:
    """What may name these fields: by source, scan, page or none, and field."""
    named = zip(*(fields[name].to_pylist() for name in ("source", "scan", "page", "field")), strict=True)
    return {(source, scan, at, field) for source, scan, page, field in named for at in (page, None)}


def _merged(kept: Values, given: Values) -> Values:
    found = dict(kept)
    for key, values in given.items():
        others = [was for was in kept.get(key, ()) if not any(_same_field(was, value) for value in values)]
        found[key] = [*others, *values]
    return found


def _same_field(was: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return bool(was["field"] == value["field"] and value["page"] in (None, was["page"]))


def _labelled(fields: pa.Table, values: Values) -> pa.Table:
    keys = zip(*(fields[name].to_pylist() for name in (*tables.KEY, "field")), strict=True)
    found = [field_values.value_at(values.get((source, scan)), page, field) for source, scan, page, field in keys]
    return tables.with_column(fields, "label", found)


def _with_cells(rows: pa.Table, fields: pa.Table, by_name: Mapping[tuple[str, str], Field]) -> pa.Table:
    """The rows of cells with the labels that follow from those of their fields."""
    key = (*tables.KEY, "form", "field")
    names = zip(*(fields[name].to_pylist() for name in (*key, "label")), strict=True)
    cells = {
        of: iter(truth.cell_labels(by_name[of[-2:]], label))
        for *of_list, label in names
        if label is not None
        for of in [tuple(of_list)]
    }
    of_rows = zip(*(rows[name].to_pylist() for name in key), strict=True)
    return tables.with_column(rows, "label", [next(cells[of]) if of in cells else None for of in of_rows])
