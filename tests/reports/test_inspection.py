"""jobs.inspect, end to end: one page, its picture, its facts and its answer, without Ray."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from jobs import inspect
from mnist_batch.models import beta, bundle
from mnist_batch.reading import images
from mnist_batch.schemas.facts import Beta
from tests.support.formats.pdf_writer import deflated, filled, pdf
from tests.support.ruler import calibrated, picture_of, write_scan

Capture = pytest.CaptureFixture[str]


def inspected(capsys: Capture, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    code = inspect.main([str(argument) for argument in arguments])
    *printed, last = capsys.readouterr().out.splitlines()
    return code, "\n".join(printed), json.loads(last)


def test_a_page_is_drawn_and_told(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    lined = np.full((64, 64), 230, np.uint8)
    lined[18:46, 18:46] -= picture_of(4, 0.8) // 2
    lined[2:4] = lined[60, 50:52] = 90
    scan, out = tmp_path / "a.png", tmp_path / "out.png"
    scan.write_bytes(images.encode(lined))
    code, printed, summary = inspected(capsys, scan, "--model", ruler, "--out", out)
    assert (code, summary["found"], summary["digit"]) == (0, "ok", 4)
    assert f"answer: 4 (confidence {summary['confidence']:.4f})" in printed
    assert "polarity: dark on light" in printed
    facts = summary["normalisation"]
    x, y, width, height = (facts[name] for name in ("x", "y", "width", "height"))
    assert f"ink: {width} x {height} pixels at ({x}, {y})" in printed
    assert (y, height, facts["touching_border"]) == (23, 20, False)
    assert sum(summary["probabilities"]) == pytest.approx(1)
    drawn = cv2.imread(str(out))
    for colour in ((31, 78, 121), (200, 60, 50), (230, 160, 40)):  # digit, line, speck
        assert (np.abs(drawn[..., ::-1].astype(int) - colour).max(axis=2) < 8).sum() > 20, colour


def test_the_confidence_is_that_of_a_run_by_a_bundle_with_own_labels(
    ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    model, own = Path(calibrated(ruler, tmp_path / "model")), Beta(2, 1, -1)
    facts = bundle.open_bundle(str(model)).facts
    assert facts.calibration is not None
    bundle.describe(model, replace(facts, calibration=replace(facts.calibration, beta=own)))
    scan = write_scan(tmp_path / "a.png", 4, confidence=0.8)
    summary = inspected(capsys, scan, "--model", model, "--out", tmp_path / "out.png")[2]
    probabilities = np.array([summary["probabilities"]])
    assert summary["confidence"] == pytest.approx(float(beta.confidence(probabilities, own)[0]))
    assert abs(summary["confidence"] - probabilities.max()) > 0.1


@pytest.mark.parametrize("name", ["a.tif", "a.pdf"])
def test_a_page_of_several_and_a_blank_one(ruler: str, tmp_path: Path, capsys: Capture, name: str) -> None:
    first, blank = picture_of(1), np.full((40, 30), 200, np.uint8)
    if name == "a.pdf":
        (tmp_path / name).write_bytes(pdf(filled(deflated(first), 28, 28), filled(deflated(blank), 30, 40)))
    else:
        Image.fromarray(first).save(tmp_path / name, save_all=True, append_images=[Image.fromarray(blank)])
    arguments = [tmp_path / name, "--model", ruler, "--out", tmp_path / "out.png"]
    code, printed, summary = inspected(capsys, *arguments)
    assert (code, summary["digit"]) == (0, 1)
    assert "\nscale: 1 pixel of the picture per pixel of the page\n" in printed
    code, printed, summary = inspected(capsys, *arguments, "--page", 1)
    assert (code, printed, summary["found"]) == (0, "blank: read, but no ink was found on it", "blank")
    assert cv2.imread(str(tmp_path / "out.png")) is not None
    code, _, summary = inspected(capsys, *arguments, "--page", 2)
    assert code == 2
    assert "--page is 2" in summary["error"]


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        ("nowhere.png", "SCAN: there is no file or folder"),
        (".", "is a folder; give one image file"),
        ("text.png", "cannot be read: not_an_image"),
        ("empty.png", "cannot be read: empty"),
        ("Thumbs.db", "has a name that only files created by desktops have"),
    ],
)
def test_a_mistake_is_exit_2_and_a_sentence(
    ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, scan: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_bytes(b"this is no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "Thumbs.db").write_bytes(b"of Windows")
    code, printed, summary = inspected(capsys, scan, "--model", ruler)
    assert (code, printed) == (2, "")
    assert message in summary["error"]
    assert not (tmp_path / "inspect.png").exists()


def test_a_picture_that_cannot_be_written_is_exit_2(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    scan = write_scan(tmp_path / "a.png", 1)
    code, _, summary = inspected(capsys, scan, "--model", ruler, "--out", tmp_path / "no/folder.png")
    assert code == 2
    assert "--out" in summary["error"]
