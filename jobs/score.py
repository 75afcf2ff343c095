"""Score scanned digits on a Ray cluster and publish predictions and per-class accuracy reports as Parquet."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from . import session

DESCRIPTION = """\
Score scanned digits and publish predictions and reports as Parquet.

  python -m jobs.score forms/ --labels parent --out out
  python -m jobs.score digit.png --model models/hidden --out out
  python -m jobs.score --retry 2026-11-21-1a2b3c4d --out out

The same command again finishes a run that was interrupted, and does nothing after one that succeeded.
Exit codes: 0 done, 2 bad arguments or input, 3 too many unreadable scans, 5 the rows are not the
scans listed or an internal fault, 75 another process is at work on the run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, open the run, score it; returns the exit code."""
    given = _parser().parse_args(argv)

    def work() -> Mapping[str, Any]:
        # After parsing: --help need not wait for Ray.
        from mnist_batch import scoring
        from mnist_batch.reports import plots
        from mnist_batch.runs import opening, previewing

        from . import printing

        settings = scoring.Settings(
            preprocessors=given.preprocessors,
            classifiers=given.classifiers,
            gpus_per_classifier=given.gpus_per_classifier,
            max_unreadable=given.max_unreadable,
            scan_timeout_seconds=given.scan_timeout,
            no_progress_timeout_seconds=given.no_progress_timeout,
        )
        asked = _asked(given)
        if given.retry is not None and not asked.failed:
            print(f"run {given.retry}: no scan failed for a passing reason, there is nothing to retry")
            return {"retries": given.retry, "rows": 0, **({"status": "dry_run"} if given.dry_run else {})}
        if given.dry_run:
            found = previewing.preview(asked)
            print(previewing.text(found))
            return {"status": "dry_run", **found}
        connect = partial(session.connect, given.address)
        with opening.open_run(asked, connect) as run:
            if not run.published:
                plots.import_ahead()
                connect()
            published = scoring.score(run, settings)

        totals = published.totals
        print(printing.run_text(run, totals))
        return {
            "run_id": run.run_id,
            **({"retries": given.retry} if given.retry is not None else {}),
            "scans": published.scans,
            **{name: getattr(totals, name) for name in ("rows", "scored", "unreadable", "labelled", "accuracy")},
            **printing.decisions(totals),
            "predictions": run.location(run.table_folder("predictions")),
            "report": run.location(f"{run.folder}/report.html"),
        }

    return session.run(work)


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.score", DESCRIPTION)
    what = arguments.add_argument_group("what to score")
    what.add_argument("scans", nargs="*", metavar="SCANS", help="folders and image files, by path or URI (s3://...)")
    what.add_argument(
        "--manifest",
        metavar="FILE",
        help="a CSV or Parquet file that names the scans in a column scan, instead of SCANS; it may have columns "
        "source and label, too",
    )
    for flag, which in (
        ("--include", "only files that match this, such as '*.png'"),
        ("--exclude", "no file that does"),
    ):
        what.add_argument(
            flag,
            action="append",
            metavar="PATTERN",
            help=f"{which}: by name, path below its source, or a folder's; may be given again",
        )
    what.add_argument(
        "--labels",
        default="none",
        metavar="HOW",
        help="where the truth is: none; parent, the name of the folder a scan is in; or a CSV or Parquet file with "
        "columns scan,label. A label is 0 to 9, or none where no valid digit is written",
    )
    what.add_argument(
        "--ignore-unlisted-labels",
        action="store_true",
        help="leave out the labels of scans that are not listed, such as those of other days, and count them",
    )
    what.add_argument(
        "--retry",
        metavar="RUN_ID",
        help="the scans of a published run that failed for a passing reason (missing, changed, crashed, timeout), "
        "instead of SCANS: scored again as that run was, and published as run RUN_ID-retry",
    )
    what.add_argument(
        "--dry-run",
        action="store_true",
        help="check all arguments, list the scans, say what would be done, and do nothing of it",
    )
    how = arguments.add_argument_group("with what, and where to")
    how.add_argument(
        "--model", metavar="FOLDER", help="model bundle, as jobs.train writes it; the one of this package if left out"
    )
    how.add_argument("--out", default="out", metavar="FOLDER", help="where tables and reports are published")
    how.add_argument("--engine", choices=("onnx", "keras"), help="keras is the slower reference; onnx if left out")
    how.add_argument(
        "--target-error",
        type=float,
        metavar="SHARE",
        help="accept the answers that are sure enough for at most this share of them to be wrong, such as 0.005, and "
        "leave the others for review; no decision if left out",
    )
    how.add_argument(
        "--keep-images",
        action="store_true",
        help="publish what the model saw of each scan, 28x28 as PNG, in the column image; a run of its own",
    )
    how.add_argument("--run-date", metavar="DATE", help="the run's date, such as 2026-11-21; today if left out")
    how.add_argument(
        "--run-id",
        metavar="ID",
        help="the run's name, such as night-7, of at most 90 characters; date and fingerprint if left out",
    )
    how.add_argument(
        "--max-unreadable",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="a run with a larger share of rows that could not be read is not published",
    )
    how.add_argument("--require-scans", action="store_true", help="finding nothing to score is a mistake, exit 2")
    most = arguments.add_argument_group("what one scan may take, or be a row that says so")
    most.add_argument("--max-bytes", type=int, metavar="N", help="bytes of its file; 67108864 if left out")
    most.add_argument("--max-pixels", type=int, metavar="N", help="pixels of a page; 40000000 if left out")
    most.add_argument(
        "--scan-timeout",
        type=float,
        metavar="SECONDS",
        default=20,
        help="seconds to read and decode it; it is tried three times",
    )
    where = arguments.add_argument_group("on what")
    session.add_address(where)
    where.add_argument(
        "--preprocessors", type=int, metavar="N", help="actors that read, on a CPU each; half of the CPUs if left out"
    )
    where.add_argument(
        "--classifiers",
        type=int,
        metavar="N",
        help="actors that classify and write, on a CPU each; half of the CPUs if left out",
    )
    where.add_argument(
        "--gpus-per-classifier",
        type=float,
        metavar="N",
        default=0,
        help="GPUs for each of them, such as 0.5; --engine onnx needs onnxruntime-gpu for it",
    )
    where.add_argument(
        "--shard-size", type=int, metavar="N", help="scans a shard; 5000 if left out, more above 10 million"
    )
    where.add_argument(
        "--no-progress-timeout",
        type=float,
        default=300,
        metavar="SECONDS",
        help="end with exit code 5 where no shard was finished, and no scan read, for so long",
    )
    return arguments


def _asked(given: argparse.Namespace) -> Any:
    from mnist_batch.errors import InputError
    from mnist_batch.models import bundle
    from mnist_batch.reading import images, isolated
    from mnist_batch.runs import command, retrying

    if given.retry is None:
        return command.Command(
            sources=given.scans,
            manifest=given.manifest,
            include=given.include or (),
            exclude=given.exclude or (),
            labels=given.labels,
            ignore_unlisted_labels=given.ignore_unlisted_labels,
            model=given.model or bundle.SHIPPED,
            out=given.out,
            engine=given.engine or "onnx",
            target_error=given.target_error,
            shard_size=given.shard_size,
            limits=isolated.Limits(
                images.MAX_BYTES if given.max_bytes is None else given.max_bytes,
                images.MAX_PIXELS if given.max_pixels is None else given.max_pixels,
            ),
            require_scans=given.require_scans,
            keep_images=given.keep_images,
            run_date=given.run_date,
            run_id=given.run_id,
        )
    for flag, value in (
        ("SCANS", given.scans),
        ("--manifest", given.manifest),
        ("--include", given.include),
        ("--exclude", given.exclude),
        ("--labels", given.labels != "none"),
        ("--ignore-unlisted-labels", given.ignore_unlisted_labels),
        ("--require-scans", given.require_scans),
    ):
        if value:
            raise InputError(f"--retry {given.retry} has its scans and labels from that run; leave {flag} out")
    return retrying.command(
        given.out,
        given.retry,
        model=given.model,
        max_bytes=given.max_bytes,
        max_pixels=given.max_pixels,
        new_id=given.run_id,
        shard_size=given.shard_size,
        engine=given.engine,
        target_error=given.target_error,
        keep_images=given.keep_images or None,
        run_date=given.run_date,
    )


if __name__ == "__main__":
    session.leave(main)
