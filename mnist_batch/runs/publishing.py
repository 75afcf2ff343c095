"""A run's files: staged, then moved to where they are read, so that each table appears whole.

At a store, which has no renames, tables are written where they stay, under names that tell their content. Readers go by
run.json, which is written last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pyarrow as pa

from mnist_batch import failpoints
from mnist_batch.runs import clearing, datasets
from mnist_batch.runs.run import PARQUET, Run, digest, now, part_name
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import File, FormerReport, PartFile, Published, Receipt
from mnist_batch.store import changing, locations


def stage_report(run: Run, tables_of_report: Mapping[str, pa.Table], pages: Mapping[str, bytes]) -> tuple[File, ...]:
    """Write the report tables and the ``pages`` that people open, by name, into staging.

    Returns these files as run.json will list them, with the paths that they will have.
    """
    files = []
    for table, rows in tables_of_report.items():
        content = run.parquet(rows)
        path = f"{run.table_folder(table)}/{run.file_name('report', digest(content))}"
        changing.write_whole(run.filesystem, path if run.at_store else f"{run.staging}/{table}/report", content)
        files.append(_file(run, path, content, len(rows)))
    for name, page in sorted(pages.items()):
        changing.write_whole(run.filesystem, f"{run.staging}/pages/{name}", page)
        files.append(_file(run, f"{run.folder}/{name}", page))
    return tuple(files)


def files_of(run: Run, receipts: Iterable[Receipt]) -> tuple[File, ...]:
    """The published parts as run.json lists them: with the digests of their writers."""
    files = []
    for receipt in receipts:
        of_tables = {"predictions": PartFile(receipt.rows, receipt.bytes, receipt.blake2b), **(receipt.beside or {})}
        for table, written in of_tables.items():
            folder = run.table_folder(table).removeprefix(f"{run.root}/")
            name = run.file_name(part_name(receipt.shard), written.blake2b)
            files.append(File(f"{folder}/{name}", written.bytes, written.blake2b, written.rows))
    return tuple(files)


def _file(run: Run, path: str, content: bytes | pa.Buffer, rows: int | None = None) -> File:
    return File(path.removeprefix(f"{run.root}/"), len(content), digest(content), rows)


def former_reports(run: Run, published: Published, replacing: Iterable[File]) -> tuple[FormerReport, ...]:
    """The former reports of a run, with the present one if the files ``replacing`` it are made of other labels.

    Its files are copied into a folder beside it. A copy that is there already stays: an attempt that was killed may
    have replaced some of the files since.
    """
    old, number = published.report_files or (), len(published.former_reports) + 1
    if _of_labels(old) in ({}, _of_labels(replacing)):
        return published.former_reports
    copies = []
    for file in old:
        path = f"{run.folder}/reports/{number}/{_name_of(file.path)}"
        if _read(run, path, file) is None:
            if (content := _read(run, f"{run.root}/{file.path}", file)) is None:
                continue
            changing.write_whole(run.filesystem, path, content)
        copies.append(replace(file, path=path.removeprefix(f"{run.root}/")))
    totals = published.totals
    former = FormerReport(number, published.report_labels, totals.labelled, totals.accuracy, now(), tuple(copies))
    return (*published.former_reports, former)


def _of_labels(files: Iterable[File]) -> dict[str, str]:
    return {file.path: file.blake2b for file in files if file.path.startswith(("labels/", "field_labels/"))}


def _read(run: Run, path: str, file: File) -> bytes | None:
    """The bytes at a path, if they are those of this file."""
    content = locations.read_if_there(run.filesystem, path)
    return content if content is not None and digest(content) == file.blake2b else None


def _name_of(path: str) -> str:
    """The name of a copy of a report's file: a table is named by itself, any other file keeps its name."""
    table, _, name = path.partition("/")
    return f"{table}{PARQUET}" if name.endswith(PARQUET) else path.rpartition("/")[2]


def publish(run: Run) -> None:
    """Move what is staged to where it is read, parts first; called again after a kill, it finishes."""
    if not run.at_store:
        _move_tables(run)
    for name in locations.names(run.filesystem, f"{run.staging}/pages"):
        changing.move_file(run.filesystem, f"{run.staging}/pages/{name}", f"{run.folder}/{name}")


def conclude(run: Run, published: Published, known: Published | None = None) -> None:
    """What follows run.json: list the run for DuckDB, then clear what is not needed any more; may be done again.

    ``known`` is what run.json said before a report was made again; its files stay for those who read them.
    """
    if known or locations.is_folder(run.filesystem, run.staging):  # else it was done before
        datasets.write_views(run.out)
    clearing.clear(run, published, known)


def _move_tables(run: Run) -> None:
    for table in tables.BESIDE:
        changing.move_folder(run.filesystem, f"{run.staging}/beside/{table}", run.table_folder(table), PARQUET)
    changing.move_folder(run.filesystem, f"{run.staging}/parts", run.table_folder("predictions"), PARQUET)
    failpoints.reach("predictions published")
    for table in (*tables.REPORT, *tables.REPORT_OF_FORMS):
        report = f"{run.table_folder(table)}/report{PARQUET}"
        changing.move_file(run.filesystem, f"{run.staging}/{table}/report", report)
