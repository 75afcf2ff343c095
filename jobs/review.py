"""Write what is for review in a published run as pages that people work through in a browser, without a server."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from mnist_batch.wording import counted

from . import flags, session

DESCRIPTION = """\
Write what is for review in a published run as pages that people work through in a browser, without a server.

  python -m jobs.review --out out --run 2026-11-21-1a2b3c4d --to review

Open review/review.html. A digit key answers, Enter takes the suggestion, Backspace goes back. The browser keeps what is
decided; the button saves it as corrections.csv, which goes back with

  python -m jobs.report --out out --run 2026-11-21-1a2b3c4d --labels corrections.csv

The scans are read again; one that has changed since it was scored is named on the page and not shown.

Several people share the work: --people 2 --overlap 50 writes a folder for each of them, and 50 items are in both. Join
what they decided; rows on which they differ are left out and listed:

  python -m jobs.review --merge corrections-1.csv corrections-2.csv --to corrections.csv

Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, write the folder; returns the exit code."""
    arguments = session.parser("jobs.review", DESCRIPTION)
    flags.add_out(arguments, "where the run was published")
    what = arguments.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", metavar="RUN_ID", help="the run's id, a folder name in OUT/runs")
    what.add_argument("--merge", nargs="+", metavar="FILE", help="join these corrections.csv of several people to one")
    to = arguments.add_mutually_exclusive_group(required=True)
    to.add_argument("--to", metavar="FOLDER", help="the folder to write, which has to be new; with --merge a file")
    to.add_argument("--to-label-studio", metavar="FILE", help="write tasks for Label Studio instead, as JSON")
    arguments.add_argument("--most", type=int, default=2_000, metavar="N", help="items at most, drawn at random")
    arguments.add_argument(
        "--audit", type=int, default=0, metavar="N", help="add N accepted answers, drawn at random; none if left out"
    )
    arguments.add_argument(
        "--people", type=int, default=1, metavar="N", help="a folder for each of N people, who share the work"
    )
    arguments.add_argument(
        "--overlap", type=int, default=0, metavar="N", help="items that each of them decides; none if left out"
    )
    given = arguments.parse_args(argv)
    if given.merge and not given.to:
        arguments.error("--merge writes a file; give it with --to")
    return session.run(lambda: _merged(given.merge, given.to) if given.merge else _written(given))


def _written(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch.reports import label_studio, review_pack, reviewing
    from mnist_batch.runs import series

    if given.to_label_studio:
        label_studio.check(given.to_label_studio)
    else:
        review_pack.check(given.to, given.people, given.overlap)
    run, published = series.published_run(given.out, given.run)
    chosen = reviewing.choose(run, published, given.most, given.audit)
    for sentence in reviewing.sentences(published, chosen):
        print(sentence)
    if given.to_label_studio:
        tasks, not_shown = label_studio.write(published, chosen, given.to_label_studio)
        print(f"{counted(tasks, 'task')}: {given.to_label_studio}")
        files = {"tasks": given.to_label_studio}
    else:
        pack = review_pack.write(run, published, chosen, given.to, given.people, given.overlap)
        not_shown, files = pack.not_shown, {"pages": [str(page) for page in pack.pages]}
        for page, size in zip(pack.pages, pack.sizes, strict=True):
            print(f"{size:,} to decide: {page}")
    for scan, reason in not_shown.items():
        print(f"not shown: {scan}: {reason}")
    return {
        "run_id": run.run_id,
        "items": sum(not item.drawn for item in chosen.items),
        "drawn": sum(item.drawn for item in chosen.items),
        "for_review": chosen.waiting,
        "not_shown": chosen.unread + len(not_shown),
        **files,
    }


def _merged(files: Sequence[str], to: str) -> Mapping[str, Any]:
    from mnist_batch.reports import merging

    merged = merging.merge(files, to)
    print(f"{counted(merged.rows, 'row')}: {to}")
    print(f"several people decided {merged.alike + len(merged.unlike):,}, and {merged.alike:,} of these alike")
    for (scan, page, field, _), answers in merged.unlike.items():
        where = " ".join(filter(None, [scan, page and f"page {page}", field]))
        print(f"left out: {where}: {', '.join(f'{answer} in {file}' for file, answer in answers.items())}")
    return {"rows": merged.rows, "alike": merged.alike, "unlike": len(merged.unlike), "to": to}


if __name__ == "__main__":
    session.leave(main)
