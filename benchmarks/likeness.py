"""Whether likeness predicts that the promise holds: errors among the accepted, and how often samples are called unlike.

    python -m benchmarks.likeness --data numbers.parquet

Prints the table of docs/likeness.md and keeps it in benchmarks/likeness.json. Each source is drawn from 100 times, 300
scans at a time. ``--data`` adds scans of other writers: a Parquet file with columns png, label and part, of which the
part ``calibrate`` is taken. Their answers are kept in the file ``--answers``, so that the model runs once.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import accuracy, hard_cells
from benchmarks.handwriting import Digits
from mnist_batch.learning import digits
from mnist_batch.models import bundle, certifying, likeness
from mnist_batch.models.answers import Model, ModelSpec, Others
from mnist_batch.pixels import decoding, normalising
from mnist_batch.schemas.bundle_facts import Calibration
from mnist_batch.schemas.likeness_facts import Profile

Grey = NDArray[np.uint8]
RESULTS = Path(__file__).parent / "likeness.json"
TARGETS = (0.005, 0.01)
SCANS, SAMPLES, RESAMPLES = 300, 100, 200  # scans in a sample; samples of a source; resamples of the calibration
BROKEN = 3  # times its target: an error above that breaks the promise
FEW = 10  # accepted answers, whose error says nothing
OFTEN, SELDOM, CHANCE = 0.95, 0.20, 0.05  # goals: unlike where it is broken, where it is kept, and by chance
CALIBRATION = "the calibration's own digits"


@dataclass(frozen=True)
class Source:
    """N scans as a model saw them; ``digit`` is -1 where there is no answer, ``clear`` what a rule may accept."""

    pictures: Grey
    digit: NDArray[np.int64]
    confidence: NDArray[np.float32]
    doubted: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def profile(self, chosen: NDArray[np.int64]) -> Profile:
        """The profile of some of the scans."""
        clear = chosen[self.clear[chosen]]
        answered = self.digit[chosen] >= 0
        doubted = int((self.doubted[chosen] & answered).sum())
        return likeness.profile(self.pictures[clear], self.confidence[clear], int(answered.sum()), doubted)

    def accepted(self, threshold: float) -> tuple[int, int]:
        """How many answers a threshold accepts, and how many of these are wrong."""
        accepted = self.clear & (self.confidence >= np.float32(threshold))
        return int(accepted.sum()), int((accepted & (self.digit != self.labels)).sum())


def seen(model: Model, pages: Sequence[Grey], labels: Sequence[int] | NDArray[Any]) -> Source:
    """What a model says of pages."""
    readings = [normalising.examine_all(page) for page in pages]
    pictures = [[each.picture for each in page] for page in readings]
    return of_pictures(model, pictures, np.array([first.stray for first, *_ in readings]), labels)


def of_pictures(
    model: Model, pictures: Sequence[Sequence[Grey]], stray: NDArray[np.bool_], labels: Sequence[int] | NDArray[Any]
) -> Source:
    """What a model says of normalised pictures, one or more of each page."""
    parts = [Others.split(pictures[at : at + 500]) for at in range(0, len(pictures), 500)]
    every = [model.answers(*part) for part in parts]
    digit, confidence, doubted = (
        np.concatenate([getattr(each, name) for each in every]) for name in ("digit", "confidence", "doubted")
    )
    first = np.concatenate([pictures for pictures, _ in parts])
    clear = (digit >= 0) & ~doubted & ~stray
    return Source(first, digit, confidence, doubted, clear, np.asarray(labels, np.int64))


def sources(model: Model, location: str, count: int, seed: int, data: Path | None) -> Iterator[tuple[str, Source]]:
    """Each source by name: first the calibration's own digits, then those that were not calibrated on."""
    pictures, labels = accuracy.held_out(location)
    yield (
        CALIBRATION,
        of_pictures(model, [[picture] for picture in pictures], np.zeros(len(pictures), np.bool_), labels),
    )
    pictures, labels = digits.mnist("test")
    upright = seen(model, list(pictures), labels)
    yield "MNIST test", upright
    yield "MNIST test, upside down", seen(model, list(pictures[:, ::-1, ::-1]), labels)
    yield "load_digits", seen(model, *accuracy.pages("load_digits"))
    if data:
        rows = pq.read_table(data, filters=[("part", "=", "calibrate")], columns=["png", "label"])
        pages = [decoding.picture("PNG", content) for content in rows["png"].to_pylist()]
        yield "scans of 7 writers", seen(model, pages, rows["label"].to_numpy())
    right = upright.digit == labels
    written = Digits(pictures[right], labels[right])
    for kind in hard_cells.KINDS:
        cells = hard_cells.cells(kind, count, seed, written)
        yield kind, seen(model, [hard_cells.grey_page(cell) for cell in cells], [cell.label for cell in cells])


