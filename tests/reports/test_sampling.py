"""A sample of the accepted answers: the same for a run, nested, of accepted answers only; no filled-in row is lost."""

import csv
import html
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import discard, report, score, verify
from mnist_batch import failpoints
from mnist_batch.errors import InputError
from mnist_batch.reports import examples, sample_error, sampling
from mnist_batch.runs.run import Run, digest
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from tests.support import run_facts
from tests.support.ruler import calibrated, write_scan
from tests.support.running import Capture, Killed, ran

pytestmark = pytest.mark.long

ACCEPTED = [(f"{number:02d}.png", 0) for number in range(12)] + [("pages.tif", page) for page in (0, 1, 4)]


def row(scan: str, page: int, decision: str | None) -> dict[str, Any]:
    read = {"status": "ok", "digit": 3, "confidence": 0.9, "decision": decision, "content": bytes(16), "model": "m"}
    return {"source": "/in", "scan": scan, "page": page} | read


def run_of(rows: list[dict[str, Any]], out: Path, parts: int = 1, run_id: str = "night") -> tuple[Run, Published]:
    """A run with these rows of predictions, in so many parts."""
    run = Run(str(out), run_id, "2026-11-21")
    folder = Path(run.table_folder("predictions"))
    folder.mkdir(parents=True)
    schema = pa.schema([item.with_nullable(True) for item in tables.PREDICTIONS])
    for number in range(parts):
        pq.write_table(pa.Table.from_pylist(rows[number::parts], schema), folder / f"part-{number:05}.parquet")
    return run, run_facts.published(run_id=run_id, threshold=0.7, target_error=0.005)


def mixed() -> list[dict[str, Any]]:
    """Rows of every decision, with ``ACCEPTED`` among them."""
    others = [row("review.png", 0, "review"), row("pages.tif", 2, "review"), row("unruled.png", 0, None)]
    unread = {"source": "/in", "scan": "torn.png", "page": 0, "status": "empty", "decision": "review", "model": "m"}
    return [*others, unread, *(row(scan, page, "accept") for scan, page in ACCEPTED)]


def drawn(run: Run, published: Published, size: int) -> list[tuple[str, int]]:
    rows = sampling.draw(run, published, size).rows
    return list(zip(rows["scan"].to_pylist(), rows["page"].to_pylist(), strict=True))


def test_the_same_run_has_the_same_sample_and_a_larger_one_begins_with_a_smaller(tmp_path: Path) -> None:
    run, published = run_of(mixed(), tmp_path / "one")
    other, _ = run_of(mixed()[::-1], tmp_path / "three", parts=3)  # listed and cut in another way
    whole = drawn(run, published, 100)
    assert sorted(whole) == sorted(ACCEPTED)
    for size in range(1, len(ACCEPTED) + 1):
        assert drawn(run, published, size) == drawn(other, published, size) == whole[:size]
    longest = sampling.draw(run, published, 100)
    sheets = [sampling.sheet(run, longest.first(size)) for size in range(1, 16)]
    assert all(larger.startswith(smaller) for smaller, larger in pairwise(sheets))
    assert len(set(sheets)) == 15


def test_every_accepted_answer_can_be_drawn_and_no_other(tmp_path: Path) -> None:
    first, orders = [], set()
    for night in range(100):
        run, published = run_of(mixed(), tmp_path / f"{night}", run_id=f"night-{night}")
        order = drawn(run, published, len(ACCEPTED))
        first.append(order[0])
        orders.add(tuple(order))
    assert set(first) == set(ACCEPTED)
    assert len(orders) == 100  # each run has an order of its own


