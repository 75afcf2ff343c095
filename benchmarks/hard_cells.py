"""How the hard cells are read: tight cuts, faint pencil, and what people complain about who read their own scans.

    python -m benchmarks.hard_cells --seed 1

Prints the table of docs/accuracy.md and keeps it in benchmarks/hard_cells.json. The cells are written with
digits of the MNIST test set that the bundle reads rightly as they are, so that what is read wrongly is the cell's
doing. All cells are one run: ink that is pale beside the others' is not accepted. Develop on seed 0; report on a seed
that nobody has looked at.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import doubtful_cells, legible_cells
from benchmarks.handwriting import Cell, Digits, Grey, Random
from mnist_batch.learning import digits
from mnist_batch.models import asking, bundle, certifying
from mnist_batch.models.answers import Model, ModelSpec, Others
from mnist_batch.pixels import decoding, normalising
from mnist_batch.reports.counting import Contrasts

RESULTS = Path(__file__).parent / "hard_cells.json"
TARGET_ERROR = 0.005
GOALS = {"read": 0.93, "accepted_wrong": 0.005, "accepted_invalid": 0.02, "surest_invalid": 0.99}
COUNT, ACROSS, SIDE = 400, 10, 96


@dataclass(frozen=True)
class Kind:
    """How cells of a kind are drawn, and what is ``right`` for them.

    ``read``: the digit; ``review``: the digit, or no decision without a person; ``nothing``: no valid digit is written,
    so that no answer may be accepted; ``run``: one cell cannot tell, only the run that it is in.
    """

    draw: Callable[[Random, Digits], Cell]
    right: str


KINDS: dict[str, Kind] = {
    "cut out tightly": Kind(legible_cells.cut_tightly, "read"),
    "thin faint pencil": Kind(legible_cells.faint_pencil, "read"),
    "thin faint pencil in uneven light": Kind(legible_cells.faint_in_uneven_light, "read"),
    "a small round 0 in a large cell": Kind(legible_cells.small_round_zero, "read"),
    "in a corner of a large cell": Kind(legible_cells.in_a_corner, "read"),
    "underlined by hand": Kind(legible_cells.underlined, "read"),
    "on a rule": Kind(legible_cells.on_a_rule, "read"),
    "written over the box": Kind(legible_cells.over_the_box, "read"),
    "a dark frame smaller than the digit": Kind(legible_cells.small_frame, "read"),
    "a grid as black as the digit": Kind(legible_cells.on_a_grid, "read"),
    "a scanner's streak": Kind(legible_cells.streaked, "read"),
    "a hard shadow": Kind(legible_cells.shadowed, "read"),
    "a wide cut with a neighbour": Kind(legible_cells.neighboured, "read"),
    "white strokes on a transparent page": Kind(legible_cells.white_on_transparent, "read"),
    "a dark red stamp": Kind(legible_cells.stamped, "read"),
    "pink or green marker": Kind(legible_cells.highlighted, "read"),
    "broken strokes": Kind(doubtful_cells.broken, "review"),
    "felt marker": Kind(doubtful_cells.felt_marker, "review"),
    "a slashed zero": Kind(doubtful_cells.slashed_zero, "review"),
    "a staple": Kind(doubtful_cells.stapled, "review"),
    "a ring by hand": Kind(doubtful_cells.ringed, "review"),
    "correction fluid": Kind(doubtful_cells.corrected, "review"),
    "written over another digit": Kind(doubtful_cells.written_over, "review"),
    "struck out and written again": Kind(doubtful_cells.rewritten, "review"),
    "a neighbour's stroke": Kind(doubtful_cells.neighbours_stroke, "nothing"),
    "a digit cancelled": Kind(doubtful_cells.cancelled, "nothing"),
    "the back page shows through": Kind(doubtful_cells.showing_through, "nothing"),
    "a void stroke": Kind(doubtful_cells.void_stroke, "nothing"),
    "upside down": Kind(doubtful_cells.upside_down, "run"),
}


def cells(name: str, count: int, seed: int, digits: Digits) -> list[Cell]:
    """So many cells of a kind; each depends on the seed, the kind and its number alone."""
    entropy = int.from_bytes(name.encode(), "big")
    return [KINDS[name].draw(np.random.default_rng([seed, entropy, number]), digits) for number in range(count)]


@dataclass(frozen=True)
class Seen:
    """What a reader makes of N cells.

    ``pictures`` is what the model saw, uint8 (N, 28, 28); ``digit``, int64 (N,), is -1 where there is no answer;
    ``accepted``, bool (N,), says which ``--target-error`` 0.005 accepts; ``contrast``, int64 (N,), is that of the ink.
    """

    pictures: Grey
    digit: NDArray[np.int64]
    confidence: NDArray[np.float32]
    accepted: NDArray[np.bool_]
    contrast: NDArray[np.int64]

    def taken(self, rows: NDArray[np.int64]) -> "Seen":
        """What the reader makes of some of the cells."""
        return Seen(*(getattr(self, item.name)[rows] for item in fields(self)))


Reader = Callable[[Sequence[Grey]], Seen]


def grey_page(cell: Cell) -> Grey:
    """A cell's page as it is decoded from its file."""
    return decoding.picture("PNG", decoding.encode(cell.page))


