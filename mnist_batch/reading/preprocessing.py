"""From listed scans to the pictures that the model sees: one row per page. No Ray in here.

scan -> bytes -> pages -> readings of the ink of each -> pictures
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch import failpoints
from mnist_batch.described import described, flag
from mnist_batch.errors import InputError, JobError
from mnist_batch.forms.references import Reference
from mnist_batch.reading import form_pages, images, reading_ahead, readings
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import LimitFacts
from mnist_batch.statuses import MEANINGS, Status
from mnist_batch.wording import counted

MOST_FATAL = 10  # pages that kill the process before a file is given up
# Decoded pages that are normalised together, which is quicker, and how many pixels they may have, for memory and the
# time limit of a page. If they exceed either the process dies, and each page is read alone.
HELD, HELD_PIXELS = 256, 2**20


@dataclass(frozen=True)
class Limits:
    """Limits for one scan: bytes of its file, pixels of a page, seconds to read it, and for each page.

    Raises InputError for a value that is not above 0 and below 2**31.
    """

    max_bytes: int = described(
        images.MAX_BYTES,
        f"bytes of its file; of a PDF or TIFF those of each page, and the file may have {images.PAGED_TIMES} times as "
        "many",
        metavar="N",
    )
    max_pixels: int = described(images.MAX_PIXELS, "pixels of a page", metavar="N")
    scan_timeout_seconds: float = 20

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < 2**31:
                raise InputError(f"{flag(name)} is {value}; it has to be above 0 and below {2**31:,}")

    @classmethod
    def of(cls, facts: LimitFacts) -> "Limits":
        """Those of a run, to read its scans again; the timeout decides no answer, and is the default."""
        return cls(facts.max_bytes, facts.max_pixels)


class Page(NamedTuple):
    """A page or cell that was read: columns of ``tables.PREPROCESSED``, and ``shown``. ``row`` is that of its scan."""

    row: int
    page: int
    status: Status
    reason: str | None
    content: bytes | None
    picture: bytes = bytes(tables.IMAGE_BYTES)
    others: Sequence[bytes] = ()
    normalisation: Mapping[str, Any] | None = None
    stray: bool = False
    shown: bytes | None = None
    form: str | None = None
    field: str | None = None
    position: int | None = None
    cell: Mapping[str, Any] | None = None
    registration: Mapping[str, Any] | None = None


class _Decoded(NamedTuple):
    """A page that is not normalised yet, and when its decoding began."""

    row: int
    page: int
    content: bytes
    grey: images.Grey
    started: float


def unread(row: int, page: int, status: Status, reason: str, content: bytes | None = None) -> Page:
    """The row of a page, or of a scan, that could not be read."""
    return Page(row, page, status, reason, content)


@dataclass(frozen=True)
class PagesAsked:
    """Which pages of a scan to read: those from ``first`` on, but none in ``fatal`` and none after ``last``.

    ``fatal`` has the status and reason of the rows of pages that are not read.
    """

    first: int = 0
    fatal: Mapping[int, tuple[Status, str]] = field(default_factory=dict)
    last: int | None = None

    @classmethod
    def of(cls, first: int, fatal: Mapping[int | None, tuple[Status, str]]) -> "PagesAsked":
        """The pages from ``first`` on of a file with these fatal ones; after ``MOST_FATAL`` of them it is given up."""
        pages = {page: what for page, what in fatal.items() if page is not None}
        if len(pages) < MOST_FATAL:
            return cls(first, pages)
        last = max(pages) + 1
        killers = counted(len(pages), "page")
        reason = f"not read, nor what follows: {killers} of the file before this one killed the process that decodes it"
        return cls(first, pages | {last: (Status.CRASHED, reason)}, last)


def preprocess(
    manifest: pa.Table,
    shard: int = 0,
    limits: Limits | None = None,
    next_page: Callable[[int, int | None], object] = lambda *_: None,
    waiting: Callable[[], object] = lambda: None,
    references: Sequence[Reference] = (),
    shown_side: int = 0,
) -> pa.Table:
    """Read, decode and normalise every scan of a manifest in this process, with the result of ``Reader.read``.

    The arguments, and what is raised, are those of ``read_pages``.
    """
    pages = read_pages(manifest, limits, next_page, waiting, references, shown_side)
    rows = sorted((row for page in pages for row in page), key=lambda row: row.row)  # pages stay in their order
    return table(manifest, shard, rows, bool(shown_side))


def read_pages(
    manifest: pa.Table,
    limits: Limits | None = None,
    next_page: Callable[[int, int | None], object] = lambda *_: None,
    waiting: Callable[[], object] = lambda: None,
    references: Sequence[Reference] = (),
    shown_side: int = 0,
    asked: PagesAsked | None = None,
) -> Iterator[list[Page]]:
    """Read the scans of a manifest and yield the rows of each page; last those whose answer is in another row.

    With ``references`` each page is compared with these forms, and has a row for each cell. A scan that cannot be read
    is one row with its status and reason and an empty picture. ``next_page`` is called with the row and None before a
    scan is read, or, at a store, once its bytes have arrived; and with the row and the number of each further page
    before that is read. ``waiting`` is called before the process waits for these bytes. ``asked`` are the pages of a
    single scan; if it has several, ``next_page`` is called with the first, too. Raises InputError or StorageError if a
    store does not answer.
    """
    held, pixels = list[Page | _Decoded](), 0
    at_once = 1 if references or asked else HELD
    for page in _decoded(manifest, limits or Limits(), next_page, waiting, asked):
        held.append(page)
        pixels += page.grey.size if isinstance(page, _Decoded) else 0
        if len(held) >= at_once or pixels >= HELD_PIXELS:
            yield from _rows(held, references, shown_side)
            held, pixels = [], 0
    yield from _rows(held, references, shown_side)
    yield from ([page] for page in _answered_elsewhere(manifest))


def _decoded(
    manifest: pa.Table,
    limits: Limits,
    next_page: Callable[[int, int | None], object],
    waiting: Callable[[], object],
    asked: PagesAsked | None,
) -> Iterator[Page | _Decoded]:
    """Read and decode the pages of a manifest's scans, in their order, with the arguments of ``read_pages``.

    What cannot be read is a row.
    """
    alone, asked = asked is not None, asked or PagesAsked()
    unanswered = np.flatnonzero(manifest["same_as"].is_null().to_numpy())
    reads = reading_ahead.read_ahead(manifest.take(unanswered), limits.max_bytes, waiting)
    for row, (path, read) in zip(unanswered.tolist(), reads, strict=True):
        next_page(row, None)
        content = None
        try:
            failpoints.reach("read", path)
            data = read()
            content = images.content_digest(data)
            readers = images.pages(data, limits.max_pixels)
            images.check_share(data, len(readers), limits.max_bytes)
        except JobError:
            raise
        except Exception as error:  # noqa: BLE001 - any error that a strange file causes is the reason in its row
            yield unread(row, asked.first, *_status_and_reason(error), content)
            continue
        for number, read_page in list(enumerate(readers))[asked.first : None if asked.last is None else asked.last + 1]:
            if number in asked.fatal:
                yield unread(row, number, *asked.fatal[number], content)
                continue
            if number or (alone and len(readers) > 1):
                next_page(row, number)
            failpoints.reach(f"page {number}", path)
            yield _page(row, number, content, read_page)
        del data, readers  # before the next file is read: both may be large


def _answered_elsewhere(manifest: pa.Table) -> Iterator[Page]:
    """The rows of the scans whose answer is in another row; they are not read."""
    runs, contents = (manifest[name].to_pylist() for name in ("same_as_run", "content"))
    for row, scan in enumerate(manifest["same_as"].to_pylist()):
        if scan is not None:
            status = Status.KNOWN if runs[row] else Status.REPEATED
            yield Page(row, 0, status, MEANINGS[status], contents[row])


def _page(row: int, page: int, content: bytes, read_page: Callable[[], images.Grey]) -> Page | _Decoded:
    """Decode a page; one that cannot be read does not affect the others."""
    try:
        started = time.perf_counter()
        return _Decoded(row, page, content, read_page(), started)
    except Exception as error:  # noqa: BLE001 - any error that a strange page causes is the reason in its row
        return unread(row, page, *_status_and_reason(error), content)


def _rows(held: Sequence[Page | _Decoded], references: Sequence[Reference], shown_side: int) -> Iterator[list[Page]]:
    """The rows of pages, in their order; what cannot be normalised does not affect the others."""
    pages = [page for page in held if isinstance(page, _Decoded)]
    found = iter(_normalised(pages, references, shown_side))
    for page in held:
        yield next(found) if isinstance(page, _Decoded) else [page]


def _normalised(pages: Sequence[_Decoded], references: Sequence[Reference], shown_side: int) -> list[list[Page]]:
    """The rows of each page."""
    try:
        if references:
            rows = [form_pages.cells(page.grey, references, page.started, shown_side) for page in pages]
        else:
            rows = [[row] for row in readings.rows_of([[page.grey] for page in pages], shown_side)]
    except Exception as error:  # noqa: BLE001 - any error that a strange page causes is the reason in its row
        if len(pages) > 1:
            return [row for page in pages for row in _normalised([page], references, shown_side)]
        return [[unread(page.row, page.page, *_status_and_reason(error), page.content)] for page in pages]
    return [
        [Page(row=page.row, page=page.page, content=page.content, **each) for each in cells]
        for page, cells in zip(pages, rows, strict=True)
    ]


def _status_and_reason(error: Exception) -> tuple[Status, str]:
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, images.Unreadable):
        return error.status, str(error.reason)
    return Status.CRASHED, f"{type(error).__name__}: {error}"[:200]


def table(manifest: pa.Table, shard: int, pages: list[Page], with_shown: bool) -> pa.Table:
    """The pages with the manifest's columns of their scans, as ``tables.PREPROCESSED``, and ``shown`` if asked for."""
    columns = dict(zip(Page._fields, zip(*pages, strict=True) if pages else ([],) * len(Page._fields), strict=True))
    scans = manifest.take(pa.array(columns["row"], pa.int64()))
    names = ("scan", "source", *(item.name for item in tables.OF_LISTING))
    carried = {name: scans[name].combine_chunks() for name in names}
    carried["label"] = _labels(scans, columns["page"])
    shown = pa.array(columns.pop("shown"), pa.binary())
    rows = tables.table(tables.PREPROCESSED, {**columns, **carried, "shard": np.full(len(scans), shard, np.int32)})
    return rows.append_column("shown", shown) if with_shown else rows


def _labels(scans: pa.Table, pages: Sequence[int]) -> pa.Array:
    """The label of each page of ``pages``, whose scans are the rows of ``scans``: its own, or that of its scan."""
    if scans["page_labels"].null_count == len(scans):
        return scans["label"].combine_chunks()
    rows = zip(pages, scans["label"].to_pylist(), scans["page_labels"].to_pylist(), strict=True)
    labels = [label if own is None else own[page] if page < len(own) else None for page, label, own in rows]
    return pa.array(labels, pa.int8())


def shifted(pages: pa.Table, first: int) -> pa.Table:
    """The pages of a slice of a shard with rows counted in the shard; the slice begins at row ``first``."""
    return tables.with_column(pages, "row", pc.add(pages["row"], pa.scalar(first, pa.int32())))
