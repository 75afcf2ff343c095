"""Scans that failed for a passing reason, scored again as a run of their own."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import onnx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import list as list_job
from jobs import score, verify
from mnist_batch import scoring
from mnist_batch.learning import digits
from mnist_batch.models import bundle
from mnist_batch.pixels import decoding
from mnist_batch.reading import images, preprocessing
from mnist_batch.runs import series
from tests.support import ROOT
from tests.support.ruler import picture_of, write_scan
from tests.support.running import Capture, Killed, ran

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]
PAGE = ROOT / "docs/tables.md"


@pytest.fixture
def night(
    tmp_path: Path, ruler: str, away: set[str], capsys: Capture
) -> Callable[..., tuple[int, str, dict[str, Any]]]:
    """jobs.score with a retry of run night, of 10 scans: 4 of them were away, one of which is a TIFF of three pages."""
    for number in range(8):
        write_scan(tmp_path / "in" / str(number) / f"{number}.png", number)
    pages = [Image.fromarray(picture_of(digit)) for digit in (1, 2, 3)]
    pages[0].save(tmp_path / "in/pages.tif", save_all=True, append_images=pages[1:])
    write_scan(Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/5/caf\xe9.png")), 5)
    (tmp_path / "in/no.png").write_bytes(b"this is no image")
    out = ["--out", tmp_path / "out"]
    away |= {"1.png", "2.png", "pages.tif"}
    command = [tmp_path / "in", "--model", ruler, *out, "--run-id", "night", "--run-date", "2026-11-21"]
    code, _, summary = ran(capsys, score, *command, "--labels", "parent", "--max-unreadable", 1, "--shard-size", 4)
    assert (code, summary["rows"], summary["unreadable"]) == (0, 11, 4)
    return lambda *given, of="night": ran(capsys, score, "--retry", of, *out, *given)


def rows_of(out: Path, run_id: str) -> list[dict[str, Any]]:
    [folder] = out.glob(f"predictions/*/run_id={run_id}")
    return pq.read_table(folder, partitioning=None).sort_by([("scan", "ascending"), ("page", "ascending")]).to_pylist()


def test_what_failed_for_a_passing_reason_is_scored_again_and_nothing_else(
    night: Any, away: set[str], tmp_path: Path, capsys: Capture
) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*/*") if path.is_file()}
    away.clear()
    code, _, summary = night()
    assert (code, summary["run_id"], summary["retries"]) == (0, "night-retry", "night")
    assert (summary["scans"], summary["rows"], summary["unreadable"]) == (3, 5, 0)
    found = [
        (row["scan"], row["page"], row["status"], row["digit"], row["label"])
        for row in rows_of(tmp_path / "out", "night-retry")
    ]
    assert found == [
        ("1/1.png", 0, "ok", 1, 1),
        ("2/2.png", 0, "ok", 2, 2),
        ("pages.tif", 0, "ok", 1, None),
        ("pages.tif", 1, "ok", 2, None),
        ("pages.tif", 2, "ok", 3, None),
    ]
    assert {path: path.read_bytes() for path in before} == before
    facts, was = (
        json.loads((tmp_path / "out/runs" / name / "run.json").read_text()) for name in ("night-retry", "night")
    )
    assert (facts["retries"], facts["run_date"]) == ("night", "2026-11-21")
    for name in ("sources", "labels", "engine", "model", "target_error", "threshold", "keep_images"):
        assert facts[name] == was[name]
    page = Path(summary["report"]).read_text()
    assert re.search(r"A retry of run <code>night</code>: only the scans that failed there", page)
    assert ran(capsys, verify, "--out", tmp_path / "out")[0] == 0
    listed = ran(capsys, list_job, "--out", tmp_path / "out")[2]["newest"]
    assert [(run["run_id"], run["retries"]) for run in listed] == [("night", None), ("night-retry", "night")]
    after = sorted((tmp_path / "out").rglob("*"))
    code, _, again = night()  # the same command does nothing
    assert (code, again["run_id"]) == (0, "night-retry")
    assert sorted((tmp_path / "out").rglob("*")) == after


def test_a_retry_of_a_retry_and_what_is_left_then(night: Any, away: set[str], tmp_path: Path) -> None:
    away -= {"1.png"}
    code, _, summary = night("--max-unreadable", 1)
    assert (code, summary["run_id"], summary["rows"], summary["unreadable"]) == (0, "night-retry", 3, 2)
    away.clear()
    code, _, summary = night(of="night-retry")
    assert (code, summary["run_id"], summary["retries"]) == (0, "night-retry-retry", "night-retry")
    assert (summary["scans"], summary["rows"], summary["unreadable"]) == (2, 4, 0)
    before = sorted((tmp_path / "out").rglob("*"))
    code, printed, summary = night(of="night-retry-retry")
    assert (code, summary["rows"]) == (0, 0)
    assert "no scan failed for a passing reason, there is nothing to retry" in printed
    assert sorted((tmp_path / "out").rglob("*")) == before


@pytest.mark.parametrize("flags", [[], ["--all-nets"]], ids=["first net", "all nets"])
def test_a_retry_asks_the_nets_that_the_run_asked(
    flags: list[str], tmp_path: Path, away: set[str], capsys: Capture
) -> None:
    pictures, _ = digits.mnist("test")
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / f"in/{number}.png").write_bytes(decoding.encode(pictures[number]))
    away |= {"1.png", "2.png"}
    out = ["--out", tmp_path / "out"]
    assert ran(capsys, score, tmp_path / "in", *out, "--run-id", "night", "--max-unreadable", 1, *flags)[0] == 0
    away.clear()
    assert ran(capsys, score, "--retry", "night", *out)[0] == 0
    rows = [*rows_of(tmp_path / "out", "night"), *rows_of(tmp_path / "out", "night-retry")]
    assert {row["first_alone"] for row in rows if row["status"] == "ok"} == {not flags}
    for name in ("night", "night-retry"):
        facts = json.loads((tmp_path / f"out/runs/{name}/run.json").read_text())
        assert (facts["all_nets"], facts["asks_first"]) == (bool(flags), not flags)


def test_scans_that_are_others_since_are_the_next_of_the_series(night: Any, away: set[str], tmp_path: Path) -> None:
    assert night("--max-unreadable", 1)[2]["run_id"] == "night-retry"
    away.clear()
    write_scan(tmp_path / "in/1/1.png", 1, confidence=0.7)
    assert night()[2]["run_id"] == "night-retry-2"
    assert night("--run-id", "by-hand")[2]["run_id"] == "by-hand"


def test_a_retry_that_was_killed_is_finished_by_the_same_command(
    night: Any, away: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away.clear()

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scoring.report, "stage", killed)
        with pytest.raises(Killed):
            night("--shard-size", 1)
    safe = {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "out/_staging").rglob("parts/part-*")}
    assert len(safe) == 3
    assert night()[2]["run_id"] == "night-retry"
    [folder] = (tmp_path / "out").glob("predictions/*/run_id=night-retry")
    assert {path.stem: path.stat().st_mtime_ns for path in folder.iterdir()} == safe


def test_a_name_that_is_not_utf_8_is_found_again(
    ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    write_scan(Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/caf\xe9.png")), 5)
    out = ["--out", tmp_path / "out", "--max-unreadable", 1]

    def slow(*_: object) -> bytes:
        raise images.Unreadable("timeout", "too slow")

    with monkeypatch.context() as patch:
        patch.setattr(preprocessing.images, "read_scan", slow)
        assert ran(capsys, score, tmp_path / "in", "--model", ruler, *out, "--run-id", "night")[0] == 0
    assert ran(capsys, score, "--retry", "night", *out)[0] == 0
    found = [
        [(row["scan"], row["status"]) for row in rows_of(tmp_path / "out", run)] for run in ("night", "night-retry")
    ]
    assert found == [[("caf\\xe9.png", "timeout")], [("caf\\xe9.png", "ok")]]


def test_the_newest_row_of_each_scan_is_taken_by_the_line_of_the_page(
    night: Any, away: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away.clear()
    assert night()[0] == 0
    monkeypatch.chdir(tmp_path)
    [line] = re.findall(r"```sql\n(SELECT p\.\* .*?)```", PAGE.read_text(), re.DOTALL)
    rows = duckdb.sql(line.replace("2026-11-21-1a2b3c4d", "night")).df()
    assert len(rows) == 13
    assert not rows.duplicated(["source", "scan", "page"]).any()
    by_run = rows.groupby("run")["scan"].apply(lambda scans: sorted(set(scans))).to_dict()
    assert by_run["night-retry"] == ["1/1.png", "2/2.png", "pages.tif"]
    assert set(rows["status"]) == {"ok", "not_an_image"}
    assert set(pd.unique(rows["run"])) == {"night", "night-retry"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["in"], "leave SCANS out"),
        (["--manifest", "x.csv"], "leave --manifest out"),
        (["--labels", "parent"], "leave --labels out"),
        (["--labels", "none"], "leave --labels out"),
        (["--exclude", "*.png"], "leave --exclude out"),
        (["--require-scans"], "leave --require-scans out"),
        (["--engine", "keras"], "--engine keras: run night has onnx, and so has its retry"),
        (["--keep-images"], "--keep-images True: run night has False"),
        (["--target-error", 0.01], "--target-error 0.01: run night has None"),
        (["--run-date", "2026-11-22"], "--run-date 2026-11-22: run night has 2026-11-21"),
        (["--max-bytes", 1000], "--max-bytes 1000: run night has 67108864; a retry may have more, not less"),
        (["--shard-size", 0], "--shard-size is 0"),
        (["--run-id", "a/b"], "--run-id 'a/b'"),
    ],
)
def test_what_says_something_else_than_the_run_is_refused(
    night: Any, tmp_path: Path, given: list[object], message: str
) -> None:
    before = sorted((tmp_path / "out").rglob("*"))
    code, _, summary = night(*given)
    assert code == 2
    assert message in summary["error"]
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_a_run_that_is_not_there_or_a_model_that_has_changed_is_refused(
    night: Any, tmp_path: Path, ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, summary = night(of="yesterday")
    assert code == 2
    assert "--retry 'yesterday': no published run of that id" in summary["error"]
    other = Path(shutil.copytree(ruler, tmp_path / "other"))
    trained_again = onnx.load(other / "model.onnx")
    trained_again.producer_name = "another training"
    onnx.save(trained_again, other / "model.onnx")
    bundle.describe(other, bundle.open_bundle(ruler).facts)
    code, _, summary = night("--model", other)
    assert code == 2
    assert "--retry night: the model at" in summary["error"]
    same = shutil.copytree(ruler, tmp_path / "moved")
    assert night("--model", same, "--max-bytes", 10**8, "--max-unreadable", 1)[0] == 0
    assert series.published_runs(str(tmp_path / "out")) == ["night", "night-retry"]
