"""Tell slashes and dashes through unused cells from 1s and signs, by what else is written on the page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mnist_batch.forms.crossing import Lean, Stroke
from mnist_batch.forms.form import Field
from mnist_batch.statuses import Status

TURNED, LONGER = 9.0, 0.11  # degrees, and diagonals of a cell, by which strokes of one hand differ at most
UPRIGHT = 3  # of a writer's own 1s, at least, that say that a lone slash is none
LEANING = 0.25  # of a writer's 1s that may lean as slashes do

Cell = tuple[str, int]  # the name of a field, and a position in it


class _Run(NamedTuple):
    """Strokes through cells at an end of a field where cells may be unused.

    ``outer`` are those with a crossed cell between them and the number, ``inner`` the others. ``alone`` says that
    no cell beside them is crossed in another way. In a ``whole`` field no cell holds anything else.
    """

    outer: tuple[Cell, ...]
    inner: tuple[Cell, ...]
    alone: bool
    whole: bool


class Slashed(NamedTuple):
    """The cells that are ``crossed`` by a stroke, and those that are ``doubted``, since they may be."""

    crossed: set[Cell]
    doubted: set[Cell]


def slashed(fields: Sequence[Field], statuses: Mapping[Cell, Status], strokes: Mapping[Cell, Stroke]) -> Slashed:
    """Which cells have a slash and clearly no 1, or a dash and clearly no sign before a number.

    ``statuses`` are those of the cells of a page, ``strokes`` the single strokes in some that are OK. Such a stroke may
    say that its cell is unused at an end of a field where cells may be, with none of them blank. It does if the hand
    shows it: by strokes beside each other that are alike, or by 1s elsewhere that are upright. Thick strokes say
    nothing, and are doubted where they may be slashes.
    """
    thin = {cell: stroke for cell, stroke in strokes.items() if not stroke.thick}
    in_any = _in_runs([run for field in fields for run in _runs(field, statuses, strokes)])
    runs = [run for field in fields for run in _runs(field, statuses, thin)]
    in_runs = _in_runs(runs)
    may_be = {
        cell
        for cell, stroke in strokes.items()
        if stroke.lean is Lean.SLASH and (stroke.across or cell in in_any | in_runs)
    }
    slashes = {cell for cell, stroke in thin.items() if stroke.lean is Lean.SLASH}
    crossed = {cell for run in runs for cell in run.outer}
    upright = sum(stroke.lean is Lean.UPRIGHT for stroke in thin.values())
    own = [thin[cell] for cell in slashes - in_runs]
    rows = [run.inner for run in runs if _is_a_row(run, thin, own, upright)]
    crossed.update(*rows)
    for run in runs:
        if len(run.inner) == 1:
            [stroke] = [thin[cell] for cell in run.inner]
            like_a_row = any(_alike((stroke, *(thin[cell] for cell in row))) for row in rows)
            others_stand = run.alone and upright >= UPRIGHT and stroke.across and not (run.whole or _as(stroke, own))
            if others_stand or (like_a_row and not (run.whole and stroke.lean is Lean.SLASH)):
                crossed.update(run.inner)
    return Slashed(crossed, may_be - crossed)


def _in_runs(runs: Sequence[_Run]) -> set[Cell]:
    return {cell for run in runs for cell in (*run.outer, *run.inner)}


def _is_a_row(run: _Run, strokes: Mapping[Cell, Stroke], own: Sequence[Stroke], upright: int) -> bool:
    """Whether a run has strokes beside each other that are alike, and unlike the writer's ``own`` 1s."""
    row = [strokes[cell] for cell in run.inner]
    if len(row) < 2 or not _alike(row):
        return False
    if row[0].lean is Lean.DASH:
        return True
    leaning = max(_as(stroke, own) for stroke in row)
    if (run.whole and len(row) == 2) or leaning > LEANING * (leaning + upright):
        return False  # it may be 11
    return upright > 0 or all(stroke.across for stroke in row)


def _as(stroke: Stroke, own: Sequence[Stroke]) -> int:
    """How many of a writer's own 1s lean as a stroke does."""
    return sum(_alike((stroke, each)) for each in own)


def _runs(field: Field, statuses: Mapping[Cell, Status], strokes: Mapping[Cell, Stroke]) -> list[_Run]:
    """The strokes through cells at the ends of a field at which its cells may be unused; none of it is blank."""
    cells = [(field.name, at) for at in range(len(field.cells))]
    if any(statuses.get(cell) == Status.BLANK for cell in cells):
        return []
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
            runs.append(_Run(outer, inner, not any(crossed[:length]), whole))
        if whole:
            break
    return runs


def _alike(strokes: Sequence[Stroke]) -> bool:
    """Whether strokes lean alike and are as long."""
    angles, lengths = [stroke.angle for stroke in strokes], [stroke.length for stroke in strokes]
    return max(angles) - min(angles) <= TURNED and max(lengths) - min(lengths) <= LONGER
