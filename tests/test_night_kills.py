"""A night killed anywhere, given the same command again or followed by the next night, ends as if never killed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import night, verify
from mnist_batch.runs import ledger
from mnist_batch.store import locations
from tests.support.ruler import write_scan
from tests.support.running import Capture, Killed, ran

CHANGES = ("write_whole", "move_file", "move_folder", "delete_folder", "delete_file")


@contextmanager
def dying_at(fatal: int | None) -> Iterator[Callable[[], int]]:
    """Stands for SIGKILL before that change of files, counted from 1; yields how many there were."""
    steps = 0

    def mortal(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def step(filesystem: Any, path: str, *rest: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == fatal:
                if name == "write_whole":  # what a kill in the middle of it leaves
                    parent, _, file = path.rpartition("/")
                    Path(parent).mkdir(parents=True, exist_ok=True)
                    Path(parent, f".{file}.0badcafe.tmp").write_bytes(b"half")
                raise Killed
            return change(filesystem, path, *rest)

        return step

    with pytest.MonkeyPatch.context() as patched:
        for name in CHANGES:
            patched.setattr(locations, name, mortal(name, getattr(locations, name)))
        yield lambda: steps


def begin(folder: Path) -> None:
    """The scans of the first night, and the labels of two."""
    for digit in range(10):
        write_scan(folder / f"scans/{digit}.png", digit)
    (folder / "truth.csv").write_text("scan,label\n0.png,0\n1.png,1\n")


def go_on(folder: Path) -> None:
    """What the second night meets: scans new, repeated, renamed, copied, touched and changed, and a late label."""
    scans = folder / "scans"
    for number in range(6):
        write_scan(scans / f"new-{number}.png", number, confidence=0.7)
    shutil.copy(scans / "new-0.png", scans / "repeated.png")
    (scans / "2.png").rename(scans / "renamed.png")
    shutil.copy(scans / "3.png", scans / "copied.png")
    os.utime(scans / "4.png", ns=(1, 1))
    write_scan(scans / "5.png", 6, confidence=0.9)
    (folder / "truth.csv").write_text("scan,label\n1.png,7\n6.png,6\nnew-1.png,1\n")


def predictions(out: Path) -> list[dict[str, Any]]:
    """The rows of all runs without what tells the runs apart, by scan and status."""
    rows = pq.read_table(out / "predictions", partitioning=None).to_pylist()
    kept = ("source", "scan", "status", "digit", "label", "content", "copies", "same_as")
    return sorted(({name: row[name] for name in kept} for row in rows), key=str)


def reports(out: Path) -> list[Any]:
    """What the reports of all runs say of labels, by run_date: now, and before."""
    found = []
    for file in sorted(out.glob("runs/*/run.json")):
        said = json.loads(file.read_text())
        labels = pq.read_table(out / "labels", partitioning=None).to_pylist()
        now = sorted((row["scan"], row["label"]) for row in labels if row["run"] == said["run_id"])
        before = [(each["labelled"], each["accuracy"]) for each in said["former_reports"]]
        found.append((said["totals"]["labelled"], said["totals"]["accuracy"], now, before))
    return found


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("again", ["same", "next"])
@pytest.mark.slow
def test_a_night_killed_at_every_step_in_turn(ruler: str, tmp_path: Path, capsys: Capture, again: str) -> None:
    begin(tmp_path)
    asked = [tmp_path / "scans", "--model", ruler, "--shard-size", 4, "--labels", tmp_path / "truth.csv"]
    first = tmp_path / "first"
    assert ran(capsys, night, *asked, "--out", first, "--run-date", "2026-11-21")[2]["scored"] == 10
    go_on(tmp_path)

    def second(name: str, *when: object) -> tuple[Path, dict[str, Any]]:
        out = tmp_path / name
        if not out.exists():
            shutil.copytree(first, out)
        return out, ran(capsys, night, *asked, "--out", out, *when)[2]

    on = ("--run-date", "2026-11-22")
    with dying_at(None) as steps:
        calm, summary = second("calm", *on)
        last = steps()
    assert (summary["scans"]["scored"], summary["scans"]["moved"], summary["scans"]["repeated"]) == (7, 3, 1)
    assert summary["late_truth"][0]["labelled"] == 3
    assert last > 40
    expected, said = predictions(calm), reports(calm)
    for fatal in range(1, last + 1):
        with pytest.raises(Killed), dying_at(fatal):
            second(f"killed-{fatal}", *on)
        out, summary = second(f"killed-{fatal}", *(on if again == "same" else ()))
        assert summary["state"] in ("published", "nothing_new"), (fatal, summary)
        check(out, summary, expected, said, capsys, fatal)
        code, _, summary = ran(capsys, night, *asked, "--out", out)
        assert (code, summary["state"]) == (0, "nothing_new"), fatal
        kept = {file.name: file.read_bytes() for file in (out / ledger.FOLDER).iterdir() if file.name[0] != "."}
        shutil.rmtree(out / ledger.FOLDER)
        assert ran(capsys, night, *asked, "--out", out)[2]["state"] == "nothing_new"
        assert {file.name: file.read_bytes() for file in (out / ledger.FOLDER).iterdir()} == kept, fatal


def check(out: Path, summary: dict[str, Any], expected: Any, said: Any, capsys: Capture, fatal: int) -> None:
    assert predictions(out) == expected, fatal
    assert reports(out) == said, fatal
    assert json.loads((out / "_last/night.json").read_text()) == summary
    assert ran(capsys, verify, "--out", out)[0] == 0, fatal
    runs = {file.parent.name for file in out.glob("runs/*/run.json")}
    assert len(runs) == 2
    assert all(run in (out / "published.sql").read_text() for run in runs), fatal
    assert all(run in (out / "index.html").read_text() for run in runs), fatal
    left = {path.name for path in (out / "_staging").iterdir() if path.name[0] != "."}
    assert not left, (fatal, left)
