"""A night killed anywhere, given the same command again, ends as if it had never been killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import mnist_batch
from jobs import night
from mnist_batch import nights
from mnist_batch.runs import datasets, ledger_files, series, verifying
from mnist_batch.schemas.facts import Published
from mnist_batch.store import changing, locations
from tests.support.ruler import write_scan
from tests.support.running import Capture, Killed, ran
from tests.support.waiting import until

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
            patched.setattr(changing, name, mortal(name, getattr(changing, name)))
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


def predictions(out: str | Path) -> list[dict[str, Any]]:
    """The rows of all runs without what tells the runs apart, in a fixed order."""
    kept = ["source", "scan", "status", "digit", "label", "content", "copies", "same_as"]
    return sorted(mnist_batch.read_predictions(str(out)).to_table(kept).to_pylist(), key=str)


def published(out: str | Path) -> list[Published]:
    return datasets.facts_of(str(out), series.published_runs(str(out)))


def reports(out: str | Path) -> list[Any]:
    """What the reports of all runs say of labels: now, and before."""
    labels = mnist_batch.read_predictions(str(out), "labels").to_table(["run", "scan", "label"]).to_pylist()
    return [
        (
            each.totals.labelled,
            each.totals.accuracy,
            sorted((row["scan"], row["label"]) for row in labels if row["run"] == each.run_id),
            [(former.labelled, former.accuracy) for former in each.former_reports],
        )
        for each in published(out)
    ]


def content(out: str | Path, path: str) -> bytes:
    filesystem, root = locations.resolve(str(out))
    return locations.read(filesystem, f"{root}/{path}")


@pytest.mark.usefixtures("without_ray")
@pytest.mark.timeout(1_800)
@pytest.mark.slow
def test_a_night_killed_at_every_step_in_turn(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    asked = [tmp_path / "scans", "--model", ruler, "--shard-size", 4, "--labels", tmp_path / "truth.csv"]

    def first(name: str) -> str:
        shutil.rmtree(tmp_path / "scans", ignore_errors=True)
        begin(tmp_path)
        out = str(tmp_path / name)
        assert ran(capsys, night, *asked, "--out", out, "--run-date", "2026-11-21")[2]["scored"] == 10
        go_on(tmp_path)
        return out

    def second(out: str, *when: object) -> dict[str, Any]:
        return ran(capsys, night, *asked, "--out", out, *when)[2]

    on = ("--run-date", "2026-11-22")
    calm = first("calm")
    with dying_at(None) as steps:
        summary = second(calm, *on)
        last = steps()
    assert (summary["scans"]["scored"], summary["scans"]["moved"], summary["scans"]["repeated"]) == (7, 3, 1)
    assert summary["late_truth"][0]["labelled"] == 3
    assert last > 40
    for fatal in range(1, last + 1):
        out = first(f"killed-{fatal}")
        with dying_at(fatal), pytest.raises(Killed):
            second(out, *on)
        summary = second(out, *on)
        assert summary["state"] in ("published", "nothing_new"), (fatal, summary)
        assert json.loads(content(out, "_last/night.json")) == summary
        check(out, fatal)
        assert (predictions(out), reports(out)) == (predictions(calm), reports(calm)), fatal
        check_ledger(out, capsys, *asked)


def check(out: str | Path, killed: object) -> None:
    """Two runs are published, whole, and named where people look; nothing else is left."""
    runs = [each.run_id for each in published(out)]
    assert len(runs) == 2, killed
    assert [found.faults for found in verifying.verify(str(out))] == [[], []], killed
    for page in ("published.sql", "index.html"):
        assert all(run.encode() in content(out, page) for run in runs), (killed, page)
    filesystem, root = locations.resolve(str(out))
    left = [name for name in locations.names(filesystem, f"{root}/_staging") if name[0] != "."]
    assert not left, (killed, left)


def check_ledger(out: str | Path, capsys: Capture, *asked: object) -> None:
    """Another night finds nothing new, and the ledger is the one that is made of what is published."""
    filesystem, root = locations.resolve(str(out))

    def files() -> dict[str, bytes]:
        names = [name for name in locations.names(filesystem, f"{root}/{ledger_files.FOLDER}") if name[0] != "."]
        return {name: content(out, f"{ledger_files.FOLDER}/{name}") for name in names}

    assert ran(capsys, night, *asked, "--out", out)[2]["state"] == "nothing_new"
    kept = files()
    assert len(kept) == 2
    changing.delete_folder(filesystem, f"{root}/{ledger_files.FOLDER}")
    assert ran(capsys, night, *asked, "--out", out)[2]["state"] == "nothing_new"
    assert files() == kept


POINTS = [
    "write _ledger/first",
    "listed",
    "write second/opened.json",
    "part written",
    "scored",
    "write pages/report.html",
    "predictions published",
    "write second/run.json",
    "write out/index.html",
    "write out/published.sql",
    "write labels/report",  # of the first night, whose labels come late
    "write first/run.json",
    "write _last/night.json",
]


@pytest.mark.ray
@pytest.mark.timeout(1_800)
@pytest.mark.slow
def test_a_night_on_a_real_ray_killed_at_each_stage_in_turn(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    """One output, and the command of one night again and again, with SIGKILL at the next stage each time."""
    begin(tmp_path)
    out, points = tmp_path / "out", tmp_path / "points"
    points.mkdir()
    asked = [tmp_path / "scans", "--model", ruler, "--shard-size", 4, "--labels", tmp_path / "truth.csv"]
    code, first, stderr = ran_alone(points, *asked, "--out", out, "--run-id", "first")
    assert (code, first["scored"]) == (0, 10), stderr
    go_on(tmp_path)
    shutil.rmtree(out / ledger_files.FOLDER)
    shutil.copytree(out, tmp_path / "calm")
    second = [*asked, "--run-id", "second", "--out"]
    code, summary, stderr = ran_alone(points, *second, tmp_path / "calm")
    assert (code, summary["scored"]) == (0, 7), stderr
    for point in POINTS:
        armed = points / point.replace("/", "_")
        in_driver = point != "part written"
        armed.write_text("kill" if in_driver else "hold")
        job = started(points, *second, out)
        until(armed.with_name(f"{armed.name}.fired").exists, f"a process of the job stands at {point!r}", job)
        if in_driver:
            assert job.wait() == -signal.SIGKILL, point
        end(job)
        known = [pq.read_metadata(path).num_rows for path in out.glob("predictions/*/*/*.parquet")]
        assert sum(known) in (10, 21), point
    code, summary, stderr = ran_alone(points, *second, out)
    assert (code, summary["state"]) == (0, "nothing_new"), stderr  # it was published before night.json was written
    assert json.loads((out / "_last/night.json").read_text()) == summary
    check(out, "in turn")
    assert (predictions(out), reports(out)) == (predictions(tmp_path / "calm"), reports(tmp_path / "calm"))
    check_ledger(out, capsys, *asked)


def started(points: Path, *arguments: object) -> subprocess.Popen[str]:
    """``jobs.night`` in processes of its own, with a Ray of its own, which obey the failpoints of a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.night", "--address", "local", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"MNIST_BATCH_FAILPOINTS": str(points)},
        start_new_session=True,
    )


