"""The demo tells the whole story, and tells it again."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from jobs import demo


@pytest.mark.ray
def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """As make demo runs it, in a process with a Ray of its own: a run with its own model, one with the shipped one."""
    told = demonstrated(tmp_path)
    assert "200 of 205 rows scored; 5 could not be read" in told
    assert re.search(r"200 of 205 rows scored; .* accepted, \d+ for review", told)
    assert re.search(r"10 pages: 8 of form tally, 1 blank_page, 1 unknown_form; 48 fields", told)
    assert len(list((tmp_path / "demo/out/runs").iterdir())) == 3
    page = re.search(r"^Now open (.*)$", told, re.MULTILINE)
    assert page
    assert Path(page[1]).exists()
    query = re.search(r"^ *duckdb  (.*)$", told, re.MULTILINE)
    assert query
    counts = duckdb.sql(query[1]).df().set_index("run")
    assert sorted(counts["rows"]) == [205, 205, 8 * 29 + 2]  # no scan and no cell is counted twice
    line = re.search(r"^ *pandas  (.*)$", told, re.MULTILINE)
    assert line
    review = eval(line[1], {"pd": pd})
    assert set(review["run"]) == {Path(page[1]).parent.name}
    assert set(review["status"]) >= {"empty", "not_an_image", "undecodable"}


def test_a_second_demo_names_the_same_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs are published already, and the newest of them is that of the pages."""

    def published(arguments: Sequence[str]) -> int:
        name = "pages" if "--form" in arguments else "shipped" if "--target-error" in arguments else "own"
        run = tmp_path / f"out/runs/{name}/run.json"
        run.parent.mkdir(parents=True, exist_ok=True)
        if not run.exists():
            run.touch()
            os.utime(run, (time.time() + ("own", "shipped", "pages").index(name),) * 2)
        return 0

    monkeypatch.setattr(demo.session, "connect", lambda _: None)
    monkeypatch.setattr(demo.train, "main", lambda _: 0)
    monkeypatch.setattr(demo.score, "main", published)
    monkeypatch.setattr(demo.samples, "write", lambda *_: None)
    first, second = (demo.tell(tmp_path, 20, 1, 6) for _ in range(2))
    names = [Path(first[name]).parent.name for name in ("report", "report_of_pages")]
    assert (names, second) == (["shipped", "pages"], first)


@pytest.mark.ray
@pytest.mark.slow
def test_a_second_demo_scores_scores_the_same_scans(tmp_path: Path) -> None:
    demonstrated(tmp_path)
    told = demonstrated(tmp_path)
    assert "200 of 205 rows scored; 5 could not be read" in told
    assert len(list((tmp_path / "demo/out/runs").iterdir())) == 3  # the same weights, and nothing to do


def demonstrated(folder: Path) -> str:
    command = [sys.executable, "-m", "jobs.demo", "--folder", str(folder / "demo"), "--scans", "200", "--epochs", "1"]
    command += ["--pages", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
