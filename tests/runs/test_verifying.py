"""What jobs.verify finds: every file that is not as published, each in a line, and nothing else."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import discard, report, score, verify
from jobs import list as list_job
from mnist_batch import failpoints
from mnist_batch.runs import publishing
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from tests.support import DATA
from tests.support.running import Capture, ran

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]
FILES = 2 + len(tables.REPORT) + 2  # parts, report tables, report.html and confusion.png
Make = Callable[..., Path]


@pytest.fixture
def out(scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture) -> Path:
    """An output with the published runs one and two, of 30 scans in two shards each."""
    for run_id in ("one", "two"):
        arguments = [scans_folder(30), "--model", ruler, "--out", tmp_path / "out", "--run-id", run_id]
        assert ran(capsys, score, *arguments, "--shard-size", 20)[0] == 0
    return tmp_path / "out"


def part_of(out: Path, run_id: str, number: int) -> Path:
    [part] = out.glob(f"predictions/*/run_id={run_id}/part-0000{number}.parquet")
    return part


def test_what_is_as_published_is_said_run_by_run(out: Path, capsys: Capture) -> None:
    code, printed, summary = ran(capsys, verify, "--out", out)
    assert code == 0
    assert printed.splitlines() == [f"{run}: {FILES} files, 30 rows, as published" for run in ("one", "two")]
    assert summary | {"status": "done"} == {
        "status": "done", "exit_code": 0, "runs": 2, "files": 2 * FILES, "rows": 60, "faults": 0,
    }  # fmt: skip
    assert ran(capsys, verify, "--out", out, "--run", "two")[2]["runs"] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda out: None, "there is no published run, no .*/nowhere/runs/RUN_ID/run.json"),
        (lambda out: out.mkdir(), "there is no published run"),
        (lambda out: (out / "_staging/night").mkdir(parents=True), "there is no published run"),
        (lambda out: out.write_text("a file"), "there is no published run"),
    ],
)
def test_an_output_without_a_published_run_is_no_success(
    tmp_path: Path, capsys: Capture, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "nowhere")
    code, printed, summary = ran(capsys, verify, "--out", tmp_path / "nowhere")
    assert (code, printed) == (2, "")
    assert re.search(message, summary["error"])


def test_a_run_that_is_not_there_is_told_with_those_that_are(out: Path, capsys: Capture) -> None:
    code, _, summary = ran(capsys, verify, "--out", out, "--run", "three")
    assert code == 2
    assert "--run 'three': no published run of that id" in summary["error"]
    assert "there are one, two" in summary["error"]


def test_every_fault_of_every_run_is_a_line(out: Path, capsys: Capture) -> None:
    content = bytearray(part_of(out, "one", 0).read_bytes())
    content[len(content) // 2] ^= 1
    part_of(out, "one", 0).write_bytes(content)
    part_of(out, "one", 1).unlink()
    stray = part_of(out, "two", 0).with_name("part-99999.parquet")
    stray.write_bytes(b"what is this")
    page, picture = out / "runs/two/report.html", out / "runs/two/confusion.png"
    page.write_text(page.read_text().replace("30", "31"))
    picture.unlink()
    [table] = out.glob("per_class/*/run_id=two/report.parquet")
    table.write_bytes(table.read_bytes()[:-1])
    code, printed, summary = ran(capsys, verify, "--out", out)
    assert code == 5
    *faults, remedy = printed.splitlines()
    first = part_of(out, "one", 0)
    assert faults == [
        f"one: {first}: changed since it was published",
        f"one: {first.with_name('part-00001.parquet')}: missing",
        f"two: {stray}: not a file of this run, but readers see it as one",
        f"two: {table}: changed since it was published",
        f"two: {picture}: missing",
        f"two: {page}: changed since it was published",
    ]
    assert remedy.startswith("6 faults in 2 of 2 runs. Restore the files")
    assert (summary["status"], summary["faults"], summary["faulty"]) == ("failed", 6, ["one", "two"])
    assert summary["error"] == remedy


@pytest.mark.parametrize("content", ["{", "", "[]", "{}", "3", '{"fingerprint": 1}', "\x00\xff"])
def test_a_damaged_run_json_is_a_line_and_the_others_are_verified(out: Path, capsys: Capture, content: str) -> None:
    damaged = out / "runs/one/run.json"
    damaged.write_text(content)
    code, printed, summary = ran(capsys, verify, "--out", out)
    lines = printed.splitlines()
    assert (code, summary["runs"], summary["faults"], summary["faulty"]) == (5, 2, 1, ["one"])
    assert lines[0].startswith(f"one: {damaged} is damaged (")
    assert f"python -m mnist_batch discard --out {out} --run one" in lines[0]
    assert lines[1] == f"two: {FILES} files, 30 rows, as published"
    code, printed, _ = ran(capsys, verify, "--out", out, "--run", "two")
    assert code == 0


def test_predictions_whose_run_json_is_gone_are_a_fault(out: Path, capsys: Capture) -> None:
    (out / "runs/one/run.json").unlink()
    folder = part_of(out, "one", 0).parent
    code, printed, _ = ran(capsys, verify, "--out", out)
    assert code == 5
    assert f"one: {folder}: predictions without a run.json; their run is not published" in printed.splitlines()
    (out / "_staging/one").mkdir()  # as while it is being published
    (out / "_staging/one/opened.json").write_text("{}")
    assert ran(capsys, verify, "--out", out)[0] == 0
    shutil.rmtree(out / "_staging/one")
    (out / "runs/two/run.json").unlink()  # of the only run that was left
    code, printed, summary = ran(capsys, verify, "--out", out)
    assert (code, summary["runs"], summary["faulty"]) == (5, 2, ["one", "two"])
    assert printed.splitlines()[-1].startswith("2 faults in 2 of 2 runs. ")
    shutil.rmtree(part_of(out, "two", 0).parent)
    assert ran(capsys, verify, "--out", out)[1].splitlines()[-1].startswith("1 fault in 1 of 1 run. ")


@pytest.mark.parametrize("moment", ["report staged", "predictions published"])
def test_what_changes_between_the_audit_and_run_json_is_no_truth(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """run.json has the digests of the writers, so a part that is shortened at the last moment is found."""
    out = tmp_path / "out"
    publish, reach = publishing.publish, failpoints.reach

    def shorten() -> None:
        [part] = [path for path in out.rglob("part-00001*") if path.parent.name in ("parts", "run_id=late")]
        pq.write_table(pq.read_table(part, partitioning=None).slice(3), part)

    def late_publish(run: Run) -> None:
        shorten()
        publish(run)

    def late_reach(point: str, *rest: Any) -> None:
        if point == "predictions published":
            shorten()
        reach(point, *rest)

    if moment == "report staged":
        monkeypatch.setattr(publishing, "publish", late_publish)
    else:
        monkeypatch.setattr(failpoints, "reach", late_reach)
    arguments = [scans_folder(20), "--model", ruler, "--out", out, "--run-id", "late", "--shard-size", 10]
    assert ran(capsys, score, *arguments)[2]["rows"] == 20
    code, printed, _ = ran(capsys, verify, "--out", out)
    assert code == 5
    assert printed.splitlines()[0] == f"late: {part_of(out, 'late', 1)}: changed since it was published"


def test_a_report_made_anew_is_as_published_again(out: Path, capsys: Capture) -> None:
    (out / "runs/one/report.html").write_text("spoilt")
    assert ran(capsys, verify, "--out", out)[0] == 5
    assert ran(capsys, report, "--out", out, "--run", "one")[0] == 0
    assert ran(capsys, verify, "--out", out)[0] == 0


def test_a_run_that_version_0_1_published_is_verified_listed_and_withdrawn(tmp_path: Path, capsys: Capture) -> None:
    out = shutil.copytree(DATA / "run-0.1", tmp_path / "out")
    code, printed, _ = ran(capsys, verify, "--out", out)
    assert (code, printed.partition(",")[0]) == (0, "2026-11-20-c038c117: 1 file")
    [run] = ran(capsys, list_job, "--out", out)[2]["newest"]
    assert (run["state"], run["rows"], run["night"]) == ("published", 13, "2026-11-20")
    assert ran(capsys, discard, "--out", out, "--run", run["run_id"])[0] == 0
    assert not list(out.rglob("*.parquet"))


def test_a_run_of_an_earlier_version_is_verified_as_far_as_it_says(out: Path, capsys: Capture) -> None:
    file = out / "runs/one/run.json"
    facts = json.loads(file.read_text())
    del facts["report_files"], facts["format"]
    file.write_text(json.dumps(facts))
    (out / "runs/one/report.html").write_text("spoilt")
    code, printed, _ = ran(capsys, verify, "--out", out)
    assert code == 0
    assert "one: 2 files, 30 rows, as published; published by a version that recorded nothing" in printed
    part_of(out, "one", 1).unlink()
    assert ran(capsys, verify, "--out", out)[0] == 5
