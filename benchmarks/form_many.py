"""Thousands of pages: is any registered as a form that it is not, or where the form does not lie?

    python -m benchmarks.form_many --first-seed 8001 --seeds 40 --results many.json --failures FOLDER

Each seed gives every form other looks, and other pages: of every kind of ``form_pages``, of other versions and
languages, of strangers, and of two sheets at once. After each seed the figures are kept in ``--results``; a seed that
is there is not run again. Prints the table of docs/forms.md, of all the seeds. ``--failures`` gets pictures of the
wrong pages.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks import form_pages, form_registering
from benchmarks.form_drawing import FORMS, VERSIONS, form
from benchmarks.form_pages import KINDS
from benchmarks.form_registering import CHOICES, Job, Outcome, decoded, digits, looked_at, references
from benchmarks.handwriting import Grey
from mnist_batch.forms.registering import register
from mnist_batch.forms.registration import Verdict

SCANS = ("clean", "moderate", "scan 100 dpi", "scan 150 dpi", "scan 200 dpi", "scan 300 dpi", "photocopy", "photo")
NEAR, FAR = 1.5, 4.0  # pixels at 150 dpi: so far off half of the corners may be at most, and 99 of 100
Figures = dict[str, dict[str, int]]


def jobs(seed: int) -> Iterator[tuple[str, Job]]:
    """Two pages of every kind, and pages of siblings and strangers."""
    faces = [(name, page) for name in FORMS for page in range(len(form(name, seed).pictures))]
    for at, kind in enumerate(KINDS):
        for number in (2 * (seed + at), 2 * (seed + at) + 1):
            name, page = faces[number % len(faces)]
            yield kind, Job(name, seed, page, kind, seed, number, tuple(FORMS))
    for choice in CHOICES:
        for job in list(form_registering.choice_jobs(choice, 32, seed))[seed % 8 :: 8]:
            yield choice, job
    for at, name in enumerate(VERSIONS):
        kind = SCANS[(seed + at) % len(SCANS)]
        yield f"{name}, only the usual one open", Job(name, seed, 0, kind, seed, 0, ("boxes",))
        yield f"the usual one, only {name} open", Job("boxes", seed, 0, kind, seed, 1, (name,))
        drawn = (name, "boxes")[seed % 2]
        yield f"{name} and the usual one open", Job(drawn, seed, 0, kind, seed, 2, (name, "boxes"))


def sheets(seed: int) -> Iterator[tuple[str, Grey]]:
    """Two pages over each other or side by side: of one form, of its two pages, or of two forms."""
    random = np.random.default_rng([seed, 2])
    for at, kind in enumerate(
        ("moderate", "scan 150 dpi", "photocopy", "1 bit 200 dpi", "fax 204x196", "scan 100 dpi")
    ):
        one, other = random.choice(list(FORMS), 2, replace=bool(random.integers(2)))
        (below, dots), (above, others) = (
            _page(str(name), kind, seed, 2 * at + each) for each, name in enumerate((one, other))
        )
        if dots != others:  # both are scanned at once
            factor = dots / others
            above = np.asarray(cv2.resize(above, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
        beside = random.random() < 0.25
        across, down = (
            (random.uniform(0.98, 1.1), 0) if beside else (random.uniform(-0.05, 0.05), random.uniform(0.3, 0.75))
        )
        yield f"two sheets, {'beside' if beside else 'over'} each other", over(below, above, across, down)


def _page(name: str, kind: str, seed: int, number: int) -> tuple[Grey, float]:
    """A page, and its dots per inch across."""
    drawing = form(name, seed)
    page = form_pages.page_of(drawing, number % len(drawing.pictures), kind, digits(), seed, number)
    picture, _ = decoded(page)
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., 1]), page.dots_per_inch[0]


def over(below: Grey, above: Grey, across: float, down: float) -> Grey:
    """A page over another, moved right and down by these shares of the page below: uint8 (H, W)."""
    left, top = round(across * below.shape[1]), round(down * below.shape[0])
    beside = left >= 0.9 * below.shape[1]
    height, width = below.shape[0], left + above.shape[1] if beside else below.shape[1]
    picture: Grey = np.full((height, width), 250, np.uint8)
    picture[: below.shape[0], : below.shape[1]] = below
    moved = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return np.asarray(cv2.warpAffine(above, moved, (width, height), dst=picture, borderMode=cv2.BORDER_TRANSPARENT))


def of_seed(seed: int, failures: Path | None = None) -> Figures:
    """The figures of the pages of a seed, by kind."""
    counts: dict[str, Counter[str]] = {}
    for kind, job in jobs(seed):
        counts.setdefault(kind, Counter()).update(_counted(looked_at(job, failures)))
    known = references(tuple(FORMS), seed)
    for number, (kind, picture) in enumerate(sheets(seed)):
        verdict = register(picture, known).verdict
        wrong = verdict is Verdict.REGISTERED
        counted = {"pages": 1, "right": verdict is Verdict.TWO_SHEETS, "wrong": wrong, f"is {verdict}": 1}
        counts.setdefault(kind, Counter()).update({name: int(count) for name, count in counted.items()})
        if failures and wrong:
            failures.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(failures / f"{kind}-{seed}-{number}.png".replace(" ", "_")), picture)
    for cache in (form, references):  # each seed has forms of its own
        cache.cache_clear()
    return {kind: dict(counted) for kind, counted in counts.items()}


def _counted(outcome: Outcome) -> dict[str, int]:
    right = outcome.right and not outcome.wrong
    near, far = (int((outcome.errors <= most).sum()) for most in (NEAR, FAR))
    return {"pages": 1, "right": int(right), "wrong": int(outcome.wrong), f"is {outcome.verdict}": 1,
            "fields": outcome.fields, "lost": outcome.lost,
            "corners": len(outcome.errors), "near": near, "far": far}  # fmt: skip


def table(seeds: dict[str, Figures]) -> str:
    """The figures of all seeds as docs/forms.md shows them."""
    total: dict[str, Counter[str]] = {}
    for of_one in seeds.values():
        for kind, counted in of_one.items():
            total.setdefault(kind, Counter()).update(counted)
    total["all"] = sum(total.values(), Counter())
    lines = [f"| pages | right | wrong | fields lost | corners within {NEAR} px | {FAR} px |", "|---" * 6 + "|"]
    for kind, counted in total.items():
        lost = f"{counted['lost'] / counted['fields']:.1%}" if counted["fields"] else ""
        near, far = (
            f"{counted[each] / counted['corners']:.2%}" if counted["corners"] else "" for each in ("near", "far")
        )
        share = f"{counted['right']:,} of {counted['pages']:,}"
        lines.append(f"| {kind} | {share} | {counted['wrong']} | {lost} | {near} | {far} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the seeds that are not there, keep the figures after each, and print those of all."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--first-seed", type=int, required=True, metavar="N")
    arguments.add_argument("--seeds", type=int, default=40, metavar="N")
    arguments.add_argument("--results", type=Path, required=True, metavar="FILE")
    arguments.add_argument("--failures", type=Path, metavar="FOLDER")
    given = arguments.parse_args(argv)
    seeds: dict[str, Figures] = json.loads(given.results.read_text()) if given.results.exists() else {}
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        if str(seed) not in seeds:
            started = time.process_time()
            seeds[str(seed)] = found = of_seed(seed, given.failures)
            given.results.write_text(json.dumps(seeds, indent=1) + "\n")
            pages, wrong = (sum(each.get(name, 0) for each in found.values()) for name in ("pages", "wrong"))
            print(
                f"seed {seed}: {pages} pages, {wrong} wrong, {time.process_time() - started:.0f} s of CPU", flush=True
            )
    print(table(seeds))


if __name__ == "__main__":
    main()
