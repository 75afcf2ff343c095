"""jobs.form, end to end: a form of a blank page, which opens, and corrections that are not overwritten."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks import form_pages
from jobs import form
from mnist_batch.errors import InputError
from mnist_batch.forms import making, marking, marks, opening, proposing

pytestmark = pytest.mark.long

Capture = pytest.CaptureFixture[str]


def drawn(rows: int = 2, skew: float = 0.0) -> np.ndarray:
    page = np.full((1000, 827), 255, np.uint8)
    for row in range(rows):
        for at in range(5):
            cv2.rectangle(page, (300 + 27 * at, 200 + 80 * row), (327 + 27 * at, 234 + 80 * row), 0, 1)
    cv2.line(page, (60, 100), (760, 100), 0, 2)
    matrix = cv2.getRotationMatrix2D((413, 500), -skew, 1)
    return cv2.warpAffine(page, matrix, (827, 1000), borderValue=255)


def made(capsys: Capture, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    code = form.main([str(argument) for argument in arguments])
    printed, _, last = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    return code, printed, json.loads(last)


def test_a_form_is_made_of_a_page_and_opens(tmp_path: Path, capsys: Capture) -> None:
    Image.fromarray(drawn(skew=1.0)).save(tmp_path / "blank.png", dpi=(100, 100))
    code, printed, summary = made(capsys, tmp_path / "blank.png", "--out", tmp_path / "forms/turnout")
    assert (code, summary["pages"], summary["fields"], summary["cells"]) == (0, 1, 2, 10)
    assert summary["skew_degrees"] == [pytest.approx(1.0, abs=0.05)]
    assert "page 1: 2 fields, 10 cells, straightened by 1.0" in printed
    assert "black and white" not in printed
    opened = opening.open_form(str(tmp_path / "forms/turnout"))
    assert opened.form.name == "turnout"
    assert opened.form.pages[0].dots_per_inch == pytest.approx(100, abs=0.1)
    assert [field.name for field in opened.form.fields] == ["field_1", "field_2"]
    assert [round(cell.y) for cell in opened.form.fields[1].cells] == pytest.approx([280] * 5, abs=2)
    preview = cv2.imread(str(tmp_path / "forms/turnout/preview.png"))
    assert preview.shape == (1000, 827, 3)
    assert (preview.max(axis=2).astype(int) - preview.min(axis=2) > 60).sum() > 500  # drawn in colour


def test_a_pdf_says_how_large_its_page_is_on_paper(tmp_path: Path, capsys: Capture) -> None:
    """A small page is printed as small as it was, with marks of at least 5 mm, and not as if it were as wide as A4."""
    Image.fromarray(drawn()).save(tmp_path / "small.pdf", resolution=200)
    Image.fromarray(drawn()).save(tmp_path / "huge.pdf", resolution=10)
    code, _, summary = made(capsys, "--print-marks", tmp_path / "small.pdf", "--out", tmp_path / "small")
    assert (code, summary["fields"]) == (0, 2)
    [page] = opening.open_form(str(tmp_path / "small")).form.pages
    assert page.dots_per_inch == pytest.approx(200, abs=0.5)
    assert all(mark.corners[1][0] - mark.corners[0][0] >= 5 / 25.4 * 200 for mark in page.marks)
    with Image.open(tmp_path / "small/print-1.png") as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.5)
    assert made(capsys, tmp_path / "huge.pdf", "--out", tmp_path / "huge")[0] == 0  # no paper is two metres wide
    assert opening.open_form(str(tmp_path / "huge")).form.pages[0].dots_per_inch is None


def test_a_page_of_each_file_and_of_each_page_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    first, *more = (Image.fromarray(drawn(rows)) for rows in (1, 2))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=more, dpi=(100, 100))
    Image.fromarray(drawn(3)).save(tmp_path / "last.png")
    code, printed, summary = made(
        capsys, tmp_path / "pages.tif", tmp_path / "last.png", "--out", tmp_path / "form", "--name", "census"
    )
    assert (code, summary["pages"], summary["fields"]) == (0, 3, 6)
    assert printed.count("black and white: light tints are lost") == 3
    assert summary["previews"] == ["preview-1.png", "preview-2.png", "preview-3.png"]
    opened = opening.open_form(str(tmp_path / "form")).form
    assert opened.name == "census"
    assert [field.page for field in opened.fields] == [0, 1, 1, 2, 2, 2]
    assert [page.dots_per_inch for page in opened.pages] == [100, 100, None]


def test_what_a_person_corrected_is_not_overwritten(tmp_path: Path, capsys: Capture) -> None:
    Image.fromarray(drawn()).save(tmp_path / "blank.png")
    arguments = (tmp_path / "blank.png", "--out", tmp_path / "form")
    assert made(capsys, *arguments)[0] == 0
    assert made(capsys, *arguments)[0] == 0  # nothing was changed
    written = tmp_path / "form/form.json"
    corrected = written.read_text().replace("field_1", "ballots")
    written.write_text(corrected)
    code, _, summary = made(capsys, *arguments)
    assert (code, written.read_text()) == (2, corrected)
    assert "--replace" in summary["error"]
    assert made(capsys, *arguments, "--replace")[0] == 0
    assert "ballots" not in written.read_text()


def test_mistakes_are_exit_2_and_a_sentence(tmp_path: Path, capsys: Capture) -> None:
    Image.fromarray(np.full((600, 400), 255, np.uint8)).save(tmp_path / "white.png")
    (tmp_path / "text.png").write_text("no picture")
    for page, said in (("white.png", "no boxes for digits"), ("text.png", "cannot be read"), ("none.png", "none.png")):
        code, _, summary = made(capsys, tmp_path / page, "--out", tmp_path / "form")
        assert code == 2
        assert said in summary["error"]
    assert not (tmp_path / "form").exists()
    Image.fromarray(drawn()).save(tmp_path / "page.png")
    (tmp_path / "file").touch()
    for below in ("file", "file/form"):
        code, _, summary = made(capsys, tmp_path / "page.png", "--out", tmp_path / below)
        assert (code, f"{tmp_path}/file is a file and no folder" in summary["error"]) == (2, True), summary
    with pytest.raises(SystemExit, match="2"):
        form.main([str(tmp_path / "white.png"), "--out", "x", "--dots-per-inch", "none"])


TEMPLATE = {
    "pageDimensions": [1000, 800],
    "bubbleDimensions": [20, 20],
    "preProcessors": [],
    "customLabels": {"Roll": ["roll1..3"]},
    "fieldBlocks": {
        "Roll": {
            "fieldType": "QTYPE_INT",
            "fieldLabels": ["roll1..3"],
            "bubblesGap": 30,
            "labelsGap": 40,
            "origin": [100, 50],
        }
    },
}


def test_a_template_of_omrchecker_names_the_fields(tmp_path: Path, capsys: Capture) -> None:
    Image.fromarray(np.full((1600, 2000), 255, np.uint8)).save(tmp_path / "sheet.png")
    template = tmp_path / "template.json"
    template.write_text(json.dumps(TEMPLATE))
    arguments = [tmp_path / "sheet.png", "--from-omrchecker", template, "--out", tmp_path / "sheet"]
    code, printed, summary = made(capsys, *arguments)
    assert (code, summary["fields"], summary["cells"]) == (0, 1, 3)
    assert "a cell is the whole column of bubbles of a digit" in printed
    opened = opening.open_form(str(tmp_path / "sheet")).form
    assert [(field.name, tuple(field.cells[0])) for field in opened.fields] == [("Roll", (200, 100, 40, 580))]
    assert (tmp_path / "sheet/preview.png").exists()
    for path, message in ((tmp_path / "none.json", "there is no such file"), (tmp_path, "there is no such file")):
        code, _, summary = made(capsys, *arguments[:2], path, *arguments[3:])
        assert (code, f"--from-omrchecker {path}: {message}" in summary["error"]) == (2, True)
    code, _, summary = made(capsys, tmp_path / "sheet.png", *arguments)
    assert (code, "a template of OMRChecker is of one page" in summary["error"]) == (2, True)


def test_marks_are_printed_in_the_corners_and_are_of_the_form(tmp_path: Path, capsys: Capture) -> None:
    """Print them with a new form, or put them on one whose fields were corrected; a scan in black and white has all."""
    Image.fromarray(drawn()).save(tmp_path / "blank.png", dpi=(100, 100))
    arguments = (tmp_path / "blank.png", "--out", tmp_path / "form")
    assert made(capsys, *arguments)[0] == 0
    written = tmp_path / "form/form.json"
    written.write_text(written.read_text().replace("field_1", "ballots"))
    code, printed, summary = made(capsys, "--print-marks", "--out", tmp_path / "form")
    assert (code, summary["prints"]) == (0, ["print-1.png"])
    assert "print print-1.png" in printed
    opened = opening.open_form(str(tmp_path / "form"))
    assert [field.name for field in opened.form.fields] == ["ballots", "field_2"]
    code, _, summary = made(capsys, "--print-marks", "--out", tmp_path / "form")
    assert (code, "has marks" in summary["error"]) == (2, True)

    new = made(capsys, "--print-marks", tmp_path / "blank.png", "--out", tmp_path / "new", "--name", "form")[2]
    assert new["prints"] == ["print-1.png"]
    assert opening.open_form(str(tmp_path / "new")).form.pages == opened.form.pages

    with Image.open(tmp_path / "form/print-1.png") as image:
        assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
        page = np.asarray(image)
    assert (page == opened.pictures[0]).all()
    scan = (cv2.resize(page, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA) > 160).astype(np.uint8) * 255
    found = marks.find(scan)
    quarters = []
    for mark in opened.form.pages[0].marks:
        assert found[mark.id] == pytest.approx(0.75 * np.array(mark.corners), abs=1.5)
        side = mark.corners[1][0] - mark.corners[0][0]
        assert side >= 5 / 25.4 * 100
        quarters.append((mark.corners[0][0] > 400, mark.corners[0][1] > 500))
    assert quarters == [(False, False), (True, False), (True, True), (False, True)]


def test_a_mark_goes_where_nothing_is_printed_or_a_sentence_says_that_there_is_no_room() -> None:
    page = drawn()
    page[20:120, 10:260] = 100  # a coat of arms in the corner
    form_ = making.form_of("turnout", [proposing.propose(page, 100)], [100])
    marked, [picture] = marking.marked(form_, [page], [100])
    (x, y), *_ = marked.pages[0].marks[0].corners
    assert x > 260 or y > 120
    assert (picture[20:120, 10:260] == 100).all()
    page[500:, 410:] = 0
    with pytest.raises(InputError, match="page 1 has no free place of 9 x 9 mm in its lower right quarter"):
        marking.marked(form_, [page], [100])


@pytest.mark.long
def test_a_page_is_checked_against_a_form(tmp_path: Path, capsys: Capture) -> None:
    """The picture is upright, whichever way the page lay, and its cells lie on those printed."""
    drawing = form_pages.form("boxes")
    form_pages.write_form(drawing, tmp_path / "forms/boxes")
    form_pages.write_form(form_pages.form("dense"), tmp_path / "forms/dense")
    page = form_pages.page_of(drawing, 0, "turned 180", form_pages.mnist_digits(), 1, 0)
    form_pages.write_stack([page, page], tmp_path / "pages.tif")
    out = tmp_path / "check.png"
    code, printed, summary = made(
        capsys, "--check", tmp_path / "forms", tmp_path / "pages.tif", "--page", 1, "--out", out
    )
    assert (code, summary["verdict"], summary["form"], summary["turn"]) == (0, "registered", "boxes", 180)
    assert summary["residual"] < 2
    assert "turn: 180 degrees" in printed
    values = {field["field"]: field["value"] for field in summary["fields"]}
    assert list(values) == [field["name"] for field in drawing.fields(0)]
    right = [values[name] == truth.value for name, truth in page.truth.items() if values[name]]
    assert sum(right) >= 0.7 * len(right) >= 0.5 * len(values)
    assert {field["place"] for field in summary["fields"]} == {"placed"}
    picture = cv2.imread(str(out)).astype(int)
    scan = page.picture[::-1, ::-1]
    assert picture.shape[:2] == scan.shape[:2]
    untouched = picture.max(axis=2) == picture.min(axis=2)
    assert (picture[..., 0] == scan)[untouched].mean() > 0.99
    for corners in page.corners.values():
        x, y = np.round(picture.shape[1::-1] - corners.mean(axis=0)).astype(int)
        high, wide = (np.ptp(corners, axis=0)[::-1] / 2 + 6).astype(int)
        around = picture[y - high : y + high, x - wide : x + wide]
        assert (around.max(axis=2) - around.min(axis=2) > 60).any() or (around == 160).all(axis=2).any()


def test_a_page_that_is_of_no_form_is_no_error_and_a_missing_form_is_one(tmp_path: Path, capsys: Capture) -> None:
    form_pages.write_form(form_pages.form("boxes"), tmp_path / "boxes")
    cv2.imwrite(str(tmp_path / "letter.png"), form_pages.form("letter").pictures[0])
    out = tmp_path / "check.png"
    code, printed, summary = made(capsys, "--check", tmp_path / "boxes", tmp_path / "letter.png", "--out", out)
    assert (code, summary["verdict"], summary["fields"]) == (0, "unknown_form", [])
    assert printed.startswith("verdict: unknown_form (")
    assert out.exists()
    code, _, summary = made(capsys, "--check", tmp_path / "none", tmp_path / "letter.png", "--out", out)
    assert code == 2
    assert summary["error"].startswith("--check ")
    code, _, summary = made(capsys, "--check", tmp_path / "boxes", tmp_path / "letter.png", "--page", 1, "--out", out)
    assert (code, "counted from 0" in summary["error"]) == (2, True)
    with pytest.raises(SystemExit, match="2"):
        form.main(["--check", str(tmp_path / "boxes")])
