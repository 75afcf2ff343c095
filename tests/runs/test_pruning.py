"""Old runs go, whole, and after a time of grace; the newest of its sources never does."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import list as list_job
from jobs import prune
from mnist_batch import failpoints, scoring
from mnist_batch.runs import opening, pruning, series
from mnist_batch.runs.command import Command
from tests.support.running import Capture, Killed, ran, readers_see

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]
Make = Callable[..., Path]
TODAY = datetime.date.today()


def night(folder: Path, ruler: str, out: Path, days_ago: int, publish: bool = True) -> str:
    date = (TODAY - datetime.timedelta(days=days_ago)).isoformat()
    asked = Command(sources=[str(folder)], model=ruler, out=str(out), shard_size=10, run_date=date)
    with opening.open_run(asked) as run:
        if publish:
            scoring.score(run)
    return run.run_id


def test_old_runs_are_withdrawn_and_after_the_grace_time_deleted(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    out, forms, others = tmp_path / "out", scans_folder(12), scans_folder(12, "others")
    old = [night(forms, ruler, out, days) for days in (200, 150)]
    lonely = night(others, ruler, out, 300)  # the newest of its sources
    unfinished = night(others, ruler, out, 120, publish=False)
    new = [night(forms, ruler, out, days) for days in (90, 2)]
    said = ("--out", out, "--keep-days", 90)
    assert ran(capsys, prune, *said, "--dry-run")[2]["withdrawn"] == old
    assert series.published_runs(str(out)) == sorted([*old, lonely, *new])

    code, _, last = ran(capsys, prune, *said)
    assert (code, last["withdrawn"], last["deleted"], last["kept"]) == (0, old, [unfinished], 3)
    assert series.published_runs(str(out)) == sorted([lonely, *new])
    assert readers_see(out)[0] == 5 * 12  # who reads them now reads on
    assert {
        run["run_id"] for run in ran(capsys, list_job, "--out", out)[2]["newest"] if run["state"] == "withdrawn"
    } == {*old}
    left = out / "_staging" / new[1] / "attempt"  # of a process that was killed when it had published
    left.parent.mkdir()
    left.write_text("killed")
    (out / "published.sql").unlink()
    assert ran(capsys, prune, *said, "--dry-run")[2]["cleared"] == [str(left.parent)]
    again = ran(capsys, prune, *said)[2]
    assert again["deleted"] == []
    assert again["cleared"]
    assert not left.exists()
    assert new[1] in (out / "published.sql").read_text()

    assert ran(capsys, prune, *said, "--grace-hours", 0)[2]["deleted"] == sorted(old)
    assert readers_see(out)[0] == 3 * 12
    assert list((out / "_staging").iterdir()) == []
    assert ran(capsys, prune, *said, "--keep-days", 0)[2]["withdrawn"] == [new[0]]


def test_a_dry_run_names_and_counts_all_that_the_call_removes_and_removes_nothing(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    out, forms, others = tmp_path / "out", scans_folder(12), scans_folder(12, "others")
    leaving, old, new = (night(forms, ruler, out, days) for days in (200, 150, 2))
    pruning.prune(str(out), 160)
    unfinished = night(others, ruler, out, 120, publish=False)
    left = [out / "_staging" / name for name in (f"{new}/attempt", ".probe-1", f"{new}.lock")]
    left[0].parent.mkdir()
    for path in left:
        path.write_text("process 1 on elsewhere")
    before, said = sizes(out), ("--out", out, "--keep-days", 90, "--grace-hours")
    for hours, sums in ((24, ("withdrawn", "deleted", "cleared")), (0, ("deleted", "cleared"))):
        code, printed, foretold = ran(capsys, prune, *said, hours, "--dry-run")
        assert (code, sizes(out), foretold["locked"]) == (0, before, {new: "process 1 on elsewhere"})
        assert f"would be left alone while process 1 on elsewhere is at work on it: {new}" in printed
        assert [what for what, size in foretold["sums"].items() if size["files"]] == [*sums]
    done = ran(capsys, prune, *said, 0)[2]
    assert (done["deleted"], done["cleared"]) == ([leaving, old, unfinished], foretold["cleared"])
    assert {name: foretold[name] for name in done} == done | {"status": "dry_run"}
    named = {Path(word.rstrip(":")) for word in printed.split() if word.startswith(str(out))}
    gone = {path: size for path, size in before.items() if not path.exists()}
    assert {path for path in before if named & {path, *path.parents}} == {*gone}
    assert sum(size["files"] for size in foretold["sums"].values()) == len(gone)
    assert sum(size["bytes"] for size in foretold["sums"].values()) == sum(gone.values())


def sizes(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in out.rglob("*") if path.is_file()}


def test_a_run_at_work_is_left_alone_and_so_is_a_damaged_one(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    out, forms = tmp_path / "out", scans_folder(12)
    busy, damaged = (night(forms, ruler, out, days) for days in (200, 150))
    night(forms, ruler, out, 1)
    (out / "runs" / damaged / "run.json").write_text("{")
    with series.locked(str(out), busy):
        pruned = pruning.prune(str(out), 90, grace_hours=0)
    assert (pruned.at_work, pruned.deleted, pruned.withdrawn) == ([busy], [], [])
    assert readers_see(out)[0] == 3 * 12


def test_killed_while_it_withdraws_the_next_call_finishes(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, forms = tmp_path / "out", scans_folder(12)
    old = night(forms, ruler, out, 200)
    night(forms, ruler, out, 1)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "reach", killed)
        with pytest.raises(Killed):
            pruning.prune(str(out), 90)
    assert readers_see(out)[0] == 2 * 12
    assert pruning.prune(str(out), 90).deleted == []
    assert pruning.prune(str(out), 90, grace_hours=0).deleted == [old]
    assert readers_see(out)[0] == 12


def test_bad_arguments_are_exit_2(tmp_path: Path, capsys: Capture) -> None:
    for flag, value in (("--keep-days", -1), ("--keep-last", 0), ("--grace-hours", -1)):
        code, _, last = ran(capsys, prune, "--out", tmp_path, "--keep-days", 1, flag, value)
        assert (code, flag in last["error"]) == (2, True)
    code, _, last = ran(capsys, prune, "--out", tmp_path / "typo", "--keep-days", 1)
    assert (code, "there is no run" in last["error"]) == (2, True)
    assert list(tmp_path.iterdir()) == []
