"""The blocks of digits of an OMRChecker template become fields, and what does not is said."""

import json
from typing import Any

import pytest

from mnist_batch.errors import InputError
from mnist_batch.forms.form import Box, Digits, FormPage
from mnist_batch.forms.omrchecker import Imported, from_template

PAGE = FormPage("sheet.png", 1000, 800, dots_per_inch=100)
ROLL = {
    "fieldType": "QTYPE_INT",
    "fieldLabels": ["roll1..3"],
    "bubblesGap": 30,
    "labelsGap": 40,
    "origin": [100, 50],
}
CHOICES = {"fieldType": "QTYPE_MCQ4", "fieldLabels": ["q1..4"], "bubblesGap": 30, "labelsGap": 40, "origin": [500, 50]}


def template(blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "pageDimensions": [1000, 800],
        "bubbleDimensions": [20, 20],
        "preProcessors": [],
        "fieldBlocks": blocks,
        **more,
    }


def imported(said: Any, page: FormPage = PAGE) -> Imported:
    return from_template(json.dumps(said).encode(), "template.json", "sheet", page)


def cells(said: Any, page: FormPage = PAGE) -> dict[str, tuple[Box, ...]]:
    return {field.name: field.cells for field in imported(said, page).form.fields}


def test_a_block_of_digits_is_a_cell_for_each_label() -> None:
    assert cells(template({"Roll": ROLL})) == {
        "roll1": (Box(100, 50, 20, 290),),
        "roll2": (Box(140, 50, 20, 290),),
        "roll3": (Box(180, 50, 20, 290),),
    }


def test_custom_labels_join_digits_to_a_number_and_what_is_left_out_is_said() -> None:
    said = template({"Roll": ROLL, "Choices": CHOICES}, customLabels={"Roll": ["q4", "roll1..2"], "Choice": ["q1..3"]})
    found = imported(said)
    assert [(field.name, len(field.cells), field.digits) for field in found.form.fields] == [
        ("Roll", 2, Digits(1, 2)),
        ("roll3", 1, Digits(1, 1)),
    ]
    assert found.form.pages == (PAGE,)
    assert "left out, since their bubbles are not for digits: q1, q2, q3, q4" in found.remarks


def test_bubbles_beside_each_other_and_gaps_of_their_own() -> None:
    block = {**ROLL, "direction": "horizontal", "bubbleDimensions": [10, 16], "labelsGap": [40, 60]}
    assert cells(template({"Roll": block}, customLabels={"n": ["roll1..3"]})) == {
        "n": (Box(100, 50, 280, 16), Box(100, 90, 280, 16), Box(100, 150, 280, 16))
    }


@pytest.mark.parametrize(
    "kind",
    [
        {"fieldType": "QTYPE_INT_FROM_1"},
        {"bubbleFieldType": "QTYPE_INT", "fieldDetectionType": "BUBBLES_THRESHOLD"},
        {"bubbleFieldType": "CUSTOM_DOWN"},
        {"bubbleValues": list("9876543210"), "direction": "vertical"},
    ],
)
def test_every_way_to_say_digits_is_understood(kind: dict[str, Any]) -> None:
    block = {**{key: value for key, value in ROLL.items() if key != "fieldType"}, **kind}
    own = {"CUSTOM_DOWN": {"bubbleValues": list("0123456789"), "direction": "vertical"}}
    said = template({"Roll": block}, customBubbleFieldTypes=own)
    said["templateDimensions"] = said.pop("pageDimensions")
    assert cells(said)["roll3"] == (Box(180, 50, 20, 290),)


def test_the_picture_may_have_another_size_than_the_template() -> None:
    page = FormPage("sheet.png", 2000, 400)
    assert cells(template({"Roll": ROLL}), page)["roll2"] == (Box(280, 25, 40, 145),)


def test_a_page_that_was_cut_out_is_said() -> None:
    steps = [{"name": "CropPage", "options": {}}, {"name": "Levels", "options": {}}]
    assert "measured on what CropPage cut out" in imported(template({"Roll": ROLL}, preProcessors=steps)).remarks[-1]
    assert not any("cut" in remark for remark in imported(template({"Roll": ROLL})).remarks)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"qBlocks": {}}, "template.json: 'bubbleDimensions' is missing; give a template.json of OMRChecker"),
        ({"bubbleDimensions": [1, 1], "fieldBlocks": {}}, "'pageDimensions' or 'templateDimensions' is missing"),
        (template({}), "fieldBlocks: none of the blocks has bubbles for digits"),
        (template({"Choices": CHOICES}), "fieldBlocks: none of the blocks has bubbles for digits"),
        (template({"Roll": {"fieldType": "QTYPE_INT"}}), "fieldBlocks.Roll: 'fieldLabels' is missing"),
        (template({"Roll": {**ROLL, "origin": [100]}}), "fieldBlocks.Roll.origin: expected 2 numbers, got 1"),
        (template({"Roll": {**ROLL, "origin": [950, 50]}}), "fieldBlocks.Roll: its bubbles reach beyond the page"),
        (template({"Roll": {**ROLL, "fieldLabels": ["r3..1"]}}), "fieldLabels[0]: expected a range of at most"),
        (template({"Roll": {**ROLL, "fieldLabels": ["r1..999999"]}}), "fieldLabels[0]: expected a range of at most"),
        (template({"Roll": {**ROLL, "fieldLabels": ["r", "r"]}}), "fieldLabels: the label 'r' stands twice"),
        (template({"Roll": ROLL, "Again": ROLL}), "fieldBlocks.Again: the label 'roll1' stands in two blocks"),
        (template({"Roll": ROLL}, customLabels={"R": ["roll4"]}), "customLabels.R: the label 'roll4' is in none of"),
        (template({"Roll": {**ROLL, "labelsGap": [1]}}), "labelsGap: expected 2 numbers, got 1: [1]"),
        (
            template({"Roll": {**ROLL, "labelsGap": 0}}, customLabels={"R": ["roll1..3"]}),
            'template.json, as a form: fields[0].cells[1] (of "R"): [100, 50, 20, 290] covers more than half of',
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named(said: Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        imported(said)
    assert message in str(refused.value)
