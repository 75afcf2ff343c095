"""The whole job of scoring, cold start included, beside the same work done otherwise, in one run.

    python -m benchmarks.scoring --model demo/models/hidden

Writes MNIST as scans once, then lets the contenders take turns, each as a program of its own: ``ours`` is jobs.score,
the others are in ``benchmarks/peers``. All scans are read once before each, so that none finds them colder than
another. Every contender's digits are compared with ours. What each took is kept in --results, a line of JSON a program,
and shown as the table and the picture of docs/scaling.md. Fixed cost and marginal rate are those of the line through
the medians at the least and the most files. ``tutorial`` reads 60 and 300 files, ``bare_ray`` none.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import json_lines
from benchmarks.accuracy import cell
from benchmarks.processes import measured, module
from mnist_batch import figures
from mnist_batch.learning import digits
from mnist_batch.models import bundle
from mnist_batch.reading import images

RESULTS = Path(__file__).parent / "scoring.jsonl"
PICTURE = Path(__file__).parent.parent / "docs/images/scoring.png"
CONTENDERS = ("ours", "by_hand", "plain_ray", "tutorial", "bare_ray")
OWN_FILES = {"tutorial": (60, 300), "bare_ray": (0,)}
FOLDER_FILES = 1_000

Line = dict[str, Any]


def write_scans(folder: Path, files: int, side: int, in_a_folder: int = FOLDER_FILES) -> None:
    """MNIST as PNG files, so many in a folder. After 70,000, hard links.

    28 pixels: as it is; 64: in cells, every other one with remains of a box.
    """
    pictures = np.concatenate([digits.mnist(part)[0] for part in ("test", "train")])
    random = np.random.default_rng(0)

    def path_of(number: int) -> Path:
        return folder / f"{number // in_a_folder:05d}" / f"scan-{number:07d}.png"

    for number in range(files):
        path_of(number).parent.mkdir(parents=True, exist_ok=True)
        if number >= len(pictures):
            os.link(path_of(number % len(pictures)), path_of(number))
            continue
        page = pictures[number] if side == 28 else cell(pictures[number], random, lines=2 * (number % 2))
        path_of(number).write_bytes(images.encode(page))


def warm(scans: Path) -> None:
    """Read all scans once, so that they are in memory: some machines take memory for files back soon."""
    for path in scans.rglob("*.png"):
        path.read_bytes()


def answers(contender: str, scans: Path, out: Path) -> dict[str, int]:
    """The digit of each file by its path below the folder of scans."""
    if contender == "bare_ray":
        return {}
    if contender == "ours":
        table = pq.read_table(out / "predictions", columns=["scan", "digit"])
        return dict(zip(table["scan"].to_pylist(), table["digit"].to_pylist(), strict=True))
    table = pq.read_table(out, columns=["path", "digit"])
    paths = [os.path.relpath(path, scans) for path in table["path"].to_pylist()]
    return dict(zip(paths, table["digit"].to_pylist(), strict=True))


def stages_of(out: Path) -> dict[str, float]:
    """The seconds of each stage of a run, and its shards, as run.json has them; nothing for other contenders."""
    found = [json.loads(path.read_text()) for path in out.glob("runs/*/run.json")]
    names = ("listing_seconds", "scoring_seconds", "publishing_seconds", "shards")
    return {name: facts[name] for facts in found for name in names}


def take_turns(scans: Path, model: str, contenders: Sequence[str], files: int) -> Iterator[Line]:
    """Each contender once: what it took, and how many of its answers are not ours."""
    ours: dict[str, int] = {}
    for contender in ("ours", *(name for name in contenders if name != "ours")):
        for count in OWN_FILES.get(contender, (files,)):
            warm(scans)
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, "out")
                if contender == "ours":
                    command = module("jobs.score", str(scans), "--model", model, "--out", str(out))
                else:
                    more = [str(count)] if contender in OWN_FILES else []
                    command = module(f"benchmarks.peers.{contender}", str(scans), model, str(out), *more)
                usage = measured(command, Path(folder, "log"), out)
                found, stages = answers(contender, scans, out), stages_of(out)
            ours = ours or found
            if len(found) != count:
                raise RuntimeError(f"{contender} has answered {len(found):,} of {count:,} files")
            different = sum(ours[path] != digit for path, digit in found.items())
            yield {"contender": contender, "files": count, **usage.totals(), **stages, "different": different}


def sizes(lines: Sequence[Line], contender: str) -> list[int]:
    """The numbers of files that a contender was given, ascending."""
    return sorted({line["files"] for line in lines if line["contender"] == contender})


def next_repetition(lines: Sequence[Line], setting: Line, files: int) -> int:
    """The number of the first repetition that has not been measured yet."""
    there = [line["repetition"] for line in lines if line.items() >= setting.items() and line["files"] == files]
    return max(there, default=-1) + 1


def median_of(lines: Sequence[Line], contender: str, files: int, what: str) -> float:
    """The median of what a contender took for so many files."""
    return float(median(line[what] for line in lines if line["contender"] == contender and line["files"] == files))


def through(lines: Sequence[Line], contender: str, what: str) -> tuple[float, float]:
    """What a contender takes for no file at all, and for each: the line through its least and its most files."""
    least, *_, most = sizes(lines, contender)
    low, high = (median_of(lines, contender, files, what) for files in (least, most))
    each = (high - low) / (most - least)
    return low - each * least, each


def ratios(lines: Sequence[Line], contender: str, files: int) -> list[float]:
    """How many times as long as ours a contender took, in each repetition."""
    took = {(line["contender"], line["repetition"]): line["seconds"] for line in lines if line["files"] == files}
    return [took[contender, turn] / took["ours", turn] for name, turn in took if name == contender]


def table(lines: Sequence[Line]) -> str:
    """The measurements as docs/scaling.md shows them, a table for each model and size of scans."""
    found = []
    for setting in dict.fromkeys((line["model"], line["side"]) for line in lines):
        of_setting = [line for line in lines if (line["model"], line["side"]) == setting]
        found += [f"`{setting[0]}`, scans of {setting[1]}x{setting[1]} pixels:", "", *_table(of_setting)]
    return "\n".join(found).strip()


def _table(lines: Sequence[Line]) -> Iterator[str]:
    columns = (
        "", "files", "seconds", "images/s", "times ours", "CPU s / 1,000", "peak MB", "driver MB", "first part, s",
        "answers not ours",
    )  # fmt: skip
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for contender in dict.fromkeys(line["contender"] for line in lines):
        for files in sizes(lines, contender):
            what = ("seconds", "cpu_seconds", "peak_megabytes", "driver_megabytes", "first_seconds", "different")
            seconds, cpu, peak, driver, first, different = (median_of(lines, contender, files, name) for name in what)
            times = sorted(ratios(lines, contender, files)) if contender not in OWN_FILES else []
            cells = (
                contender, f"{files:,}", f"{seconds:.1f}", f"{files / seconds:,.0f}" if files else "",
                f"{median(times):.2f} ({times[0]:.2f} to {times[-1]:.2f})" if times else "",
                f"{1000 * cpu / files:.2f}" if files else "",
                f"{peak:,.0f}", f"{driver:,.0f}", f"{first:.1f}", f"{different:.0f}",
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"
    yield ""
    if len(sizes(lines, "ours")) < 2:
        return
    yield "| | fixed cost, s | then, images/s | CPU s / 1,000 |"
    yield "|---|---|---|---|"
    for contender in dict.fromkeys(line["contender"] for line in lines):
        if sizes(lines, contender) == [0]:
            yield f"| {contender} | {median_of(lines, contender, 0, 'seconds'):.1f} | | |"
        if len(sizes(lines, contender)) > 1:
            (fixed, each), (_, cpu) = (through(lines, contender, what) for what in ("seconds", "cpu_seconds"))
            yield f"| {contender} | {fixed:.1f} | {1 / each:,.0f} | {1000 * cpu:.3f} |"
    yield ""


def picture(lines: Sequence[Line]) -> bytes:
    """Images a second of whole programs, by model and number of files, as PNG."""
    settings = list(dict.fromkeys((line["model"], line["side"], line["files"]) for line in lines))
    settings = [setting for setting in settings if setting[2] in sizes(lines, "ours")]
    names = [name for name in CONTENDERS if name not in OWN_FILES and any(line["contender"] == name for line in lines)]
    figure = figures.new_figure(8, 0.9 + 0.8 * len(settings))
    axes = figure.subplots()
    shades = dict(zip(names, (figures.BLUE, "#9db8d2", "#d5a6a1"), strict=False))
    for row, (model, side, files) in enumerate(settings):
        of_setting = [line for line in lines if (line["model"], line["side"]) == (model, side)]
        for place, name in enumerate(names):
            if files in sizes(of_setting, name):
                rate = files / median_of(of_setting, name, files, "seconds")
                bar = axes.barh(-row - 0.27 * place, rate, 0.24, color=shades[name], label=None if row else name)
                axes.bar_label(bar, fmt="{:,.0f}", padding=3, size=8)
    axes.set_yticks(
        [-row - 0.27 for row in range(len(settings))],
        [f"{model}, {files:,} of {side}x{side}" for model, side, files in settings],
    )
    axes.set(xlabel="images a second, the whole program with its start")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper right", ncols=len(names))
    return figures.as_png(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default=bundle.SHIPPED, metavar="FOLDER", help="a bundle")
    arguments.add_argument("--files", type=int, nargs="+", default=[70_000, 350_000], metavar="N")
    arguments.add_argument("--side", type=int, choices=(28, 64), default=28, help="pixels of a scan")
    arguments.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    arguments.add_argument("--repetitions", type=int, default=3, metavar="N")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--show", action="store_true", help="measure nothing, show what was measured")
    given = arguments.parse_args(argv)
    if not given.show:
        name = bundle.open_bundle(given.model).facts.architecture
        setting = {"model": name, "side": given.side, "cores": os.cpu_count()}
        with tempfile.TemporaryDirectory() as folder:
            folders = {files: Path(folder, f"scans-{files}") for files in given.files}
            for files, scans in folders.items():
                write_scans(scans, files, given.side)
            # Few files and many take turns, too: a line through them is worth nothing where the hour was another.
            for _, (files, scans) in product(range(given.repetitions), folders.items()):
                turn = next_repetition(json_lines.read(given.results), setting, files)
                for line in take_turns(scans, given.model, given.contenders, files):
                    print(json.dumps(line), flush=True)
                    json_lines.add(given.results, {**setting, "repetition": turn, **line})
    lines = json_lines.read(given.results)
    PICTURE.write_bytes(picture(lines))
    print(table(lines))


if __name__ == "__main__":
    main()
