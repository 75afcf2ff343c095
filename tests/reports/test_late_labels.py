"""Labels that come after a run was published: in its report, in the table that joins to predictions, until dropped."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch import scoring
from mnist_batch.errors import InputError
from mnist_batch.intake import scans
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors
from mnist_batch.reading import preprocessing
from mnist_batch.reports import report
from mnist_batch.runs import opening, parts, series, verifying
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from tests.support import ROOT
from tests.support.ruler import write_scan
from tests.support.run_facts import write_part

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("undrawn")]


def published(folder: Path, model: str, **options: Any) -> Run:
    """A published run of ten scans, ``0.png`` to ``9.png`` in the folder in/4, scored without Ray."""
    for digit in range(10):
        write_scan(folder / f"in/4/{digit}.png", digit)
    asked = Command(sources=[str(folder / "in")], model=model, out=str(folder / "out"), shard_size=4, **options)
    with opening.open_run(asked) as run:
        classify = actors.Classify(run, ModelSpec(model))
        for shard in range(3):
            write_part(run, classify.answered(preprocessing.preprocess(run.shard(shard), shard)))
        scoring.score(run)
        return run


def labels_of(run: Run) -> dict[str, int]:
    table = pq.read_table(run.table_folder("labels"), partitioning=None)
    assert table.schema.equals(tables.published(tables.LABELS))
    return dict(zip(table["scan"].to_pylist(), table["label"].to_pylist(), strict=True))


def mistakes(folder: Path) -> dict[str, tuple[int, int]]:
    """What the lines of docs/tables.md find: answer and truth by scan."""
    join = re.search(r"## labels\n.*?```sql\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.DOTALL)
    assert join
    found = duckdb.sql(join[1].replace("'out/", f"'{folder}/out/")).df()
    return {row.scan: (row.digit, row.truth) for row in found.itertuples()}


def test_late_labels_are_kept_joined_and_dropped_only_when_asked(ruler: str, tmp_path: Path) -> None:
    run = published(tmp_path, ruler)
    assert labels_of(run) == {}
    truth = tmp_path / "truth.csv"
    truth.write_text("scan,label\n4/1.png,1\n4/2.png,7\n4/3.png,none\n")
    totals = report.rebuild(run.out, run.run_id, str(truth))[1].totals
    assert (totals.labelled, totals.correct, totals.none_answered) == (2, 1, 1)
    truth.unlink()  # what it said is kept
    for _ in range(2):
        assert labels_of(run) == {"4/1.png": 1, "4/2.png": 7, "4/3.png": tables.NO_DIGIT}
        assert mistakes(tmp_path) == {"4/2.png": (2, 7), "4/3.png": (3, tables.NO_DIGIT)}
        assert report.rebuild(run.out, run.run_id)[1].totals == totals
    assert series.published_run(run.out, run.run_id)[1].report_labels == str(truth)
    totals = report.rebuild(run.out, run.run_id, "parent")[1].totals
    assert (totals.labelled, totals.correct) == (10, 1)
    assert set(labels_of(run).values()) == {4}
    totals = report.rebuild(run.out, run.run_id, "none")[1].totals
    assert (totals.labelled, totals.accuracy) == (0, None)
    assert labels_of(run) == {}
    assert series.published_run(run.out, run.run_id)[1].report_labels is None
    assert [list(found.faults) for found in verifying.verify(run.out)] == [[]]


def test_labels_that_came_with_the_run_are_in_the_table_too_and_come_back(ruler: str, tmp_path: Path) -> None:
    run = published(tmp_path, ruler, labels="parent")
    assert labels_of(run) == {f"4/{digit}.png": 4 for digit in range(10)}
    assert len(mistakes(tmp_path)) == 9
    listed = [key for part in parts.read_parts(run, ["source", "scan"]) for key in scans.identities(part)]
    pq.write_table(
        pa.table({"scan": [scan for _, scan in listed], "label": [int(scan[2]) for _, scan in listed]}),
        tmp_path / "truth.parquet",
    )
    totals = report.rebuild(run.out, run.run_id, str(tmp_path / "truth.parquet"))[1].totals
    assert (totals.labelled, totals.correct) == (10, 10)
    assert mistakes(tmp_path) == {}
    Path(run.table_folder("labels"), "report.parquet").unlink()  # as in a run of an earlier version
    with pytest.raises(InputError, match="which .* does not have; give them again"):
        report.rebuild(run.out, run.run_id)
    assert report.rebuild(run.out, run.run_id, "none")[1].totals.correct == 1
