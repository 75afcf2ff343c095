"""What analysts can open: every documented line, in every reader at hand, finds nights and runs of whatever version."""

import ast
import datetime
import glob
import json
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from jobs import report, verify
from mnist_batch.intake import listing, scans
from mnist_batch.intake.labels import attach_labels, parse_labels
from mnist_batch.models import answers
from mnist_batch.models.answers import Model
from mnist_batch.models.engines import Outputs, combined
from mnist_batch.reading import preprocessing
from mnist_batch.reports import counting
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import datasets, publishing, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from tests.support import DATA, ROOT
from tests.support.ruler import write_scan
from tests.support.run_facts import commit, frozen, write_part

PAGE = (ROOT / "docs/reading.md").read_text()
OLD = DATA / "run-0.1"  # README.md beside it says how it was made
OLD_RUN = "2026-11-20-c038c117"
FIRST, SECOND = datetime.date(2026, 11, 21), datetime.date(2026, 11, 22)
RUNS = {"2026-11-21-1a2b3c4d": FIRST, "2026-11-22-12345678": SECOND, "2026-11-22-12345678-2": SECOND, "forms": SECOND}
SCANS = {f"{digit}/scan.png" for digit in range(4)} | {"9/broken.png"}
NAMES = {
    "datetime": datetime,
    "glob": glob.glob,
    "pandas": pandas,
    "polars": polars,
    "pyarrow": pa,
    "dataset": pa.dataset,
}
Rows = list[dict[str, Any]]


def three(pictures: NDArray[np.uint8]) -> Outputs:
    """An engine that answers 3."""
    return combined(np.tile(np.eye(10, dtype=np.float32)[3] * 0.8 + 0.02, (len(pictures), 1)))


def publish(out: Path, run_id: str, night: datetime.date) -> Run:
    """Publish a run of five scans in two parts: four answered, one unreadable."""
    source = out.parent / f"scans of {run_id}"
    for digit in range(4):
        write_scan(source / f"{digit}/scan.png", digit)
    (source / "9").mkdir()
    (source / "9/broken.png").write_bytes(b"this is no image")
    run, gathered = Run(str(out), run_id, night.isoformat()), Aggregates.of_run(None)
    frozen(run, scans.cut(attach_labels(listing.list_scans([str(source)]), parse_labels("parent")), 3))
    receipts = []
    for shard in range(2):
        rows = answers.answer(preprocessing.preprocess(run.shard(shard), shard), Model(three, "feedbeef"))
        receipts.append(write_part(run, rows))
        gathered.add(rows)
    of_report = {
        "per_class": counting.per_class(gathered.counts),
        "confusion": counting.confusion(gathered.counts),
        "calibration": gathered.confidences.calibration(),
        "risk_coverage": gathered.confidences.risk_coverage(),
        "labels": pa.concat_tables(gathered.labels),
        "drift": pa.Table.from_pylist(
            [{"metric": "blank", "pages": 5, "rows": 5, "value": 0.0, "error": 0.1}], tables.DRIFT
        ),
    }
    report_files = publishing.stage_report(run, of_report, {})
    publishing.publish(run)
    commit(run, totals=gathered.totals(), files=publishing.files_of(run, receipts), report_files=report_files)
    run.clear_staging()
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``out``, an output of four runs of two nights."""
    folder = tmp_path_factory.mktemp("readers")
    for run_id, night in RUNS.items():
        publish(folder / "out", run_id, night)
    return folder


@pytest.fixture
def both(folder: Path, tmp_path: Path) -> Path:
    """The same with a run of version 0.1 beside them, which is the oldest: readers see its files first."""
    shutil.copytree(folder / "out", tmp_path / "out")
    shutil.copytree(OLD, tmp_path / "out", dirs_exist_ok=True)
    return tmp_path


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The kind and content of each code block."""
    yield from re.findall(r"^```(sql|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[tuple[str, str]]:
    """The kind and text of each statement of the code blocks: in SQL up to a semicolon, in Python a line."""
    return [
        (kind, line.strip())
        for kind, block in blocks(text)
        for line in (block.split(";") if kind == "sql" else block.splitlines())
        if line.strip()
    ]


def rows_of(result: Any) -> Rows:
    if isinstance(result, duckdb.DuckDBPyRelation):
        return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
    if isinstance(result, polars.DataFrame):
        return result.to_dicts()
    if isinstance(result, pandas.DataFrame):
        return result.to_dict("records")
    assert isinstance(result, pa.Table)
    return result.to_pylist()


def read(kind: str, text: str, names: dict[str, Any]) -> Rows:
    """What a block gives: of Python the value of its last line."""
    if kind == "sql":
        return rows_of(duckdb.sql(text))
    *before, last = ast.parse(text).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(before, []), "reading.md", "exec"), names)
    return rows_of(eval(compile(ast.Expression(last.value), "reading.md", "eval"), names))


