"""A random sample of the accepted answers of a run, for a person to label: drawn by hash, shown blind, listed in a CSV.

predictions -> draw -> audit.html (pictures, without the answers) and audit.csv (empty labels), numbered alike
"""

import csv
import hashlib
import io
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.errors import InputError
from mnist_batch.intake import scans, user_tables
from mnist_batch.reading import preprocessing
from mnist_batch.reports import examples, plots
from mnist_batch.runs import parts, publishing
from mnist_batch.runs.run import Run, digest
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import File, Published
from mnist_batch.store import locations

PAGE, SHEET = "audit.html", "audit.csv"
MOST = 5_000  # pictures on a page
SIDE = 240  # pixels of the longer side of a scan on the page
RANK_BYTES = 16
COLUMNS = [*tables.SHOWN, "image"]


@dataclass(frozen=True)
class Sample:
    """Accepted answers in a random order, ``tables.EXAMPLES``: the first of them are the sample of a smaller size.

    ``accepted`` is how many the run has, and ``paged`` whether any of them is of a page after the first.
    """

    rows: pa.Table
    accepted: int
    paged: bool

    def first(self, size: int | None) -> "Sample":
        """The sample of a smaller size."""
        return Sample(self.rows.slice(0, size), self.accepted, self.paged)


def check(published: Published, size: int) -> None:
    """Raise InputError unless so many answers can be drawn from a run of this rule."""
    if not 1 <= size <= MOST:
        raise InputError(f"--audit is {size}; it has to be a number of answers from 1 to {MOST:,}")
    if published.threshold is None:
        raise InputError(
            f"--audit {size}: run {published.run_id} was scored without --target-error, so it has no accepted answers; "
            "score its scans with --target-error, then draw from that run"
        )


def draw_longest(run: Run, published: Published, size: int) -> Sample:
    """The sample of a size, or that of the sheet that the run has if it is larger.

    Raises InputError like ``check``, ``draw`` and ``check_unchanged``.
    """
    check(published, size)
    if published.forms:
        raise InputError(
            f"--audit {size}: run {published.run_id} has forms, whose accepted fields are drawn by jobs.review --audit "
            f"{size}; give what is typed on its page back with --audit-labels corrections.csv"
        )
    sample = draw(run, published, max(size, published.sample or 0))
    check_unchanged(run, sample)
    return sample


def draw(run: Run, published: Published, size: int) -> Sample:
    """The ``size`` accepted answers whose keys have the lowest digests, in that order, or all if there are fewer.

    The digest is of the run as well, so each run has an order of its own, and every accepted answer has the same chance
    to be among the first. Raises InputError if none was accepted.
    """
    kept, accepted, paged = ranked(published, tables.EXAMPLES.empty_table(), []), 0, False
    for part in parts.read_parts(run, COLUMNS):
        rows = part.filter(pc.equal(part["decision"].cast(pa.string()), "accept").fill_null(False))
        accepted += len(rows)
        paged = paged or bool(pc.any(pc.greater(rows["page"], 0)).as_py())
        kept = lowest(kept, ranked(published, examples.as_examples(rows, rows["image"]), scans.keys(rows)), size)
    if not accepted:
        raise InputError(f"--audit: run {run.run_id} has accepted no answer, so there is none to draw")
    return Sample(kept.drop_columns(["rank"]), accepted, paged)


def ranked(published: Published, rows: pa.Table, keys: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows of a run with one more column, ``rank``: a digest of the run and of the key of each row."""
    of_run = hashlib.blake2b(json.dumps([published.run_id, published.fingerprint]).encode(), digest_size=RANK_BYTES)

    def rank(key: tuple[Any, ...]) -> bytes:
        digest_ = of_run.copy()
        digest_.update(json.dumps(key).encode())
        return digest_.digest()

    return rows.append_column(pa.field("rank", pa.binary(RANK_BYTES)), pa.array(map(rank, keys), pa.binary(RANK_BYTES)))


def lowest(kept: pa.Table, rows: pa.Table, size: int) -> pa.Table:
    """The ``size`` rows of two tables with the lowest ranks, in their order."""
    both = pa.concat_tables([kept, rows])
    return both.take(pc.sort_indices(both, [("rank", "ascending")])[:size])


def sheet(run: Run, sample: Sample) -> bytes:
    """``audit.csv``: a row for each answer of the sample, with the columns of a label file and no label."""
    names = ["number", "run", "source", "scan", *(["page"] if sample.paged else []), "label"]
    content = io.StringIO()
    writer = csv.DictWriter(content, names, restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    named = user_tables.without_formulas(sample.rows["scan"]).to_pylist()
    for number, (scan, row) in enumerate(zip(named, sample.rows.to_pylist(), strict=True), 1):
        of_row = {"number": number, "run": run.run_id, "source": row["source"], "scan": scan, "page": row["page"]}
        writer.writerow(of_row)
    return content.getvalue().encode("utf-8-sig")


def stage(run: Run, published: Published, sample: Sample) -> tuple[File, ...]:
    """Stage the page and the sheet of a sample, and return them as run.json will list them.

    The scans are read again within the limits of the run; where one is gone or has changed, the page says so. Raises
    InputError or StorageError if a store does not answer.
    """
    limits = preprocessing.Limits.of(published.limits)
    pages = {
        examples.key_of(page): (page["shown"], examples.as_png(page["picture"]))
        for page in examples.pages_again(sample.rows, limits, SIDE)
    }
    drawn = []
    for row in sample.rows.to_pylist():
        shown, picture = pages.get(examples.key_of(row), (None, row["picture"]))
        path = row["scan"] if scans.rooted(row["scan"]) else f"{row['source'].rstrip('/')}/{row['scan']}"
        drawn.append({"path": path, "page": row["page"], "shown": shown, "picture": picture})
    page = plots.audit_page(out=run.out, run=published, accepted=sample.accepted, rows=drawn)
    content = {PAGE: page.encode("utf-8", "backslashreplace"), SHEET: sheet(run, sample)}
    return publishing.stage_report(run, {}, content)


def check_unchanged(run: Run, longest: Sample) -> None:
    """Raise InputError if somebody has changed the sheet of the run, as by filling it in: it must not be replaced.

    ``longest`` is the largest sample that the run may have, of which the sheet of any sample is the beginning.
    """
    path = f"{run.folder}/{SHEET}"
    there = locations.read_if_there(run.filesystem, path)
    if there is not None and not sheet(run, longest).startswith(there):
        raise InputError(
            f"--audit: {run.location(path)} is not as it was drawn: somebody may have filled it in. Move it to another "
            "folder, then give the same command again. The rows of a smaller sample are the first rows of a larger "
            "one, so their labels can be copied"
        )


def recorded(run: Run, published: Published, blake2b: str) -> Published:
    """What a run says of itself, with its sheet as it is there, if that has this digest: it was filled in there."""
    path = f"{run.folder}/{SHEET}"
    there = locations.read_if_there(run.filesystem, path)
    if there is None or digest(there) != blake2b:
        return published
    files = [file for file in published.report_files or () if f"{run.root}/{file.path}" != path]
    sheet_file = File(path.removeprefix(f"{run.root}/"), len(there), blake2b)
    return replace(published, report_files=(*files, sheet_file))


def kept(published: Published) -> tuple[File, ...]:
    """The files of the last sample, as run.json lists them; a report without --audit leaves them as they are."""
    return tuple(file for file in published.report_files or () if posixpath.basename(file.path) in (PAGE, SHEET))
