"""A run's life: frozen, resumed, its parts whole, published at once."""

import datetime
import pickle
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch import failpoints
from mnist_batch.errors import BooksError, Locked
from mnist_batch.intake import listing, scans
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors, auditing
from mnist_batch.reading import preprocessing
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import parts, publishing, verifying
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Receipt
from tests.support import run_facts
from tests.support.ruler import write_scan
from tests.support.run_facts import commit, frozen, write_part
from tests.support.waiting import until

SCHEMES = ["", "fsspec+file://"]  # a disk with renames, and a store that moves file by file


def opened(folder: Path, scheme: str = "", count: int = 5) -> Run:
    for number in range(count):
        write_scan(folder / "in" / f"{number}.png", number)
    run = Run(f"{scheme}{folder}/out", "night", "2026-11-21")
    return frozen(run, scans.cut(listing.list_scans([f"{folder}/in"]), 2))


def audited(run: Run) -> list[Receipt]:
    assert run.opened
    return auditing.audit(run, run.opened)[0]


def answered(run: Run, ruler: str, shard: int) -> pa.Table:
    rows = preprocessing.preprocess(run.shard(shard), shard)
    return actors.Classify(run, ModelSpec(ruler)).answered(rows)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_run_from_open_to_published(tmp_path: Path, ruler: str, scheme: str) -> None:
    run = opened(tmp_path, scheme)
    assert run.opened == run_facts.opened((2, 2, 1))
    assert parts.pending(run, 3) == [0, 1, 2]
    written = write_part(run, answered(run, ruler, 1))
    assert (written.shard, written.scans, written.rows, written.unreadable) == (1, 2, 2, 0)
    assert parts.pending(run, 3) == [0, 2]
    assert (tmp_path / "out/predictions").exists() == run.at_store  # where they stay, and nobody goes by the folder
    write_part(run, answered(run, ruler, 0))
    write_part(run, answered(run, ruler, 2))
    receipts = audited(run)
    assert receipts[1] == written
    assert run.published is None
    report = publishing.stage_report(run, {"per_class": tables.PER_CLASS.empty_table()}, {"report.html": b"<p>"})
    assert (tmp_path / "out/per_class").exists() == run.at_store
    publishing.publish(run)
    publishing.publish(run)
    files = publishing.files_of(run, receipts)
    assert [file.rows for file in files] == [2, 2, 1]
    assert parts.pending(run, 3) == []
    assert audited(run) == receipts  # a run killed here goes on from where its parts are now
    verifying.check_predictions(run, files)
    said = commit(run, files=files, report_files=report)
    assert run.published == said
    run.clear_staging()
    assert run.opened is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_staging",
        "per_class",
        "predictions",
        "runs",
    ]
    assert list((tmp_path / "out/_staging").iterdir()) == []
    schema = tables.published(tables.PREDICTIONS)
    schema = schema.with_metadata(schema.metadata | {b"mnist_batch.listing": b"x"})
    for file in files:
        part = pq.read_table(tmp_path / "out" / file.path, partitioning=None)
        assert part.schema.equals(schema, check_metadata=True)
        assert part.schema.field("digit").metadata == tables.PREDICTIONS.field("digit").metadata
        assert (tmp_path / "out" / file.path).stat().st_size == file.bytes


