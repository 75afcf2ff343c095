"""Fourteen nights with the real jobs: late labels, a bad scanner, another model, a killed job, copies, a late truck.

    python -m benchmarks.fortnight
    python -m benchmarks.fortnight --store s3

Three sources deliver digits of MNIST in cells of their own, day by day. Each night is ``python -m jobs.night`` with a
file of settings, as cron gives it; what operators do by day are jobs, too. ``benchmarks.fortnight_books`` says what has
to come of it. Every number that the product states is compared with that, row by row; the exit code is 0 if all are
right. Prints a line a night, as docs/nightly.md shows them, and keeps them in benchmarks/fortnight.json.
"""

import argparse
import csv
import io
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import chaos
from benchmarks import fortnight_checks as checking
from benchmarks.fortnight_books import NONE
from benchmarks.fortnight_nights import BAD, KILLED, SHARDS, Fortnight, date
from benchmarks.fortnight_scans import CELLS
from mnist_batch.models import bundle
from mnist_batch.store import locations

RESULTS = {store: Path(__file__).parent / f"fortnight{end}.json" for store, end in (("disk", ""), ("s3", "-s3"))}
SCANS, AUDITED = 200, 100  # scans of a source in a night; accepted answers that are looked at


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """A line a night, as docs/nightly.md shows them."""
    found = [
        "| night | listed | known | moved | repeated | scored | right that night | right at the end | review "
        "| drift | state | exit | what happened |",
        "|---" * 13 + "|",
    ]
    for line in lines:
        counts = [f"{line[name]:,}" for name in ("listed", "known", "moved", "repeated", "scored")]
        shares = [_percent(line[name]) for name in ("accuracy", "accuracy_at_the_end", "review")]
        ended = ["–" if line["drift"] is None else line["drift"], line["state"], line["exit_code"], line["remark"]]
        found.append(f"| {' | '.join(map(str, [line['night'], *counts, *shares, *ended]))} |")
    return "\n".join(found)


