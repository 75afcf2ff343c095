"""Slashes and dashes in cells are told from 1s and signs by the writer's other strokes."""

import pytest

from mnist_batch.forms.crossing import Lean, Stroke
from mnist_batch.forms.form import Box, Digits, Field
from mnist_batch.forms.slashing import slashed
from mnist_batch.statuses import Status

STROKES = {
    "/": Stroke(Lean.SLASH, 52, 0.8, True),
    "l": Stroke(Lean.SLASH, 63, 0.7, True),  # leans, but not as the others do
    ",": Stroke(Lean.SLASH, 52, 0.5, False),  # short
    "|": Stroke(Lean.SLASH, 52, 0.5, False, thick=True),
    "1": Stroke(Lean.UPRIGHT, 85, 0.6, False),
    "-": Stroke(Lean.DASH, 4, 0.4, False),
}
STATUSES = {".": Status.BLANK, "x": Status.CROSSED}


def judged(*fields: str, side: str = "right", least: int = 1) -> list[str]:
    """Each field as it was given, with an ``x`` for what is found to be crossed, and a ``?`` for what is doubted."""
    forms = [
        Field(str(at), 0, tuple(Box(60 * cell, 0, 60, 80) for cell in range(len(text))), Digits(least, len(text), side))
        for at, text in enumerate(fields)
    ]
    cells = {(str(at), cell): mark for at, text in enumerate(fields) for cell, mark in enumerate(text)}
    statuses = {cell: STATUSES.get(mark, Status.OK) for cell, mark in cells.items()}
    found = slashed(forms, statuses, {cell: STROKES[mark] for cell, mark in cells.items() if mark in STROKES})
    assert not found.crossed & found.doubted
    cells |= dict.fromkeys(found.crossed, "x") | dict.fromkeys(found.doubted, "?")
    return ["".join(cells[str(at), cell] for cell in range(len(text))) for at, text in enumerate(fields)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["//42"], ["xx42"]),  # alike, side by side
        (["//42", "/542"], ["xx42", "x542"]),  # the hand shows elsewhere
        (["/542"], ["?542"]),  # may be a 1
        (["/542", "211", "31"], ["x542", "211", "31"]),  # the writer's own 1s are upright
        (["/542", "211", "32"], ["?542", "211", "32"]),  # those are too few
        (["/542", "211", "314/2"], ["?542", "211", "314?2"]),  # not all of them
        (["/542", "211", "314l2"], ["x542", "211", "314?2"]),  # none leans as much
        (["//42", "4/2", "5/", "21"], ["??42", "4?2", "5?", "21"]),
        (["/l42"], ["??42"]),  # not alike
        ([".//42"], [".??42"]),  # a blank beyond: the number begins here
        (["//.42"], ["??.42"]),
        (["/x42"], ["xx42"]),  # the number lies on the other side
        (["x/42"], ["x?42"]),
        (["x/42", "211", "31"], ["x?42", "211", "31"]),  # who crosses in another way has written a 1
        (["x//42"], ["xxx42"]),
        (["////"], ["xxxx"]),  # struck out
        (["//"], ["??"]),  # may be 11
        (["/", "211", "31", "//42"], ["?", "211", "31", "xx42"]),  # one cell is left for a 1
        ([",,42"], ["??42"]),  # short ones are, with a reason
        ([",,42", "21"], ["xx42", "21"]),
        ([",542", "2111"], ["?542", "2111"]),
        ([",542", "2,11"], ["?542", "2,11"]),  # a 1 where no cell can be unused
        (["||42", "21", "31", "1"], ["??42", "21", "31", "1"]),  # thick ones say nothing
        (["/|42", "|/42", "5|3"], ["??42", "??42", "5|3"]),
        (["//|2", "211"], ["xx?2", "211"]),
        (["--42"], ["xx42"]),
        (["-42"], ["-42"]),  # may be a sign
        (["-42", "--5"], ["x42", "xx5"]),
        (["--", "-"], ["xx", "x"]),
        (["42//"], ["42??"]),  # the number ends here
        (["", "4711"], ["", "4711"]),
    ],
)  # fmt: skip
def test_a_stroke_is_taken_for_a_slash_where_the_hand_shows(fields: list[str], expected: list[str]) -> None:
    assert judged(*fields) == expected


def test_unused_cells_lie_at_the_other_end_than_the_number() -> None:
    assert judged("42//", side="left") == ["42xx"]
    assert judged("42//", "//42", side="either") == ["42xx", "xx42"]
    assert judged("/x", "///4", side="left") == ["?x", "???4"]
    assert judged(".71/", "211", "31", side="either") == [".71?", "211", "31"], "unused cells are left blank"
    assert judged("x/", side="either") == ["x?"]
    assert judged("/x", side="either") == ["?x"]


def test_no_more_cells_are_unused_than_the_number_leaves() -> None:
    assert judged("//42", least=2) == ["xx42"]
    assert judged("//42", least=3) == ["??42"]
    assert judged("////", least=4) == ["xxxx"]