def test_a_part_holds_one_whole_shard_or_is_not_written(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    first, second = answered(run, ruler, 0), answered(run, ruler, 1)
    with pytest.raises(BooksError, match="rows of the shards"):
        write_part(run, pa.concat_tables([first, second]))
    with pytest.raises(BooksError, match="1 scan came back for 2 listed"):
        write_part(run, first.slice(1))
    with pytest.raises(BooksError, match="2 scans came back for 2 listed"):
        write_part(run, first.take([1, 0]))
    with pytest.raises(BooksError, match="4 scans came back"):
        write_part(run, pa.concat_tables([first, first]))
    assert parts.pending(run, 3) == [0, 1, 2]
    write_part(run, first)
    write_part(run, first)  # a retry overwrites itself
    assert parts.pending(run, 3) == [1, 2]


def test_publishing_killed_while_parts_get_their_names_is_finished(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    for shard in range(3):
        write_part(run, answered(run, ruler, shard))
    staged = tmp_path / "out/_staging/night/parts"
    (staged / "part-00001").rename(staged / "part-00001.parquet")
    assert parts.pending(run, 3) == []
    files = publishing.files_of(run, audited(run))
    assert [Path(file.path).name for file in files] == [f"part-{n:05d}.parquet" for n in range(3)]
    (staged / "part-00001.parquet").write_bytes(b"damaged")  # and one that is not what was written is found
    assert audited(run) == []
    assert parts.pending(run, 3) == [1]
    write_part(run, answered(run, ruler, 1))
    assert publishing.files_of(run, audited(run)) == files
    publishing.publish(run)
    verifying.check_predictions(run, files)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_that_is_staged_has_the_name_of_a_parquet_file(tmp_path: Path, ruler: str, scheme: str) -> None:
    """Who reads OUT/**/*.parquet would meet files that are no Parquet, or that are gone when they are opened."""
    run = opened(tmp_path, scheme).begin_attempt()
    for shard in range(3):
        write_part(run, answered(run, ruler, shard))
    run.note_fatal(0, 1, None, "crashed", "why")
    run.beat(0, 1, 0)
    publishing.stage_report(
        run, {name: schema.empty_table() for name, schema in tables.REPORT.items()}, {"report.html": b""}
    )
    staged = [path for path in (tmp_path / "out/_staging").rglob("*") if path.is_file()]
    assert len(staged) >= 3 + 3 + (0 if run.at_store else 3 + len(tables.REPORT))  # manifest, receipts, parts, report
    assert [path for path in staged if path.suffix == ".parquet"] == []
    publishing.publish(run)
    published = list((tmp_path / "out").rglob("*.parquet"))
    assert len(published) == 3 + len(tables.REPORT)
    for path in published:
        part = pq.read_table(path, partitioning=None)
        assert part.schema.metadata[b"mnist_batch.schema"] == str(tables.VERSION).encode()
        assert part.schema.names[:2] == ["night", "run"]
    rows = pq.read_table(run.table_folder("predictions"), partitioning=None)
    assert set(rows["night"].to_pylist()) == {datetime.date(2026, 11, 21)}
    assert set(rows["run"].to_pylist()) == {"night"}


def test_a_temporary_file_of_a_killed_write_is_no_part(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    write_part(run, answered(run, ruler, 0))
    staged = tmp_path / "out/_staging/night/parts"
    (staged / ".part-00001.0badcafe.tmp").write_bytes(b"half of it")
    assert parts.pending(run, 3) == [1, 2]
    write_part(run, answered(run, ruler, 1))
    write_part(run, answered(run, ruler, 2))
    assert [receipt.rows for receipt in audited(run)] == [2, 2, 1]
    publishing.publish(run)
    assert len(list((tmp_path / "out/predictions").rglob("*.*"))) == 3


def test_a_published_part_that_is_gone_or_shorter_is_found(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    for shard in range(3):
        write_part(run, answered(run, ruler, shard))
    files = publishing.files_of(run, audited(run))
    publishing.publish(run)
    part = tmp_path / "out" / files[1].path
    pq.write_table(pq.read_table(part, partitioning=None).slice(1), part)
    with pytest.raises(BooksError, match=r"part-00001.parquet: changed since it was published"):
        verifying.check_predictions(run, files)
    part.unlink()
    with pytest.raises(BooksError, match=r"part-00001.parquet: missing"):
        verifying.check_predictions(run, files)


def test_an_empty_run_killed_while_publishing_finishes(tmp_path: Path) -> None:
    run = Run(str(tmp_path), "night", "2026-11-21")
    frozen(run, [])
    for _ in range(2):
        parts.write_empty_part(run, Aggregates.of_run(None).table())
        files = publishing.files_of(run, audited(run))
        publishing.publish(run)
        assert [file.rows for file in files] == [0]
        verifying.check_predictions(run, files)


def test_each_page_of_a_long_scan_is_a_sign_of_life(tmp_path: Path) -> None:
    run = opened(tmp_path)
    signs = [len(run.signs_of_life())]
    for page in range(3):
        run.beat(0, 1, page)
        signs.append(len(run.signs_of_life()))
    assert signs == [0, 1, 2, 3]


def test_a_run_travels_to_another_process(tmp_path: Path) -> None:
    run = opened(tmp_path)
    assert run.filesystem is not None
    assert pickle.loads(pickle.dumps(run)).opened == run.opened


def test_a_part_of_an_attempt_that_was_taken_over_is_refused(
    tmp_path: Path, ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stale attempt is held in the middle of its part's write while another scores and publishes the run."""
    run = opened(tmp_path)
    (tmp_path / "points").mkdir()
    (tmp_path / "points/write parts_part-00001").write_text("hold")
    monkeypatch.setattr(failpoints, "FOLDER", str(tmp_path / "points"))
    rows = [answered(run, ruler, shard) for shard in range(3)]
    stale, errors = run.begin_attempt(), []

    def write_late() -> None:
        try:
            write_part(stale, rows[1])
        except Locked as error:
            errors.append(str(error))

    late = threading.Thread(target=write_late)
    late.start()
    held = tmp_path / "points/write parts_part-00001.fired"
    until(held.exists, "the stale writer stands between its part and its rename")
    newer = run.begin_attempt()
    for part in rows:
        write_part(newer, part)
    held.unlink()
    late.join()
    assert len(errors) == 1
    assert "another process has taken this run over" in errors[0]
    files = publishing.files_of(newer, audited(newer))
    publishing.publish(newer)
    commit(newer, files=files)
    newer.clear_staging()
    with pytest.raises(Locked, match="another process has taken this run over"):
        write_part(stale, rows[1])  # and later still, when all is published
    assert [file.rows for file in files] == [2, 2, 1]
    verifying.check_predictions(run, files)
    assert not list((tmp_path / "out").rglob("parts/part-*"))
