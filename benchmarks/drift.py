"""Whether drift is found, and how often it is seen where there is none: nights of real digits, with planted changes.

    python -m benchmarks.drift --data numbers.parquet

Prints the tables of docs/drift.md and keeps them in benchmarks/drift.json. Nights are drawn from digits of MNIST in
cells that ``benchmarks.accuracy`` draws, and from filled-in forms of ``benchmarks.form_pages``; all are read and
answered as ``jobs.score`` does. ``--data`` are the digits of other writers: a Parquet file with columns png, label and
part, of which the part ``calibrate`` is taken.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import accuracy, form_pages
from benchmarks.form_drawing import FormDrawing, form
from benchmarks.form_filling import digits_of, mnist_digits
from benchmarks.form_registering import opened
from benchmarks.handwriting import Digits
from mnist_batch.forms.references import Reference
from mnist_batch.intake import listing
from mnist_batch.models import answers, bundle
from mnist_batch.models.answers import Model, ModelSpec
from mnist_batch.pixels import decoding
from mnist_batch.reading import preprocessing
from mnist_batch.reports import drift
from mnist_batch.reports.drift_metrics import METRICS, Night, Seen
from mnist_batch.schemas.drift_facts import Drift

Grey = NDArray[np.uint8]
Random = np.random.Generator
Page = Callable[[Grey, Random], Grey]
RESULTS = Path(__file__).parent / "drift.json"
BASELINE = 14  # nights
REPEATS = 50  # first nights with a change
THRESHOLD = 0.98  # of the rule
FORM, KIND, LOOKS = "boxes", "moderate", 3  # the form, how its pages are scanned, and the seed of what is printed
AT_ONCE = 2_000  # pictures that the model gets


@dataclass(frozen=True)
class Pool:
    """What is seen of each of N scans alone, as sums that add up: float64 (N, groups, metrics, 6).

    ``groups`` are the form and field of each group.
    """

    sums: NDArray[np.float64]
    groups: Sequence[tuple[str | None, str | None]]

    def drawn(self, count: int, random: Random, sources: Sequence[str]) -> Seen:
        """What is seen of a night of scans, drawn with replacement, of the sources in turn."""
        seen, chosen = Seen(ruled=True), random.integers(0, len(self.sums), count)
        for number, source in enumerate(sources):
            of_source = self.sums[chosen[number :: len(sources)]].sum(axis=0)
            for group, sums in zip(self.groups, of_source, strict=True):
                seen.sums[source, *group] += sums
        return seen


def read(model: Model, pages: Iterator[Grey], references: Sequence[Reference] = ()) -> Pool:
    """Pages as files, read and answered as the product does."""
    with tempfile.TemporaryDirectory() as folder:
        for number, page in enumerate(pages):
            (Path(folder) / f"{number:05}.png").write_bytes(decoding.encode(page))
        batch = preprocessing.preprocess(listing.list_scans([folder]), references=references)
    parts = [answers.answer(batch.slice(at, AT_ONCE), model, THRESHOLD) for at in range(0, len(batch), AT_ONCE)]
    rows = pa.concat_tables(parts)
    # Each scan is a source of its own.
    rows = rows.set_column(rows.schema.get_field_index("source"), "source", batch["row"].cast(pa.string()))
    seen = Seen(ruled=True)
    seen.add(rows, answers.images_of(batch))
    groups = sorted({group[1:] for group in seen.sums}, key=str)
    sums = np.zeros((int(batch["row"][-1].as_py()) + 1, len(groups), len(METRICS), 6))
    for (scan, *group), each in seen.sums.items():
        sums[int(str(scan)), groups.index((group[0], group[1]))] = each
    return Pool(sums, groups)


def thin(picture: Grey) -> Grey:
    """A digit as a thinner pen writes it."""
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    eroded = cv2.erode(large, np.ones((4, 4), np.uint8))
    return np.asarray(cv2.resize(eroded, picture.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


CHANGES: Mapping[str, Page] = {
    "a thinner pen": lambda digit, random: accuracy.cell(thin(digit), random),
    "a scanner turned darker, to 80 % of each grey": lambda digit, random: (accuracy.cell(digit, random) * 0.8).astype(
        np.uint8
    ),
    "cells cut three pixels further left": lambda digit, random: np.roll(accuracy.cell(digit, random), 3, axis=1),
    "an inverted scanner": lambda digit, random: 255 - accuracy.cell(digit, random),
}


def cells(digits: Digits, count: int, page: Page, seed: int) -> Iterator[Grey]:
    """Digits in cells, each once."""
    random = np.random.default_rng([seed, count])
    return (page(digits.pictures[at], random) for at in random.permutation(len(digits.labels))[:count])


def shifted(drawing: FormDrawing, name: str, by: int) -> FormDrawing:
    """The form in another printing: the cells of a field lie further to the right by some pixels."""
    described, pictures = deepcopy(drawing.form_json), [picture.copy() for picture in drawing.pictures]
    [field] = [field for field in described["fields"] if field["name"] == name]
    boxes = np.array(field["cells"])
    left, top = boxes[:, :2].min(axis=0) - 4
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0) + 4
    picture = pictures[field["page"] - 1]
    printed = picture[top:bottom, left:right].copy()
    picture[top:bottom, left:right] = 255
    picture[top:bottom, left + by : right + by] = printed
    field["cells"] = (boxes + np.array([by, 0, 0, 0])).tolist()
    return FormDrawing(described, tuple(pictures))


def filled(drawing: FormDrawing, count: int, digits: Digits, seed: int) -> Iterator[Grey]:
    """Pages of a form, filled in and scanned."""
    return (form_pages.page_of(drawing, 0, KIND, digits, seed, number).picture for number in range(count))


def compared(every: Sequence[Night]) -> Iterator[Drift]:
    """Each night, from the first that has a whole baseline, with the nights before it."""
    for at in range(BASELINE, len(every)):
        yield drift.compare(every[at], every[at - BASELINE : at][::-1], "runs")[0]


def measure(usual: Callable[[], Night], changed: Mapping[str, Callable[[], Night]], nights: int) -> dict[str, Any]:
    """How many of so many usual nights have an alert, and how many first nights with each change, by which metrics."""
    every = [usual() for _ in range(nights + BASELINE)]
    found = list(compared(every))
    results: dict[str, Any] = {
        "metrics": found[0].compared,
        "nights": nights,
        "false": sum(each.alerting > 0 for each in found),
        "changes": {},
    }
    for name, first in changed.items():
        tonight = [drift.compare(first(), every[at : at + BASELINE], "runs")[0] for at in range(REPEATS)]
        metrics = Counter(metric for each in tonight for metric in {alert.metric for alert in each.alerts})
        results["changes"][name] = {"found": sum(each.alerting > 0 for each in tonight), "metrics": dict(metrics)}
    print(json.dumps(results), flush=True)
    return results


def of_cells(model: Model, data: Path | None, nights: int, random: Random) -> dict[str, Any]:
    """The results for nights of cells: one source, several, small ones, and nights that differ."""
    written = mnist_digits()
    pool = read(model, cells(written, 10_000, lambda digit, random: accuracy.cell(digit, random), 0))
    changes = {name: read(model, cells(written, 2_000, page, 1)) for name, page in CHANGES.items()}
    if data:
        others = digits_of(data, "calibrate")
        changes["other writers"] = read(
            model, cells(others, len(others.labels), lambda digit, random: accuracy.cell(digit, random), 2)
        )

    def drawn(of: Pool, scans: int, sources: Sequence[str], vary: float = 0.0) -> Night:
        return of.drawn(round(scans * random.uniform(1 - vary, 1 + vary)), random, sources).night()

    def mixed(scans: int) -> Night:
        others = round(scans * 0.5 * random.beta(1, 2))
        seen = pool.drawn(scans - others, random, ["/a"])
        seen.merge(changes["other writers"].drawn(others, random, ["/a"]).as_json())
        return seen.night()

    results = {}
    for name, scans, count in (("one source", 2_000, 1), ("five sources, from 150 to 450 scans each", 300, 5)):
        sources = [f"/{number}" for number in range(count)]
        changed = {change: partial(drawn, of, 2_000, sources) for change, of in changes.items()}
        usual = partial(drawn, pool, scans * count, sources, 0.5 if count > 1 else 0.0)
        results[name] = measure(usual, changed, nights)
    if data:
        results["other people in each night"] = measure(lambda: mixed(2_000), {}, nights)
    return results


def of_forms(model: Model, pages: int, nights: int, random: Random) -> dict[str, Any]:
    """The results for nights of filled-in forms, of 100 pages each."""
    drawing, digits = form(FORM, LOOKS), mnist_digits()
    references = [Reference.of(opened(drawing), 0)]
    field = drawing.fields(0)[2]["name"]
    pool = read(model, filled(drawing, pages, digits, 1), references)
    moved = read(model, filled(shifted(drawing, field, 3), pages, digits, 1), references)

    def drawn(of: Pool) -> Night:
        return of.drawn(100, random, ["/a"]).night()

    changed = {"the column of one field is printed three pixels further right": lambda: drawn(moved)}
    return {"100 pages of a form": measure(lambda: drawn(pool), changed, nights)}


def table(results: Mapping[str, Any]) -> tuple[str, str]:
    """The results as docs/drift.md shows them: false alarms, and changes that are found."""
    lines = ["| nights of | metrics | nights | with an alert |", "|---|---|---|---|"]
    lines += [f"| {name} | {of['metrics']} | {of['nights']:,} | {of['false']} |" for name, of in results.items()]
    found = ["| nights of | change | found in the first night, of 50 | by, most often |", "|---|---|---|---|"]
    for name, of in results.items():
        for change, each in of["changes"].items():
            most = ", ".join(f"`{metric}`" for metric, _ in Counter(each["metrics"]).most_common(4))
            found.append(f"| {name} | {change} | {each['found']} | {most} |")
    return "\n".join(lines), "\n".join(found)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    arguments.add_argument("--data", type=Path, metavar="FILE", help="digits of other writers")
    arguments.add_argument(
        "--nights", type=int, default=1_000, metavar="N", help="nights without a change, of each kind"
    )
    arguments.add_argument("--pages", type=int, default=80, metavar="N", help="filled-in pages to draw from")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    given = arguments.parse_args(argv)
    read_by = bundle.open_bundle(given.model)
    model, random = Model.open(ModelSpec(given.model, read_by.digest)), np.random.default_rng(given.seed)
    results = of_forms(model, given.pages, given.nights, random)
    results = of_cells(model, given.data, given.nights, random) | results
    given.results.write_text(json.dumps({"model": read_by.digest, "seed": given.seed, "of": results}, indent=2) + "\n")
    print("\n\n".join(table(results)))


if __name__ == "__main__":
    main()
