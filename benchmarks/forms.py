"""How whole pages are read: registered, refused, cut and read; how boxes are proposed; how fast pages go.

    python -m benchmarks.forms --pages 20 --seed 1 --parts registration choices

Prints the tables of docs/forms.md and keeps each part's figures in benchmarks/forms.json. Develop on seeds below 100;
report on one that nobody has looked at. ``--failures`` writes pictures of pages that were not registered rightly, the
truth in red and what was found in green, and of cells that were read wrongly.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import form_crossing, form_proposing, form_reading, form_registering
from benchmarks.form_pages import KINDS

RESULTS = Path(__file__).parent / "forms.json"
READ = (
    "clean",
    "moderate",
    "scan 100 dpi",
    "scan 150 dpi",
    "scan 300 dpi",
    "scan in colour",
    "uneven feed",
    "photo",
    "1 bit 200 dpi",
    "photocopy",
    "fax 204x196",
    "fax 204x98",
)  # kinds whose cells are read
Figures = dict[str, Any]


def _registration(given: argparse.Namespace) -> Figures:
    return form_registering.by_kind(given.pages, given.seed, given.kinds, given.failures)


def _choices(given: argparse.Namespace) -> Figures:
    return form_registering.choices(4 * given.pages, given.seed, given.failures)


def _proposing(given: argparse.Namespace) -> Figures:
    return form_proposing.proposed(given.pages, given.seed)


def _reading(given: argparse.Namespace) -> Figures:
    kinds = [kind for kind in given.kinds if kind in READ]
    return form_reading.read(given.pages, given.seed, kinds, given.failures)


def _crossing(given: argparse.Namespace) -> Figures:
    return form_crossing.crossings(given.pages, given.seed, [kind for kind in given.kinds if kind in READ])


def _speed(given: argparse.Namespace) -> Figures:
    return dict(form_reading.speeds(given.pages, given.seed))


PARTS: dict[str, tuple[Callable[[argparse.Namespace], Figures], Callable[[Figures], str]]] = {
    "registration": (_registration, form_registering.table),
    "choices": (_choices, form_registering.table),
    "reading": (_reading, form_reading.table),
    "crossing": (_crossing, form_crossing.table),
    "speed": (_speed, form_reading.speed_table),
    "proposing": (_proposing, form_proposing.table),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    arguments.add_argument("--pages", type=int, default=20, metavar="N", help="of each kind; more where they are few")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    arguments.add_argument("--failures", type=Path, metavar="FOLDER")
    arguments.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    given = arguments.parse_args(argv)
    for part in given.parts:
        measure, table = PARTS[part]
        figures = measure(given)
        print(f"{part}, seed {given.seed}\n\n{table(figures)}\n", flush=True)
        results = json.loads(given.results.read_text()) if given.results.exists() else {}
        results[part] = {"seed": given.seed, "pages": figures}
        given.results.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
