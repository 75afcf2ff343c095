"""What is for review is worked through in a browser, and what was decided goes back to the run."""

import base64
import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs import report, review, score
from mnist_batch.errors import InputError
from mnist_batch.reading import images
from mnist_batch.reports import crops, examples, label_studio, reviewing
from tests.support import field_run, run_facts
from tests.support.ruler import calibrated, write_scan
from tests.support.running import Capture, ran

MARKUP = "<script>alert(1)</script>.png"  # a folder and a file
FOR_REVIEW = {"blank.png": None, MARKUP: 3, **{f"{number:02d}.png": number % 10 for number in range(12, 20)}}


def wrote(capsys: Capture, out: Path, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    return ran(capsys, review, "--out", out, "--run", "night", "--to", out.parent / "review", *arguments)


def pack_of(page: Path) -> dict[str, Any]:
    """What a page knows of its items."""
    content = page.read_text()
    (found,) = re.findall(r'<script type="application/json" id="pack">(.*?)</script>', content, re.DOTALL)
    return json.loads(found)


@pytest.fixture
def out(without_ray: None, ruler: str, tmp_path: Path, capsys: Capture) -> Path:
    """The output of the run ``night``: 12 accepted answers, 10 items for review and a file that is no picture."""
    for number in range(20):
        write_scan(tmp_path / f"in/{number:02d}.png", number % 10, confidence=0.95 if number < 12 else 0.4)
    write_scan(tmp_path / "in" / MARKUP, 3, confidence=0.3)
    (tmp_path / "in/blank.png").write_bytes(images.encode(np.full((28, 28), 255, np.uint8)))
    (tmp_path / "in/torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    model = calibrated(ruler, tmp_path / "calibrated")
    arguments = [tmp_path / "in", "--model", model, "--out", tmp_path / "out", "--run-id", "night"]
    code, _, summary = ran(capsys, score, *arguments, "--target-error", 0.005, "--max-unreadable", 1)
    assert (code, summary["accepted"], summary["review"]) == (0, 12, 11)
    return tmp_path / "out"


def test_a_folder_has_each_item_for_review_once_with_its_picture(out: Path, capsys: Capture) -> None:
    code, printed, summary = wrote(capsys, out)
    page = out.parent / "review/review.html"
    assert code == 0
    assert summary["pages"] == [str(page)]
    assert (summary["items"], summary["for_review"], summary["not_shown"]) == (10, 10, 1)
    assert "1 page cannot be shown: not readable" in printed
    items = pack_of(page)["items"]
    assert {item["row"]["scan"]: item["suggestion"] for item in items} == {
        scan: "none" if digit is None else str(digit) for scan, digit in FOR_REVIEW.items()
    }
    for item in items:
        assert (page.parent / item["picture"]).read_bytes().startswith(b"\x89PNG")
        if item["readings"]:
            (best, sure), (second, less) = item["readings"]
            assert best == item["suggestion"] != second
            assert sure > less
    groups = [item["group"] for item in items]
    assert groups == sorted(groups, key=lambda group: (group == "No digit was found", group))
    assert groups.count("Read as 3") == 2


def test_nothing_is_loaded_from_elsewhere_and_names_are_text(out: Path, capsys: Capture) -> None:
    wrote(capsys, out)
    page = (out.parent / "review/review.html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']|url\(|@import|https?:""", page)
    assert "<script>alert" not in page
    assert page.count("<script") == 2


def test_a_scan_that_has_changed_or_gone_is_named_and_not_shown(out: Path, capsys: Capture) -> None:
    write_scan(out.parent / "in/12.png", 9)
    (out.parent / "in/13.png").unlink()
    code, printed, summary = wrote(capsys, out)
    assert (code, summary["not_shown"]) == (0, 3)
    assert "not shown: 12.png: it has changed since it was scored" in printed
    assert "not shown: 13.png: No such file" in printed
    page = out.parent / "review/review.html"
    assert "12.png</code>: it has changed since it was scored" in page.read_text()
    assert {"12.png", "13.png"}.isdisjoint(item["row"]["scan"] for item in pack_of(page)["items"])


def test_several_people_share_the_work_and_some_of_it_is_everybodys(out: Path, capsys: Capture) -> None:
    _, _, summary = wrote(capsys, out, "--people", 2, "--overlap", 4)
    first, second = ({item["id"] for item in pack_of(Path(page))["items"]} for page in summary["pages"])
    assert len(first | second) == 10
    assert len(first & second) == 4
    assert abs(len(first) - len(second)) <= 1
    for number, page in enumerate(map(Path, summary["pages"]), 1):
        assert page == out.parent / f"review/person-{number}/review.html"
        pack = pack_of(page)
        assert pack["person"] == number
        assert {path.name for path in (page.parent / "pictures").iterdir()} == {
            Path(item["picture"]).name for item in pack["items"]
        }


def test_fewer_items_are_always_among_more(out: Path, capsys: Capture) -> None:
    seen: set[str] = set()
    for most in (1, 4, 10):
        wrote(capsys, out, "--most", most)
        items = {item["id"] for item in pack_of(out.parent / "review/review.html")["items"]}
        assert len(items) == most
        assert seen <= items
        seen = items
        (out.parent / "review").rename(out.parent / f"review-{most}")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that read no scan again."""
    monkeypatch.setattr(examples, "pages_again", lambda *_, **__: iter(()))


def test_accepted_answers_are_shown_without_help(unread: None, out: Path, capsys: Capture) -> None:
    _, _, summary = wrote(capsys, out, "--audit", 5)
    assert (summary["items"], summary["drawn"]) == (10, 5)
    items = pack_of(out.parent / "review/review.html")["items"]
    drawn = [item for item in items if item["drawn"]]
    assert items[-5:] == drawn
    assert {item["suggestion"] for item in drawn} == {None}
    assert {tuple(item["readings"]) for item in drawn} == {()}
    assert ran(capsys, report, "--out", out, "--run", "night", "--audit", 5)[0] == 0
    with (out / "runs/night/audit.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["scan"] for row in csv.DictReader(file)] == [item["row"]["scan"] for item in drawn]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--most", 0], "--most is 0; it has to be a number of items from 1 to 20,000"),
        (["--audit", -1], "--audit is -1; it has to be a number of answers from 0 to 5,000"),
        (["--people", 0], "--people is 0; it has to be a number from 1 to 20"),
        (["--overlap", 3], "--overlap is 3; it has to be how many items each of several --people decides, or 0"),
        (["--to", "s3://bucket/review"], "--to 's3://bucket/review': the pages are written to a disk; give a path"),
        (["--run", "other"], "no published run of that id"),
    ],
)
def test_a_mistake_is_exit_2_and_writes_nothing(
    out: Path, capsys: Capture, arguments: list[object], message: str
) -> None:
    code, _, summary = wrote(capsys, out, *arguments)
    assert code == 2
    assert message in summary["error"]
    assert {path.name for path in out.parent.iterdir()} == {"in", "calibrated", "out"}


def test_nothing_that_is_there_is_replaced(out: Path, capsys: Capture) -> None:
    kept = out.parent / "review/corrections.csv"
    kept.parent.mkdir()
    kept.write_text("mine")
    code, _, summary = wrote(capsys, out)
    assert (code, kept.read_text()) == (2, "mine")
    assert "something is there already; give a new folder" in summary["error"]


def sheet(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def merged(capsys: Capture, to: Path, *files: Path) -> tuple[int, str, dict[str, Any]]:
    return ran(capsys, review, "--merge", *files, "--to", to)


def test_what_people_decided_alike_is_joined_and_the_rest_is_listed(tmp_path: Path, capsys: Capture) -> None:
    one = sheet(tmp_path / "1.csv", "scan,page,label,source", "a.png,0,7,/in", "b.png,0,1,/in", "c.png,0,none,/in")
    two = sheet(tmp_path / "2.csv", "source,scan,page,label", "/in,d.png,0,4", "/in,b.png,0,7", "/in,c.png,0,NONE")
    code, printed, summary = merged(capsys, tmp_path / "all.csv", one, two)
    assert (code, summary["rows"], summary["alike"], summary["unlike"]) == (0, 3, 1, 1)
    assert f"left out: b.png page 0: 1 in {one}, 7 in {two}" in printed
    with (tmp_path / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [(row["scan"], row["page"], row["label"], row["source"]) for row in csv.DictReader(file)]
    assert rows == [("a.png", "0", "7", "/in"), ("c.png", "0", "none", "/in"), ("d.png", "0", "4", "/in")]


def test_numbers_in_fields_are_joined_with_their_zeros(tmp_path: Path, capsys: Capture) -> None:
    header = "scan,page,field,value,source"
    one = sheet(tmp_path / "1.csv", header, "a.png,0,ballots,007,/in", "a.png,0,spoilt,,/in")
    two = sheet(tmp_path / "2.csv", header, "a.png,0,ballots,7,/in", "a.png,1,ballots,012,/in")
    code, printed, summary = merged(capsys, tmp_path / "all.csv", one, two)
    assert (code, summary["rows"], summary["unlike"]) == (0, 1, 1)
    assert "left out: a.png page 0 ballots: 007 in" in printed
    assert (tmp_path / "all.csv").read_text("utf-8-sig").splitlines() == [header, "a.png,1,ballots,012,/in"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["scan,digit", "a.png,7"], "has neither a column label nor value"),
        (["scan,field,value", "a.png,x,7"], "some files have a column label, of scans, and others value, of fields"),
        (["scan,label", "a.png,7", "a.png,8"], "line 3: 'a.png' is decided twice, and differently; keep one row"),
        (["scan,label"], "has no row"),
    ],
)
def test_what_cannot_be_joined_is_a_mistake(tmp_path: Path, capsys: Capture, rows: list[str], message: str) -> None:
    good, bad = sheet(tmp_path / "1.csv", "scan,label", "b.png,7"), sheet(tmp_path / "2.csv", *rows)
    code, _, summary = merged(capsys, tmp_path / "all.csv", good, bad)
    assert (code, message in summary["error"]) == (2, True)
    assert not (tmp_path / "all.csv").exists()
    code, _, summary = merged(capsys, good, good)
    assert (code, good.read_text()) == (2, "scan,label\nb.png,7\n")


def tasks_of(capsys: Capture, out: Path) -> list[dict[str, Any]]:
    file = out.parent / "tasks.json"
    code, _, summary = ran(capsys, review, "--out", out, "--run", "night", "--to-label-studio", file, "--audit", 1)
    assert (code, summary["tasks"]) == (0, str(file))
    tasks: list[dict[str, Any]] = json.loads(file.read_text())
    assert len(tasks) == summary["items"] + summary["drawn"]
    assert ran(capsys, review, "--out", out, "--run", "night", "--to-label-studio", file)[0] == 2  # it is there
    return tasks


def exported(tasks: list[dict[str, Any]], path: Path) -> Path:
    """What Label Studio exports as CSV if everybody takes its predictions: the data of each task, and the results.

    As in the function convert_to_csv of its converter: a result of one choice or one text stands there as it is.
    """
    rows = []
    for number, task in enumerate(tasks, 1):
        for prediction in task.get("predictions", []):
            (result,) = prediction["result"]
            ((said,),) = result["value"].values()
            rows.append({**task["data"], "id": number, "annotator": 1, result["from_name"]: said, "lead_time": 1.5})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_tasks_for_label_studio_cannot_be_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"^--to-label-studio \S+: \S+/file is a file and no folder; give another place"
    ):
        label_studio.check(f"{tmp_path}/file/tasks.json")


def test_tasks_for_label_studio_have_predictions_and_their_export_is_a_label_file(out: Path, capsys: Capture) -> None:
    tasks = tasks_of(capsys, out)
    for task in tasks[:-1]:
        assert base64.b64decode(task["data"]["image"].removeprefix("data:image/jpeg;base64,"))[:2] == b"\xff\xd8"
        (prediction,) = task["predictions"]
        assert prediction["model_version"]
        digit = FOR_REVIEW[task["data"]["scan"]]
        assert prediction["result"] == [
            {
                "from_name": "label",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": ["none" if digit is None else str(digit)]},
            }
        ]
        assert ("score" in prediction) == (digit is not None)
    assert "predictions" not in tasks[-1]  # the accepted answer is read blind
    labels = exported(tasks, out.parent / "export.csv")
    code, _, summary = ran(capsys, report, "--out", out, "--run", "night", "--labels", labels)
    assert (code, summary["labelled"]) == (0, 9)


def test_tasks_of_fields_are_texts(tmp_path: Path, capsys: Capture) -> None:
    field_run.written(tmp_path)
    results = {
        (task["data"]["scan"], task["data"]["field"]): task["predictions"][0]["result"][0]
        for task in tasks_of(capsys, tmp_path / "out")
        if "predictions" in task
    }
    assert len(results) == 5  # one has no value, and one is read blind
    assert results["0.png", "ballots"] == {
        "from_name": "value",
        "to_name": "image",
        "type": "textarea",
        "value": {"text": ["123"]},
    }


@pytest.mark.parametrize("shape", [(900, 900), (40, 900), (28, 28)])
def test_a_picture_of_a_task_fits_into_a_column_of_a_csv_file(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    item = reviewing.Item("/in", "a.png", 0, None, b"")
    task = label_studio._task(run_facts.published(), item, crops.Crop(noise))
    assert len(task["data"]["image"]) < csv.field_size_limit()


def test_joined_corrections_need_a_file_to_go_to(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        review.main(["--merge", "a.csv", "--to-label-studio", "b.json"])
