"""Publishing at a store without rename: files stay where they are written, and run.json says which ones count."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow.compute as pc
import pytest
from pyarrow import fs

import mnist_batch
from jobs import discard, report, verify
from mnist_batch import scoring
from mnist_batch.errors import DamagedRun, InputError, Locked
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors, auditing
from mnist_batch.reading import preprocessing
from mnist_batch.runs import clearing, datasets, opening, overview, parts, prune_preview, pruning, publishing, series
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.store import changing, locations
from tests.support import s3
from tests.support.ruler import write_scan
from tests.support.run_facts import commit, write_part
from tests.support.running import Capture, ran

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]
Make = Callable[..., Path]
DERIVED = {"published.sql", "index.html"}  # of all runs; made again at any time


@pytest.fixture(params=["s3", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("seaweedfs", "fsspec"))])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output at two stores that keep conditions, and at one that has none."""
    return place(request, tmp_path)


@pytest.fixture(params=["s3", "disk"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place(request, tmp_path)


def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in ("s3", "seaweedfs"):
        store: s3.Proxy = request.getfixturevalue("store" if request.param == "s3" else "seaweed_store")
        return f"s3://{store.bucket}/out"
    return f"{'fsspec+file://' if request.param == 'fsspec' else ''}{tmp_path}/out"


def asked(folder: Path, ruler: str, out: str, run_id: str = "night", **options: Any) -> Command:
    options = {"labels": "parent", "shard_size": 10, "run_date": "2026-11-21"} | options
    return Command(sources=[str(folder)], model=ruler, out=out, run_id=run_id, **options)


def scored(folder: Path, ruler: str, out: str, run_id: str = "night", **options: Any) -> Run:
    with opening.open_run(asked(folder, ruler, out, run_id, **options)) as run:
        scoring.score(run)
        return run


def keys(out: str) -> set[str]:
    """The paths of all files below an output, without the empty keys of folders."""
    filesystem, root = locations.resolve(out)
    found = filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return {each.path.removeprefix(f"{root}/") for each in found if each.type == fs.FileType.File and each.size}


def listed(run: Run) -> set[str]:
    assert run.published
    return {file.path for file in (*run.published.files, *(run.published.report_files or ()))}


def test_a_store_holds_what_run_json_lists_and_nothing_else(
    scans_folder: Make, ruler: str, out: str, capsys: Capture
) -> None:
    folder = scans_folder(25)
    run = scored(folder, ruler, out)
    assert keys(out) == listed(run) | {"runs/night/run.json", *DERIVED}
    assert {Path(file).parts[0] for file in listed(run)} >= {"predictions", "per_class", "labels", "runs"}
    assert all(parts.tells_content(file) for file in listed(run) if file.endswith(".parquet"))
    assert ran(capsys, verify, "--out", out)[0] == 0
    before = keys(out)
    scored(folder, ruler, out)  # nothing to do
    assert keys(out) == before


def unpublished(folder: Path, ruler: str, out: str) -> tuple[Run, list[Any]]:
    """A run of three shards with its answers, of which no part is written."""
    with opening.open_run(asked(folder, ruler, out)) as run:
        classify = actors.Classify(run, ModelSpec(ruler))
        return run, [classify.answered(preprocessing.preprocess(run.shard(shard), shard)) for shard in range(3)]


def audited(run: Run) -> Any:
    assert run.opened
    return publishing.files_of(run, auditing.audit(run, run.opened)[0])


def test_an_attempt_that_lost_changes_nothing_that_the_other_committed(
    scans_folder: Make, ruler: str, out: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Its put was on its way when the other one looked; here it was checked before and arrives at the worst moment."""
    run, rows = unpublished(scans_folder(25), ruler, out)
    lost, won = run.begin_attempt(), run.begin_attempt()
    unlike = rows[1].set_column(
        rows[1].column_names.index("confidence"), "confidence", pc.multiply(rows[1]["confidence"], 0.5)
    ).cast(rows[1].schema)  # fmt: skip
    monkeypatch.setattr(Run, "check_attempt", lambda _: None)
    for part in rows:
        write_part(won, part)
    files = audited(won)
    for late in (rows[1], unlike):
        write_part(lost, late)
    said = commit(won, files=files, totals=replace(commit_totals(), rows=25))
    with pytest.raises(Locked, match="another process has published it meanwhile"):
        commit(lost, files=audited(lost), totals=replace(commit_totals(), rows=25), published_at="later")
    assert won.published == said
    assert ran(capsys, verify, "--out", out)[0] == 0
    assert mnist_batch.read_predictions(out).count_rows() == 25
    assert len([key for key in keys(out) if key.startswith("predictions/")]) == 4
    publishing.conclude(won, said)
    assert {key for key in keys(out) if key.startswith("predictions/")} == {file.path for file in files}


def commit_totals() -> Any:
    from mnist_batch.reports.counting import Counts

    return Counts().totals()


def test_a_part_without_its_receipt_is_scored_again_and_a_damaged_one_too(
    scans_folder: Make, ruler: str, out: str
) -> None:
    run, rows = unpublished(scans_folder(25), ruler, out)
    for part in rows:
        write_part(run, part)
    assert parts.pending(run, 3) == []
    files = audited(run)
    paths = parts.part_paths(run)
    changing.write_whole(run.filesystem, paths["part-00001"], b"damaged")
    assert run.opened
    assert auditing.audit(run, run.opened)[0] == []
    assert parts.pending(run, 3) == [1]
    write_part(run, rows[1])
    assert audited(run) == files


@pytest.mark.long
def test_a_report_with_other_labels_is_read_by_the_new_run_json_and_the_old_one_stays_whole(
    scans_folder: Make, ruler: str, out: str, capsys: Capture
) -> None:
    run = scored(scans_folder(25), ruler, out)
    first, old = listed(run), mnist_batch.read_predictions(out, "labels")
    before = old.count_rows()
    assert ran(capsys, report, "--out", out, "--run", "night", "--labels", "parent")[0] == 0
    again = listed(run)
    assert {file for file in first if file.startswith("predictions/")} < again
    assert old.to_table().num_rows == before  # who has opened the old files can read them
    assert first <= keys(out)
    assert mnist_batch.read_predictions(out, "labels").count_rows() == 25
    assert ran(capsys, verify, "--out", out)[0] == 0
    left = f"{run.table_folder('labels')}/report-0123456789abcdef.parquet"
    changing.write_whole(run.filesystem, left, b"left by a report that was killed")
    assert ran(capsys, report, "--out", out, "--run", "night", "--labels", "none")[0] == 0
    assert keys(out) == listed(run) | again | {"runs/night/run.json", *DERIVED}
    assert mnist_batch.read_predictions(out, "labels").count_rows() == before


def test_of_two_reports_at_once_the_second_is_refused(scans_folder: Make, ruler: str, out: str) -> None:
    run = scored(scans_folder(5), ruler, out)
    known = run.published
    assert known
    run.commit(replace(known, sample=1), known)
    with pytest.raises(Locked):
        run.commit(replace(known, sample=2), known)
    assert run.published == replace(known, sample=1)


@pytest.mark.long
def test_where_run_json_was_deleted_the_run_is_scored_again(
    scans_folder: Make, ruler: str, out: str, capsys: Capture
) -> None:
    folder = scans_folder(15)
    run = scored(folder, ruler, out)
    changing.delete_file(run.filesystem, f"{run.folder}/run.json")
    assert mnist_batch.read_predictions(out).count_rows() == 0
    scored(folder, ruler, out)
    assert mnist_batch.read_predictions(out).count_rows() == 15
    assert ran(capsys, verify, "--out", out)[0] == 0
    changing.delete_file(run.filesystem, f"{run.folder}/run.json")
    write_scan(folder / "new.png", 1)
    with pytest.raises(InputError, match=r"whose run\.json is gone"):
        scored(folder, ruler, out)


@pytest.mark.long
def test_a_refused_run_leaves_nothing_once_another_is_published(scans_folder: Make, ruler: str, out: str) -> None:
    from mnist_batch.errors import TooManyUnreadable
    from mnist_batch.pipeline.settings import Settings

    folder = scans_folder(25)
    with pytest.raises(TooManyUnreadable), opening.open_run(asked(folder, ruler, out)) as run:
        scoring.score(run, Settings(max_unreadable=0.0))
    assert mnist_batch.read_predictions(out).count_rows() == 0
    assert [key for key in keys(out) if key.startswith("predictions/")]
    for path in folder.rglob("scan-0022.png"):
        write_scan(path, 2)
    again = scored(folder, ruler, out)
    assert again.run_id == "night-2"
    assert keys(out) == listed(again) | {"runs/night-2/run.json", *DERIVED}


@pytest.mark.long
def test_what_killed_and_lost_attempts_left_is_cleared_and_nothing_else(
    scans_folder: Make, ruler: str, out: str, capsys: Capture
) -> None:
    folder = scans_folder(15)
    run = scored(folder, ruler, out)
    before = keys(out)
    _, root = locations.resolve(out)
    left = [
        f"{run.table_folder('predictions')}/part-00001-0123456789abcdef.parquet",
        f"{run.table_folder('per_class')}/report-0123456789abcdef.parquet",
        f"{run.staging}/receipts/part-00001",
        f"{root}/_staging/never-opened/manifest/part-00000",
        f"{root}/_staging/.probe-01234567",
        f"{root}/_staging/gone.lock",
    ]
    for path in left:
        changing.write_whole(run.filesystem, path, b"{}" if path.endswith(".lock") else b"left")
    said = {"holder": "process 1 on elsewhere", "seconds": 0.1, "token": "theirs"}
    changing.write_whole(run.filesystem, left[-1], json.dumps(said).encode())
    with opening.open_run(asked(folder, ruler, out, "unfinished")):
        pass
    with opening.open_run(asked(folder, ruler, out, "at-work")):
        at_work = keys(out) - before - {path.removeprefix(f"{root}/") for path in left}
        there, foretold = keys(out), clearing.clear_abandoned(out, dry_run=True)
        working = ("at-work", "at-work-2")  # the command holds the lock of the run that would follow, too
        preview = prune_preview.preview(out, pruning.prune(out, 0, dry_run=True))
        assert keys(out) == there
        assert ({*preview.deleted}, {*preview.locked}) == ({"unfinished", "at-work"}, {"gone", *working})
        assert preview.locked["gone"] == "process 1 on elsewhere"
        assert preview.sums["cleared"].files == len(left) + 1  # the lock of at-work-2
        removed = clearing.clear_abandoned(out)
        assert keys(out) == before | at_work
        assert {path for path in foretold if "at-work" not in path} == {*removed}
    assert {path.replace("/receipts/part-00001", "").replace("/manifest/part-00000", "") for path in left} == {
        locations.resolve(path)[1] for path in removed
    }
    assert clearing.clear_abandoned(out) == []
    assert ran(capsys, verify, "--out", out)[0] == 0
    assert scored(folder, ruler, out, "unfinished").published


@pytest.mark.slow
def test_folders_that_a_store_lists_although_no_file_is_in_them_are_no_runs(
    scans_folder: Make, ruler: str, store: s3.Proxy, capsys: Capture
) -> None:
    """As SeaweedFS does for minutes, and every store where the key of a folder was left."""
    out = f"s3://{store.bucket}/out"
    scored(scans_folder(5), ruler, out)
    for folder in ("_staging/night", "_staging/gone", "_staging/.gone.discarding", "runs/gone"):
        store.send("PUT", f"/{store.bucket}/out/{folder}/")
    store.send("PUT", f"/{store.bucket}/out/predictions/run_date=2026-11-21/run_id=gone/")
    assert clearing.clear_abandoned(out) == []
    pruned = pruning.prune(out, 0, grace_hours=0)
    assert (pruned.withdrawn, pruned.deleted, pruned.cleared, pruned.kept) == ([], [], [], 1)
    code, _, said = ran(capsys, discard, "--out", out, "--run", "gone")
    assert (code, "no run of that id" in said["error"]) == (2, True)
    assert series.known_runs(out) == series.published_runs(out) == ["night"]
    assert [run["run_id"] for run in overview.overview(out)] == ["night"]
    assert overview.nights(out, 10).others == []


def test_the_next_run_of_a_series_clears_what_a_killed_one_left(scans_folder: Make, ruler: str, out: str) -> None:
    folder = scans_folder(15)
    run = scored(folder, ruler, out)
    before = keys(out)
    left = f"{run.table_folder('predictions')}/part-00001-0123456789abcdef.parquet"
    changing.write_whole(run.filesystem, left, b"left")
    scored(folder, ruler, out)
    assert keys(out) == before


@pytest.mark.long
def test_only_what_is_published_is_read_by_run_table_and_time(
    scans_folder: Make, ruler: str, anywhere: str, capsys: Capture
) -> None:
    out, read = anywhere, mnist_batch.read_predictions
    assert read(out).count_rows() == 0
    first = scored(scans_folder(25), ruler, out, "first")
    scored(scans_folder(15, "others"), ruler, out, "second", labels="none", run_date="2026-11-22")
    unfinished, rows = unpublished(scans_folder(35, "more"), ruler, out)
    write_part(unfinished, rows[0])
    assert read(out).count_rows() == 40
    assert read(out, run="second").count_rows() == 15
    assert read(out, run=["second", "first"]).count_rows() == 40
    assert read(out, "per_class").count_rows() == 20
    assert read(out, "fields").count_rows() == 0
    assert first.published
    moment = first.published.published_at
    assert read(out, as_of=moment).count_rows() == 25
    assert read(out, as_of="2026-11-20T00:00:00+00:00").count_rows() == 0
    by_run = read(out).to_table(["run", "night"], filter=pc.field("run") == "second")
    assert {str(night) for night in by_run["night"].to_pylist()} == {"2026-11-22"}
    assert set(read(out).schema.names) == {"night", "run", *tables.PREDICTIONS.names}
    for wrong, said in (
        ({"table": "prediction"}, "choose from predictions, "),
        ({"run": "third"}, "there are first, second"),
        ({"as_of": "yesterday"}, "give a time with its zone"),
        ({"as_of": "2026-11-20T00:00:00"}, "give a time with its zone"),
    ):
        with pytest.raises(InputError, match=said):
            read(out, **wrong)  # type: ignore[arg-type]
    found = polars.scan_pyarrow_dataset(read(out)).group_by("run").len().sort("run").collect()
    assert found.rows() == [("first", 25), ("second", 15)]
    assert ran(capsys, discard, "--out", out, "--run", "second")[0] == 0
    assert read(out).count_rows() == 25
    changing.write_whole(first.filesystem, f"{first.folder}/run.json", b"{")
    with pytest.raises(DamagedRun, match=r"run\.json is damaged"):
        read(out)


@pytest.mark.long
def test_the_views_for_duckdb_are_those_of_the_published_runs(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "it's out"
    scored(scans_folder(25), ruler, str(out), "first")
    scored(scans_folder(15, "others"), ruler, str(out), "second", labels="none")

    def rows() -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            connection.execute((out / "published.sql").read_text())
            assert connection.execute("SELECT count(*) FROM per_class").fetchall()[0][0] % 10 == 0
            return connection.execute("SELECT run, count(*) FROM predictions GROUP BY run ORDER BY run").fetchall()

    assert rows() == [("first", 25), ("second", 15)]
    assert ran(capsys, report, "--out", out, "--run", "second", "--labels", "parent")[0] == 0
    assert ran(capsys, discard, "--out", out, "--run", "first")[0] == 0
    assert rows() == [("second", 15)]
    written = (out / "published.sql").stat().st_mtime_ns
    datasets.write_views(str(out))
    assert (out / "published.sql").stat().st_mtime_ns == written
    (out / "runs/second/run.json").write_text("{")
    datasets.write_views(str(out))
    assert "second" not in (out / "published.sql").read_text()


def test_views_name_the_files_at_their_store(scans_folder: Make, ruler: str, store: s3.Proxy) -> None:
    out = f"s3://{store.bucket}/out"
    run = scored(scans_folder(15), ruler, out)
    filesystem, root = locations.resolve(out)
    text = locations.read(filesystem, f"{root}/published.sql").decode()
    for file in listed(run):
        assert (f"'{out}/{file}'" in text) == file.endswith(".parquet")


def test_a_run_that_was_taken_over_is_not_published(
    scans_folder: Make, ruler: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = publishing.publish

    def overtaken(run: Run) -> None:
        publish(run)
        changing.delete_file(run.filesystem, run.lock)
        monkeypatch.setattr("mnist_batch.store.leases.LEASE_SECONDS", 0.0)

    monkeypatch.setattr(publishing, "publish", overtaken)
    with pytest.raises(Locked, match="another process has taken it over"):
        scored(scans_folder(15), ruler, out)
    assert series.published_runs(out) == []
