"""jobs.score --dry-run: what would be done is said, and nothing is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs import score
from mnist_batch import scoring
from mnist_batch.errors import InputError
from mnist_batch.pipeline.settings import Settings
from mnist_batch.runs import opening, previewing
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Held
from tests.support.ruler import write_scan
from tests.support.running import Capture, ran

pytestmark = pytest.mark.usefixtures("without_ray")


def test_what_would_be_done_is_what_is_done(
    scans_folder: Callable[..., Path], ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = scans_folder(30), tmp_path / "out"
    (folder / "page.TIF").write_bytes(b"no image")
    command = [
        folder,
        "--model",
        ruler,
        "--out",
        out,
        "--labels",
        "parent",
        "--shard-size",
        20,
        "--max-unreadable",
        0.01,
    ]

    def previewed(*more: object) -> dict[str, Any]:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        code, printed, summary = ran(capsys, score, *command, *more, "--dry-run")
        assert (code, summary["status"]) == (0, "dry_run")
        assert summary["run_id"] in printed
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return summary

    found = previewed()
    assert not out.exists()
    assert found | {"run_id": "", "status": "", "exit_code": 0} == {
        "run_id": "", "status": "", "exit_code": 0, "would": "begin", "scans": 31, "shards": 2, "labelled": 30,
        "endings": {".png": 30, ".tif": 1}, "left_out": {},
    }  # fmt: skip
    asked = {"sources": [str(folder)], "model": ruler, "out": str(out), "labels": "parent", "shard_size": 20}
    with opening.open_run(Command(**asked)) as run:
        assert run.run_id == found["run_id"]
    found = previewed()
    assert (found["would"], found["run_id"], found["shards_done"]) == ("resume", run.run_id, 0)
    run.hold(Held((), 0.05, "2026-11-21T00:00:00+00:00"))
    assert previewed()["would"] == "held"
    (tmp_path / "out/_staging" / run.run_id / "held.json").unlink()
    assert ran(capsys, score, *command)[0] == 3
    assert previewed()["would"] == "try_again"
    with opening.open_run(Command(**asked)) as run:
        scoring.score(run, Settings(max_unreadable=1))
    assert previewed()["would"] == "nothing"
    write_scan(folder / "late.png", 1)
    found = previewed()
    assert (found["would"], found["run_id"], found["scans"]) == ("begin", f"{run.run_id}-2", 32)
    found = previewed("--run-id", "another")
    assert (found["would"], found["run_id"]) == ("begin", "another")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nowhere"], "SCANS: there is no file or folder"),
        (["in", "--labels", "parent"], "no scan is in a folder named 0 to 9"),
        (["in", "--model", "nowhere"], "no model bundle there"),
        (["in", "--scan-timeout", "0"], "--scan-timeout is 0"),
        (["in", "--run-id", "a/b"], "--run-id 'a/b'"),
        (["--retry", "night"], "--retry 'night': no published run of that id"),
    ],
)
def test_a_mistake_is_found_as_the_command_itself_finds_it(
    ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, given: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scan(tmp_path / "in/a.png", 1)
    model = [] if "--model" in given else ["--model", ruler]
    code, printed, summary = ran(capsys, score, *given, *model, "--dry-run")
    assert (code, printed) == (2, "")
    assert message in summary["error"]
    assert not (tmp_path / "out").exists()


def test_a_run_whose_discarding_was_killed_would_be_begun_anew(
    scans_folder: Callable[[int], Path], ruler: str, tmp_path: Path
) -> None:
    command = Command(sources=[str(scans_folder(1))], model=ruler, out=str(tmp_path / "out"))
    left = Path(Run(command.out, command.first, command.date).table_folder("predictions"))
    left.mkdir(parents=True)
    (left / "part-00000.parquet").write_bytes(b"an earlier listing's")
    with pytest.raises(InputError, match="whose run.json is gone"):
        previewing.preview(command)
    (tmp_path / "out/_staging" / f".{command.first}.discarding").mkdir(parents=True)
    assert previewing.preview(command)["would"] == "begin"


def test_labelled_are_those_that_run_json_will_count(ruler: str, tmp_path: Path) -> None:
    for name in ("3/a.png", "none/b.png", "other/c.png"):
        write_scan(tmp_path / "in" / name, 1)
    command = Command(sources=[str(tmp_path / "in")], labels="parent", model=ruler, out=str(tmp_path / "out"))
    assert previewing.preview(command)["labelled"] == 1
