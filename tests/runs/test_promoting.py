"""A promoted model is followed and recorded; the promotion can be undone, and a changed bundle is noticed."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from jobs import compare, promote, score
from mnist_batch.models import bundle
from mnist_batch.runs.run import Run
from tests.support import ROOT
from tests.support.ruler import NARROWEST, write_ruler, write_scan
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long


def test_runs_follow_the_promoted_model_and_record_it_until_the_promotion_is_undone(
    tmp_path: Path, ruler: str, without_ray: None, capsys: Capture
) -> None:
    out, scans = tmp_path / "out", write_scan(tmp_path / "in" / "7.png", 7).parent
    (tmp_path / "other").mkdir()
    other = write_ruler(tmp_path / "other", NARROWEST + 1)

    def answer() -> tuple[int, str | None]:
        code, _, last = ran(capsys, score, scans, "--out", out)
        assert code == 0, last
        [published] = [Run(str(out), last["run_id"], "").published]
        assert published is not None
        [digit] = [int(digit) for digit, count in published.totals.answers.items() if count]
        assert (published.model.promoted_at is None) == (published.model.location == bundle.SHIPPED)
        return digit, published.model.location

    assert ran(capsys, promote, "--out", out)[2]["current"] is None
    for model, digit in ((ruler, 7), (other, 6)):
        assert ran(capsys, promote, model, "--out", out)[0] == 0
        assert answer() == (digit, model)
    assert ran(capsys, promote, other, "--out", out)[2]["promoted_before"] == 1  # it is the current one already
    assert ran(capsys, promote, "--back", "--out", out)[2]["current"]["location"] == ruler
    assert answer() == (7, ruler)
    assert len(json.loads((out / "current.json").read_text())["undone"]) == 1
    assert ran(capsys, promote, "--back", "--out", out)[2]["current"] is None
    code, _, last = ran(capsys, promote, "--back", "--out", out)
    assert (code, "nothing to undo" in last["error"]) == (2, True)


def test_the_commands_of_the_page_on_models_work(
    tmp_path: Path, ruler: str, without_ray: None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scan(tmp_path / "forms" / "7.png", 7)
    (tmp_path / "truth.csv").write_text("scan,label\n7.png,7\n")
    shutil.copytree(ruler, tmp_path / "models/ours")
    named = "2026-11-21-1a2b3c4d"
    assert ran(capsys, score, "forms/", "--labels", "truth.csv", "--out", "out", "--run-id", named)[0] == 0
    page = (ROOT / "docs/models.md").read_text()
    commands = re.findall(r"^    python -m jobs\.(\w+) (.*)$|`python -m jobs\.(promote) (--[^`]*)`", page, re.MULTILINE)
    assert [name or other for name, _, other, _ in commands] == ["score", "compare", "promote", "promote", "promote"]
    jobs = {"score": score, "compare": compare, "promote": promote}
    for name, line, other, rest in commands:
        assert jobs[name or other].main(shlex.split(line or rest)) == 0, line or rest


def test_what_is_no_bundle_or_changes_after_its_promotion_is_exit_2(
    tmp_path: Path, ruler: str, without_ray: None, capsys: Capture
) -> None:
    out, scans = tmp_path / "out", write_scan(tmp_path / "in" / "7.png", 7).parent
    assert ran(capsys, promote, tmp_path / "typo", "--out", out)[0] == 2
    assert not (out / "current.json").exists()
    ours = tmp_path / "ours"
    shutil.copytree(ruler, ours)
    assert ran(capsys, promote, ours, "--out", out)[0] == 0
    shutil.rmtree(ours)
    ours.mkdir()
    write_ruler(ours, NARROWEST + 1)
    code, _, last = ran(capsys, score, scans, "--out", out)
    assert (code, "was promoted" in last["error"]) == (2, True)
    (out / "current.json").write_text("{")
    code, _, last = ran(capsys, score, scans, "--out", out)
    assert (code, "current.json" in last["error"]) == (5, True)
