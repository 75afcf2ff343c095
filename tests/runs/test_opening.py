"""The run that a command means where an earlier one was refused, or where files of one are damaged or gone."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import discard, score, verify
from mnist_batch.runs import series
from mnist_batch.store import locations
from tests.support.ruler import write_scan
from tests.support.running import Capture, ran

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]
Make = Callable[..., Path]


@pytest.fixture
def night(tmp_path: Path, ruler: str) -> list[Any]:
    """A command on 10 scans, of which 2 are none."""
    for number in range(8):
        write_scan(tmp_path / "in" / f"{number}.png", number)
    for name in ("bad-1.png", "bad-2.png"):
        (tmp_path / "in" / name).write_bytes(b"this is no image")
    return [tmp_path / "in", "--model", ruler, "--out", tmp_path / "out", "--shard-size", 4]


@pytest.mark.parametrize("given", [[], ["--run-id", "night"]])
def test_after_exit_3_the_scans_are_mended_and_the_same_command_succeeds(
    night: list[Any], tmp_path: Path, capsys: Capture, given: list[str]
) -> None:
    night += given
    for _ in range(2):  # what is not mended is refused again
        code, _, summary = ran(capsys, score, *night)
        assert code == 3
    error = summary["error"]
    assert "2 of 10 rows could not be read, more than --max-unreadable 0.05 allows: " in error
    assert "Nothing is published." in error
    assert "'bad-1.png' is not_an_image (" in error
    assert "'bad-2.png' is not_an_image (" in error
    assert "run the same command again" in error
    page = re.search(r"(\S+/report.html)", error)
    assert page
    assert "bad-1.png" in Path(page[1]).read_text()
    assert len(error) < 1_000
    write_scan(tmp_path / "in/bad-1.png", 1)
    code, _, summary = ran(capsys, score, *night)  # mended by half: the second of the series, refused as well
    assert code == 3
    assert "1 of 10 rows" in summary["error"]
    write_scan(tmp_path / "in/bad-2.png", 2)
    code, _, summary = ran(capsys, score, *night)
    assert (code, summary["unreadable"], summary["rows"]) == (0, 0, 10)
    assert summary["run_id"].endswith("-3")
    assert list((tmp_path / "out/_staging").iterdir()) == []  # what was refused is gone with it
    assert series.published_runs(str(tmp_path / "out")) == [summary["run_id"]]
    before = sorted((tmp_path / "out").rglob("*"))
    code, _, again = ran(capsys, score, *night)
    assert (code, again["run_id"]) == (0, summary["run_id"])
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_a_refused_run_is_published_as_it_is_with_a_higher_share(
    night: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    assert ran(capsys, score, *night, "--run-id", "night")[0] == 3
    code, _, summary = ran(capsys, score, *night, "--run-id", "night", "--max-unreadable", 0.5)
    assert (code, summary["run_id"], summary["unreadable"]) == (0, "night", 2)
    assert list((tmp_path / "out/_staging").iterdir()) == []


def test_what_may_pass_is_tried_again_in_a_refused_run(
    night: list[Any], tmp_path: Path, capsys: Capture, away: set[str]
) -> None:
    """A disk that was away: the sources list the same, and all the same the command succeeds once it is back."""
    for name in ("bad-1.png", "bad-2.png"):
        write_scan(tmp_path / "in" / name, 3)
    away.add("0.png")
    assert ran(capsys, score, *night)[0] == 3
    away.clear()
    safe = {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "out/_staging").rglob("parts/part-*")}
    code, _, summary = ran(capsys, score, *night)
    assert (code, summary["unreadable"]) == (0, 0)
    moved = {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "out/predictions").rglob("part-*")}
    assert sorted(name for name in safe if safe[name] == moved[name]) == sorted(safe)[1:]  # only that shard


@pytest.mark.parametrize("content", ["{", "[]", '{"run_date": 3}'])
def test_a_damaged_run_json_is_a_sentence_and_blocks_its_own_run_only(
    night: list[Any], tmp_path: Path, capsys: Capture, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    night += ["--max-unreadable", 1]
    assert ran(capsys, score, *night, "--run-id", "night")[0] == 0
    damaged = tmp_path / "out/runs/night/run.json"
    damaged.write_text(content)
    code, _, summary = ran(capsys, score, *night, "--run-id", "night")
    assert code == 5
    assert f"{damaged} is damaged (" in summary["error"]
    assert (
        f"restore it from a backup, or withdraw the run: python -m mnist_batch discard --out {tmp_path}/out --run "
        in (summary["error"])
    )
    assert "Traceback" not in caplog.text
    assert ran(capsys, score, *night, "--run-id", "tonight")[0] == 0
    assert ran(capsys, discard, "--out", tmp_path / "out", "--run", "night")[0] == 0
    assert ran(capsys, score, *night, "--run-id", "night")[0] == 0
    assert ran(capsys, verify, "--out", tmp_path / "out")[0] == 0


def test_a_damaged_opened_json_is_a_sentence(night: list[Any], tmp_path: Path, capsys: Capture) -> None:
    assert ran(capsys, score, *night, "--run-id", "night")[0] == 3
    damaged = tmp_path / "out/_staging/night/opened.json"
    damaged.write_text(damaged.read_text()[:100])
    code, _, summary = ran(capsys, score, *night, "--run-id", "night")
    assert code == 5
    assert f"{damaged} is damaged" in summary["error"]
    assert "throw the unfinished run away: python -m mnist_batch discard" in summary["error"]
    assert ran(capsys, discard, "--out", tmp_path / "out", "--run", "night")[0] == 0
    assert ran(capsys, score, *night, "--run-id", "night", "--max-unreadable", 1)[0] == 0


def test_where_run_json_was_deleted_the_same_scans_heal_and_others_are_told(
    night: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    night += ["--max-unreadable", 1, "--run-id", "night"]
    assert ran(capsys, score, *night)[0] == 0
    said, out = tmp_path / "out/runs/night/run.json", tmp_path / "out"
    before = {path: path.stat().st_mtime_ns for path in (out / "predictions").rglob("part-*")}
    said.unlink()
    assert ran(capsys, score, *night)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "predictions").rglob("part-*")} == before
    assert ran(capsys, verify, "--out", out)[0] == 0

    said.unlink()
    write_scan(tmp_path / "in/bad-1.png", 5)  # as many scans, and not the same: the old rows are not theirs
    code, _, summary = ran(capsys, score, *night)
    assert code == 2
    assert f"{out}/predictions/" in summary["error"]
    assert "contains predictions of an earlier run night whose run.json is gone" in summary["error"]
    assert {path: path.stat().st_mtime_ns for path in (out / "predictions").rglob("part-*")} == before
    command = re.search(r"python -m mnist_batch (discard .*? --run night)", summary["error"])
    assert command
    assert ran(capsys, discard, *command[1].split()[1:])[0] == 0
    code, _, summary = ran(capsys, score, *night)
    assert (code, summary["unreadable"]) == (0, 1)
    statuses = pq.read_table(out / "predictions", columns=["scan", "status"]).to_pylist()
    assert {"scan": "bad-1.png", "status": "ok"} in statuses
    assert json.loads(said.read_text())["totals"]["rows"] == 10 == len(statuses)


@pytest.mark.parametrize(
    "flag",
    [("--scan-timeout", "0.0"), ("--no-progress-timeout", "nan"), ("--preprocessors", 0), ("--max-unreadable", "2.0")],
)
def test_a_wrong_setting_opens_no_run_and_is_refused_of_a_published_one_as_well(
    night: list[Any], tmp_path: Path, capsys: Capture, flag: tuple[str, object]
) -> None:
    code, _, summary = ran(capsys, score, *night, *flag)
    assert code == 2
    assert f"{flag[0]} is {flag[1]}; it has to be " in summary["error"]
    assert not (tmp_path / "out").exists()
    assert ran(capsys, score, *night, "--max-unreadable", 1)[0] == 0
    code, _, again = ran(capsys, score, *night, "--max-unreadable", 1, *flag)
    assert (code, again["error"]) == (2, summary["error"])


def test_a_part_that_never_belonged_there_is_removed_and_said_so(
    night: list[Any], tmp_path: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    assert ran(capsys, score, *night, "--run-id", "night")[0] == 3
    stray = tmp_path / "out/_staging/night/parts/part-99999.parquet"
    stray.write_bytes(b"what is this")
    assert ran(capsys, score, *night, "--run-id", "night", "--max-unreadable", 1)[0] == 0
    assert not list((tmp_path / "out").rglob("part-99999*"))
    assert "part-99999: no part, removed" in caplog.text


def test_a_part_is_read_once_and_a_published_run_given_again_reads_little(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 scans in three shards, by the one process that scores them here: at stores each look is a request."""
    read, read_table, seen = locations.read, locations.read_table, Counter[str]()

    def counted(filesystem: Any, path: str, *rest: Any) -> bytes:
        seen[path.partition("/out/")[2]] += 1
        return read(filesystem, path, *rest)

    def counted_table(filesystem: Any, path: str, *rest: Any) -> Any:
        seen[path.partition("/out/")[2]] += 1
        return read_table(filesystem, path, *rest)

    monkeypatch.setattr(locations, "read", counted)
    monkeypatch.setattr(locations, "read_table", counted_table)
    arguments = [scans_folder(30), "--model", ruler, "--out", tmp_path / "out", "--run-id", "night", "--shard-size", 10]
    assert ran(capsys, score, *arguments)[0] == 0
    parts = {path: count for path, count in seen.items() if "/parts/" in path}
    assert parts == {f"_staging/night/parts/part-0000{number}": 1 for number in range(3)}
    seen.clear()
    assert ran(capsys, score, *arguments)[0] == 0
    assert seen["runs/night/run.json"] == 3