def of_runs(rows: Rows) -> Mapping[str, tuple[set[Any], set[str]]]:
    """Run -> its nights and its scans."""
    found: dict[str, tuple[set[Any], set[str]]] = {}
    for row in rows:
        nights, names = found.setdefault(row["run"], (set(), set()))
        nights.add(row["night"])
        names.add(row["scan"])
    return found


def expected(ids: Sequence[str]) -> Mapping[str, tuple[set[datetime.date], set[str]]]:
    return {run_id: ({RUNS[run_id]}, SCANS) for run_id in ids}


def test_every_line_finds_a_night_and_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    section = PAGE.split("## One night, or one run")[1].split("## At a store")[0]
    by = {"night": [], "run": []}
    for kind, line in lines(section):
        one = "2026-11-21-1a2b3c4d" in line
        by["run" if one else "night"].append(line)
        ids = ["2026-11-21-1a2b3c4d"] if one else [run_id for run_id, night in RUNS.items() if night == SECOND]
        rows = read(kind, line, dict(NAMES))
        assert of_runs(rows) == expected(ids), line
        assert len(rows) == len(ids) * len(SCANS), line
    for reader in ("FROM", "polars", "pandas", "dataset"):
        for column, found in by.items():
            assert any(reader in line for line in found), f"no line of {reader} filters by {column}"


def opened_by(reader: str, table: str, way: str) -> Rows:
    """A table of ``out`` opened as a folder, by a pattern or one file, without any further argument."""
    file = next(Path("out", table).rglob("run_id=forms/*.parquet"))
    path = {"folder": f"out/{table}", "pattern": f"out/{table}/**/*.parquet", "file": str(file)}[way]
    if reader == "duckdb":
        return rows_of(duckdb.sql(f"FROM read_parquet('{path + '/**/*.parquet' if way == 'folder' else path}')"))
    if reader == "polars":
        return rows_of(polars.read_parquet(path))
    several = sorted(glob.glob(path, recursive=True)) if way == "pattern" else path
    if reader == "pandas":
        return rows_of(pandas.read_parquet(several))
    return rows_of(pa.dataset.dataset(several).to_table())


@pytest.mark.parametrize("table", ["predictions", *tables.REPORT])
def test_every_table_has_a_night_and_a_run_however_it_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.chdir(folder)
    for reader in ("duckdb", "polars", "pandas", "pyarrow"):
        for way in ("folder", "pattern", "file"):
            rows = opened_by(reader, table, way)
            wanted = {"forms": SECOND} if way == "file" else RUNS
            found = {(row["run"], getattr(row["night"], "date", lambda row=row: row["night"])()) for row in rows}
            assert found == set(wanted.items()), (reader, way)


