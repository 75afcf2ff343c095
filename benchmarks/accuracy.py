"""How well a model reads digits as scanners deliver them: the MNIST test set in generated cells, and load_digits.

    python -m benchmarks.accuracy

Prints the tables of docs/accuracy.md, with and without normalisation, and what the confidence is worth, and keeps them
in benchmarks/accuracy.json. No model of this project is trained on any of these pages.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from jobs import session
from mnist_batch.errors import InputError
from mnist_batch.learning import digits, labelled
from mnist_batch.learning.listed import Listed
from mnist_batch.learning.recipe import Data
from mnist_batch.models import answers as said_of
from mnist_batch.models import asking, bundle, calibrating, certifying, engines
from mnist_batch.models.answers import Others, answers_of, reconciled
from mnist_batch.models.ladder import LADDER
from mnist_batch.pixels.normalising import SIDE, examine_all, normalise
from mnist_batch.reports import counting, plots
from mnist_batch.schemas.bundle_facts import BundleFacts

Grey = NDArray[np.uint8]
Random = np.random.Generator
RESULTS = Path(__file__).parent / "accuracy.json"
WITH_CONFIDENCE = ("MNIST test, as it is", "load_digits")
TARGETS = (0.001, 0.002, 0.005, 0.01)
FAILURES_A_ROW, MISTAKES_A_ROW = 9, 12


def cell(
    picture: Grey,
    random: Random,
    *,
    side: int = 64,
    height: int = 40,
    paper: float = 230,
    ink: float = 40,
    noise: float = 6,
    shade: float = 0,
    mark: float = 0,
    lines: int = 0,
    slant: float = 0,
    box: bool = False,
) -> Grey:
    """A digit ``height`` pixels high somewhere in a cell, with uneven light, a watermark and lines where asked for."""
    page = np.full((side, side), paper, np.float32)
    if shade:
        down, across = np.cos(turn := random.uniform(0, 2 * np.pi)), np.sin(turn)
        page -= shade * (down * np.linspace(0, 1, side)[:, None] + across * np.linspace(0, 1, side)[None, :])
    for _ in range(3 if mark else 0):
        start, end = random.integers(0, side, (2, 2)).tolist()
        cv2.line(page, start, end, paper - mark, int(random.integers(2, 6)))
    room = (side - height) // 2
    top, left = room + random.integers(-room // 2, room // 2 + 1, 2) if room > 1 else (room, room)
    drawn = cv2.resize(picture, (height, height), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    part = page[top : top + height, left : left + height]
    page[top : top + height, left : left + height] = part * (1 - drawn) + ink * drawn
    for edge in np.flatnonzero(random.random(4) < 0.75) if lines else ():
        at = int(random.integers(0, max(1, side // 12)))
        by = int(np.tan(np.radians(random.uniform(-slant, slant))) * side)
        at = at if edge < 2 else side - 1 - at
        ends = ((0, at), (side, at + by)) if edge % 2 else ((at, 0), (at + by, side))
        cv2.line(page, *ends, ink, lines)
    if box:
        at = int(random.integers(side // 14, side // 7))
        cv2.rectangle(page, (at, at), (side - 1 - at, side - 1 - at), ink + 20, int(random.integers(1, 4)))
    page += random.normal(0, noise, page.shape)
    return page.clip(0, 255).astype(np.uint8)


def tight(picture: Grey, _: Random) -> Grey:
    """Dark on white, cut out at the digit's own box, three times as large."""
    box = picture[np.ix_((picture > 0).any(axis=1), (picture > 0).any(axis=0))]
    return 255 - np.asarray(cv2.resize(box, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8)


SETS: dict[str, Callable[[Grey, Random], Grey]] = {
    "MNIST test, as it is": lambda picture, _: picture,
    "dark on white cells, 64 pixels": cell,
    "light on dark cells": lambda picture, random: 255 - cell(picture, random),
    "with box borders": lambda picture, random: cell(picture, random, lines=2),
    "with slanted box borders": lambda picture, random: cell(picture, random, lines=2, slant=3),
    "in a drawn box": lambda picture, random: cell(picture, random, side=80, height=36, box=True),
    "pencil of 11 % contrast": lambda picture, random: cell(picture, random, ink=205, noise=2),
    "uneven light": lambda picture, random: cell(picture, random, shade=100, ink=20),
    "uneven light and borders": lambda picture, random: cell(picture, random, shade=60, lines=2),
    "much noise and borders": lambda picture, random: cell(picture, random, noise=15, lines=2),
    "watermark and borders": lambda picture, random: cell(picture, random, mark=35, lines=2),
    "32 pixels, noisy": lambda picture, random: cell(picture, random, side=32, height=20, noise=8),
    "224 pixels, noisy": lambda picture, random: cell(picture, random, side=224, height=150, noise=10),
    "small in a large cell": lambda picture, random: cell(picture, random, side=200, height=36),
    "cut out tightly": tight,
    "half of its size, 14 pixels": lambda picture, _: cv2.resize(picture, (14, 14), interpolation=cv2.INTER_AREA),
}


def resized(page: Grey) -> Grey:
    """What a notebook does: dark on white turned over, then resized to 28x28."""
    page = 255 - page if np.median(page) > 127 else page
    how = cv2.INTER_AREA if min(page.shape) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(page, (SIDE, SIDE), interpolation=how), np.uint8)


