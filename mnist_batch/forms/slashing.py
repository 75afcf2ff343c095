"""Tell slashes and dashes through unused cells from 1s and signs, by what else is written on the page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mnist_batch.forms.crossing import Lean, Stroke
from mnist_batch.forms.form import Field
from mnist_batch.statuses import Status

TURNED, LONGER = 9.0, 0.15  # degrees, and diagonals of a cell, by which strokes of one hand differ at most
UPRIGHT = 2  # of a writer's own 1s, at least, that say that a lone slash is none
LEANING = 0.25  # of a writer's 1s that may lean as slashes do

Cell = tuple[str, int]  # the name of a field, and a position in it


class _Run(NamedTuple):
    """Strokes through cells at an end of a field where cells may be unused.

    ``outer`` are those with a crossed cell between them and the number, ``inner`` the others. In a ``whole`` field no
    cell holds anything else.
    """

    outer: tuple[Cell, ...]
    inner: tuple[Cell, ...]
    whole: bool


def slashed(fields: Sequence[Field], statuses: Mapping[Cell, Status], strokes: Mapping[Cell, Stroke]) -> set[Cell]:
    """The cells whose stroke is a slash and clearly no 1, or a dash and clearly no sign before a number.

    ``statuses`` are those of the cells of a page, ``strokes`` the single strokes in some that are OK. Such a stroke may
    say that its cell is unused at an end of a field where cells may be, with none of them blank. It does if the hand
    shows it: by strokes beside each other that are alike, or by 1s elsewhere that are upright.
    """
    runs = [run for field in fields for run in _runs(field, statuses, strokes)]
    found = {cell for run in runs for cell in run.outer}
    in_runs = found.union(*(run.inner for run in runs))
    upright = sum(stroke.lean is Lean.UPRIGHT for stroke in strokes.values())
    leaning = sum(stroke.lean is Lean.SLASH and cell not in in_runs for cell, stroke in strokes.items())
    if leaning > LEANING * (leaning + upright):  # so are the writer's 1s
        runs = [run for run in runs if all(strokes[cell].lean is Lean.DASH for cell in run.inner)]
    rows = [run.inner for run in runs if len(run.inner) > 1 + _may_be_11(run, strokes) and _alike(run.inner, strokes)]
    found.update(*rows)
    for run in runs:
        if len(run.inner) == 1 and not (run.whole and strokes[run.inner[0]].lean is Lean.SLASH):
            others_are_upright = strokes[run.inner[0]].lean is Lean.SLASH and not leaning and upright >= UPRIGHT
            if others_are_upright or any(_alike((*run.inner, *row), strokes) for row in rows):
                found.update(run.inner)
    return found


def _may_be_11(run: _Run, strokes: Mapping[Cell, Stroke]) -> bool:
    """Whether two slashes are all that is in a field."""
    return run.whole and len(run.inner) == 2 and strokes[run.inner[0]].lean is Lean.SLASH


def _runs(field: Field, statuses: Mapping[Cell, Status], strokes: Mapping[Cell, Stroke]) -> list[_Run]:
    """The strokes through cells at the ends of a field at which its cells may be unused, with no cell blank."""
    cells = [(field.name, at) for at in range(len(field.cells))]
    ends = {"right": [cells], "left": [cells[::-1]]}.get(field.digits.written_from, [cells, cells[::-1]])
    runs = []
    for order in ends:
        marked = [cell in strokes and strokes[cell].lean is not Lean.UPRIGHT for cell in order]
        crossed = [statuses.get(cell) == Status.CROSSED for cell in order]
        length = next((at for at in range(len(order)) if not (marked[at] or crossed[at])), len(order))
        whole = length == len(order)
        unused = whole or (length <= len(order) - field.digits.least and statuses.get(order[length]) == Status.OK)
        if unused and any(marked[:length]):
            # Of a field without another end, a number at this one is not beyond the crossed cells.
            beyond = range(0 if whole and len(ends) > 1 else length)
            last = max((at for at in beyond if crossed[at]), default=-1)
            outer, inner = (
                tuple(order[at] for at in some if marked[at]) for some in (range(last + 1), range(last + 1, length))
            )
            runs.append(_Run(outer, inner, whole))
        if whole:
            break
    return runs


def _alike(cells: Sequence[Cell], strokes: Mapping[Cell, Stroke]) -> bool:
    """Whether strokes lean alike and are as long."""
    angles, lengths = [strokes[cell].angle for cell in cells], [strokes[cell].length for cell in cells]
    return max(angles) - min(angles) <= TURNED and max(lengths) - min(lengths) <= LONGER
