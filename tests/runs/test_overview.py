"""jobs.list: every run with its state, whatever has become of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import list as list_job
from jobs import score
from mnist_batch.runs import opening, overview
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from tests.support import run_facts
from tests.support.running import Capture, ran

pytestmark = pytest.mark.usefixtures("without_ray")


def test_runs_of_all_states_are_listed_the_newest_last(
    scans_folder: Callable[..., Path], ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = scans_folder(30), tmp_path / "out"
    arguments = [folder, "--model", ruler, "--out", out, "--run-date", "2026-11-21"]
    for run_id in ("zeta", "alpha", "spoilt", "gone"):
        assert ran(capsys, score, *arguments, "--run-id", run_id, "--labels", "parent")[0] == 0
    (out / "runs/spoilt/run.json").write_text("{")
    (out / "runs/gone/run.json").unlink()
    assert ran(capsys, score, *arguments, "--run-id", "refused", "--max-unreadable", 0)[0] == 3
    with opening.open_run(Command(sources=[str(folder)], model=ruler, out=str(out), run_id="open")):
        code, printed, summary = ran(capsys, list_job, "--out", out)
    assert (code, summary["runs"]) == (0, 6)
    assert summary["states"] == {"damaged": 2, "published": 2, "refused": 1, "unfinished": 1}
    found = {run["run_id"]: run for run in summary["newest"]}
    assert list(found) == ["gone", "spoilt", "zeta", "alpha", "refused", "open"]
    assert found["alpha"]["night"] == "2026-11-21"
    counts = {name: found["alpha"][name] for name in ("scans", "rows", "unreadable", "labelled")}
    assert counts == {"scans": 30, "rows": 30, "unreadable": 1, "labelled": 29}
    assert found["alpha"]["accuracy"] == pytest.approx(25 / 29)
    assert (found["refused"]["unreadable"], found["open"]["rows"]) == (1, None)
    header, *lines = printed.splitlines()
    assert len(lines) == 6
    assert {"run_id", "night", "state", "scans", "accuracy", "model"} <= set(header.split())
    assert "retries" not in header  # of none is it known
    assert "86.21 %" in next(line for line in lines if "alpha" in line)
    code, printed, summary = ran(capsys, list_job, "--out", out, "--last", 2)
    assert [run["run_id"] for run in summary["newest"]] == ["refused", "open"]
    assert printed.startswith("the newest 2 of 6 runs:")


def test_an_output_without_runs_is_a_mistake(tmp_path: Path, capsys: Capture) -> None:
    code, _, summary = ran(capsys, list_job, "--out", tmp_path / "otu")
    assert code == 2
    assert "there is no run; check the path" in summary["error"]


def test_a_thousand_runs_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run_facts.published()
    for number in range(1_000):
        run = Run(str(tmp_path), f"night-{number:04d}", "2026-11-21")
        run.commit(replace(said, run_id=run.run_id, published_at=f"2026-11-21T{number:04d}"))
    reads: list[str] = []
    read = overview.locations.read

    def counting(filesystem: object, path: str) -> bytes:
        reads.append(path)
        return bytes(read(filesystem, path))

    monkeypatch.setattr(overview.locations, "read", counting)
    found = overview.overview(str(tmp_path))
    assert [run["run_id"] for run in found] == [f"night-{number:04d}" for number in range(1_000)]
    assert len(reads) == len(set(reads)) == 1_000
