"""What jobs.form --check says of a page, for people; of a cell it says what a run says of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnist_batch.forms.cutting import Cut
from mnist_batch.forms.registration import FieldPlace, FieldVerdict, Registration, Verdict
from mnist_batch.forms.spans import CellAnswer, FieldStatus
from mnist_batch.forms.values import CheckResult, FieldValue
from mnist_batch.models import bundle
from mnist_batch.reports import form_check
from mnist_batch.reports.form_check import Cell, Checked, draw, lines
from mnist_batch.schemas.facts import Beta
from mnist_batch.statuses import Status
from tests.support.ruler import calibrated, picture_of


def test_numbers_are_made_of_the_confidence_of_their_cells_by_a_bundle_with_own_labels(
    ruler: str, tmp_path: Path
) -> None:
    model = Path(calibrated(ruler, tmp_path / "model"))
    facts = bundle.open_bundle(str(model)).facts
    assert facts.calibration is not None
    bundle.describe(model, replace(facts, calibration=replace(facts.calibration, beta=Beta(2, 1, -1))))
    blank, cell = Cut("year", 0, None, Status.BLANK), Cut("year", 1, None, Status.OK, None, (255 - picture_of(4, 0.8),))
    empty, read = form_check.read_cells([blank, cell], str(model))
    assert (empty.answer.status, empty.answer.probabilities, empty.digit) == (Status.BLANK, None, None)
    assert (read.digit, read.answer.status) == (4, Status.OK)
    assert read.answer.confidence == read.confidence
    assert read.answer.probabilities is not None
    assert abs(read.answer.probabilities.max() - read.confidence) > 0.1
    assert read.answer.probabilities.sum() == pytest.approx(1)


def test_each_field_says_once_where_it_lies_and_why_a_person_should_look() -> None:
    places = {
        "women": FieldPlace(FieldVerdict.PLACED, np.eye(3), (3.0, 4.0)),
        "men": FieldPlace(FieldVerdict.SHIFTED, np.eye(3)),
        "voters": FieldPlace(FieldVerdict.CUT_OFF, np.eye(3)),
    }
    found = (
        FieldValue(
            "women", FieldStatus.OK, None, False, "12", 0.5, check=CheckResult.FAILED, rules_failed=("women < men",)
        ),
        FieldValue("men", FieldStatus.SHIFTED, "cell 1: the printed frame is elsewhere"),
        FieldValue("voters", FieldStatus.UNREADABLE),
    )
    registration = Registration(Verdict.REGISTERED, fields=places)
    assert lines(Checked(registration, {}, (), found))[-3:] == [
        "  women: 12 (confidence 0.5000); placed, shifted by 5.0 pixels; its check digit is wrong; "
        "the rule fails: women < men",
        "  men: shifted; cell 1: the printed frame is elsewhere",
        "  voters: unreadable; cut_off",
    ]


def test_the_name_of_a_field_covers_no_cell_of_its_neighbour() -> None:
    cells, boxes = [], {}
    for field, left in (("day", 100), ("month", 200)):
        for position in range(2):
            x, y = left + 40 * position, 100
            corners = np.array([[x, y], [x + 40, y], [x + 40, y + 50], [x, y + 50]], np.float32)
            cells.append(Cell(Cut(field, position, corners, Status.OK), CellAnswer(Status.OK), 1, 1.0))
            boxes[field, position] = slice(y + 4, y + 46), slice(x + 4, x + 36)
    values = tuple(FieldValue(field, FieldStatus.OK, None, True, "11", 1.0) for field in ("day", "month"))
    page = np.full((300, 500), 255, np.uint8)
    drawn = draw(page, Checked(Registration(Verdict.REGISTERED), {}, tuple(cells), values))
    assert all((drawn[box] == 255).all() for box in boxes.values())
    assert (drawn[60:100, 100:180] != 255).any()  # above its own cells
    assert (drawn[100:150, 290:400] != 255).any()  # beside them, where there is room


def test_the_picture_shows_what_was_found_of_the_print_and_what_was_not_as_the_page_is_upright() -> None:
    page = np.full((300, 500), 255, np.uint8)
    found, missing = np.array([[400.0, 200]]), np.array([[100.0, 250]])
    upside_down = Registration(Verdict.OTHER_VERSION, turn=180, residual=0.25, landmarks=found, missing=missing)
    drawn = draw(page, Checked(upside_down, {})).astype(int)
    (blue, green, red) = (drawn[..., channel] for channel in range(3))
    at = np.argwhere((blue > red + 60) & (green < 250))
    assert np.abs(at.mean(axis=0) - (100, 100)).max() < 2
    at = np.argwhere((red > blue + 60) & (np.arange(300)[:, None] > 45))  # below what is said
    assert np.abs(at.mean(axis=0) - (50, 400)).max() < 2
    bare = draw(page, Checked(Registration(Verdict.OTHER_VERSION), {}))
    assert (drawn[:40] != bare[:40]).any()  # the residual
