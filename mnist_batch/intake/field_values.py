"""The true numbers in the fields of forms, as a label file gives them; each goes to its scan by key."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa

from mnist_batch.errors import InputError
from mnist_batch.forms.form import Field, Form
from mnist_batch.intake import scan_names, user_tables
from mnist_batch.intake.labels import has_page
from mnist_batch.intake.scans import identities
from mnist_batch.schemas import tables
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

EMPTY = "none"  # the value of a field in which nothing is written
COLUMNS = ("scan", "field", "value")

Truth = Mapping[tuple[str, str], Sequence[tuple[int | None, str, str]]]  # by source and scan: page, field, value


def attach(manifest: pa.Table, location: str, forms: Sequence[Form], ignore_unlisted: bool = False) -> pa.Table:
    """The manifest with its column ``field_values`` filled from the label file; InputError as ``read``."""
    listed = identities(manifest)
    truth = read(dict.fromkeys(listed), location, forms, ignore_unlisted)
    values = [
        [{"page": page, "field": field, "value": value} for page, field, value in truth[key]] if key in truth else None
        for key in listed
    ]
    return tables.with_column(manifest, "field_values", values)


def read(
    pages: Mapping[tuple[str, str], int | None],
    location: str,
    forms: Sequence[Form],
    ignore_unlisted: bool = False,
    flag: str = "--labels",
) -> Truth:
    """The true numbers of a CSV or Parquet file with the columns ``scan, field, value`` and perhaps ``page, source``.

    ``pages`` has every scan by (source, scan), with the number of its pages where that is known. A value has digits
    only; ``none`` says that the field is empty, and no value that it is not known. Without a page it is that of every
    page that has the field. With ``ignore_unlisted`` the log counts the rows of scans and pages that are not listed.
    ``flag`` is the argument that names the file. Raises InputError, naming the line, for a scan that is not listed, a
    page that it does not have, a field that no form has, a value that does not fit its field, or a second value for the
    same.
    """
    of_name = _by_name(forms)
    named, found = scan_names.ScanNames(pages), dict[tuple[str, str, int | None, str], str]()
    unlisted = 0
    for rows in user_tables.read(flag, location, [*COLUMNS], ["source", "page"]):
        sources = rows.columns.get("source", [None] * len(rows.numbers))
        columns = (rows.texts("scan"), sources, rows.pages(), rows.texts("field"), rows.columns["value"])
        for at, (name, source, page, field, written) in enumerate(zip(*columns, strict=True)):
            scan = named.scan_of(rows.where(at), name, source)
            if scan is None or not has_page(pages[scan], page):
                if not ignore_unlisted:
                    said = _unlisted(scan_names.below(source, name), page, pages[scan] if scan else None)
                    raise InputError(f"{rows.where(at)}: {said}. With --ignore-unlisted-labels such rows are ignored")
                unlisted += 1
                continue
            if field not in of_name:
                raise InputError(f"{rows.where(at)}: no form has a field {field!r}; there are {', '.join(of_name)}")
            value = value_of(rows.where(at), of_name[field], written)
            if value is not None and found.setdefault((*scan, page, field), value) != value:
                raise InputError(f"{rows.where(at)}: field {field!r} of {name!r} has two values; keep one row")
    named.check()
    if unlisted:
        rows_named = counted(unlisted, "row")
        log.info("%s %s: %s of scans or pages that are not listed; they are ignored", flag, location, rows_named)
    if not found and not ignore_unlisted:
        raise InputError(f"{flag} {location}: no row has a value; fill in the column, or leave the argument out")
    return _by_scan(found)


def _by_name(forms: Sequence[Form]) -> Mapping[str, Sequence[Field]]:
    """The fields of the forms by their names."""
    of_name = defaultdict(list)
    for form in forms:
        for each in form.fields:
            of_name[each.name].append(each)
    return of_name


def _by_scan(found: Mapping[tuple[str, str, int | None, str], str]) -> Truth:
    """The values by source, scan, page and field as those of each scan."""
    truth: dict[tuple[str, str], list[tuple[int | None, str, str]]] = defaultdict(list)
    for (source, scan, page, field), value in found.items():
        truth[source, scan].append((page, field, value))
    return truth


def _unlisted(name: str, page: int | None, pages: int | None) -> str:
    if pages is None:
        return f"no scan {name!r} is listed; give its path below its source"
    return f"page is {page}; {name!r} has {counted(pages, 'page')}, counted from 0"


def value_of(where: str, fields: Sequence[Field], written: object) -> str | None:
    """A value of a table as the digits of a field; empty text for an empty field, None where it is not known.

    A field of a fixed number of digits gets the leading zeros back that a spreadsheet took. ``fields`` are those of
    this name on the forms; the number is fixed if it is the same for all. Raises InputError, beginning with ``where``,
    for anything else.
    """
    text = "" if written is None else str(written).strip().strip("'")
    if text.lower() in user_tables.UNKNOWN:
        return None
    if text.lower() == EMPTY:
        return ""
    text = re.sub(r"[.,]0+$", "", re.sub(r"[  _]", "", text))  # as spreadsheets write numbers
    most = max(field.digits.most for field in fields)
    if not re.fullmatch("[0-9]+", text) or len(text) > most:
        raise InputError(
            f"{where}: value is {written!r}; the field {fields[0].name!r} has at most {counted(most, 'digit')}: give "
            f"its digits, {EMPTY} where it is empty, or nothing where that is not known"
        )
    lengths = {length for field in fields for length in (field.digits.least, field.digits.most)}
    return text.zfill(most) if lengths == {most} else text


def value_at(values: Sequence[Mapping[str, object]] | None, page: int, field: str) -> str | None:
    """The true number of a field on a page of a scan, from its ``field_values``; None where it is not known."""
    own = {value["page"]: value["value"] for value in values or () if value["field"] == field}
    found = own.get(page, own.get(None))
    return None if found is None else str(found)