class BundleReader:
    """A bundle that reads grey pages as jobs.score does, without Ray."""

    def __init__(self, location: str) -> None:
        opened = bundle.open_bundle(location)
        asks_first = asking.asks_first(opened.facts, TARGET_ERROR, with_forms=False)
        self.model = Model.open(ModelSpec(location, opened.digest, asks_first=asks_first))
        calibration = opened.facts.calibration_where(asks_first)
        self.threshold = certifying.threshold_for(calibration, TARGET_ERROR, opened.facts.architecture)

    def __call__(self, pages: Sequence[Grey]) -> Seen:
        readings = [normalising.examine_all(page) for page in pages]
        pictures, others = Others.split([[each.picture for each in page] for page in readings])
        stray = np.array([first.stray for first, *_ in readings])
        contrast = np.array([first.threshold or 0 for first, *_ in readings]).astype(np.int64)
        answers = self.model.answers(pictures, others)
        confidence = np.where(answers.digit < 0, 0, answers.confidence)
        return Seen(pictures, answers.digit, confidence, answers.accepted(self.threshold) & ~stray, contrast)


def readable(reader: Reader) -> Digits:
    """The digits of MNIST test that a reader reads as their label when nothing is done to them."""
    pictures, labels = digits.mnist("test")
    read = [reader([*pictures[at : at + 1000]]).digit for at in range(0, len(pictures), 1000)]
    right = np.concatenate(read) == labels
    return Digits(pictures[right], labels[right])


def counts(seen: Seen, labels: NDArray[np.int64]) -> dict[str, Any]:
    """What became of the cells of a kind, ``labels`` -1 where nothing valid is written.

    ``right`` is the label read, or nothing read where nothing is written; ``surest`` the confidence of the surest wrong
    answer, null where there is none; ``confused`` how often each wrong answer was given, as "label-answer".
    """
    answered = seen.digit >= 0
    wrong = answered & (seen.digit != labels)
    pairs = Counter(zip(labels[wrong].tolist(), seen.digit[wrong].tolist(), strict=True))
    return {
        "cells": len(labels),
        "right": int((seen.digit == labels).sum()),
        "refused": int((~answered & (labels >= 0)).sum()),
        "wrong": int(wrong.sum()),
        "accepted": int(seen.accepted.sum()),
        "accepted_wrong": int((seen.accepted & wrong).sum()),
        "surest": round(float(seen.confidence[wrong].max()), 4) if wrong.any() else None,
        "confused": {f"{label}-{digit}": count for (label, digit), count in pairs.most_common()},
    }


def measure(
    reader: Reader, written: Digits, count: int, seed: int, pictures: Path | None = None
) -> dict[str, dict[str, Any]]:
    """What became of so many cells of every kind; contact sheets go into the folder ``pictures``.

    There is one of each kind, and ``accepted_wrongly.png``.
    """
    results, run, wrongly = {}, {}, list[tuple[Cell, Seen]]()
    for name in KINDS:
        drawn = cells(name, count, seed, written)
        run[name] = drawn, reader([grey_page(cell) for cell in drawn])
    answered = np.concatenate([seen.contrast[seen.digit >= 0] for _, seen in run.values()])
    paler_than = Contrasts(np.bincount(answered, minlength=256)).paler_than() or 0
    for name, (drawn, seen) in run.items():
        seen = replace(seen, accepted=seen.accepted & (seen.contrast >= paler_than))
        labels = np.array([cell.label for cell in drawn])
        results[name] = {"right_is": KINDS[name].right, **counts(seen, labels)}
        if KINDS[name].right != "run":
            wrongly += (
                (drawn[at], seen.taken(np.array([at]))) for at in np.flatnonzero(seen.accepted & (seen.digit != labels))
            )
        if pictures:
            file = pictures / f"{name.replace(' ', '_')}.png"
            file.write_bytes(decoding.encode(contact_sheet(drawn, seen)))
    if pictures and wrongly:
        seen = Seen(*(np.concatenate([getattr(one, item.name) for _, one in wrongly]) for item in fields(Seen)))
        sheet = contact_sheet([cell for cell, _ in wrongly], seen)
        (pictures / "accepted_wrongly.png").write_bytes(decoding.encode(sheet))
    return results