def test_the_folders_of_runs_are_texts_to_every_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids as they are made: also where eight hex digits happen to be decimal, or to read as 12e45678."""
    monkeypatch.chdir(folder)
    made = [
        "2026-11-28-12345678",
        "2026-11-28-00000012",
        "2026-11-28-12e45678",
        "2026-11-28-1a2b3c4d-2",
        "2026-11-28-12345678-2",
    ]
    for run_id in (*made, "2026-11-21-forms", "night-20261121", "e5", "n1e5"):
        series.check_new_id(run_id)
        alone = folder / "alone" / run_id
        shutil.copytree(folder / "out/per_class/run_date=2026-11-22/run_id=forms", alone / f"run_id={run_id}")
        hive = pa.dataset.dataset(alone, partitioning="hive").to_table()
        seen = [
            {row["run_id"] for row in rows_of(result)}
            for result in (
                duckdb.sql(f"FROM read_parquet('{alone}/**/*.parquet')"),
                polars.read_parquet(alone),
                pandas.read_parquet(alone),
                hive,
            )
        ]
        assert seen == [{run_id}] * 4


def test_runs_of_old_and_new_versions_are_read_together(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(both)
    old = {row["scan"] for row in rows_of(duckdb.sql(f"FROM read_parquet('{OLD}/predictions/**/*.parquet')"))}
    assert len(old) == 13
    wanted = expected(list(RUNS)) | {OLD_RUN: ({datetime.date(2026, 11, 20)}, old)}
    section = PAGE.split("<!-- joined -->")[1].split("<!-- end -->")[0]
    names, readers = dict(NAMES), set()
    for kind, block in blocks(section):
        rows = read(kind, block, names)
        readers.add(kind if kind == "sql" else re.findall(r"polars\.|pandas\.|dataset\.", block)[-1])
        assert of_runs(rows) == wanted, block
        assert len(rows) == len(RUNS) * len(SCANS) + len(old)
        for row in rows:  # both kinds of list, and null where there is no answer
            answered = row["status"] == "ok"
            assert (len(row["probabilities"]) if answered else row["probabilities"]) == (10 if answered else None)
    assert readers == {"sql", "polars.", "pandas.", "dataset."}


def test_every_line_that_goes_by_run_json_reads_published_runs_of_all_versions(
    both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(both)
    [(_, block)] = blocks(PAGE.split("<!-- published -->")[1].split("<!-- end -->")[0])
    imported, opened, *found = ast.parse(block).body
    names = dict(NAMES)
    exec(compile(ast.Module([imported, opened], []), "reading.md", "exec"), names)
    later, one, per_class, then, counts = (rows_of(eval(ast.unparse(line), names)) for line in found)
    assert {row["run"] for row in later} == {run_id for run_id, night in RUNS.items() if night == SECOND}
    assert of_runs(one) == expected(["2026-11-21-1a2b3c4d"])
    assert {row["run"] for row in per_class} == {OLD_RUN, *RUNS}
    assert {row["run"] for row in counts} == {OLD_RUN, *RUNS}
    assert {row["run"] for row in then} == set(RUNS)  # the old one was published later
    every = rows_of(names["rows"].to_table())
    assert {row["night"] for row in every if row["run"] == OLD_RUN} == {datetime.date(2026, 11, 20)}
    for row in every:
        answered = row["status"] == "ok"
        assert (len(row["probabilities"]) if answered else row["probabilities"]) == (10 if answered else None)
    datasets.write_views("out")
    with duckdb.connect() as connection:
        connection.execute(Path("out/published.sql").read_text())
        seen = connection.execute("SELECT coalesce(run, run_id), count(*) FROM predictions GROUP BY ALL").fetchall()
    assert dict(seen) == {row["run"]: row["len"] for row in counts}


def test_a_file_says_its_version(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(both)
    [(_, line)] = [found for found in lines(PAGE) if "parquet_kv_metadata" in found[1]]
    told = {row["file_name"]: row["version"] for row in read("sql", line, {})}
    assert set(told.values()) == {str(tables.VERSION)}
    assert {run_id for run_id in RUNS if any(f"run_id={run_id}/" in name for name in told)} == set(RUNS)
    assert not any(OLD_RUN in name for name in told)
    for path in (both / "out").rglob("*.parquet"):
        version = (pq.read_schema(path).metadata or {}).get(b"mnist_batch.schema")
        assert version == (None if OLD_RUN in str(path) else str(tables.VERSION).encode())


def test_a_run_of_version_0_1_is_verified_and_reported_on(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = both / "truth.csv"
    truth.write_text("scan,label\n8/mislabelled.png,3\n8/cell-8.png,8\n")
    out = ["--out", str(both / "out"), "--run", OLD_RUN]
    assert verify.main(out) == 0
    assert report.main([*out, "--labels", str(truth)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["labelled"], summary["accuracy"]) == (2, 1.0)
    assert verify.main(out) == 0
    run, _ = series.published_run(str(both / "out"), OLD_RUN)
    rows = pq.read_table(run.table_folder("per_class"), partitioning=None)
    assert set(rows["run"].to_pylist()) == {OLD_RUN}
    assert set(rows["night"].to_pylist()) == {datetime.date(2026, 11, 20)}


OLDEST = """
import datetime, json, sys
import pandas, pyarrow
from pyarrow import dataset
path = sys.argv[1]
second = datetime.date(2026, 11, 22)
frames = [
    pandas.read_parquet(path),
    pandas.read_parquet(path, filters=[("night", ">=", second)]),
    pandas.read_parquet(path, filters=[("run", "==", "forms")]),
    dataset.dataset(path).to_table().to_pandas(),
    dataset.dataset(path).to_table(filter=dataset.field("night") >= second).to_pandas(),
    dataset.dataset(path).to_table(filter=dataset.field("run") == "forms").to_pandas(),
]
print(json.dumps({
    "pyarrow": pyarrow.__version__,
    "rows": [len(frame) for frame in frames],
    "answered": [int(frame["probabilities"].notna().sum()) for frame in frames],
    "lengths": sorted({len(row) for frame in frames for row in frame["probabilities"].dropna()}),
}))
"""


@pytest.mark.slow
def test_the_oldest_pyarrow_that_is_promised_reads_predictions(folder: Path, tmp_path: Path) -> None:
    [promised] = set(re.findall(r"\*\*pyarrow (\d+)\*\*", PAGE))
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    packages = [f"pyarrow=={promised}.*", "numpy<2", "pandas<3"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    read = [python, "-c", OLDEST, str(folder / "out/predictions")]
    told = json.loads(subprocess.run(read, capture_output=True, text=True, check=True).stdout)
    assert told.pop("pyarrow").partition(".")[0] == promised
    assert told == {"rows": [20, 15, 5, 20, 15, 5], "answered": [16, 12, 4, 16, 12, 4], "lengths": [10]}
