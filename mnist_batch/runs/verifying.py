"""Compare published files with the digests that run.json records, byte for byte."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mnist_batch.errors import BooksError, DamagedRun, InputError
from mnist_batch.runs import parts, series
from mnist_batch.runs.run import Run, digest
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import File, Published
from mnist_batch.store import locations
from mnist_batch.wording import counted


def check_predictions(run: Run, files: Sequence[File]) -> None:
    """Raise BooksError unless the published parts are, byte for byte, the ``files`` that run.json lists."""
    if faults := _compared(run, files, _folders_of_parts(run)):
        raise BooksError(
            f"run {run.run_id}: {faults[0]}; restore it from a backup, or withdraw the run ({run.discarding}) and "
            "score it again"
        )


@dataclass(frozen=True)
class Verified:
    """The result for one run: ``faults`` has a line for each file that is not as it was published."""

    run_id: str
    faults: Sequence[str]
    files: int = 0
    rows: int = 0
    report: bool = True  # a run of an earlier version recorded no digests of its report


def verify(out: str, run_id: str | None = None) -> Iterator[Verified]:
    """Compare every published run with its run.json, or the one of this id.

    Raises InputError where there is none.
    """
    ids = [run_id] if run_id is not None else series.published_runs(out)
    unpublished = [] if run_id is not None else [Verified(each, faults) for each, faults in _unpublished(out)]
    if not ids and not unpublished:
        raise InputError(
            f"--out {out!r}: there is no published run, no {locations.absolute(out)}/runs/RUN_ID/run.json; "
            f"{locations.what_to_check(out)}"
        )
    for each in ids:
        try:
            run, published = series.published_run(out, each)
        except DamagedRun as damage:
            yield Verified(each, [str(damage)])
            continue
        except InputError:
            if run_id is None:  # it has been discarded since
                continue
            raise
        yield _verified(run, published)
    yield from unpublished


def _verified(run: Run, published: Published) -> Verified:
    faults = _compared(run, published.files, _folders_of_parts(run))
    of_parts = (file.rows or 0 for file in published.files if file.path.startswith("predictions/"))
    rows, total = sum(of_parts), published.totals.rows
    if rows != total:
        faults.append(f"{run.folder}/run.json: its files have {counted(rows, 'row')}, its totals {total:,}")
    report = published.report_files
    if report is not None:
        faults += _compared(run, report, _report_folders(run))
    former = [file for each in published.former_reports for file in each.files]
    faults += _compared(run, former, [])
    files = len(published.files) + len(report or ()) + len(former)
    return Verified(run.run_id, faults, files, rows, report is not None)


def _compared(run: Run, listed: Sequence[File], folders: Sequence[str]) -> list[str]:
    """A line for each file that is missing, changed, or new in one of the folders."""
    faults = []
    for file in sorted(listed, key=lambda file: file.path):
        path = f"{run.root}/{file.path}"
        try:
            there = digest(locations.read(run.filesystem, path)) if locations.exists(run.filesystem, path) else None
        except OSError as error:
            faults.append(f"{run.location(path)}: cannot be read ({error})")
            continue
        if there is None:
            faults.append(f"{run.location(path)}: missing")
        elif there != file.blake2b:
            faults.append(f"{run.location(path)}: changed since it was published")
    known = {f"{run.root}/{file.path}" for file in listed}
    new = sorted({path for folder in folders for path in _paths(run, folder)} - known)
    return faults + [f"{run.location(path)}: not a file of this run, but readers see it as one" for path in new]


def _unpublished(out: str) -> Iterator[tuple[str, list[str]]]:
    """The runs that have readable predictions but no run.json, and that no process is publishing."""
    filesystem, root = locations.resolve(out)
    folders = [
        f"{root}/predictions/{date}/{run}"
        for date in locations.names(filesystem, f"{root}/predictions")
        if date.startswith("run_date=")
        for run in locations.names(filesystem, f"{root}/predictions/{date}")
        if run.startswith("run_id=")
    ]
    for folder in folders:
        run_id = folder.rpartition("run_id=")[2]
        # In this order: a run that is being published has opened.json until it has run.json.
        staged = locations.exists(filesystem, f"{root}/_staging/{run_id}/opened.json")
        if staged or locations.exists(filesystem, f"{root}/runs/{run_id}/run.json"):
            continue
        if any(not name.startswith(".") for name in locations.names(filesystem, folder)):
            yield run_id, [f"{folder}: predictions without a run.json; their run is not published"]


def _folders_of_parts(run: Run) -> list[str]:
    return [run.table_folder(table) for table in ("predictions", *tables.BESIDE)]


def _report_folders(run: Run) -> list[str]:
    return [run.table_folder(table) for table in (*tables.REPORT, *tables.REPORT_OF_FORMS)]


def _paths(run: Run, folder: str) -> list[str]:
    # Readers of tables skip names that begin with a dot. At a store an attempt that lost may have left a file: readers
    # go by run.json there.
    names = [name for name in locations.names(run.filesystem, folder) if not name.startswith(".")]
    return [f"{folder}/{name}" for name in names if not (run.at_store and parts.tells_content(name))]