def ran_alone(points: Path, *arguments: object) -> tuple[int, dict[str, Any], str]:
    job = started(points, *arguments)
    stdout, stderr = job.communicate()
    return job.returncode, json.loads(stdout.splitlines()[-1]), stderr


def end(job: subprocess.Popen[str]) -> None:
    """Kill what is left of a job."""
    with suppress(ProcessLookupError):
        os.killpg(job.pid, signal.SIGKILL)
    job.communicate()


@pytest.mark.slow
def test_the_bytes_of_many_new_scans_are_read_by_tasks_of_the_cluster(
    shared_ray: None, undrawn: None, ruler: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows as where the driver reads them, in the same order of scans."""
    begin(tmp_path)
    asked = [tmp_path / "scans", "--model", ruler, "--classifiers", 1, "--preprocessors", 1]
    out, here = tmp_path / "out", tmp_path / "here"
    for each in (out, here):
        ran(capsys, night, *asked, "--out", each, "--run-id", "first")
    go_on(tmp_path)
    assert ran(capsys, night, *asked, "--out", here, "--run-id", "second")[2]["scored"] == 7
    monkeypatch.setattr(nights, "READ_HERE", 3)
    monkeypatch.setattr(nights, "READ_BY_A_TASK", 2)
    monkeypatch.setattr("mnist_batch.reading.reading_ahead.read_ahead", None)  # of this process
    assert ran(capsys, night, *asked, "--out", out, "--run-id", "second")[2]["scored"] == 7
    assert predictions(out) == predictions(here)
