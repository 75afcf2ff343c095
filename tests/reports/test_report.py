"""The page of a run shows what was counted and scored, and nothing about what is not there."""

import html
import os
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from jobs import score
from mnist_batch.intake import listing
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors
from mnist_batch.reading import images, preprocessing
from mnist_batch.reports import examples, report
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from tests.support import run_facts
from tests.support.ruler import picture_of, write_scan

pytestmark = pytest.mark.long


def page_of(rows: list[dict[str, Any]], out: Path, **facts: Any) -> str:
    """The report page of a run whose part has these rows of predictions."""
    run = Run(str(out), "night", "2026-11-21")
    facts = {"scans": len(rows), "threshold": 0.99, "target_error": 0.001} | facts
    schema = pa.schema([item.with_nullable(True) for item in tables.PREDICTIONS])
    whole = [{"source": "/in", "page": 0, "content": bytes(16), "model": "d"} | row for row in rows]
    gathered = Aggregates.of_run(facts["threshold"])
    gathered.add(pa.Table.from_pylist(whole, schema))
    report.stage(run, run_facts.published(totals=gathered.totals(), **facts), gathered, tables.DRIFT.empty_table())
    return Path(f"{run.staging}/pages/report.html").read_text()


def test_the_page_of_a_run_with_a_rule_lists_what_is_for_review(tmp_path: Path) -> None:
    answers = [("sure.png", 1.0, "accept"), ("doubted.png", 0.999999, "review"), ("unsure.png", 0.5, "review")]
    rows = [
        {"scan": scan, "status": "ok", "digit": 3, "confidence": confidence, "decision": decision}
        for scan, confidence, decision in answers
    ]
    rows.append({"scan": "torn.png", "status": "undecodable", "reason": "truncated PNG", "decision": "review"})
    out = tmp_path / "o'ut"
    page = page_of(rows, out)
    review = page[page.index('<h2 id="review">') : page.index("How this run was made")]
    assert re.findall(r'title="/in/(\w+).png"', review) == ["unsure", "doubted"]
    assert "3 rows" in review
    [command] = re.findall(r"<code>(python -m jobs.export .*?)</code>", review)
    command = [*shlex.split(html.unescape(command)[len("python -m jobs.export ") :])]
    assert command[:6] == ["--out", str(out), "--run", "night", "--rows", "review"]
    assert "99.99 % sure" in review
    assert "100 % sure" not in page
    assert "torn.png" in review


def test_the_page_shows_nothing_about_what_is_not_there(tmp_path: Path) -> None:
    nothing = page_of([], tmp_path / "nothing")
    assert "no scan was listed" in nothing
    unread = page_of([{"scan": "a", "status": "empty", "reason": "0 bytes"}], tmp_path / "unread", threshold=None)
    assert "1</b>scan listed" in unread
    for page in (nothing, unread):
        assert not re.search("<img|Answers</h2>|Class by class|id=.review", page)
    read = {"scan": "a", "status": "ok", "digit": 3, "confidence": 0.5}
    plain = page_of([read], tmp_path / "plain", threshold=None)
    assert "Least certain answers" in plain
    assert not re.search("Could not be read</h2>|id=.review|<table|recall", plain)
    assert re.search(
        "Class by class.*Surest mistakes", page_of([read | {"label": 4}], tmp_path / "labelled"), re.DOTALL
    )


def test_the_gallery_shows_what_was_scored_whatever_its_name_and_size(
    ruler: str, tmp_path: Path, without_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures are kept by the actors that saw them: the scans need not be readable again, nor be there."""
    folder, out = tmp_path / "in", tmp_path / "out"
    write_scan(folder / "large.png", 3)
    with (folder / "large.png").open("r+b") as scan:
        scan.truncate(images.MAX_BYTES + 1)
    os.rename(write_scan(folder / "plain.png", 3), os.fsencode(folder) + b"/latin-\xe9.png")
    arguments = [str(folder), "--model", ruler, "--out", str(out), "--max-bytes", str(2 * images.MAX_BYTES)]
    assert score.main([*arguments, "--run-id", "kept"]) == 0
    page = (out / "runs/kept/report.html").read_text()
    assert page.count('alt="the scan as the model saw it"') == 2
    assert "gone or changed" not in page


def test_a_report_made_again_reads_the_scans_within_the_limits_of_the_run(ruler: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", str(tmp_path / "out")
    write_scan(folder / "large.png", 3)
    with (folder / "large.png").open("r+b") as scan:
        scan.truncate(images.MAX_BYTES + 1)
    os.rename(write_scan(folder / "plain.png", 3), os.fsencode(folder) + b"/latin-\xe9.png")
    write_scan(folder / "changed.png", 3)
    rows = preprocessing.preprocess(
        listing.list_scans([str(folder)]), limits=preprocessing.Limits(2 * images.MAX_BYTES)
    )
    kept = examples.Examples()
    kept.add(actors.Classify(Run(out, "a", "2026-11-21"), ModelSpec(ruler)).answered(rows))
    write_scan(folder / "changed.png", 4)
    assert kept.doubtful["picture"].null_count == 3
    seen = examples.read_again(kept.doubtful, preprocessing.Limits(2 * images.MAX_BYTES))
    pictures = {row["scan"]: row["picture"] for row in seen.to_pylist()}
    assert pictures.pop("changed.png") is None
    assert pictures == dict.fromkeys(["large.png", "latin-\\xe9.png"], images.encode(picture_of(3)))
    small = examples.read_again(kept.doubtful, preprocessing.Limits())
    assert small["picture"].null_count == 2  # above the limit of bytes


def test_what_could_not_be_read_is_said_once_of_each_scan() -> None:
    """A page of which the form has forty cells elsewhere is one mistake, and hides no other."""
    rows = [{"scan": "a.png", "status": "cut_off", "reason": "off the page"}] * 4
    rows += [{"scan": f"{name}.png", "status": "empty", "reason": "0 bytes"} for name in "bcd"]
    gathered: Any = SimpleNamespace(examples=SimpleNamespace(unreadable=pa.Table.from_pylist(rows)))
    said = "'a.png' is cut_off (off the page), 'b.png' is empty (0 bytes), 'c.png' is empty (0 bytes)"
    assert report.unreadable_text(gathered) == f"{said}, ..."
    gathered.examples.unreadable = pa.Table.from_pylist(rows[:6])
    assert report.unreadable_text(gathered) == said
