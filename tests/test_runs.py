"""A run's life: frozen, resumed, its parts whole, published at once."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch import bundle, inference, runs, scans, tables
from mnist_batch.errors import BooksError, InputError, Locked
from tests.conftest import write_scan

SCHEMES = ["", "fsspec+file://"]  # a disk with renames, and a store that moves file by file
FACTS = {"fingerprint": "cafe0123", "scans": 5, "listing": "x"}


def opened(folder: Path, scheme: str = "", count: int = 5) -> runs.Run:
    for number in range(count):
        write_scan(folder / "in" / f"{number}.png", number)
    run = runs.Run(f"{scheme}{folder}/out", "night", "2026-11-21")
    run.freeze(scans.cut(scans.list_scans([f"{folder}/in"]), 2), FACTS | {"scans": count})
    return run


def answered(run: runs.Run, ruler: str, shard: int) -> pa.Table:
    rows = inference.Preprocess(run)(pa.table({"shard": pa.array([shard], pa.int32())}))
    return inference.Classify(ruler, bundle.open_bundle(ruler).digest)(rows)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_run_from_open_to_published(tmp_path: Path, ruler: str, scheme: str) -> None:
    run = opened(tmp_path, scheme)
    assert run.opened == {**FACTS, "shards": [2, 2, 1]}
    assert run.pending(3) == [0, 1, 2]
    run.write_part(answered(run, ruler, 1))
    assert run.pending(3) == [0, 2]
    assert not (tmp_path / "out/predictions").exists()
    with pytest.raises(BooksError, match="no part for 2 shards, the first is 0"):
        run.check_books(run.opened)
    run.write_part(answered(run, ruler, 0))
    run.write_part(answered(run, ruler, 2))
    run.check_books(run.opened)
    assert run.published is None
    run.stage_report({"per_class": tables.PER_CLASS.empty_table()}, {"report.html": b"<p>"})
    assert not (tmp_path / "out/per_class").exists()
    files = run.publish()
    assert run.publish() == files
    assert [file["rows"] for file in files] == [2, 2, 1]
    assert run.pending(3) == []
    run.check_books(run.opened)  # a run killed here goes on from where its parts are now
    run.check_files(files)
    run.commit({"fingerprint": "cafe0123"})
    assert run.published == {"fingerprint": "cafe0123"}
    assert run.opened is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_staging",
        "per_class",
        "predictions",
        "runs",
    ]
    assert list((tmp_path / "out/_staging").iterdir()) == []
    for file in files:
        part = pq.read_table(tmp_path / "out" / file["path"], partitioning=None)
        assert part.schema.equals(tables.PREDICTIONS)
        assert part.schema.field("digit").metadata == tables.PREDICTIONS.field("digit").metadata
        assert (tmp_path / "out" / file["path"]).stat().st_size == file["bytes"]


def test_a_part_holds_one_whole_shard_or_is_not_written(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    first, second = answered(run, ruler, 0), answered(run, ruler, 1)
    with pytest.raises(BooksError, match="rows of the shards"):
        run.write_part(pa.concat_tables([first, second]))
    with pytest.raises(BooksError, match="1 scans came back for 2 listed"):
        run.write_part(first.slice(1))
    with pytest.raises(BooksError, match="2 scans came back for 2 listed"):
        run.write_part(first.take([1, 0]))
    with pytest.raises(BooksError, match="4 scans came back"):
        run.write_part(pa.concat_tables([first, first]))
    assert run.pending(3) == [0, 1, 2]
    run.write_part(first)
    run.write_part(first)  # a retry overwrites itself
    assert run.pending(3) == [1, 2]


def test_publishing_again_after_a_kill_halfway_finishes(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path, "fsspec+file://")
    for shard in range(3):
        run.write_part(answered(run, ruler, shard))
    target = tmp_path / "out/predictions/run_date=2026-11-21/run_id=night"
    target.mkdir(parents=True)
    (tmp_path / "out/_staging/night/parts/part-00000.parquet").rename(target / "part-00000.parquet")
    assert run.pending(3) == []
    assert [file["rows"] for file in run.publish()] == [2, 2, 1]


def test_a_temporary_file_of_a_killed_write_is_no_part(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    run.write_part(answered(run, ruler, 0))
    parts = tmp_path / "out/_staging/night/parts"
    (parts / ".part-00001.parquet.0badcafe.tmp").write_bytes(b"half of it")
    assert run.pending(3) == [1, 2]
    run.write_part(answered(run, ruler, 1))
    run.write_part(answered(run, ruler, 2))
    assert run.discard_damaged_parts() == []
    assert [file["rows"] for file in run.publish()] == [2, 2, 1]
    assert len(list((tmp_path / "out/predictions").rglob("*.*"))) == 3


def test_a_published_part_that_is_gone_or_shorter_is_found(tmp_path: Path, ruler: str) -> None:
    run = opened(tmp_path)
    for shard in range(3):
        run.write_part(answered(run, ruler, shard))
    files = run.publish()
    part = tmp_path / "out" / files[1]["path"]
    pq.write_table(pq.read_table(part, partitioning=None).slice(1), part)
    with pytest.raises(BooksError, match=r"part-00001.parquet was published as"):
        run.check_files(files)
    part.unlink()
    with pytest.raises(BooksError, match=r"part-00001.parquet was published as"):
        run.check_files(files)


def test_an_empty_run_killed_while_publishing_finishes(tmp_path: Path) -> None:
    run = runs.Run(str(tmp_path), "night", "2026-11-21")
    run.freeze([], FACTS)
    for _ in range(2):
        run.write_empty_part()
        assert [file["rows"] for file in run.publish()] == [0]


def test_a_run_travels_to_another_process(tmp_path: Path) -> None:
    run = opened(tmp_path)
    assert run.filesystem is not None
    assert pickle.loads(pickle.dumps(run)).opened == run.opened


def publish(out: Path, run_id: str, mark: str) -> None:
    folder = out / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"fingerprint": mark, "run_date": "2026-11-21"}))


def test_the_newest_run_of_a_command_is_found(tmp_path: Path) -> None:
    out, mark, first = str(tmp_path), "cafe0123", "2026-11-21-cafe0123"
    begun, following = runs.find_run(out, "2026-11-21", mark, first)
    assert (begun.run_id, following.run_id) == ("2026-11-21-cafe0123", "2026-11-21-cafe0123-2")
    publish(tmp_path, begun.run_id, mark)
    assert runs.find_run(out, "2026-11-21", mark, first) == (begun, following)
    publish(tmp_path, following.run_id, mark)
    newest, third = runs.find_run(out, "2026-11-21", mark, first)
    assert (newest, third.run_id) == (following, "2026-11-21-cafe0123-3")
    third.freeze([], {"fingerprint": mark, "run_date": "2026-11-21"})
    assert runs.find_run(out, "2026-11-21", mark, first)[0] == third


def test_a_named_run_keeps_its_date_and_passes_over_the_names_of_others(tmp_path: Path) -> None:
    publish(tmp_path, "form", "cafe0123")
    publish(tmp_path, "form-2", "feedbeef")
    run, following = runs.find_run(str(tmp_path), "2026-11-25", "cafe0123", "form")
    assert (run.run_id, run.run_date) == ("form", "2026-11-21")
    assert (following.run_id, following.run_date) == ("form-3", "2026-11-25")
    other = runs.Run(str(tmp_path), "unfinished", "2026-11-21")
    other.freeze([], {"fingerprint": "cafe0123", "run_date": "2026-11-21"})
    assert runs.find_run(str(tmp_path), "2026-11-22", "cafe0123", "unfinished")[0] == other


def test_a_run_id_that_belongs_to_something_else_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, "night", "cafe0123")
    with pytest.raises(InputError, match="had other sources, model or parameters"):
        runs.find_run(str(tmp_path), "2026-11-21", "feedbeef", "night")


@pytest.mark.parametrize("run_id", ["../x", "a/b", ".hidden", "ä", "a" * 101])
def test_a_run_id_is_a_plain_name(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(InputError, match="use letters, digits"), runs.locked(str(tmp_path), run_id):
        pass


HOLDER = """
import sys
from mnist_batch import runs
with runs.locked(sys.argv[1], "night"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_is_at_work_on_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=f"is being made by process {holder.pid} on "), runs.locked(str(tmp_path), "night"):
        pass
    with runs.locked(str(tmp_path), "another"):
        assert not caplog.records
    holder.kill()
    holder.wait()
    with runs.locked(str(tmp_path), "night"):
        assert f"left by process {holder.pid} on" in caplog.text
    caplog.clear()
    with runs.locked(str(tmp_path), "night"):
        assert not caplog.records


def test_a_run_that_is_not_published_is_not_reported(tmp_path: Path) -> None:
    publish(tmp_path, "last-night", "cafe0123")
    assert runs.published_run(str(tmp_path), "last-night").run_date == "2026-11-21"
    with pytest.raises(InputError, match="no published run of that id .* there are last-night"):
        runs.published_run(str(tmp_path), "tonight")
