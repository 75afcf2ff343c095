"""A night scores what is new, known by content and not by name, and publishes what keeps its gates."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pyarrow.parquet as pq
import pytest

from jobs import discard, night, promote, verify
from jobs import list as list_job
from mnist_batch import nights, scoring
from mnist_batch.models import bundle
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reports import report
from mnist_batch.runs import ledger_files
from mnist_batch.schemas.bundle_facts import BundleFacts, MnistTest
from tests.support import ROOT
from tests.support.ruler import calibrated, write_scan
from tests.support.running import Capture, Killed, ran

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_ray")]


@pytest.fixture
def asked(tmp_path: Path, ruler: str) -> list[Any]:
    """A command on ten scans, 0.png to 9.png."""
    for digit in range(10):
        write_scan(tmp_path / f"in/{digit}.png", digit)
    return [tmp_path / "in", "--model", ruler, "--out", tmp_path / "out", "--shard-size", 4]


def rows(out: Path, run: str | None = None) -> dict[str, dict[str, Any]]:
    """The rows of predictions of a run by scan, or of all runs."""
    found = pq.read_table(out / "predictions", partitioning=None).to_pylist()
    return {row["scan"]: row for row in found if run in (None, row["run"])}


def test_what_is_known_by_its_bytes_is_not_scored_again(asked: list[Any], tmp_path: Path, capsys: Capture) -> None:
    """Renamed, moved, copied, touched: known. Changed under the same name: new. All of it is remembered."""
    code, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    assert (code, first["state"], first["scans"]["scored"]) == (0, "published", 10)
    for _ in range(2):
        code, printed, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22")
        assert (code, summary["state"], summary["run_id"]) == (0, "nothing_new", None)
        assert summary["scans"] == {**dict.fromkeys(first["scans"], 0), "listed": 10, "known": 10}
        assert "10 scans listed, 0 to score; 10 scored before" in printed

    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "0.png").rename(folder / "renamed.png")
    (folder / "deep").mkdir()
    (folder / "1.png").rename(folder / "deep/1.png")
    shutil.copy(folder / "2.png", folder / "copied.png")
    os.utime(folder / "3.png", ns=(1, 1))
    write_scan(folder / "4.png", 5, confidence=0.9)  # as large as it was, or not
    for name in ("new.png", "new-again.png", "new-once-more.png"):
        write_scan(folder / name, 7, confidence=0.7)
    code, printed, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert (code, second["state"], second["rows"], second["scored"], second["unreadable"]) == (0, "published", 8, 2, 0)
    assert second["scans"] == {
        **{"listed": 14, "known": 6, "former": 0, "held": 0, "moved": 4, "repeated": 2, "scored": 2}
    }
    found = rows(out, second["run_id"])
    answers = {scan: (row["status"], row["digit"], row["copies"]) for scan, row in found.items()}
    assert answers == {
        **dict.fromkeys(("renamed.png", "deep/1.png", "copied.png", "3.png"), ("known", None, None)),
        **{"4.png": ("ok", 5, 1), "new-again.png": ("ok", 7, 3)},
        **dict.fromkeys(("new.png", "new-once-more.png"), ("repeated", None, None)),
    }
    source, contents = str(folder), {scan: row["content"] for scan, row in rows(out, first["run_id"]).items()}
    for scan, of in (("renamed.png", "0.png"), ("deep/1.png", "1.png"), ("copied.png", "2.png"), ("3.png", "3.png")):
        row = found[scan]
        assert (row["same_as_run"], row["same_as_source"], row["same_as"]) == (first["run_id"], source, of)
        assert row["content"] == contents[of]
        assert row["decision"] is None
    for scan in ("new.png", "new-once-more.png"):
        row = found[scan]
        assert (row["same_as_run"], row["same_as"]) == (second["run_id"], "new-again.png")
        assert row["content"] == found["new-again.png"]["content"]
    said = json.loads((out / f"runs/{second['run_id']}/run.json").read_text())
    assert said["increment"] == second["scans"]
    assert sum(row["predicted"] for row in table(out, "per_class", second["run_id"])) == 2

    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert (code, summary["state"], summary["scans"]["known"]) == (0, "nothing_new", 14)
    assert ran(capsys, verify, "--out", out)[0] == 0


def table(out: Path, name: str, run: str) -> list[dict[str, Any]]:
    return [row for row in pq.read_table(out / name, partitioning=None).to_pylist() if row["run"] == run]


def test_what_is_known_is_not_opened(
    asked: list[Any], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(capsys, night, *asked)
    opened = []
    monkeypatch.setattr("mnist_batch.reading.images._read_local", lambda _, path, __: opened.append(path))
    assert ran(capsys, night, *asked)[2]["scans"]["known"] == 10
    assert opened == []


def test_the_ledger_is_made_again_where_it_is_lost_and_forgets_what_is_discarded(
    asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    _, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    shutil.copy(tmp_path / "in/0.png", tmp_path / "in/copy.png")
    _, _, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert ran(capsys, night, *asked)[2]["scans"]["known"] == 12
    files = sorted((out / ledger_files.FOLDER).iterdir())
    assert [file.name for file in files] == sorted([first["run_id"], second["run_id"]])
    before = [file.read_bytes() for file in files]
    files[0].unlink()
    files[1].write_bytes(before[1][:-200] + bytes(100) + before[1][-100:])
    assert ran(capsys, night, *asked)[2]["scans"]["known"] == 12
    assert [file.read_bytes() for file in files] == before
    files[0].write_bytes(before[1])  # of another run
    assert ran(capsys, night, *asked)[2]["scans"]["known"] == 12

    assert ran(capsys, discard, "--out", out, "--run", first["run_id"])[0] == 0
    code, _, third = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    # The copy's answer was in the run that is gone, so both are new; one of them is scored.
    assert (code, third["scans"]["known"], third["scans"]["scored"], third["scans"]["repeated"]) == (0, 1, 10, 1)
    assert not (out / ledger_files.FOLDER / first["run_id"]).exists()


def test_scans_that_failed_for_a_passing_reason_are_new_again_and_others_are_not(
    asked: list[Any], tmp_path: Path, capsys: Capture, away: set[str]
) -> None:
    (tmp_path / "in/empty.png").write_bytes(b"")
    (tmp_path / "in/text.png").write_bytes(b"this is no image")
    away.add("3.png")
    asked += ["--max-unreadable", 1]
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    assert (code, summary["unreadable"]) == (0, 3)
    away.clear()
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert (code, summary["rows"], summary["scored"]) == (0, 1, 1)
    assert ran(capsys, night, *asked)[2]["state"] == "nothing_new"


def test_another_model_scores_old_scans_only_if_told_to(
    asked: list[Any], tmp_path: Path, capsys: Capture, ruler: str
) -> None:
    ran(capsys, night, *asked, "--run-date", "2026-11-21")
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    other = shutil.copytree(ruler, tmp_path / "other")
    model = onnx.load(other / "model.onnx")
    model.producer_name = "another"
    onnx.save(model, other / "model.onnx")
    bundle.describe(other, BundleFacts(architecture="another ruler", test=MnistTest(0.5)))
    asked[asked.index("--model") + 1] = other
    code, printed, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert (code, summary["scans"]["former"], summary["scored"]) == (0, 10, 1)
    assert "10 by another model or with other settings; --rescore scores them again" in printed
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22", "--rescore")
    assert (code, summary["scored"], summary["rows"]) == (0, 11, 11)
    run = summary["run_id"]
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22", "--rescore")
    assert (code, summary["run_id"]) == (0, run)
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert (summary["state"], summary["scans"]["former"]) == ("nothing_new", 0)


def test_a_run_that_breaks_a_gate_is_held_until_a_person_decides(
    asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    (tmp_path / "truth.csv").write_text("scan,label\n" + "".join(f"{digit}.png,{9 - digit}\n" for digit in range(10)))
    gates = ["--labels", tmp_path / "truth.csv", "--min-accuracy", 0.9]
    code, printed, held = ran(capsys, night, *asked, *gates, "--run-date", "2026-11-21")
    assert (code, held["state"], held["status"]) == (4, "held", "failed")
    assert "--min-accuracy 0.9: broken, accuracy is 0.0000 of 10, at most 0.2589 by the evidence" in held["error"]
    [gate] = held["gates"]
    assert (gate["name"], gate["value"], gate["of"], gate["kept"]) == ("min_accuracy", 0.0, 10, False)
    assert json.loads((out / "_last/night.json").read_text()) == held
    assert Path(held["report"]).exists()
    assert not (out / "predictions").exists()
    staged = {path: path.stat().st_mtime_ns for path in (out / "_staging").rglob("part-*")}
    assert staged

    code, _, again = ran(capsys, night, *asked, *gates, "--run-date", "2026-11-21")
    assert (code, again) == (4, held)
    assert {path: path.stat().st_mtime_ns for path in (out / "_staging").rglob("part-*")} == staged
    assert ran(capsys, list_job, "--out", out)[2]["states"] == {"held": 1}

    # Its scans wait with it: the next night scores others, and publishes them.
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    shutil.copy(tmp_path / "in/0.png", tmp_path / "in/copy.png")
    code, printed, other = ran(capsys, night, *asked, *gates, "--run-date", "2026-11-22")
    assert (code, other["rows"], other["scans"]["held"]) == (0, 1, 11)
    assert "--min-accuracy 0.9: not judged, since no scored scan has a label" in printed

    for arguments in ([], ["--reason", "x", "--publish-anyway", other["run_id"]]):
        code, _, summary = ran(capsys, night, "--publish-anyway", held["run_id"], *arguments, "--out", out)
        assert code == 2, summary
    code, _, summary = ran(
        capsys, night, "--publish-anyway", held["run_id"], "--reason", "the labels are upside down", "--out", out
    )
    assert (code, summary["state"], summary["rows"], summary["accuracy"]) == (0, "published", 10, 0.0)
    said = json.loads((out / f"runs/{held['run_id']}/run.json").read_text())
    assert said["anyway"]["reason"] == "the labels are upside down"
    assert said["anyway"]["by"]
    assert [gate["kept"] for gate in said["gates"]] == [False]
    assert said["arguments"]["max_unreadable"] == 0.05
    assert ran(capsys, verify, "--out", out)[0] == 0
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-23")
    assert (code, summary["scans"]["known"], summary["scans"]["moved"]) == (0, 11, 1)


@pytest.mark.parametrize("damage", [Path.unlink, lambda part: part.write_bytes(b"")])
def test_a_held_run_that_was_damaged_since_is_not_published(
    asked: list[Any], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object]
) -> None:
    (tmp_path / "truth.csv").write_text("scan,label\n" + "".join(f"{digit}.png,{9 - digit}\n" for digit in range(10)))
    code, _, held = ran(capsys, night, *asked, "--labels", tmp_path / "truth.csv", "--min-accuracy", 0.9)
    assert (code, held["state"]) == (4, "held"), held
    damage(next((tmp_path / "out/_staging").rglob("parts/part-00001")))
    monkeypatch.setattr(Settings, "scored_here", lambda *_: False)  # as for any run that is not of a single shard
    anyway = ["--publish-anyway", held["run_id"], "--reason", "it was looked at", "--out", tmp_path / "out"]
    for _ in range(2):
        code, _, summary = ran(capsys, night, *anyway)
        assert (code, "has been changed or lost since it was held" in summary["error"]) == (5, True), summary
    assert not (tmp_path / "out/predictions").exists()


def test_other_gates_judge_a_held_run_anew(asked: list[Any], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "truth.csv").write_text("scan,label\n" + "".join(f"{digit}.png,{9 - digit}\n" for digit in range(10)))
    night_of = [*asked, "--labels", tmp_path / "truth.csv", "--run-date", "2026-11-21"]
    assert ran(capsys, night, *night_of, "--min-accuracy", 0.9)[0] == 4
    code, _, summary = ran(capsys, night, *night_of, "--min-accuracy", 0.8, "--min-recall", 0.99)
    assert (code, [gate["kept"] for gate in summary["gates"]]) == (4, [False, True])
    code, _, summary = ran(capsys, night, *night_of, "--min-accuracy", 0.2)
    assert (code, summary["state"], summary["rows"]) == (0, "published", 10)


def test_a_night_that_was_interrupted_is_finished_before_the_next(
    asked: list[Any], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "score_shards", interrupted)
        assert ran(capsys, night, *asked, "--run-date", "2026-11-21")[0] == 130
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    code, _, summary = ran(capsys, night, *asked)
    assert code == 0
    assert [len(rows(tmp_path / "out", run)) for run in summary["runs"]] == [10, 1]
    assert summary["runs"][0].startswith("2026-11-21-")


def test_an_interrupted_night_is_finished_also_by_one_of_other_sources_or_settings(
    asked: list[Any], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, ruler: str
) -> None:
    """A folder per day, labels that grow, a new model: else its scans would be left out, or in two runs."""
    out, model = tmp_path / "out", shutil.copytree(ruler, tmp_path / "model")
    monkeypatch.setattr("mnist_batch.failpoints.FOLDER", str(tmp_path / "points"))
    (tmp_path / "points").mkdir()
    (tmp_path / "points/predictions published").write_text("io_error")
    first = [*asked[:1], "--model", model, *asked[3:], "--run-date", "2026-11-21"]
    assert ran(capsys, night, *first)[0] == 5
    assert len(rows(out)) == 10  # moved already, to where anyone reads them
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    write_scan(tmp_path / "other/1.png", 1, confidence=0.6)
    second = [tmp_path / "in", tmp_path / "other", *asked[1:]]
    code, _, summary = ran(capsys, night, *second, "--run-date", "2026-11-22", "--target-error", 0.01)
    assert (code, summary["exit_code"]) == (2, 2)  # a mistake is said before anything is done
    shutil.move(model, tmp_path / "away")
    (out / "predictions").rename(tmp_path / "rows")  # so that the run needs its model again
    code, _, summary = ran(capsys, night, *second, "--run-date", "2026-11-22")
    assert code == 2
    assert re.search(
        r"run 2026-11-21-\w+ was interrupted, and cannot be finished: .*--model .*throw the run away", summary["error"]
    )
    (tmp_path / "rows").rename(out / "predictions")
    code, _, summary = ran(capsys, night, *second, "--run-date", "2026-11-22")
    assert (code, [len(rows(out, run)) for run in summary["runs"]]) == (0, [10, 2])
    assert len(pq.read_table(out / "predictions", partitioning=None)) == 12


def test_what_a_killed_process_left_to_do_after_run_json_is_done_by_the_next_night(
    asked: list[Any], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(report, "conclude", killed)
        with pytest.raises(Killed):
            ran(capsys, night, *asked, "--run-date", "2026-11-21")
    assert not (out / "published.sql").exists()
    [run] = [path.parent.name for path in out.glob("runs/*/run.json")]
    code, _, summary = ran(capsys, night, *asked)
    assert (code, summary["state"]) == (0, "nothing_new")
    for page in ("published.sql", "index.html"):
        assert run in (out / page).read_text()
    assert not (out / "_staging" / run).exists()


def test_one_night_at_a_time_works_on_an_output(asked: list[Any], tmp_path: Path, capsys: Capture) -> None:
    """Two, of whatever dates and sources, would find the same scans new."""
    out = tmp_path / "out"
    with nights._alone(str(out)):
        code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-21")
        assert code == 75
        assert f"the night of {out} is locked by process {os.getpid()}" in summary["error"]
        assert ran(capsys, night, *asked, "--dry-run")[0] == 0
    assert ran(capsys, night, *asked, "--run-date", "2026-11-21")[0] == 0


def test_labels_that_come_late_make_the_reports_of_their_runs_anew_and_the_old_ones_are_kept(
    asked: list[Any], tmp_path: Path, capsys: Capture
) -> None:
    out, truth = tmp_path / "out", tmp_path / "truth.csv"
    asked += ["--labels", truth]
    truth.write_text("scan,label\n0.png,0\n1.png,1\n")
    _, _, first = ran(capsys, night, *asked, "--run-date", "2026-11-21")
    assert first["labelled"] == 2
    write_scan(tmp_path / "in/new.png", 3, confidence=0.6)
    # Tonight's label, one that comes late, and a correction of one that was wrong.
    truth.write_text("scan,label\nnew.png,3\n2.png,2\n1.png,7\n")
    code, printed, second = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert (code, second["labelled"], second["accuracy"]) == (0, 1, 1.0)
    late = {"run_id": first["run_id"], "labelled_before": 2, "accuracy_before": 1.0, "labelled": 3, "accuracy": 2 / 3}
    assert second["late_truth"] == [late]
    assert "3 instead of 2, accuracy 66.67 % instead of 100.00 %" in printed
    said = out / f"runs/{first['run_id']}/run.json"
    [former] = json.loads(said.read_text())["former_reports"]
    assert (former["number"], former["labels"], former["labelled"], former["accuracy"]) == (1, None, 2, 1.0)
    labels = {file["path"] for file in former["files"]}
    assert f"runs/{first['run_id']}/reports/1/labels.parquet" in labels
    kept = pq.read_table(out / f"runs/{first['run_id']}/reports/1/labels.parquet")
    assert dict(zip(kept["scan"].to_pylist(), kept["label"].to_pylist(), strict=True)) == {"0.png": 0, "1.png": 1}
    assert {row["scan"]: row["label"] for row in table(out, "labels", first["run_id"])} == {
        **{"0.png": 0, "1.png": 7, "2.png": 2}
    }
    assert ran(capsys, verify, "--out", out)[0] == 0

    before = said.read_bytes()
    code, _, third = ran(capsys, night, *asked, "--run-date", "2026-11-23")  # nothing in it is new
    assert (code, third["state"], third["late_truth"]) == (0, "nothing_new", [])
    assert said.read_bytes() == before
    (out / f"runs/{first['run_id']}/reports/1/labels.parquet").write_bytes(b"")
    assert ran(capsys, verify, "--out", out)[0] == 5


def test_a_night_reads_its_settings_from_a_file_and_flags_count_more(
    asked: list[Any], tmp_path: Path, capsys: Capture, ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "night.toml"
    settings.write_text(
        f'scans = "in"\nout = "out"\nrun-date = "2026-11-21"\n'
        f'[cluster]\nshard-size = 4\nmodel = "{ruler}"\n[gates]\nmax-unreadable = 1\n[input]\nexclude = ["9.*"]\n'
    )
    monkeypatch.chdir(tmp_path.parent)
    code, _, dry = ran(capsys, night, "--config", settings, "--dry-run")
    assert (code, dry["would"], dry["scans"]) == (0, "begin", 9)
    assert not (tmp_path / "out").exists()
    code, _, summary = ran(capsys, night, "--config", settings, "--run-date", "2026-11-20")
    assert (code, summary["rows"]) == (0, 9)
    assert summary["run_id"].startswith("2026-11-20-")
    assert Path(summary["report"]).is_relative_to(tmp_path / "out")
    assert json.loads((tmp_path / "out/_last/night.json").read_text()) == summary
    assert ran(capsys, night, "--config", settings, "--dry-run")[2]["would"] == "nothing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scan = 'in'", "there is no key scan; there are"),
        ("scans = 3", "scans is 3; it has to be a text in quotes, or a list of such: folders and image files"),
        ("[gates]\nmin-accuracy = '90'", "gates.min-accuracy is '90'; it has to be a number: hold the run if"),
        ("[gates]\nmin-accuracy = 90", "--min-accuracy is 90; it has to be a share, from 0 to 1"),
        ("max-drift = 1.5", "max-drift is 1.5; it has to be a whole number"),
        ("rescore = 'yes'", "rescore is 'yes'; it has to be true or false: score all scans"),
        ("engine = 'fast'", "engine is 'fast'; choose from onnx, keras"),
        ("out = ''", "out is empty: where tables and reports are published"),
        ("scans = [", "is not TOML"),
        ("max-review = 0.5\nscans = 'in'", "--max-review: nothing is accepted without --target-error"),
        ("shard-size = 1\n[cluster]\nshard-size = 2", "shard-size is given twice; keep one"),
    ],
)
def test_a_mistake_in_the_settings_is_exit_2_and_names_the_key(
    text: str, said: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "night.toml").write_text(text)
    code, _, summary = ran(capsys, night, "--config", "night.toml")
    assert code == 2
    assert said in summary["error"]
    assert not (tmp_path / "out/runs").exists()


def test_a_night_at_a_store_without_renames_knows_the_same(asked: list[Any], tmp_path: Path, capsys: Capture) -> None:
    asked[asked.index("--out") + 1] = f"fsspec+file://{tmp_path}/out"
    assert ran(capsys, night, *asked, "--run-date", "2026-11-21")[2]["scored"] == 10
    (tmp_path / "in/0.png").rename(tmp_path / "in/renamed.png")
    code, _, summary = ran(capsys, night, *asked, "--run-date", "2026-11-22")
    assert (code, summary["scans"]["known"], summary["scans"]["moved"]) == (0, 9, 1)
    assert ran(capsys, night, *asked, "--run-date", "2026-11-23")[2]["state"] == "nothing_new"
    assert len(list((tmp_path / "out/_ledger").iterdir())) == 2


def test_the_commands_of_the_page_on_nights_work(
    tmp_path: Path, capsys: Capture, ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nothing to a cron line; then a night is held, and published; and another, which is thrown away."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/nightly.md").read_text()
    [settings] = re.findall("```toml\n(.*?)```", page, re.DOTALL)
    Path("night.toml").write_text(settings)
    for digit in range(10):
        write_scan(tmp_path / f"scans/{digit}.png", digit)
    assert ran(capsys, promote, calibrated(ruler, tmp_path / "model"), "--out", "out")[0] == 0
    jobs = {"night": night, "discard": discard}
    commands = re.findall(r"^python -m jobs\.(\w+) (.*)$", page, re.MULTILINE)
    assert [name for name, _ in commands] == ["night", "night", "night", "discard"]
    [cron] = re.findall(r"python -m jobs\.night --config /data/night.toml >> ", page)
    assert cron
    (dry, scored, published, thrown) = (shlex.split(line) for _, line in commands)
    assert ran(capsys, night, *dry)[2]["would"] == "begin"
    assert ran(capsys, night, *scored)[2]["scored"] == 10
    assert ran(capsys, night, *scored)[2]["state"] == "nothing_new"
    for number, (job, line) in enumerate((("night", published), ("discard", thrown))):
        for digit in range(10):
            write_scan(tmp_path / f"scans/{number}-{digit}.png", digit, confidence=0.3 + number / 10)
        code, _, held = ran(capsys, night, *scored)
        assert (code, held["state"]) == (4, "held")
        arguments = [held["run_id"] if word == "RUN_ID" else word for word in line]
        assert ran(capsys, jobs[job], *arguments)[0] == 0
        known = ran(capsys, list_job, "--out", "out")[2]["states"]
        assert known == {"published": 2}
