"""Labels that users give: none, the folders of the scans, or a file; each goes to its scan or page by key."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mnist_batch.errors import InputError
from mnist_batch.intake import scan_names, user_tables
from mnist_batch.intake.scans import identities, path_of
from mnist_batch.schemas import tables
from mnist_batch.wording import counted

DIGITS = {str(digit): digit for digit in range(tables.CLASSES)}  # the labels of folders to learn from, by name
FOLDERS = {**DIGITS, "none": tables.NO_DIGIT}  # and of folders to score

Truth = Mapping[tuple[str, str, int | None], int]  # by source, scan and page; page None is every page of a scan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoLabels:
    """The truth is not known."""


@dataclass(frozen=True)
class ParentLabels:
    """The folder that a scan is in is named by its digit, or none."""


@dataclass(frozen=True)
class LabelFile:
    """A CSV or Parquet file with the columns ``scan`` and ``label``, and perhaps ``source`` and ``page``."""

    location: str


Labels = NoLabels | ParentLabels | LabelFile


def parse_labels(text: str) -> Labels:
    """What ``--labels`` means: the words none and parent, or the location of a file."""
    return NoLabels() if text == "none" else ParentLabels() if text == "parent" else LabelFile(text)


def attach_labels(manifest: pa.Table, labels: Labels, ignore_unlisted: bool = False) -> pa.Table:
    """The manifest with its columns ``label`` and ``page_labels`` filled, or as it is with ``NoLabels``.

    Raises InputError if the labels contradict each other or the listing.
    """
    if isinstance(labels, NoLabels):
        return manifest
    if isinstance(labels, ParentLabels):
        of_folders = parent_labels(manifest, FOLDERS)
        if len(of_folders) and of_folders.null_count == len(of_folders):
            raise InputError(_no_parent(manifest["path"][0].as_py()))
        return tables.with_column(manifest, "label", of_folders)
    listed = identities(manifest)
    truth = match_labels(dict.fromkeys(listed), labels, ignore_unlisted)
    manifest = tables.with_column(manifest, "label", [truth.get((*key, None)) for key in listed])
    of_pages: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for (source, scan, page), label in truth.items():
        if page is not None:
            of_pages[source, scan][page] = label
    if not of_pages:
        return manifest
    lists = [
        [pages.get(page) for page in range(max(pages) + 1)] if (pages := of_pages.get(key)) else None for key in listed
    ]
    return with_page_labels(manifest, lists)


def with_page_labels(manifest: pa.Table, labels: Sequence[Sequence[int | None] | None]) -> pa.Table:
    """The manifest with the labels of the pages of each scan; None where all its pages have the scan's ``label``."""
    return tables.with_column(manifest, "page_labels", labels)


def _no_parent(path: bytes) -> str:
    return (
        f"--labels parent: no scan is in a folder named 0 to 9, or none; one is {os.fsdecode(path)!r}. Leave --labels "
        "out where the truth is not known, or give a file with columns scan,label"
    )


def labels_of_run(pages: Mapping[tuple[str, str], int], labels: Labels, ignore_unlisted: bool = False) -> Truth:
    """The labels for a published run, ``pages`` of whose scans are in its rows.

    Raises InputError as ``attach_labels`` does, and for a page that is not there.
    """
    if isinstance(labels, NoLabels):
        return {}
    if isinstance(labels, LabelFile):
        return match_labels(pages, labels, ignore_unlisted)
    paths = [path_of(*key) for key in pages]
    digits = parent_labels(pa.table({"path": pa.chunked_array([pa.array(paths, pa.binary())])}), FOLDERS).to_pylist()
    truth: dict[tuple[str, str, int | None], int] = {
        (*key, None): digit for key, digit in zip(pages, digits, strict=True) if digit is not None
    }
    if paths and not truth:
        raise InputError(_no_parent(paths[0]))
    return truth


def parent_labels(manifest: pa.Table, names: Mapping[str, int] = DIGITS) -> pa.ChunkedArray:
    """The label that the folder each scan is in stands for by its name, in any case of letters, else null, as int8."""
    labels = []
    for chunk in manifest["path"].chunks:  # not all of them as Python's objects at once
        folders = (os.fsdecode(os.path.basename(os.path.dirname(path))) for path in chunk.to_pylist())
        labels.append([names.get(folder.lower()) for folder in folders])
    return pa.chunked_array(labels, pa.int8())


