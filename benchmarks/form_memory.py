"""Whether memory stays flat over very many pages: of the process that reads them, and of the one that asks it.

    nice -n 10 python -m benchmarks.form_memory --results memory.json

A small form is drawn, A6, and some pages of it, filled in: PNG, JPEG, TIFF in black and white, a blank page and a page
of no form among them. They are listed again and again, 1,000 pages a shard, as an opened run of jobs.score. A
``Reader`` reads them in its own process, and ``Classify`` answers them, tabulates their fields and writes the part.
After each shard the resident memory of both is noted, and the slope of a straight line is fitted to what was noted
after the first tenth. The results are kept after each shard, so a measurement may be stopped when there is no more
time.
"""

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from benchmarks import form_disturbing as steps
from benchmarks import form_pages
from benchmarks.form_disturbing import Sheet
from benchmarks.form_drawing import LEFT, FormDrawing
from benchmarks.form_filling import Manner, filled
from benchmarks.form_printing import Print
from mnist_batch.models import bundle
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline.actors import CHUNK_OF_PAGES, Classify
from mnist_batch.reading import preprocessing
from mnist_batch.reading.isolated import Reader
from mnist_batch.reading.preprocessing import Limits
from mnist_batch.runs import opening
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run

WIDTH, HEIGHT = 827, 1165  # A6 at 200 dots per inch
DISTINCT = 48  # pages
IN_A_SHARD = 1_000
PATIENCE_SECONDS = 600  # for a page, on a machine that has much else to do: a new process would begin anew
SETTLING = 0.1  # of the pages, before memory is compared
ROWS = (("Number", 4), ("Washers", 3), ("Springs", 3))


def small_form() -> FormDrawing:
    """A form of A6 with three fields."""
    page, cells = Print(), []
    page.text((60, 70), "Stock on the shelf", 44, bold=True)
    page.paragraph((60, 140), WIDTH - 120, "Count what lies on the shelf, and write one digit in each box. Hand this "
                   "card to the keeper of the store before the bell rings.", 24)  # fmt: skip
    for at, (name, count) in enumerate(ROWS):
        y = 380 + 150 * at
        page.text((60, y + 34), name, 32, anchor="lm")
        cells = [[2 * LEFT + 58 * position, y, 58, 70] for position in range(count)]
        page.field(name.lower(), cells, "boxes", digits={"least": 1, "most": count, "from": "right"})
    page.rule((60, 980), (WIDTH - 60, 980), 3)
    page.text((60, 1000), "Card S-6, edition 2026", 22)
    described = {"image": "page-1.png", "width": WIDTH, "height": HEIGHT, "dots_per_inch": 200}
    form_json = {"format": 1, "name": "shelf", "version": "2026", "pages": [described], "fields": page.fields}
    return FormDrawing(form_json, (np.ascontiguousarray(page.picture()[:HEIGHT, :WIDTH]),))


def _scanned(sheet: Sheet) -> None:
    steps.laid(sheet)
    steps.scanned_at(sheet, 120)
    steps.noisy(sheet)


def write_pages(folder: Path, seed: int) -> None:
    """Write the form, ``DISTINCT`` pages, and a shard's worth of links to them."""
    drawing, digits = small_form(), form_pages.mnist_digits()
    form_pages.write_form(drawing, folder / "shelf")
    distinct = folder / "distinct"
    distinct.mkdir()
    for number in range(DISTINCT):
        random = np.random.default_rng([seed, number])
        chain = (_scanned, steps.bilevel) if number % 4 == 3 else (_scanned,)
        page = form_pages.disturbed(filled(drawing, 0, digits, random, Manner(strangers=(0, 1))), chain, random)
        name = f"{number:02}.{('png', 'jpg', 'png', 'tif')[number % 4]}"
        form_pages.write_stack([page], distinct / name)
    cv2.imwrite(str(distinct / "blank.png"), np.full((699, 496), 250, np.uint8))
    cv2.imwrite(str(distinct / "other.png"), form_pages.form("letter").pictures[0][::3, ::3])
    files = sorted(distinct.iterdir())
    (folder / "pages").mkdir()
    for number in range(IN_A_SHARD):
        file = files[number % len(files)]
        os.link(file, folder / f"pages/{number:04}{file.suffix}")


def resident_megabytes(process: int) -> float:
    """The memory of a process that is in RAM."""
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kilobytes) / 1024


def measured(run: Run, pages: int) -> Iterator[dict[str, float]]:
    """Read and tabulate the one shard of a run until there were so many pages; yield what memory there is each time."""
    opened = run.opened
    assert opened is not None
    model = ModelSpec(opened.model.location, opened.model.digest, opened.engine, opened.asks_first)
    classify = Classify(run, model, opened.threshold, with_forms=True, field_thresholds=opened.field_thresholds)
    manifest = run.shard(0)
    with closing(Reader(Limits(scan_timeout_seconds=PATIENCE_SECONDS), forms=opened.forms)) as reader:
        for number in range(1, pages // IN_A_SHARD + 1):
            read = [
                preprocessing.shifted(reader.read(manifest.slice(first, CHUNK_OF_PAGES)), first)
                for first in range(0, IN_A_SHARD, CHUNK_OF_PAGES)
            ]
            [receipt] = classify(pa.concat_tables(read).combine_chunks()).to_pylist()
            assert receipt["scans"] == IN_A_SHARD
            assert reader.process is not None
            yield {
                "pages": number * IN_A_SHARD,
                "reader_megabytes": round(resident_megabytes(reader.process.pid), 1),
                "caller_megabytes": round(resident_megabytes(os.getpid()), 1),
            }


def slopes(noted: Sequence[dict[str, float]]) -> dict[str, float]:
    """By how many megabytes each process grows in 1,000 pages, once it has settled."""
    settled = noted[int(SETTLING * len(noted)) :]
    if len(settled) < 2:
        return {}
    thousands = [each["pages"] / 1_000 for each in settled]
    return {
        name: round(float(np.polyfit(thousands, [each[f"{name}_megabytes"] for each in settled], 1)[0]), 4)
        for name in ("reader", "caller")
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", type=int, default=100_000, metavar="N")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument("--results", type=Path, metavar="FILE")
    given = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as top:
        write_pages(Path(top), given.seed)
        command = Command(
            sources=[f"{top}/pages"], form=[f"{top}/shelf"], out=f"{top}/out", model=bundle.SHIPPED,
            target_error=0.01, trust_anyway=True, shard_size=IN_A_SHARD,
        )  # fmt: skip
        noted = list[dict[str, float]]()
        with opening.open_run(command) as run:
            for each in measured(run, given.pages):
                noted.append(each)
                found = slopes(noted)
                print(json.dumps({**each, "megabytes_in_1000_pages": found}), flush=True)
                if given.results:
                    results = {"megabytes_in_1000_pages": found, "noted": noted}
                    given.results.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
