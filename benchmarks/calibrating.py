"""What a calibration on some hundred scans of one's own promises, and whether the rest of these scans keeps it.

    python -m benchmarks.calibrating [--data numbers.parquet] [--scans FOLDER]

Splits sets of scans many times: a bundle is calibrated on some as jobs.calibrate does it, and reads the rest. Also
compares maps of confidence. Without --data the real scans are load_digits alone; a Parquet file of labelled pictures
has columns png, label and part, of which the part named calibrate is used. Prints the table of docs/calibration.md and
keeps it in benchmarks/calibrating.json. --scans only writes the scans of the page's worked example; --example runs its
commands, and writes what they print into the page.
"""

import argparse
import datetime
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks import hard_cells
from benchmarks.handwriting import Grey
from mnist_batch.models import beta, bundle, calibrating, certifying
from mnist_batch.models.answers import Model, ModelSpec, Others
from mnist_batch.models.calibrating import Sample
from mnist_batch.pixels import decoding, normalising

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/calibrating.json"
MARK, DATE = "<!-- example -->", "2026-11-29"
TABLE = re.compile(r" *(digit +support|\d +\d+ )")
CASES = ((500, 0.01), (1_000, 0.005))  # labels, target error
SPLITS, CELLS = 100, 200
CHUNK = 500

Confidence = NDArray[np.float32]


class Answered(NamedTuple):
    """What ``predictions`` has of N pages: a ``sample`` with their labels, and the ``digit`` of each, -1 for none."""

    sample: Sample
    digit: NDArray[np.int64]


def answered(model: Model, pages: Sequence[Grey], labels: Sequence[int]) -> Answered:
    """The answers of a model to grey pages."""
    found = []
    for at in range(0, len(pages), CHUNK):
        readings = [normalising.examine_all(page) for page in pages[at : at + CHUNK]]
        answers = model.answers(*Others.split([[each.picture for each in page] for page in readings]))
        clear = ~answers.doubted & ~np.array([first.stray for first, *_ in readings])
        found.append((answers.probabilities, clear, answers.digit))
    probabilities, clear, digit = map(np.concatenate, zip(*found, strict=True))
    return Answered(Sample(probabilities, np.asarray(labels, np.int64), clear), digit)


def sets(model: str, data: str | None) -> dict[str, Answered]:
    """Sets of scans with the answers of a model."""
    reader, real = Model.open(ModelSpec(model)), load_digits()
    found = {"load_digits": answered(reader, [*(real.images * 15.9).astype(np.uint8)], real.target)}
    if data:
        rows = pq.read_table(data, filters=[("part", "=", "calibrate")]).to_pylist()
        pages = [decoding.picture("PNG", row["png"]) for row in rows]
        found["writers of --data"] = answered(reader, pages, [row["label"] for row in rows])
    digits = hard_cells.readable(hard_cells.BundleReader(model))
    kinds = [name for name, kind in hard_cells.KINDS.items() if kind.right == "read"]
    cells = [cell for name in kinds for cell in hard_cells.cells(name, CELLS, 5, digits)]
    pages = [hard_cells.grey_page(cell) for cell in cells]
    return found | {"hard cells to be read": answered(reader, pages, [cell.label for cell in cells])}


def by_beta(known: Sample, right: NDArray[np.bool_], rest: Sample) -> tuple[Confidence, Confidence]:
    """The confidence of the answers that certify, and of the others, as jobs.calibrate has it."""
    map = beta.fit(known.outputs, right)
    return beta.confidence(known.outputs, map), beta.confidence(rest.outputs, map)


def by_temperature(known: Sample, _: NDArray[np.bool_], rest: Sample) -> tuple[Confidence, Confidence]:
    """The same by a temperature, which has to be cross-fitted, since it changes the order of the answers."""
    [without] = calibrating.cross_fitted([known])
    return without, calibrating.tempered(rest.outputs, calibrating.fit_temperature([known])).max(axis=1)


def as_they_were(known: Sample, _: NDArray[np.bool_], rest: Sample) -> tuple[Confidence, Confidence]:
    """The confidence of the bundle, with thresholds for these scans."""
    return known.outputs.max(axis=1), rest.outputs.max(axis=1)


MAPS: dict[str, Callable[[Sample, NDArray[np.bool_], Sample], tuple[Confidence, Confidence]]] = {
    "beta": by_beta,
    "temperature": by_temperature,
    "none": as_they_were,
}