def verdict(facts: Mapping[str, Any]) -> str:
    """What came of the comparison."""
    return f"{facts['compared']:,} values compared, {facts['wrong']:,} wrong."


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def first_nights(of: Fortnight, few: int) -> None:
    """Copies, renamed and moved files, empty cells: what scans are known, and by what."""
    scans, books = of.scans, of.books
    harbour, station, town_hall = (scans.sources[name] for name in CELLS)

    of.usual(1)
    torn = next(iter(scans.bytes.values()))
    scans.write((harbour, f"{date(1)}/torn.png"), torn[: len(torn) // 2])
    of.night(1, "a file is torn: a row `undecodable`")

    of.usual(2)
    _cells_without_digit(of, 2, few)
    of.night(2, f"{few} cells are empty: rows `blank`")

    of.usual(3)
    for number, key in enumerate(scans.in_folder("harbour", date(3))[:few]):
        scans.write((town_hall, f"{date(3)}/again-{number}.png"), scans.bytes[books.files[key].content])
    of.night(3, f"{few} scans are delivered twice, to two sources")

    of.usual(4)
    for key in scans.in_folder("station", date(2))[-few:]:
        scans.move(key, (station, key[1].replace(".png", "-checked.png")))
    for key in scans.in_folder("town-hall", date(1))[-few:]:
        scans.move(key, (town_hall, f"archive/{key[1]}"))
    of.night(4, f"{few} scans renamed, {few} moved")
    of.night(4, "", again=True)  # the same command: nothing is new

    of.usual(5)
    of.night(5, "a quiet night")
    _audit(of, date(4))


def with_a_bad_scanner(of: Fortnight, few: int) -> None:
    """A night is held, the next one goes on, and a person has the source scanned again."""
    scans, books = of.scans, of.books
    of.usual(BAD)
    of.night(BAD, "the scanner of one source is bad: held by `--max-drift 0`")
    of.checks.same("runs that are held", of.operate("list")["states"].get("held"), 1)

    of.usual(7)
    for key in scans.in_folder("harbour", date(3))[3 * few + 1 : 6 * few : 3]:
        scans.write(key, scans.scanned("harbour", next(scans.digits)))
        of.due.setdefault(7, []).append((key, books.files[key].content))
    for key in scans.in_folder("harbour", date(2))[:few]:
        scans.write(key, scans.bytes[books.files[key].content])
    of.night(7, f"{few} scans of night 3 replaced under their names, {few} of night 2 only touched")

    of.operate("discard", "--run", of.ids.pop(date(BAD)))
    books.discard(date(BAD))
    for key in scans.in_folder("station", date(BAD)):
        scans.write(key, scans.scanned("station", scans.written[books.files[key].content]))
    of.night(7, "by day: run 6 discarded, the source scanned again, the command given again", as_night=BAD)


def with_another_model(of: Fortnight, few: int) -> None:
    """Another model, wrong labels, a late truck, a killed job, a folder that comes twice."""
    scans, books = of.scans, of.books
    wrong = scans.in_folder("harbour", date(3))[: 3 * few : 3]  # those whose labels were known at once

    of.usual(8)
    of.night(8, "a quiet night")
    _promote(of, date(5), date(8))

    of.usual(9)
    of.night(9, "a model calibrated on the labels of night 5 answers from here on; what is answered stays")

    of.usual(10)
    of.deliver(10, "harbour", of.count // 2, folder=7)
    for key in wrong:
        books.truth[key] = (scans.label(key) + 1) % 10
    of.night(10, f"a late truck: {of.count // 2} scans of day 7; {len(wrong)} wrong labels of night 3 come in")

    of.usual(KILLED)
    for key in wrong:
        books.truth[key] = scans.label(key)
    of.night(KILLED, f"killed while it scored, and given again; the {len(wrong)} labels are put right")

    of.usual(12)
    for key in scans.in_folder("town-hall", date(10)):
        scans.write(
            (scans.sources["town-hall"], f"{date(10)}-again/{key[1][11:]}"), scans.bytes[books.files[key].content]
        )
    of.night(12, "a folder of day 10 is delivered once more under another name")

    of.night(13, "a holiday: nothing new, but labels come")

    of.usual(14)
    for name in CELLS:
        scans.remove(scans.in_folder(name, date(1)))
    of.night(14, "the folders of day 1 were taken to the archive")


def _cells_without_digit(of: Fortnight, night: int, count: int) -> None:
    picture, _ = next(of.scans.digits)
    for number in range(count):
        key = of.scans.sources["station"], f"{date(night)}/empty-{number}.png"
        of.scans.write(key, of.scans.scanned("station", (picture * 0, NONE)))
        of.due.setdefault(night, []).append((key, of.books.files[key].content))


def _audit(of: Fortnight, night: str) -> None:
    """Draw accepted answers of a run, say what is written on each, and have the error stated."""
    run_id, run = of.ids[night], of.books.runs[night]
    drawn = of.operate("report", "--run", run_id, "--audit", AUDITED)
    sheet = locations.read(*locations.resolve(drawn["audit_csv"])).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(sheet)))
    keys = [(row["source"], row["scan"]) for row in rows]
    labels = [of.scans.written[run.own[key].file.content][1] for key in keys]
    filled = of.folder / "audit.csv"
    with filled.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "label": label} for row, label in zip(rows, labels, strict=True))
    of.sample_error = of.operate("report", "--run", run_id, "--audit-labels", filled)["sample_error"]
    wrong = sum(run.own[key].answer.digit != label for key, label in zip(keys, labels, strict=True))
    expected = {"accepted": run.accepted, "drawn": min(AUDITED, run.accepted), "labelled": len(rows), "wrong": wrong}
    of.checks.same(f"audit of {night}", {name: of.sample_error[name] for name in expected}, expected)


def _promote(of: Fortnight, labelled: str, compared: str) -> None:
    """Calibrate the model on the labels of a run, score a night with both, compare the two, and promote it."""
    ours, trial = f"{of.folder}/models/ours", "trial"
    of.operate("calibrate", "--run", of.ids[labelled], "--to", ours)
    only = ("--include", f"{compared}/*", "--run-id", trial, "--run-date", compared, "--model", ours)
    labels = ("--labels", of.folder / "truth.csv", "--ignore-unlisted-labels", "--target-error", of.target_error)
    of.operate("score", *of.scans.sources.values(), *only, *labels)
    said = of.operate("compare", "--a", of.ids[compared], "--b", trial)["answers"]
    run = of.books.runs[compared]
    names = ("compared", "only_a", "only_b", "changed", "unread", "differing")
    of.checks.same(
        "compared", {name: said[name] for name in names}, {**dict.fromkeys(names, 0), names[0]: len(run.own)}
    )
    labelled_rows = sum(key in run.labels for key in run.own)
    right = sum(
        label == (-1 if (digit := run.own[key].answer.digit) is None else digit) for key, label in run.labels.items()
    )
    total = {name: said["total"][name] for name in ("labelled", "right_a", "right_b", "lost", "gained")}
    of.checks.same(
        "compared",
        total,
        {"labelled": labelled_rows, **dict.fromkeys(("right_a", "right_b"), right), "lost": 0, "gained": 0},
    )
    of.operate("discard", "--run", trial)
    of.operate("promote", ours)
    of.books.model = "ours"
    of.locations["ours"] = ours


