"""Each job's main, end to end: its exit code, its last line, what it leaves on disk."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from jobs import demo, export, report, score, session, verify
from mnist_batch.errors import InputError
from mnist_batch.reading import images
from mnist_batch.runs import command, opening
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Opened
from tests.support import ROOT
from tests.support.ruler import calibrated, write_scan
from tests.support.running import Capture, ran

Make = Callable[..., Path]
JOBS = [
    import_module(f"jobs.{path.stem}") for path in sorted(ROOT.glob("jobs/*.py")) if "\ndef main(" in path.read_text()
]


@pytest.mark.usefixtures("shared_ray")
def test_score_then_report(scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture) -> None:
    folder, out = scans_folder(60), tmp_path / "out"
    code, printed, summary = ran(capsys, score, folder, "--model", ruler, "--out", out)
    assert (code, summary["status"], summary["accuracy"]) == (0, "done", None)
    assert "58 of 60 rows scored; 2 could not be read: 2 not_an_image" in printed
    assert re.search(r"(?s)0/scan-0000.png: 0 \(confidence .*\n\(the first 5 of 60\)\nread as 0: \d, 1: ", printed)
    assert "recall" not in printed  # nobody knows the truth
    run_id = summary["run_id"]
    page = (out / "runs" / run_id / "report.html").read_text()
    assert "accuracy: no labels" in page

    truth = tmp_path / "truth.csv"
    rows = [(f"{number % 10}/scan-{number:04d}.png", number % 10) for number in range(40)]
    pd.DataFrame(rows, columns=["scan", "label"]).to_csv(truth, index=False)
    before = {path: path.read_bytes() for path in (out / "predictions").rglob("*") if path.is_file()}
    code, printed, summary = ran(capsys, report, "--out", out, "--run", run_id, "--labels", truth)
    read = [number for number in range(40) if number % 23 != 22]
    right = [number for number in read if number % 7 != 6]
    assert (code, summary["labelled"], summary["accuracy"]) == (0, len(read), len(right) / len(read))
    assert {path: path.read_bytes() for path in (out / "predictions").rglob("*") if path.is_file()} == before
    run = json.loads((out / "runs" / run_id / "run.json").read_text())
    assert (run["labels"], run["report_labels"], run["totals"]["correct"]) == ("none", str(truth), len(right))
    per_class = pd.read_parquet(out / "per_class")
    assert per_class["correct"].sum() == len(right)

    join = re.search(r"## labels\n.*?```sql\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.DOTALL)
    assert join
    query = join[1].replace("'out/", f"'{out}/")
    wrong = {f"{number % 10}/scan-{number:04d}.png": number % 10 for number in set(read) - set(right)}
    assert wrong
    for labels in ([], ["--labels", truth], []):  # those of the last report are kept
        code, _, summary = ran(capsys, report, "--out", out, "--run", run_id, *labels)
        assert (code, summary["labelled"], summary["accuracy"]) == (0, len(read), len(right) / len(read))
        found = duckdb.sql(query).df()
        assert dict(zip(found["scan"], found["truth"], strict=True)) == wrong
        mistakes = tmp_path / "mistakes.csv"
        assert ran(capsys, export, "--out", out, "--run", run_id, "--csv", mistakes, "--rows", "mistakes")[0] == 0
        assert pd.read_csv(mistakes).set_index("scan")["label"].to_dict() == wrong
    assert len(pd.read_parquet(out / "labels")) == 40
    code, _, summary = ran(capsys, report, "--out", out, "--run", run_id, "--labels", "parent")
    assert (code, summary["labelled"], len(pd.read_parquet(out / "labels"))) == (0, 58, 60)
    code, printed, summary = ran(capsys, report, "--out", out, "--run", run_id, "--labels", "none")
    assert (code, summary["labelled"], summary["accuracy"]) == (0, 0, None)
    assert json.loads((out / "runs" / run_id / "run.json").read_text())["report_labels"] is None
    assert pd.read_parquet(out / "labels").empty
    assert ran(capsys, verify, "--out", out)[0] == 0

    code, _, summary = ran(capsys, report, "--out", out, "--run", run_id)
    assert (code, summary["labelled"]) == (0, 0)
    assert json.loads((out / "runs" / run_id / "run.json").read_text())["report_labels"] is None
    code, _, summary = ran(capsys, report, "--out", out, "--run", "another")
    assert (code, summary["status"]) == (2, "failed")
    assert run_id in summary["error"]


@pytest.mark.usefixtures("shared_ray")
def test_one_file_prints_its_digit_and_confidence(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    scan = write_scan(tmp_path / "digit.png", 4, confidence=0.82)
    code, printed, _ = ran(capsys, score, scan, "--model", ruler, "--out", tmp_path / "out")
    assert code == 0
    assert re.search(r"^digit.png: 4 \(confidence 0\.82\d\d\)$", printed, re.MULTILINE)
    (tmp_path / "bad\n.png").write_bytes(b"")
    arguments = [tmp_path / "bad\n.png", "--model", ruler, "--out", tmp_path / "out"]
    _, printed, _ = ran(capsys, score, *arguments, "--max-unreadable", 1)
    assert "bad\\n.png: empty (0 bytes)" in printed


@pytest.mark.usefixtures("shared_ray")
def test_too_many_unreadable_scans_are_exit_3_and_not_published(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = scans_folder(40), tmp_path / "out"
    arguments = [folder, "--model", ruler, "--out", out]
    code, printed, summary = ran(capsys, score, *arguments, "--max-unreadable", 0.02)
    assert (code, printed) == (3, "")
    assert "allows: '2/scan-0022.png' is not_an_image (" in summary["error"]
    page = re.search(r"(\S+/report.html) shows", summary["error"])
    assert page
    assert "not_an_image" in Path(page[1]).read_text()
    assert not (out / "predictions").exists()
    assert not (out / "runs").exists()
    code, _, summary = ran(capsys, score, *arguments)  # 1 of 40 is within the default
    assert (code, summary["unreadable"]) == (0, 1)


@pytest.mark.usefixtures("shared_ray")
def test_verify_finds_what_was_altered_after_publishing(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    _, _, summary = ran(capsys, score, scans_folder(30), "--model", ruler, "--out", out)
    code, printed, _ = ran(capsys, verify, "--out", out)
    assert (code, printed) == (0, f"{summary['run_id']}: {3 + len(tables.REPORT)} files, 30 rows, as published")
    [part] = Path(summary["predictions"]).iterdir()
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    for arguments in ([], ["--run", summary["run_id"]]):
        code, printed, found = ran(capsys, verify, "--out", out, *arguments)
        assert (code, found["faults"]) == (5, 1)
        assert f"{summary['run_id']}: {part}: changed since it was published" in printed


@pytest.mark.usefixtures("shared_ray")
def test_a_manifest_of_yesterdays_predictions_is_scored(
    scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    _, _, first = ran(capsys, score, scans_folder(30), "--labels", "parent", "--model", ruler, "--out", out)
    [part] = Path(first["predictions"]).glob("*.parquet")
    code, _, again = ran(capsys, score, "--manifest", part, "--model", ruler, "--out", tmp_path / "again")
    assert code == 0
    assert (again["rows"], again["accuracy"]) == (30, first["accuracy"])

    given = ["./scans/1/scan-0001.png", str(tmp_path / "scans/2/scan-0002.png"), "scans\\3\\scan-0003.png"]
    pd.DataFrame({"Scan": given, "Label": [1, "none", ""]}).to_csv(tmp_path / "list.csv", sep=";", index=False)
    code, _, own = ran(capsys, score, "--manifest", tmp_path / "list.csv", "--model", ruler, "--out", tmp_path / "own")
    assert (code, own["rows"], own["labelled"], own["accuracy"]) == (0, 3, 1, 1.0)
    join = re.search(r"```sql\n(.*?)```", (ROOT / "docs/labels.md").read_text(), re.DOTALL)
    assert join
    found = duckdb.sql(
        join[1].replace("'list.csv'", f"'{tmp_path}/list.csv'").replace("'out/", f"'{tmp_path}/own/")
    ).df()
    assert sorted(found["Scan"]) == sorted(given)
    assert sorted(found["digit"]) == [1, 2, 3]


def test_report_html_opens_offline_and_shows_names_as_text(
    shared_ray: None, ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    evil = "<script>alert('x')</script>"
    write_scan(tmp_path / "in/3" / f"{evil.replace('/', '')}.png", 5)
    (tmp_path / "in/3/<b>bold.png").write_bytes(b"<i>no image")
    arguments = [tmp_path / "in", "--labels", "parent", "--model", ruler, "--out", tmp_path / "out"]
    arguments += ["--max-unreadable", 0.5]
    _, _, summary = ran(capsys, score, *arguments)
    page = Path(summary["report"]).read_text()
    assert "<script" not in page
    assert "<b>" not in page.replace("<b>0", "").replace("<b>1", "").replace("<b>2", "")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert "&lt;script&gt;" in page
    assert "is 3, read" in page


@pytest.mark.usefixtures("shared_ray")
def test_answers_where_no_valid_digit_is_written_are_mistakes(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    for number in range(20):
        write_scan(tmp_path / f"in/{number:02d}.png", number % 10, confidence=0.95 if number % 2 else 0.5)
    (tmp_path / "in/blank.png").write_bytes(images.encode(np.full((40, 40), 255, np.uint8)))
    (tmp_path / "in/torn.png").write_bytes(b"no image")
    none = [f"{number:02d}.png" for number in range(6)] + ["blank.png", "torn.png"]
    lines = [f"{name};NONE" for name in none] + [f"./in/{number:02d}.png;{number % 10}" for number in range(6, 20)]
    (tmp_path / "in/.DS_Store").write_bytes(b"of macOS")
    (tmp_path / "in/Truth.CSV").write_text("\r\n".join(["Scan;Label", *lines, ";", ""]))
    model, out = calibrated(ruler, tmp_path / "calibrated"), tmp_path / "out"
    arguments = [tmp_path / "in", "--labels", tmp_path / "in/Truth.CSV", "--model", model, "--out", out]
    code, printed, summary = ran(capsys, score, *arguments, "--target-error", 0.005)
    assert (code, summary["accuracy"], summary["accepted_errors"]) == (0, 1.0, 3)
    assert "of 8 labelled none, 1 rightly without an answer, 6 answered (3 accepted), 1 unreadable" in printed
    assert "of 10 accepted with a label, 3 wrong" in printed
    facts = json.loads((out / "runs" / summary["run_id"] / "run.json").read_text())
    totals = facts["totals"]
    assert (facts["scans"], facts["left_out"]) == (22, {"labels": 1, "desktop": 1})
    assert [totals[f"none_{what}"] for what in ("refused", "answered", "accepted", "unreadable")] == [1, 6, 3, 1]
    assert (totals["labelled"], totals["labelled_none"], totals["correct"]) == (14, 8, 14)
    assert (totals["accepted"], totals["accepted_labelled"], totals["accepted_errors"]) == (10, 10, 3)
    mistakes = duckdb.sql(f"FROM read_parquet('{out}/predictions/**/*.parquet') WHERE digit <> label").df()
    assert sorted(mistakes["scan"]) == none[:6]
    assert set(mistakes["label"]) == {-1}
    confusion = pd.read_parquet(out / "confusion")
    assert confusion["count"].sum() == 22
    assert confusion[confusion["label"] == -1]["count"].sum() == 8
    per_class = pd.read_parquet(out / "per_class").set_index("digit")
    assert per_class.loc[1, ["support", "predicted", "correct", "precision"]].tolist() == [1, 2, 1, 0.5]
    assert per_class["accepted_errors"].sum() == 3
    curve = pd.read_parquet(out / "risk_coverage")
    assert (curve["accepted"][0], curve["errors"][0]) == (20, 6)
    assert pd.read_parquet(out / "calibration")["correct"].sum() == 14
    page = Path(summary["report"]).read_text()
    assert "answered of 8 labelled none, 3 accepted" in page
    surest = page.split("<h2>Surest mistakes")[1].split("<h2")[0]
    assert surest.count('is no digit, read <span class="wrong">') == 6


def test_patterns_decide_which_run_a_command_means_and_are_written_down(
    ruler: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "b.tif", "old/c.png", "Thumbs.db"):
        write_scan(tmp_path / "in" / name, 1)
    caplog.set_level("INFO")

    def opened(**patterns: list[str]) -> tuple[str, Opened]:
        asked = command.Command(sources=[str(tmp_path / "in")], model=ruler, out=str(tmp_path / "out"), **patterns)
        with opening.open_run(asked) as run:
            assert run.opened
            return run.run_id, run.opened

    plain, facts = opened()
    assert (facts.scans, facts.left_out, facts.include) == (3, {"desktop": 1}, ())
    chosen, facts = opened(include=["*.png", "*.png"], exclude=["old/"])
    assert (facts.scans, facts.left_out) == (1, {"desktop": 1, "excluded": 1, "not_included": 1})
    assert (facts.include, facts.exclude) == (("*.png",), ("old",))
    assert "not scans: 1 file left by desktops" in caplog.text
    assert "matches nothing" not in caplog.text
    assert opened(include=["./*.png"], exclude=["old"])[0] == chosen != plain
    _, facts = opened(include=["*.gif", "*.tif"])
    assert facts.scans == 1
    assert "--include '*.gif' matches nothing" in caplog.text


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (["--include", "*.PNG"], "--include '*.PNG' matches nothing"),
        (["--include", "*.PNG"], "(left out: 3 files matched by no --include): is this the right folder?"),
        (["--include", "*.png", "--exclude", "a.png", "--exclude", "b*"], "left out: 2 files matched by --exclude"),
    ],
)
@pytest.mark.usefixtures("without_ray")
def test_patterns_that_leave_no_scan_are_an_empty_run_unless_scans_are_required(
    ruler: str, tmp_path: Path, capsys: Capture, caplog: pytest.LogCaptureFixture, patterns: list[str], told: str
) -> None:
    """A quiet night leaves a folder with what else its program writes there."""
    for name in ("a.png", "b.png", "notes.txt"):
        write_scan(tmp_path / "in" / name, 1)
    caplog.set_level("INFO")
    given = [tmp_path / "in", "--model", ruler, "--out", tmp_path / "out", *patterns]
    code, _, summary = ran(capsys, score, *given)
    assert (code, summary["rows"]) == (0, 0)
    assert told in caplog.text
    assert pd.read_parquet(summary["predictions"])["scan"].tolist() == []
    code, _, summary = ran(capsys, score, *given, "--require-scans")
    assert code == 2
    assert summary["error"].startswith("--require-scans: there is nothing to score in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in", "--require-scans", "--include", "*.gif"], "nothing to score in"),
        (["--manifest", "x.csv", "--include", "*.png"], "--include and --exclude select files of SCANS"),
        (["nowhere"], "SCANS: there is no file or folder"),
        ([], "SCANS: nothing is given; give one or more folders or files, or --manifest FILE"),
        (["in", "--labels", "parent"], "no scan is in a folder named 0 to 9"),
        (["in", "--labels", "nowhere.csv"], "no such file"),
        (["in", "--manifest", "x.parquet"], "SCANS and --manifest are both given"),
        (["--manifest", "x.parquet"], "--manifest x.parquet: no such file"),
        (["in", "--run-date", "soon"], "--run-date 'soon'"),
    ],
)
def test_a_mistake_is_exit_2_and_a_sentence_and_publishes_nothing(
    ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scan(tmp_path / "in/a.png", 1)
    code, printed, summary = ran(capsys, score, *arguments, "--model", ruler, "--out", "out")
    assert (code, printed) == (2, "")
    assert message in summary["error"]
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("score", ["in"]),
        ("score", ["--retry", "night"]),
        ("night", ["in"]),
        ("night", ["--publish-anyway", "night", "--reason", "looked at"]),
        ("promote", ["--back"]),
        *((job, ["--run", "night"]) for job in ("report", "discard")),
        ("export", ["--run", "night", "--csv", "night.csv"]),
        *((job, ["--run", "night", "--to", "to"]) for job in ("review", "calibrate")),
        ("compare", ["--a", "one", "--b", "other"]),
        ("prune", ["--keep-days", "9"]),
        *((job, []) for job in ("list", "verify")),
    ],
)
@pytest.mark.parametrize("out", ["file", "file/out"])
def test_an_output_that_is_a_file_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture, job: str, arguments: list[str], out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scan(tmp_path / "in/a.png", 1)
    (tmp_path / "file").write_text("of a user")
    code, printed, summary = ran(capsys, import_module(f"jobs.{job}"), *arguments, "--out", out)
    assert (code, printed) == (2, "")
    assert "file" in summary["error"]
    assert {path.name for path in tmp_path.rglob("*")} == {"in", "a.png", "file"}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
def test_an_unset_variable_is_said_whatever_argument_it_was_for(
    job: Any, blank: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    parsers: list[argparse.ArgumentParser] = []
    make = session.parser
    monkeypatch.setattr(session, "parser", lambda *given: parsers.append(make(*given)) or parsers[-1])
    with pytest.raises(SystemExit, match="0"):
        job.main(["--help"])
    taking = [action for action in parsers[0]._actions if action.nargs != 0]
    assert len(taking) >= 2
    for action in taking:
        flags = action.option_strings[-1:]
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            job.main([*flags, blank])
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        name = flags[0] if flags else action.metavar
        assert said == {"status": "failed", "exit_code": 2, "error": f"{name} is empty; is a variable unset?"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("argument", ["sources", "out", "manifest", "labels", "model", "run_id"])
def test_what_is_blank_is_not_the_current_directory_in_the_library_either(
    ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, blank: str
) -> None:
    write_scan(tmp_path / "in/a.png", 1)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    usual: dict[str, Any] = {"sources": [str(tmp_path / "in")], "out": str(tmp_path / "out"), "model": ruler}
    usual |= {argument: [blank] if argument == "sources" else blank}
    if argument == "manifest":
        usual["sources"] = []
    with pytest.raises(InputError):
        command.Command(**usual)
    assert list((tmp_path / "cwd").iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("job", JOBS)
def test_help_is_a_page_that_says_what_the_exit_codes_mean(job: Any, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        job.main(["--help"])
    page = capsys.readouterr().out
    assert page.startswith("usage: python -m jobs.")
    assert job is demo or "Exit codes: 0 done, 2 bad arguments" in page
    with pytest.raises(SystemExit, match="2"):
        job.main(["--no-such-flag"])


def test_a_run_that_another_process_is_making_is_exit_75(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    write_scan(tmp_path / "in/a.png", 1)
    hold = "import sys; from mnist_batch.runs import series\n"
    hold += "with series.locked(sys.argv[1], 'night'): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "out")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "\n"
    arguments = [tmp_path / "in", "--model", ruler, "--out", tmp_path / "out", "--run-id", "night"]
    code, _, summary = ran(capsys, score, *arguments)
    holder.communicate()
    assert code == 75
    assert f"process {holder.pid} on " in summary["error"]


@pytest.mark.ray
def test_a_cluster_that_does_not_answer_is_exit_2_within_seconds(ruler: str, tmp_path: Path) -> None:
    write_scan(tmp_path / "in/a.png", 1)
    command = [sys.executable, "-m", "jobs.score", str(tmp_path / "in"), "--model", ruler, "--address", "127.0.0.1:1"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, summary["exit_code"]) == (2, 2), done.stderr
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in summary["error"]