def split(scans: Answered, labels: int, target: float, seed: int) -> dict[str, tuple[float, float, float, float]]:
    """For each map, of the scans that are not calibrated on: the share accepted, of these the wrong, ECE and loss."""
    order = np.random.default_rng(seed).permutation(len(scans.digit))
    mine, others = (part[scans.digit[part] >= 0] for part in (order[:labels], order[labels:]))
    known, rest = scans.sample.taken(mine), scans.sample.taken(others)
    right, true = (scans.digit[part] == scans.sample.labels[part] for part in (mine, others))
    found = {}
    for name, confidences in MAPS.items():
        of_known, of_rest = confidences(known, right, rest)
        thresholds = certifying.risks(of_known[known.clear], right[known.clear])
        threshold = certifying.last_certified(thresholds, target, certifying.LEVEL)
        accepted = (of_rest >= np.float32(2 if threshold is None else threshold)) & rest.clear
        sure = np.clip(of_rest.astype(np.float64), 1e-6, 1 - 1e-6)
        found[name] = (
            float(accepted.sum() / (len(order) - labels)),
            float((accepted & ~true).sum() / max(accepted.sum(), 1)),
            calibrating.expected_calibration_error(of_rest, true),
            float(-np.log(np.where(true, sure, 1 - sure)).mean()),
        )
    return found


def measure(model: str, data: str | None) -> list[dict[str, Any]]:
    """A row for each set, case and map."""
    rows = []
    for name, scans in sets(model, data).items():
        for labels, target in CASES:
            found = [split(scans, labels, target, seed) for seed in range(SPLITS)]
            for map in MAPS:
                accepted, wrong, error, loss = np.array([each[map] for each in found]).T
                rows.append(
                    {
                        "set": name,
                        "scans": len(scans.digit),
                        "labels": labels,
                        "target": target,
                        "map": map,
                        "never_accepted": float(1 - (scans.sample.clear & (scans.digit >= 0)).mean()),
                        "accepted": float(np.median(accepted)),
                        "refused": float((accepted == 0).mean()),
                        "kept": float((wrong <= target).mean()),
                        "expected_calibration_error": float(error.mean()),
                        "loss": float(loss.mean()),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as docs/calibration.md shows them."""
    head = (
        "| scans | labels | target error | map | accepted, % (median) | nothing certified, % | kept, % | ECE | loss |"
    )
    lines = [head, "|---" * 9 + "|"]
    for row in rows:
        shares = " | ".join(f"{100 * row[name]:.1f}" for name in ("accepted", "refused", "kept"))
        worth = f"{row['expected_calibration_error']:.4f} | {row['loss']:.4f}"
        name = f"{row['set']} ({row['scans']:,})"
        lines.append(f"| {name} | {row['labels']:,} | {row['target']:g} | {row['map']} | {shares} | {worth} |")
    return "\n".join(lines)


def write_scans(folder: Path) -> None:
    """Write load_digits as scans, by a fixed seed half of them below ``first`` and half below ``second``, by digit."""
    real = load_digits()
    for place, at in enumerate(np.random.default_rng(0).permutation(len(real.target))):
        half = "first" if place < len(real.target) // 2 else "second"
        path = folder / half / str(real.target[at]) / f"{at:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(decoding.encode((real.images[at] * 15.9).astype(np.uint8)))


def shown(printed: str, folder: Path, run_ids: Sequence[str]) -> list[str]:
    """The lines that a command printed in a folder as the page has them: without tables, the same on any day."""
    told = re.sub("|".join(run_ids), "RUN_ID", printed).replace(datetime.date.today().isoformat(), DATE)
    return [line for line in told.replace(f"{folder}/", "").splitlines() if not TABLE.match(line)]


def fill(page: Path, folder: Path) -> None:
    """Run the commands of the page's example in a folder, and write what they print into the page."""
    write_scans(folder)
    before, example, after = page.read_text().split(MARK)
    pieces, run_ids = example.split("```"), ["RUN_ID"]
    for at in range(1, len(pieces), 2):
        command = pieces[at].strip().splitlines()[0]
        words = shlex.split(command.removeprefix("$ python ").replace("RUN_ID", run_ids[-1]))
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        ran = subprocess.run(  # noqa: S603 - the commands of our own page
            [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        *printed, last = ran.stdout.splitlines()
        run_ids.append(json.loads(last)["run_id"])
        pieces[at] = "\n".join(["", command, *shown("\n".join(printed), folder, run_ids), ""])
    page.write_text(MARK.join([before, "```".join(pieces), after]))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print; or write the scans of the example."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED)
    arguments.add_argument("--data", metavar="PARQUET", help="labelled pictures of real writers")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--scans", type=Path, metavar="FOLDER", help="write the scans of the worked example only")
    arguments.add_argument("--example", type=Path, metavar="PAGE", help="run the worked example of this page only")
    given = arguments.parse_args(argv)
    if given.example:
        with tempfile.TemporaryDirectory() as folder:
            fill(given.example, Path(folder).resolve())
        return
    if given.scans:
        write_scans(given.scans)
        return
    rows = measure(given.model, given.data)
    given.results.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