def match_labels(
    pages: Mapping[tuple[str, str], int | None], labels: LabelFile, ignore_unlisted: bool = False
) -> dict[tuple[str, str, int | None], int]:
    """The labels of a file, by source, scan and page; page None where the file names a scan as a whole.

    ``pages`` has every scan by (source, scan), with the number of its pages where that is known. In the file a scan may
    have any name of ``ScanNames``; a column ``source`` tells scans of the same name apart, as in the tables that a run
    publishes, and a column ``page`` its pages, from 0. A scan without a label is left out; so, with
    ``ignore_unlisted``, is one that is not listed: the log counts them. Raises InputError, naming the first offending
    line, for an unknown or ambiguous scan, a page that it does not have, a second label for a scan or page, a scan with
    labels for itself and for its pages, and where no row has a label.
    """
    file = f"--labels {labels.location}"
    named, truth = scan_names.ScanNames(pages), dict[tuple[str, str, int | None], int]()
    rows_read = unlisted = 0
    by_page: dict[tuple[str, str], bool] = {}
    what = "scans"
    for rows in user_tables.read("--labels", labels.location, ["scan", "label"], ["source", "page"]):
        what = "scans or pages" if "page" in rows.columns else "scans"
        sources = rows.columns.get("source", [None] * len(rows.numbers))
        columns = (rows.texts("scan"), sources, rows.pages(), rows.digits())
        for at, (name, source, page, digit) in enumerate(zip(*columns, strict=True)):
            scan = named.scan_of(rows.where(at), name, source)
            rows_read += 1
            if scan is None or not has_page(pages[scan], page):
                if not ignore_unlisted:
                    name = scan_names.below(source, name)
                    raise InputError(_unlisted(rows.where(at), name, named, pages.get(scan) if scan else None, page))
                unlisted += 1
            elif digit is not None:
                key = (*scan, page)
                if key in truth:
                    named.check()
                    raise InputError(f"{rows.where(at)}: {_twice(name, page, truth[key], digit)}")
                if by_page.setdefault(scan, page is not None) != (page is not None):
                    raise InputError(f"{rows.where(at)}: {_mixed(name)}")
                truth[key] = digit
    named.check()
    if unlisted:
        ignored = "%s: %s of its %s rows name %s that are not listed; they are ignored"
        level = logging.INFO if truth else logging.WARNING
        log.log(level, ignored, file, f"{unlisted:,}", f"{rows_read:,}", what)
    elif not truth:
        raise InputError(f"{file}: no row has a label; fill in the column, or leave the argument out")
    return truth


def has_page(pages: int | None, page: int | None) -> bool:
    """Whether a scan with so many pages, None if that is not known, has this one; None means all of them."""
    return pages is None or page is None or page < pages


def _unlisted(where: str, name: str, named: scan_names.ScanNames, pages: int | None, page: int | None) -> str:
    if pages is not None:
        rule = "With --ignore-unlisted-labels such rows are ignored and counted"
        return f"{where}: page is {page}; {name!r} has {counted(pages, 'page')}, from 0. {rule}"
    example = named.example(name)
    message = f"{where}: no scan {name!r} is listed; give its path below its source"
    if example:
        message += f", as {example!r} is one"
    if re.search(r"\\x[0-9a-f]{2}", name):
        message += "; where letters are \\xNN, the file is not UTF-8: save it so"
    return f"{message}. With --ignore-unlisted-labels such rows are ignored and counted"


def _twice(name: str, page: int | None, first: int, second: int) -> str:
    one, other = ("none" if digit == tables.NO_DIGIT else str(digit) for digit in (first, second))
    both = f"{one} twice" if one == other else f"{one} and {other}"
    which = repr(name) if page is None else f"page {page} of {name!r}"
    return f"{which} is labelled {both}; keep one row"


def _mixed(name: str) -> str:
    return f"{name!r} is labelled with a page and without one; give one label for the scan, or one for each page"


def label_of(truth: Truth, source: str, scan: str, page: int) -> int | None:
    """The label of a page: its own, or the one of its scan."""
    return truth.get((source, scan, page), truth.get((source, scan, None)))