def check_all(of: Fortnight) -> None:
    """Compare everything that the output says at the end."""
    books, checks = of.books, of.checks
    models: dict[str, dict[str, Any]] = {}
    for name, location in of.locations.items():
        opened, ours = bundle.open_bundle(location), name == "ours"
        models[name] = {"location": opened.location, "digest": opened.digest, "promoted": ours}
        models[name]["threshold"] = of.scans.thresholds[name]
    checking.check_rows(checks, of.out, of.ids, books)
    checking.check_classes(checks, of.out, of.ids, books)
    for night, run in books.runs.items():
        checking.check_facts(checks, of.out, of.ids[night], run, models)
    verified = of.operate("verify")
    rows = sum(len(run.rows) for run in books.runs.values())
    checks.same("verified", [verified[name] for name in ("runs", "rows", "faults")], [len(books.runs), rows, 0])
    listed = {run["run_id"]: run for run in of.operate("list")["newest"]}
    checks.same("runs in the list", sorted(listed), sorted(of.ids.values()))
    for line in of.lines:  # of a run that was held the line with its number again has what became of it
        line["accuracy_at_the_end"] = listed[line["run_id"]]["accuracy"] if line["state"] == "published" else None
    page = locations.read(*locations.resolve(f"{of.out}/index.html")).decode()
    checks.same("the page says the last night was fine", f"The last night was fine: {date(14)}" in page, True)
    cells = checking.shown(page)
    checks.same("runs on the page", sorted(cells), sorted(of.ids.values()))
    for night, run in books.runs.items():
        run_id = of.ids[night]
        expected = checking.counts(run) | {"night": night, "state": "published"}
        checks.same(f"{night} in the list", {name: listed[run_id][name] for name in expected}, expected)
        audit = _audited(of.sample_error) if night == date(4) else "–"
        [_, *found, _, shown_model] = cells[run_id]
        model = models[run.model]["digest"][:8] + (" · own" if run.model == "ours" else "")
        of_page = checking.cells_of(run, run_id, str(of.drift[night]), audit, model)
        checks.same(f"{night} on the page", [*found, shown_model], of_page)
    resumed = checking.read_json(f"{of.out}/runs/{of.ids[date(KILLED)]}/run.json")["resumed_shards"]
    checks.same(f"shards of {date(KILLED)} that were kept", 0 < resumed < SHARDS, True)


def _audited(error: Mapping[str, Any]) -> str:
    share = error["wrong"] / error["labelled"]
    return f"{100 * share:.2f} % {100 * error['low']:.2f}–{100 * error['high']:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Live through the fortnight, check, print; returns 0 if everything is as it should be."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--store", choices=list(RESULTS), default="disk", help="where scans and runs lie")
    arguments.add_argument("--scans", type=int, default=SCANS, metavar="N", help="scans of each source in a night")
    arguments.add_argument("--target-error", type=float, default=0.01, metavar="SHARE", help="as in jobs.night")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument("--to", type=Path, metavar="FOLDER", help="keep everything in this new folder")
    arguments.add_argument("--results", type=Path, metavar="FILE")
    given = arguments.parse_args(argv)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fortnight-") as temporary:
        folder = given.to or Path(temporary)
        folder.mkdir(parents=True, exist_ok=given.to is None)
        with chaos.place(given.store, str(folder)) as base:
            of = Fortnight(base, folder, given)
            few = max(given.scans // 20, 2)
            first_nights(of, few)
            with_a_bad_scanner(of, few)
            with_another_model(of, few)
            check_all(of)
    wrong, seconds = of.checks.wrong, time.monotonic() - started
    facts = {"scans": given.scans, "compared": of.checks.compared, "wrong": len(wrong), "seconds": round(seconds)}
    (given.results or RESULTS[given.store]).write_text(json.dumps({**facts, "lines": of.lines}, indent=2) + "\n")
    print(f"\n{table(of.lines)}\n\n{verdict(facts)}\n\nIt took {seconds:.0f} s.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
