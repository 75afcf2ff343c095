"""A run withdrawn: readers meet all of it or nothing, and killed anywhere the same command finishes."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mnist_batch
from jobs import discard, score, verify
from jobs import list as list_job
from mnist_batch import scoring
from mnist_batch.errors import InputError, Locked
from mnist_batch.runs import discarding, opening, pruning, series
from mnist_batch.runs.command import Command
from mnist_batch.store import changing, conditional, locations
from tests.support import s3
from tests.support.running import Capture, Killed, ran, readers_see

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]
Make = Callable[..., Path]


def files(out: Path) -> dict[str, bytes]:
    every = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    every.pop("index.html", None)  # of all runs together, and made anew by the jobs
    return every


def scored(folder: Path, ruler: str, out: Path | str, run_id: str, **options: Any) -> None:
    asked = Command(sources=[str(folder)], model=ruler, out=str(out), shard_size=10, run_id=run_id, **options)
    with opening.open_run(asked) as run:
        scoring.score(run)


@pytest.mark.parametrize("scheme", ["", "fsspec+file://"])
def test_a_run_is_withdrawn_and_the_others_stay(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture, scheme: str
) -> None:
    out = tmp_path / "out"
    scored(scans_folder(15), ruler, f"{scheme}{out}", "kept")
    before = files(out)
    scored(scans_folder(15), ruler, f"{scheme}{out}", "withdrawn")
    whole = files(out)
    code, printed, summary = ran(capsys, discard, "--out", f"{scheme}{out}", "--run", "withdrawn", "--dry-run")
    assert (code, summary["status"]) == (0, "dry_run")
    assert files(out) == whole
    assert [line.partition(": ")[0] for line in printed.splitlines()] == ["would be deleted"] * len(summary["folders"])
    code, printed, done = ran(capsys, discard, "--out", f"{scheme}{out}", "--run", "withdrawn")
    assert (code, done["status"], done["folders"]) == (0, "done", summary["folders"])
    assert printed.splitlines() == [f"deleted: {folder}" for folder in done["folders"]]
    assert files(out) == before
    assert ran(capsys, verify, "--out", out)[0] == 0
    code, _, summary = ran(capsys, discard, "--out", out, "--run", "withdrawn")
    assert code == 2
    assert "no run of that id" in summary["error"]
    assert "there are kept" in summary["error"]


def test_an_unfinished_run_is_thrown_away_and_its_command_begins_anew(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = scans_folder(15), tmp_path / "out"
    asked = Command(sources=[str(folder)], model=ruler, out=str(out), run_id="night")
    with opening.open_run(asked):
        pass
    (folder / "late.png").write_bytes(b"arrived since")
    with series.locked(str(out), "night"), pytest.raises(Locked):
        discarding.discard(str(out), "night")
    assert ran(capsys, discard, "--out", out, "--run", "night")[0] == 0
    assert list((out / "_staging").iterdir()) == []
    with opening.open_run(asked) as run:
        assert run.opened is not None
        assert run.opened.scans == 16


def test_nothing_is_made_where_there_is_nothing_to_discard(tmp_path: Path) -> None:
    for run_id in ("night", "../night", ""):
        with pytest.raises(InputError, match="--run"):
            discarding.discard(str(tmp_path / "out"), run_id)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["", "fsspec+file://"])
def test_killed_at_every_step_the_same_command_finishes(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, scheme: str
) -> None:
    folder, out = scans_folder(15), tmp_path / "out"
    scored(folder, ruler, out, "kept")
    kept = files(out)
    steps = 0
    fatal: int | None = None

    def mortal(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == fatal:
                raise Killed
            return change(*arguments)

        return step

    scored(folder, ruler, out, "night")
    whole = shutil.copytree(out, tmp_path / "whole")
    for name in ("move_file", "move_folder", "delete_folder"):
        monkeypatch.setattr(changing, name, mortal(getattr(changing, name)))
    steps = 0
    discarding.discard(f"{scheme}{out}", "night")
    last, fatal, seen = steps, None, set()
    assert last >= 8
    for at in range(1, last + 1):
        shutil.rmtree(out)
        shutil.copytree(whole, out)
        steps, fatal = 0, at
        with pytest.raises(Killed):
            discarding.discard(f"{scheme}{out}", "night")
        fatal = None
        seen.add(readers_see(out))
        assert series.published_runs(str(out)) in (["kept", "night"], ["kept"])
        as_published = ran(capsys, verify, "--out", out)[0] == 0
        # Either nothing has happened yet, or jobs.verify says so while predictions are still read.
        assert as_published == ((out / "runs/night/run.json").exists() or readers_see(out)[0] == 15)
        assert ran(capsys, list_job, "--out", out)[0] == 0
        if at in (1, 2, last // 2, last):  # the next command of the same run finishes it, too, and begins the run anew
            scored(folder, ruler, out, "night")
            assert readers_see(out) == (30, 20)
        discarding.discard(f"{scheme}{out}", "night")
        assert files(out) == kept
        assert sorted(path.name for path in (out / "_staging").iterdir()) == []
    assert seen == {(30, 20), (30, 10), (15, 10)}


def objects(store: s3.Proxy) -> dict[str, bytes]:
    """What is in a bucket, without the keys of folders and what is made anew for all runs together."""
    filesystem, root = locations.resolve(f"s3://{store.bucket}")
    paths = [f"{root}/{path}" for path in locations.files_below(filesystem, root)]
    return {path: locations.read(filesystem, path) for path in paths if not path.endswith("index.html")}


@pytest.mark.slow
@pytest.mark.parametrize("job", ["discard", "withdraw", "prune"])
@s3.on_both_servers
def test_at_a_store_a_run_is_whole_or_withdrawn_wherever_its_discarding_is_killed(
    scans_folder: Make, ruler: str, store: s3.Proxy, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    folder, out = scans_folder(5), f"s3://{store.bucket}/out"
    filesystem = locations.resolve(out)[0]
    commands: dict[str, Callable[[], object]] = {
        "discard": lambda: discarding.discard(out, "night"),
        "withdraw": lambda: pruning.prune(out, 90),
        "prune": lambda: pruning.prune(out, 90, grace_hours=0),
    }
    scored(folder, ruler, out, "kept", labels="parent")
    kept = objects(store)
    scored(folder, ruler, out, "night", labels="parent", run_date="2026-01-05")
    whole, steps = objects(store), 0
    fatal: int | None = None

    def mortal(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += not any(str(each).endswith((".lock", ".probe")) for each in arguments)  # of a run's own files
            if steps == fatal:
                raise Killed
            return change(*arguments, **options)

        return step

    for name in ("write_whole", "move_file", "delete_folder", "delete_file"):
        monkeypatch.setattr(changing, name, mortal(getattr(changing, name)))
    for name in ("create", "replace", "delete"):
        monkeypatch.setattr(conditional.Objects, name, mortal(getattr(conditional.Objects, name)))

    def rows_seen() -> tuple[int, int]:
        return tuple(mnist_batch.read_predictions(out, table).count_rows() for table in ("predictions", "per_class"))  # type: ignore[return-value]

    steps = 0
    commands[job]()
    last, seen = steps, set()
    assert last >= 6
    for at in range(1, last + 1):
        steps, fatal = -1_000, None
        changing.delete_folder(filesystem, f"{store.bucket}/out")
        for path, content in whole.items():
            changing.write_whole(filesystem, path, content)
        steps, fatal = 0, at
        with pytest.raises(Killed):
            commands[job]()
        fatal = None
        published = series.published_runs(out)
        assert published in (["kept", "night"], ["kept"])
        assert rows_seen() == (5 * len(published), 10 * len(published))
        views = locations.read(filesystem, f"{store.bucket}/out/published.sql").decode()
        named = re.findall(r"'s3://([^']+\.parquet)'", views)
        assert len(named) >= 4
        assert all(locations.exists(filesystem, path) for path in named)
        seen.add(len(published))
        commands[job]()
        assert series.published_runs(out) == ["kept"]
        assert rows_seen() == (5, 10)
        if job == "withdraw":
            pruning.prune(out, 90, grace_hours=0)
        assert objects(store) == kept
    assert seen == {1, 2}


def test_a_series_goes_on_behind_a_run_that_was_discarded(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = scans_folder(5), tmp_path / "out"
    arguments = [folder, "--model", ruler, "--out", out, "--run-id", "night"]
    for number in range(3):
        (folder / f"{number}.png").write_bytes((folder / "3/scan-0003.png").read_bytes())
        assert ran(capsys, score, *arguments)[0] == 0
    assert series.published_runs(str(out)) == ["night", "night-2", "night-3"]
    assert ran(capsys, discard, "--out", out, "--run", "night-2")[0] == 0
    assert ran(capsys, score, *arguments)[2]["run_id"] == "night-3"  # and is left alone
    (folder / "another.png").write_bytes((folder / "3/scan-0003.png").read_bytes())
    assert ran(capsys, score, *arguments)[2]["run_id"] == "night-4"