def pages(name: str, most: int = 10_000) -> tuple[list[Grey], NDArray[np.int8]]:
    """The pages of a set, at most so many, and their labels."""
    if name == "load_digits":
        found = load_digits()
        return list((found.images * 15.9).astype(np.uint8)[:most]), found.target.astype(np.int8)[:most]
    mnist, random = digits.mnist("test"), np.random.default_rng(0)
    return [SETS[name](picture, random) for picture in mnist.images[:most]], mnist.labels[:most]


@dataclass(frozen=True)
class Answers:
    """What a model says of the pages of a set, as ``predictions`` has it; ``digit`` is -1 where there is none."""

    blank: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    refusal: NDArray[np.int64]
    doubted: NDArray[np.bool_]
    digit: NDArray[np.int64]
    confidence: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]


class Reader:
    """A bundle that reads pages as jobs.score does with this target error, without Ray."""

    def __init__(self, model: str, target_error: float | None = None) -> None:
        opened = bundle.open_bundle(model)
        asks_first = asking.asks_first(opened.facts, target_error, with_forms=False)
        self.engine = engines.OnnxEngine(opened, asks_first)
        self.model, self.name, self.asks_first = model, opened.facts.architecture, asks_first
        self.calibration = opened.facts.calibration_where(asks_first)

    def for_target(self, target_error: float) -> "Reader":
        """The same bundle, as it reads with this target error."""
        other = Reader(self.model, target_error)
        return self if other.asks_first == self.asks_first else other

    def read(self, pictures: Grey) -> Answers:
        """Answers to normalised pages, uint8 (N, 28, 28)."""
        return self.answers(pictures, self.outputs(pictures))

    def read_pages(self, pages: Sequence[Grey]) -> Answers:
        """Answers to grey pages, by all readings of each."""
        pictures, others = Others.split([[each.picture for each in examine_all(page)] for page in pages])
        outputs = self.outputs(np.concatenate([pictures, others.pictures]))
        temperature = calibrating.temperature_of(self.calibration)
        return self._answers(reconciled(pictures, outputs, others, temperature), outputs[: len(pages)])

    def outputs(self, pictures: Grey) -> NDArray[np.float32]:
        """What the model puts out for each page, its classes and strangers."""
        return np.concatenate([self.engine(pictures[at : at + 500]).values for at in range(0, len(pictures), 500)])

    def answers(self, pictures: Grey, outputs: NDArray[np.float32]) -> Answers:
        """What these outputs say of these pages."""
        return self._answers(answers_of(pictures, outputs, calibrating.temperature_of(self.calibration)), outputs)

    @staticmethod
    def _answers(said: said_of.Answers, outputs: NDArray[np.float32]) -> Answers:
        before = calibrating.tempered(outputs, 1).max(axis=1)
        return Answers(said.blank, said.refused, said.refusal, said.doubted, said.digit, said.confidence, before)


def measure(reader: Reader) -> dict[str, Any]:
    """For every set: shares read rightly, found blank and refused; for two of them, what the confidence is worth."""
    sets, confidence = {}, {}
    for name in [*SETS, "load_digits"]:
        found, labels = pages(name)
        answers = reader.read_pages(found)
        sets[name] = {
            "pages": len(labels),
            "resized": float((reader.read(np.stack([resized(page) for page in found])).digit == labels).mean()),
            "normalised": float((answers.digit == labels).mean()),
            "blank": float(answers.blank.mean()),
            "refused": float(answers.refused.mean()),
        }
        print(name, sets[name], flush=True)
        if name in WITH_CONFIDENCE:
            confidence[name] = trust(reader, found, answers, labels)
    return {"sets": sets, "confidence": confidence}


