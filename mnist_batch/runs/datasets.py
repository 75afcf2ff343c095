"""The tables of all published runs, file by file as their run.json list them: as a dataset, and as views for DuckDB."""

import datetime
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow.dataset as ds

from mnist_batch.errors import DamagedRun, InputError, JobError
from mnist_batch.runs import parts, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.store import changing, locations

log = logging.getLogger(__name__)

VIEWS = "published.sql"


def read(
    out: str,
    table: str = "predictions",
    run: str | Sequence[str] | None = None,
    as_of: datetime.datetime | str | None = None,
) -> ds.Dataset:
    """As ``mnist_batch.read_predictions``."""
    if table not in tables.TABLES:
        raise InputError(f"table {table!r}: there is none of that name; choose from {', '.join(tables.TABLES)}")
    out = locations.absolute(out)
    filesystem, root = locations.resolve(out)
    moment = None if as_of is None else _moment(as_of)
    paths, of_run = list[str](), list[ds.Expression]()
    for published in facts_of(out, _asked(out, run)):
        if moment is None or datetime.datetime.fromisoformat(published.published_at) <= moment:
            files = files_of(out, published, table)
            paths += [f"{root}/{file}" for file in files]
            night = datetime.date.fromisoformat(published.run_date)
            # Files of the first version have these columns in the names of their folders only.
            of_run += [(ds.field("night") == night) & (ds.field("run") == published.run_id)] * len(files)
    return ds.FileSystemDataset.from_paths(
        paths, tables.published(tables.TABLES[table]), ds.ParquetFileFormat(), filesystem, partitions=of_run
    )


def files_of(out: str, published: Published, table: str) -> list[str]:
    """The paths below an output of the files of a table of a run, as its run.json lists them, in order."""
    files = [*published.files, *(published.report_files or ())]
    found = sorted(file.path for file in files if file.path.startswith(f"{table}/"))
    if published.report_files is None and not found:  # the first version, which wrote to disks, did not list its report
        run = Run(out, published.run_id, published.run_date)
        return sorted(path.removeprefix(f"{run.root}/") for path in parts.table_paths(run, table).values())
    return found


def _asked(out: str, run: str | Sequence[str] | None) -> list[str]:
    there = series.published_runs(out)
    if run is None:
        return there
    asked = [run] if isinstance(run, str) else list(run)
    if missing := [run_id for run_id in asked if run_id not in there]:
        raise InputError(f"run {missing[0]!r}: no published run of that id in {out}; there are {series.some_of(there)}")
    return asked


def facts_of(out: str, ids: Sequence[str], skip_damaged: bool = False) -> list[Published]:
    """What these runs say of themselves; one that was discarded since is left out."""

    def said(run_id: str) -> Published | None:
        try:
            return Run(out, run_id, "").published
        except DamagedRun:
            if skip_damaged:
                return None
            raise

    with ThreadPoolExecutor(locations.AT_ONCE) as pool:
        return [each for each in pool.map(said, ids) if each is not None]


def _moment(as_of: datetime.datetime | str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(f"as_of {as_of!r}: give a time with its zone, such as 2026-11-21T23:00:00+00:00")
    return moment


def write_views(out: str) -> None:
    """Write ``published.sql``, the views for DuckDB; a failure is logged, since the file can be made again."""
    try:
        _write_views(locations.absolute(out))
    except JobError as error:
        log.warning("%s of %s could not be written: %s", VIEWS, out, error)


def _write_views(out: str) -> None:
    filesystem, root = locations.resolve(out)
    path, written = f"{root}/{VIEWS}", None
    while written != (ids := series.published_runs(out)):  # another run may have been published meanwhile
        content = views(out, facts_of(out, ids, skip_damaged=True)).encode()
        if not ids:
            changing.delete_file(filesystem, path)
        elif locations.read_if_there(filesystem, path) != content:
            changing.write_whole(filesystem, path, content)
        written = ids


def views(out: str, runs: Sequence[Published]) -> str:
    """The statements that make a view of each table, of the files of these runs."""
    address = locations.absolute(out).partition("?")[0].removeprefix("fsspec+").removeprefix("file://")
    lines = [
        "-- Views of the published runs, for DuckDB. Written anew whenever a run is published or discarded.",
        f"-- The runs themselves are what counts: {address}/runs/*/run.json lists their files.",
    ]
    for table in tables.TABLES:
        paths = [f"{address}/{file}".replace("'", "''") for run in runs for file in files_of(out, run, table)]
        if paths:
            listed = ",\n".join(f"  '{path}'" for path in paths)
            lines.append(
                f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet([\n{listed}\n], union_by_name = true, "  # noqa: S608
                "hive_partitioning = true, hive_types = {'run_date': DATE, 'run_id': VARCHAR});"
            )
        else:
            lines.append(f"DROP VIEW IF EXISTS {table};")
    return "\n".join(lines) + "\n"