def test_a_run_that_accepts_few_gives_all_and_one_without_any_is_a_mistake(tmp_path: Path) -> None:
    run, published = run_of(mixed()[:8], tmp_path / "few")
    sample = sampling.draw(run, published, 300)
    assert (len(sample.rows), sample.accepted, sample.paged) == (4, 4, False)
    run, published = run_of(mixed()[:4], tmp_path / "none")
    with pytest.raises(InputError, match="run night has accepted no answer"):
        sampling.draw(run, published, 300)
    with pytest.raises(InputError, match="run night was scored without --target-error, so it has no accepted answers"):
        sampling.check(run_facts.published(), 300)
    for size in (0, -1, sampling.MOST + 1):
        with pytest.raises(InputError, match=f"--audit is {size}; it has to be a number of answers from 1 to 5,000"):
            sampling.check(published, size)


def test_the_sheet_has_what_a_label_file_needs_and_no_answer(tmp_path: Path) -> None:
    rows = [row(scan, 0, "accept") for scan in ("=1+1.png", 'a "b", c\n.png', "é.png")]
    run, published = run_of(rows, tmp_path / "plain")
    content = sampling.sheet(run, sampling.draw(run, published, 9))
    assert content.startswith(b"\xef\xbb\xbfnumber,run,source,scan,label\r\n")
    found = list(csv.DictReader(content.decode("utf-8-sig").splitlines(keepends=True)))
    assert [line["number"] for line in found] == ["1", "2", "3"]
    assert {line["scan"] for line in found} == {"'=1+1.png", 'a "b", c\n.png', "é.png"}
    assert {(line["run"], line["source"], line["label"]) for line in found} == {("night", "/in", "")}
    run, published = run_of(mixed(), tmp_path / "pages")
    content = sampling.sheet(run, sampling.draw(run, published, 1))
    assert content.startswith(b"\xef\xbb\xbfnumber,run,source,scan,page,label\r\n")  # whatever was drawn


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that read no scan again, for tests that look at no picture."""
    monkeypatch.setattr(examples, "pages_again", lambda *_, **__: iter(()))


@pytest.fixture
def night(without_ray: None, ruler: str, tmp_path: Path, capsys: Capture) -> Path:
    """The folder of the run ``night``, which accepts 12 of 20 scans; one of them has a name like markup."""
    for number in range(20):
        write_scan(tmp_path / f"in/{number:02d}.png", number % 10, confidence=0.95 if number < 12 else 0.5)
    (tmp_path / "in/03.png").rename(tmp_path / "in/<b>3.png")
    model = calibrated(ruler, tmp_path / "calibrated")
    arguments = [tmp_path / "in", "--model", model, "--out", tmp_path / "out", "--run-id", "night"]
    code, _, summary = ran(capsys, score, *arguments, "--target-error", 0.005)
    assert (code, summary["accepted"]) == (0, 12)
    return tmp_path / "out/runs/night"


def asked(capsys: Capture, run: Path, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    """What ``jobs.report`` says of the run in this folder."""
    return ran(capsys, report, "--out", run.parent.parent, "--run", run.name, *arguments)


def filled(sheet: Path, labels: dict[int, object]) -> bytes:
    """The bytes of a sheet with labels in the rows of these numbers."""
    header, *rows = sheet.read_bytes().decode().splitlines()
    lines = [header, *(f"{row}{labels.get(number, '')}" for number, row in enumerate(rows, 1))]
    return "\r\n".join([*lines, ""]).encode()


def verified(capsys: Capture, run: Path) -> tuple[int, str]:
    return ran(capsys, verify, "--out", run.parent.parent)[:2]


def test_the_page_shows_the_scans_by_number_and_not_the_answers(night: Path, capsys: Capture) -> None:
    (night.parent.parent.parent / "in/05.png").unlink()
    code, printed, summary = asked(capsys, night, "--audit", 300)
    assert (code, summary["sample"]) == (0, 12)
    assert "audit: all 12 accepted answers: /" in printed
    assert (summary["audit_page"], summary["audit_csv"]) == (str(night / "audit.html"), str(night / "audit.csv"))
    page = (night / "audit.html").read_text()
    assert re.findall(r'alt="scan (\d+)"|(>gone)', page).count(("", ">gone")) == 1
    assert page.count('class="scan" src="data:image/png') == page.count('alt="what the model saw"') == 11
    assert "1 scan is gone or has changed" in page
    assert "12 of 12 accepted answers" in re.sub(r"\s+", " ", page)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|<script|confidence|% sure|\bread \d""", page)
    assert "<b>3.png" not in page
    names = re.findall(r"<code>/.*?/in/([^/]*)</code>", page)
    with (night / "audit.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [html.unescape(name) for name in names] == [row["scan"] for row in rows]
    assert [html.unescape(number) for number in re.findall(r"<figcaption><b>(\d+)</b>", page)] == [
        row["number"] for row in rows
    ]


def test_the_sample_is_among_the_books_of_the_run(unread: None, night: Path, capsys: Capture) -> None:
    code, printed, _ = asked(capsys, night, "--audit", 5)
    assert (code, "audit: 5 of 12 accepted answers, drawn at random: /" in printed) == (0, True)
    before = {name: (night / name).read_bytes() for name in ("audit.html", "audit.csv")}
    assert verified(capsys, night)[0] == 0
    assert asked(capsys, night)[0] == 0  # a report without --audit
    assert asked(capsys, night, "--audit", 5)[0] == 0
    assert {name: (night / name).read_bytes() for name in before} == before
    assert verified(capsys, night)[0] == 0
    for size in (9, 2):
        assert asked(capsys, night, "--audit", size)[2]["sample"] == size
        assert (night / "audit.csv").read_bytes().count(b"\r\n") == size + 1
        assert verified(capsys, night)[0] == 0
    assert asked(capsys, night)[0] == 0  # without --audit, the files stay among those of the run
    (night / "audit.html").write_text("spoilt")
    assert "audit.html: changed since it was published" in verified(capsys, night)[1]
    assert ran(capsys, discard, "--out", night.parent.parent, "--run", "night")[0] == 0
    assert not night.exists()


def test_a_sheet_that_was_filled_in_is_never_replaced(unread: None, night: Path, capsys: Capture) -> None:
    sheet = night / "audit.csv"
    for number in (1, 5):  # 5 is not among the first two
        for size in (2, 5, 9):
            assert asked(capsys, night, "--audit", 5)[0] == 0
            sheet.write_bytes(content := filled(sheet, {number: 7}))
            code, _, summary = asked(capsys, night, "--audit", size)
            assert (code, sheet.read_bytes()) == (2, content)
            assert f"{sheet} is not as it was drawn: somebody may have filled it in. Move it" in summary["error"]
            assert asked(capsys, night)[0] == 0  # what draws nothing replaces nothing
            assert sheet.read_bytes() == content
            sheet.unlink()
            assert asked(capsys, night, "--audit", size)[0] == 0
            assert verified(capsys, night)[0] == 0


def test_a_sheet_that_is_filled_in_while_a_new_one_is_drawn_is_not_replaced(
    unread: None, night: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(capsys, night, "--audit", 5)[0] == 0
    sheet, stage = night / "audit.csv", sampling.stage

    def saved_meanwhile(*arguments: Any) -> Any:
        sheet.write_bytes(filled(sheet, {1: 7}))
        return stage(*arguments)

    monkeypatch.setattr(sampling, "stage", saved_meanwhile)
    assert asked(capsys, night, "--audit", 9)[0] == 2
    assert b",7\r\n" in sheet.read_bytes()


@pytest.mark.parametrize("point", ["write pages/report.html", "write night/run.json"])
def test_a_killed_draw_leaves_nothing_that_a_later_report_would_publish(
    unread: None, night: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    assert asked(capsys, night, "--audit", 5)[0] == 0
    reach = failpoints.reach

    def killed(name: str, *rest: Any) -> None:
        if name == point:
            raise Killed
        reach(name, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "reach", killed)
        with pytest.raises(Killed):
            asked(capsys, night, "--audit", 9)
    sheet = night / "audit.csv"
    sheet.write_bytes(content := filled(sheet, {1: 7}))
    assert asked(capsys, night)[0] == 0
    assert sheet.read_bytes() == content
    sheet.unlink()
    assert asked(capsys, night, "--audit", 9)[0] == 0  # the same command again
    assert verified(capsys, night)[0] == 0


def test_labels_given_back_state_the_error(unread: None, night: Path, tmp_path: Path, capsys: Capture) -> None:
    assert asked(capsys, night, "--audit", 10)[0] == 0
    rows = csv.DictReader((night / "audit.csv").read_text(encoding="utf-8-sig").splitlines())
    right = {int(row["number"]): int(re.sub(r"\D", "", row["scan"])) % 10 for row in rows}
    mine = tmp_path / "mine.csv"
    mine.write_bytes(filled(night / "audit.csv", right | {3: "NONE", 4: (right[4] + 1) % 10, 8: ""}))
    code, printed, summary = asked(capsys, night, "--audit-labels", mine)
    error = summary["sample_error"]
    assert code == 0
    assert [error[name] for name in ("accepted", "drawn", "labelled", "wrong")] == [12, 10, 9, 2]
    low, high = sample_error.interval(2, 9)
    assert (error["low"], error["high"], error["labels"]) == (low, high, str(mine))
    sentence = (
        "Of 12 accepted answers 10 were drawn at random, 9 of these have been labelled, and 2 of these are wrong: "
        "22.22 %. With 95 % certainty 2.81 to 60.01 % of all accepted answers are wrong. This is above the target "
        "error of 0.5 %. 1 row has no label and is not counted; if they were left empty"
    )
    said = Run(str(night.parent.parent), "night", "2026-11-21").published
    assert said
    assert said.sample_error
    assert said.sample_error.blake2b == digest(mine.read_bytes())
    assert said.totals.labelled == 0  # they are labels of the sample, not of the run
    mine.unlink()
    for arguments in ([], ["--audit", 4]):  # kept, as what it says remains true
        assert sentence in printed
        assert sentence in html.unescape((night / "report.html").read_text())
        assert verified(capsys, night)[0] == 0
        code, printed, _ = asked(capsys, night, *arguments)
        assert code == 0


def test_a_sheet_filled_in_where_it_was_drawn_is_as_published_once_it_is_given_back(
    unread: None, night: Path, capsys: Capture
) -> None:
    assert asked(capsys, night, "--audit", 5)[0] == 0
    sheet = night / "audit.csv"
    sheet.write_bytes(content := filled(sheet, {1: 7, 2: 7}))
    assert "audit.csv: changed since it was published" in verified(capsys, night)[1]
    assert asked(capsys, night, "--audit-labels", sheet)[2]["sample_error"]["labelled"] == 2
    assert verified(capsys, night)[0] == 0
    assert asked(capsys, night, "--audit", 9)[0] == 2
    assert sheet.read_bytes() == content


def test_nothing_is_stated_without_a_sample_or_from_a_folder(
    unread: None, night: Path, tmp_path: Path, capsys: Capture
) -> None:
    code, _, summary = asked(capsys, night, "--audit-labels", tmp_path / "mine.csv")
    assert code == 2
    assert "no sample of run night was drawn; draw one with --audit N" in summary["error"]
    assert asked(capsys, night, "--audit", 5)[0] == 0
    for path, message in ((tmp_path, "is a folder; give one file"), (tmp_path / "mine.csv", "no such file")):
        code, _, summary = asked(capsys, night, "--audit-labels", path)
        assert (code, message in summary["error"]) == (2, True)
    with pytest.raises(SystemExit):
        asked(capsys, night, "--audit-labels", "mine.csv", "--audit", 5)