def trust(reader: Reader, found: Sequence[Grey], answers: Answers, labels: NDArray[np.int8]) -> dict[str, Any]:
    """The expected calibration error, before and after, and what each target error accepts of the pages ``found``."""
    read, right = answers.digit >= 0, answers.digit == labels
    errors = {
        name: calibrating.expected_calibration_error(confidence[read], right[read])
        for name, confidence in (("uncalibrated", answers.uncalibrated), ("calibrated", answers.confidence))
    }
    targets: dict[str, dict[str, int] | None] = {}
    for target in TARGETS:
        own = reader.for_target(target)
        given = answers if own is reader else own.read_pages(found)
        try:
            threshold = certifying.threshold_for(own.calibration, target, own.name)
        except InputError:
            targets[f"{target:g}"] = None
            continue
        accepted = (given.digit >= 0) & ~given.doubted & (given.confidence >= np.float32(threshold))
        targets[f"{target:g}"] = {
            "accepted": int(accepted.sum()),
            "errors": int((accepted & (given.digit != labels)).sum()),
        }
    return {"pages": len(labels), "expected_calibration_error": errors, "targets": targets}


def table(results: dict[str, Any]) -> str:
    """The sets as docs/accuracy.md shows them, in per cent."""
    columns = ("resized", "normalised", "blank", "refused")
    lines = ["| pages | only resized | normalised | found blank | refused |", "|---|---|---|---|---|"]
    for name, found in results["sets"].items():
        shares = " | ".join(f"{100 * found[column]:.2f}" for column in columns)
        lines.append(f"| {name} ({found['pages']:,}) | {shares} |")
    return "\n".join(lines)


def held_out_table(facts: BundleFacts) -> str:
    """How a bundle reads the digits of each data set that it held out, as docs/accuracy.md shows it, in per cent."""
    lines = ["| held out | read before | read rightly | 95 % interval | refused |", "|---|---|---|---|---|"]
    for name, found in facts.validation.by_data.items() if facts.validation else ():
        before = f"{100 * found.before.accuracy:.2f}" if found.before else "-"
        interval = f"{100 * (found.low or 0):.2f} to {100 * (found.high or 0):.2f}"
        share = f"{100 * found.accuracy:.2f} | {interval} | {100 * (found.refused or 0) / found.digits:.2f}"
        lines.append(f"| {name} ({found.digits:,}) | {before} | {share} |")
    return "\n".join(lines)


def nets_table(facts: BundleFacts) -> str:
    """How each net of a bundle reads MNIST test, as docs/accuracy.md shows it, in per cent."""
    names = facts.training.members if facts.training else ()
    rows = [f"| `{name}` | {100 * own:.2f} |" for name, own in zip(names, facts.test.members, strict=True)]
    return "\n".join(["| net | MNIST test |", "|---|---|", *rows])


def calibration_table(results: dict[str, Any]) -> str:
    """The expected calibration errors as docs/accuracy.md shows them, in per cent."""
    lines = ["| pages | as the model gives it | calibrated |", "|---|---|---|"]
    for name, found in results["confidence"].items():
        before, after = (found["expected_calibration_error"][how] for how in ("uncalibrated", "calibrated"))
        lines.append(f"| {name} ({found['pages']:,}) | {100 * before:.2f} | {100 * after:.2f} |")
    return "\n".join(lines)


