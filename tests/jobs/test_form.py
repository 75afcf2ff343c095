"""jobs.form, end to end: a form of a blank page, which opens, and corrections that are not overwritten."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from jobs import form
from mnist_batch.forms import opening

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
    opened = opening.open_form(str(tmp_path / "forms/turnout"))
    assert opened.form.name == "turnout"
    assert opened.form.pages[0].dots_per_inch == pytest.approx(100, abs=0.1)
    assert [field.name for field in opened.form.fields] == ["field_1", "field_2"]
    assert [round(cell.y) for cell in opened.form.fields[1].cells] == pytest.approx([280] * 5, abs=2)
    preview = cv2.imread(str(tmp_path / "forms/turnout/preview.png"))
    assert preview.shape == (1000, 827, 3)
    assert (preview.max(axis=2).astype(int) - preview.min(axis=2) > 60).sum() > 500  # drawn in colour


def test_a_page_of_each_file_and_of_each_page_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    first, *more = (Image.fromarray(drawn(rows)) for rows in (1, 2))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=more, dpi=(100, 100))
    Image.fromarray(drawn(3)).save(tmp_path / "last.png")
    code, _, summary = made(
        capsys, tmp_path / "pages.tif", tmp_path / "last.png", "--out", tmp_path / "form", "--name", "census"
    )
    assert (code, summary["pages"], summary["fields"]) == (0, 3, 6)
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
    arguments = [tmp_path / "sheet.png", "--omrchecker", template, "--out", tmp_path / "sheet"]
    code, printed, summary = made(capsys, *arguments)
    assert (code, summary["fields"], summary["cells"]) == (0, 1, 3)
    assert "a cell is the whole column of bubbles of a digit" in printed
    opened = opening.open_form(str(tmp_path / "sheet")).form
    assert [(field.name, tuple(field.cells[0])) for field in opened.fields] == [("Roll", (200, 100, 40, 580))]
    assert (tmp_path / "sheet/preview.png").exists()
    for path, message in ((tmp_path / "none.json", "there is no such file"), (tmp_path, "there is no such file")):
        code, _, summary = made(capsys, *arguments[:2], path, *arguments[3:])
        assert (code, f"--omrchecker {path}: {message}" in summary["error"]) == (2, True)
    code, _, summary = made(capsys, tmp_path / "sheet.png", *arguments)
    assert (code, "a template of OMRChecker is of one page" in summary["error"]) == (2, True)