def kept(answers: Path | None, made: Iterator[tuple[str, Source]]) -> dict[str, Source]:
    """The sources, from the file ``answers`` if it is there, else made and written to it."""
    names = Source.__dataclass_fields__
    if answers and answers.exists():
        with np.load(answers) as file:
            every = {name: file[name] for name in file.files}
        of = dict.fromkeys(key.partition("|")[0] for key in every)
        return {source: Source(*(every[f"{source}|{name}"] for name in names)) for source in of}
    found = dict(made)
    if answers:
        np.savez(answers, **{f"{of}|{name}": getattr(source, name) for of, source in found.items() for name in names})
    return found


def profiles_of(calibration: Calibration, own: Source) -> list[Profile]:
    """The profiles of the sets of a calibration; of a bundle that has none, that of the digits it was calibrated on."""
    recorded = [each.profile for each in calibration.sets if each.profile]
    return recorded or [own.profile(np.arange(len(own.labels)))]


def measure(
    found: dict[str, Source], calibrated_on: Sequence[Profile], thresholds: dict[float, float], seed: int
) -> dict[str, Any]:
    """For every source: the error among the accepted, what became of the promise, and how often it is called unlike."""
    random = np.random.default_rng(seed)
    results: dict[str, Any] = {}
    for name, source in found.items():
        samples = RESAMPLES if name == CALIBRATION else SAMPLES
        drawn = [random.choice(len(source.labels), SCANS, replace=name == CALIBRATION) for _ in range(samples)]
        compared = [likeness.nearest(source.profile(each), calibrated_on) for each in drawn]
        results[name] = {
            "scans": len(source.labels),
            "unlike": sum(each is not None and each.unlike for each in compared) / samples,
            "uncertainty": float(np.median([each.uncertainty if each else 0 for each in compared])),
            "doubted": float(np.median([each.doubted if each else 0 for each in compared])),
            "targets": {f"{target:g}": _promise(source, target, at) for target, at in thresholds.items()},
        }
        print(name, results[name], flush=True)
    return results


def _promise(source: Source, target: float, threshold: float) -> dict[str, Any]:
    accepted, errors = source.accepted(threshold)
    error = errors / accepted if accepted else 0.0
    promise = "kept" if error <= target else "broken" if error > BROKEN * target else "between"
    promise = "too few" if accepted < FEW else promise
    return {"accepted": accepted / len(source.labels), "error": error, "promise": promise}


def missed(results: dict[str, Any]) -> list[str]:
    """The goals that are not met, a sentence each."""
    lines = []
    for name, found in results.items():
        if name == CALIBRATION:
            lines += [f"{name}: unlike in {found['unlike']:.3f}"] if found["unlike"] >= CHANCE else []
            continue
        for target, promise in found["targets"].items():
            is_kept, broken = promise["promise"] == "kept", promise["promise"] == "broken"
            if (broken and found["unlike"] < OFTEN) or (is_kept and found["unlike"] >= SELDOM):
                lines.append(f"{name} at {target}: {promise['promise']}, and unlike in {found['unlike']:.2f}")
    return lines


def table(results: dict[str, Any]) -> str:
    """The results as docs/likeness.md shows them; what the goals ask otherwise is marked with !."""
    lines = [
        "| scans | wrong among the accepted, % | promise at 0.005 | at 0.01 | uncertainty | doubted, % | unlike, % |"
    ]
    lines.append("|---" * 7 + "|")
    wrong = {line.partition(" at ")[0].partition(":")[0] for line in missed(results)}
    for name, found in results.items():
        first, second = found["targets"].values()
        cells = [
            f"{100 * first['error']:.1f}" if first["accepted"] else "",
            first["promise"],
            second["promise"],
            f"{found['uncertainty']:.1f}",
            f"{100 * found['doubted']:.0f}",
            f"{100 * found['unlike']:.0f}" + ("!" if name in wrong else ""),
        ]
        lines.append(f"| {name} ({found['scans']:,}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    arguments.add_argument("--data", type=Path, metavar="FILE", help="scans of other writers")
    arguments.add_argument("--count", type=int, default=600, metavar="N", help="cells of each kind of hard cell")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument(
        "--answers", type=Path, metavar="FILE", help="keep the answers there, or take them from there"
    )
    arguments.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    given = arguments.parse_args(argv)
    opened = bundle.open_bundle(given.model)
    calibration, name = opened.facts.calibration_where(asks_first=True), opened.facts.architecture
    if calibration is None:
        arguments.error(f"--model {given.model}: it has no calibration to compare with")
    model = Model.open(ModelSpec(given.model, opened.digest))
    found = kept(given.answers, sources(model, given.model, given.count, given.seed, given.data))
    thresholds = {target: certifying.threshold_for(calibration, target, name) for target in TARGETS}
    results = measure(found, profiles_of(calibration, found[CALIBRATION]), thresholds, given.seed)
    given.results.write_text(
        json.dumps({"model": opened.digest, "seed": given.seed, "sources": results}, indent=2) + "\n"
    )
    print(table(results))
    print("\n".join(["", "not met:", *missed(results)]))


if __name__ == "__main__":
    main()