def trust_table(results: dict[str, Any]) -> str:
    """What the confidence is worth, as docs/accuracy.md shows it."""
    lines = ["| `--target-error` | " + " | ".join(f"{name}: accepted, wrong" for name in results["confidence"]) + " |"]
    lines.append("|---" * (1 + len(results["confidence"])) + "|")
    for target in map("{:g}".format, TARGETS):
        cells = [_accepted(found, found["targets"][target]) for found in results["confidence"].values()]
        lines.append(f"| {target} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _accepted(found: dict[str, Any], accepted: dict[str, int] | None) -> str:
    if accepted is None:
        return "not certified"
    share = 100 * accepted["accepted"] / found["pages"]
    wrong = 100 * accepted["errors"] / max(accepted["accepted"], 1)
    return f"{share:.2f} %, {wrong:.3f} % ({accepted['errors']:,} of {accepted['accepted']:,})"


def sheet() -> Grey:
    """Some pages of every set above what normalisation makes of them, as one picture."""
    columns = []
    for name in [*SETS, "load_digits"]:
        for page in pages(name, 2)[0]:
            largest = max(page.shape)
            square = np.full((largest, largest), 128, np.uint8)
            square[: page.shape[0], : page.shape[1]] = page
            shown = (square, normalise(page))
            columns.append(np.vstack([cv2.resize(each, (56, 56), interpolation=cv2.INTER_NEAREST) for each in shown]))
    half = len(columns) // 2
    return np.vstack([np.hstack(columns[:half]), np.full((8, 56 * half), 255, np.uint8), np.hstack(columns[half:])])


def failures(reader: Reader) -> Grey:
    """Every page of MNIST test and load_digits that is not read as its label: as scanned, as seen, label and answer."""
    tiles = []
    for name in WITH_CONFIDENCE:
        found, labels = pages(name)
        pictures = np.stack([normalise(page) for page in found])
        answers = reader.read_pages(found)
        for at in np.flatnonzero(answers.digit != labels):
            answer = "-" if answers.digit[at] < 0 else str(answers.digit[at])
            text = f"{labels[at]} read {answer}  {100 * answers.confidence[at]:.0f}%"
            tiles.append(_tile((found[at], pictures[at]), text))
    return _rows(tiles, FAILURES_A_ROW)


def held_out(model: str) -> tuple[Grey, NDArray[np.int8]]:
    """The MNIST digits that the bundle at a location is calibrated on, with their labels."""
    session.connect(None)
    facts = bundle.open_bundle(model).facts
    most = facts.training.hold_out if facts.training else None
    mnist = labelled.mnist(Listed(Data()), most or LADDER[facts.architecture].held_out)
    return mnist.digits.take(mnist.held_out)


def mistakes(reader: Reader, pictures: Grey, labels: NDArray[np.int8]) -> Grey:
    """The two dozen held-out digits that are most surely read unlike their label, and the share read more surely still.

    Of a label that is known to be wrong it says so.
    """
    answers = reader.read(pictures)
    confidence = np.where(answers.doubted, 0, answers.confidence)
    wrong = np.flatnonzero((answers.digit != labels) & (confidence > 0))
    tiles, known = [], digits.wrongly_labelled(digits.contents(pictures), labels)
    for at in wrong[np.argsort(-confidence[wrong])][: 2 * MISTAKES_A_ROW]:
        surer = 100 * float((confidence > confidence[at]).mean())
        said = " wrong" if known[at] else ""
        tiles.append(_tile((pictures[at],), f"{labels[at]}{said}", f"read {answers.digit[at]}", f"{surer:.1f}%"))
    return _rows(tiles, MISTAKES_A_ROW)


def _tile(pictures: Sequence[Grey], *captions: str) -> Grey:
    parts = [np.hstack([cv2.resize(each, (56, 56), interpolation=cv2.INTER_NEAREST) for each in pictures])]
    for text in captions:
        parts.append(np.full((20, parts[0].shape[1]), 255, np.uint8))
        cv2.putText(parts[-1], text, (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.38, 0, 1, cv2.LINE_AA)
    return np.vstack(parts)


def _rows(tiles: Sequence[Grey], across: int) -> Grey:
    padded = [*tiles, *[np.full_like(tiles[0], 255)] * (-len(tiles) % across)]
    return np.vstack([np.hstack(padded[at : at + across]) for at in range(0, len(padded), across)])


def curves(reader: Reader) -> dict[str, bytes]:
    """The reliability and risk-coverage diagrams of a report, as PNG, by file name, for MNIST test and load_digits."""
    made = {}
    for name, short in zip(WITH_CONFIDENCE, ("mnist", "load_digits"), strict=True):
        found, labels = pages(name)
        answers = reader.read_pages(found)
        digit = pa.array(answers.digit, pa.int8(), mask=answers.digit < 0)
        counted = counting.Confidences()
        counted.add(pa.table({"label": pa.array(labels), "digit": digit, "confidence": answers.confidence}))
        made[f"reliability_{short}.png"] = plots.reliability(counted.calibration())
        made[f"risk_{short}.png"] = plots.risk(counted.risk_coverage())
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED)
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="write the pictures of docs/accuracy.md only"
    )
    given = arguments.parse_args(argv)
    reader = Reader(given.model)
    if given.pictures:
        cv2.imwrite(str(given.pictures / "normalised.png"), sheet())
        cv2.imwrite(str(given.pictures / "failures.png"), failures(reader))
        cv2.imwrite(str(given.pictures / "mistakes_held_out.png"), mistakes(reader, *held_out(given.model)))
        for name, picture in curves(reader).items():
            (given.pictures / name).write_bytes(picture)
        return
    results = measure(reader)
    given.results.write_text(json.dumps(results, indent=2) + "\n")
    for shown in (table, calibration_table, trust_table):
        print(shown(results))


if __name__ == "__main__":
    main()
