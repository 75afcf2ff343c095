"""The ten questions to the tables: DuckDB, polars and pandas give the same answer to each."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pytest

from jobs import score
from mnist_batch.schemas import tables
from tests.support import ROOT, field_run
from tests.support.ruler import calibrated

PAGE = (ROOT / "docs/questions.md").read_text()


def statements(text: str) -> list[str]:
    """The statements of the only block of Python in a text."""
    [block] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [ast.unparse(statement) for statement in ast.parse(block).body]


@pytest.fixture(scope="module")
def questions() -> list[tuple[str, str, str, str]]:
    """Each question with its lines for SQL, polars and pandas."""
    found = []
    for section in PAGE.split("\n## ")[1:]:
        [sql] = re.findall(r"^```sql\n(.*;)\n```$", section, re.MULTILINE)
        by_polars, by_pandas = statements(section)
        found.append((section.partition("\n")[0], sql, by_polars, by_pandas))
    return found


@pytest.fixture
def out(
    scans_folder: Callable[..., Path], ruler: str, without_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An output with two nights of labelled scans, some of them alike, and a night with forms."""
    run, _ = field_run.written(tmp_path)
    report = {"form": "turnout", "field": "ballots", "fields": 4, "read": 3, "checks_failed": 1}
    field_run.write_table(run, "field_report", tables.FIELD_REPORT, [report, report | {"field": "spoilt"}], tmp_path)
    model = calibrated(ruler, tmp_path / "model")
    for date, count in (("2026-11-13", 40), ("2026-11-20", 60)):
        scans = scans_folder(count)
        said = ["--labels", "parent", "--model", model, "--target-error", "0.005", "--out", str(tmp_path / "out")]
        assert score.main([str(scans), *said, "--run-date", date]) == 0
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def test_three_readers_answer_each_question_alike(out: Path, questions: list[tuple[str, str, str, str]]) -> None:
    assert len(questions) == 10
    beginning = PAGE.partition("\n## ")[0]
    [views] = re.findall(r"^```sql\n(.*?)```$", beginning, re.MULTILINE | re.DOTALL)
    connection = duckdb.connect()
    connection.execute(views)
    in_polars: dict[str, Any] = {"polars": polars}
    in_pandas: dict[str, Any] = {"pandas": pandas}
    for names, statement in zip((in_polars, in_pandas), statements(beginning), strict=True):
        exec(statement, names)
    for question, sql, by_polars, by_pandas in questions:
        of_sql = connection.sql(sql).pl()
        of_polars, of_pandas = eval(by_polars, in_polars), eval(by_pandas, in_pandas)
        assert len(of_sql) == len(of_polars) == len(of_pandas) > 0, question
        numbers = [_sums(of_sql.to_pandas()), _sums(of_polars.to_pandas()), _sums(pandas.DataFrame(of_pandas))]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-6), question
        assert numbers[0] == pytest.approx(numbers[2], rel=1e-6), question


def _sums(frame: pandas.DataFrame) -> list[float]:
    """The sums of the columns with counts and shares, whatever they are called."""
    keys = {"label", "digit", "page", "week", "night"}  # in pandas some are in the index
    numbers = {name: pandas.to_numeric(frame[name], errors="coerce") for name in frame if name not in keys}
    return sorted(float(column.sum()) for column in numbers.values() if column.notna().all())