def totals(results: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """What the goals are about: shares over the kinds judged cell by cell, and the surest answer to nothing."""
    valid = [found for found in results.values() if found["right_is"] in ("read", "review")]
    void = [found for found in results.values() if found["right_is"] == "nothing"]

    def share(kinds: list[dict[str, Any]], part: str, whole: str) -> float:
        return float(sum(found[part] for found in kinds) / max(1, sum(found[whole] for found in kinds)))

    return {
        "read": share(valid, "right", "cells"),
        "read_where_it_can_be": share([found for found in valid if found["right_is"] == "read"], "right", "cells"),
        "accepted_wrong": share(valid, "accepted_wrong", "accepted"),
        "accepted_invalid": share(void, "accepted", "cells"),
        "surest_invalid": max((found["surest"] or 0 for found in void), default=None),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as docs/accuracy.md shows them."""
    lines = ["| cells | right | read rightly, % | refused, % | wrong, % | accepted, % | wrong among them, % | surest |"]
    lines.append("|---" * 8 + "|")
    for name, found in results.items():
        whole, nothing = found["cells"], found["right_is"] == "nothing"
        shares = [
            "" if nothing else f"{100 * found['right'] / whole:.1f}",
            f"{100 * (found['right' if nothing else 'refused']) / whole:.1f}",
            f"{100 * found['wrong'] / whole:.1f}",
            f"{100 * found['accepted'] / whole:.1f}",
            f"{100 * found['accepted_wrong'] / max(1, found['accepted']):.1f}",
            "" if found["surest"] is None else f"{found['surest']:.3f}",
        ]
        lines.append(f"| {name} ({whole:,}) | {found['right_is']} | {' | '.join(shares)} |")
    return "\n".join(lines)


def contact_sheet(drawn: Sequence[Cell], seen: Seen) -> Grey:
    """Every cell beside what the model saw of it, and below them label, answer, confidence; ! where it is accepted."""
    tiles = []
    for number, cell in enumerate(drawn):
        page = np.atleast_3d(grey_page(cell))[:, :, -1]
        label, answer = cell.label if cell.label >= 0 else "-", seen.digit[number]
        both = np.hstack([_fitted(page), _fitted(seen.pictures[number])])
        caption = np.full((18, both.shape[1]), 255, np.uint8)
        said = f"{label} read {answer} {seen.confidence[number]:.3f}" if answer >= 0 else f"{label} refused"
        text = f"{'' if answer in (cell.label, -1) else 'X '}{said}{'!' if seen.accepted[number] else ''}"
        cv2.putText(caption, text, (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, 0, 1, cv2.LINE_AA)
        tiles.append(np.vstack([both, caption]))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % ACROSS)
    return np.vstack([np.hstack(tiles[at : at + ACROSS]) for at in range(0, len(tiles), ACROSS)])


def _fitted(page: Grey) -> Grey:
    square, factor = np.full((SIDE, SIDE), 128, np.uint8), (SIDE - 4) / max(page.shape)
    size = max(1, round(page.shape[1] * factor)), max(1, round(page.shape[0] * factor))
    how = cv2.INTER_NEAREST if factor > 1 else cv2.INTER_AREA
    square[2 : 2 + size[1], 2 : 2 + size[0]] = cv2.resize(page, size, interpolation=how)
    return square


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    arguments.add_argument("--count", type=int, default=COUNT, metavar="N", help="cells of each kind")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    arguments.add_argument("--pictures", type=Path, metavar="FOLDER", help="write contact sheets")
    given = arguments.parse_args(argv)
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    reader = BundleReader(given.model)
    kinds = measure(reader, readable(reader), given.count, given.seed, given.pictures)
    results = {"seed": given.seed, "model": reader.model.digest, "goals": GOALS, "kinds": kinds}
    given.results.write_text(json.dumps({**results, "totals": totals(kinds)}, indent=2) + "\n")
    print(table(kinds))
    for name, value in totals(kinds).items():
        print(f"{name}: {value:.4f}" + (f" (goal {GOALS[name]:g})" if name in GOALS else ""))


if __name__ == "__main__":
    main()
