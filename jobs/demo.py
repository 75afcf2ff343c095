"""A demonstration on the embedded MNIST: write scans, train on two workers, score them, open the report."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import samples
from mnist_batch.learning import digits
from mnist_batch.reading import images

from . import score, session, train

DESCRIPTION = """\
Write MNIST test digits as cells of forms, train a model on 2 Ray workers, score the cells with it and with the
shipped bundle, read whole pages of a tally sheet, and show the reports.

All files go below --folder. You may run it again."""

TARGET_ERROR = "0.005"
BOXES_PER_FORM = 10
FORMATS = (".png", ".png", ".png", ".png", ".jpg", ".jpg", ".tif", ".tif", ".bmp", ".png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the first exit code that is not 0."""
    arguments = session.parser("jobs.demo", DESCRIPTION)
    arguments.add_argument("--folder", default="demo", metavar="FOLDER", help="the folder for all files")
    arguments.add_argument("--scans", type=int, default=3000, metavar="N", help="number of digits to write as scans")
    arguments.add_argument("--epochs", type=int, default=5, metavar="N", help="passes over the training digits")
    arguments.add_argument("--pages", type=int, default=30, metavar="N", help="number of tally sheets, at least 6")
    given = arguments.parse_args(argv)
    return session.run(lambda: tell(Path(given.folder).absolute(), given.scans, given.epochs, given.pages))


def tell(folder: Path, scans: int, epochs: int, pages: int) -> Mapping[str, Any]:
    """Run the demonstration below ``folder``, on one Ray; stop at the first job that fails."""
    forms, truth, model, out = (str(folder / name) for name in ("forms", "truth.csv", "models/hidden", "out"))
    tally, sure = folder / "tally", ["--target-error", TARGET_ERROR, "--out", out]
    training = ["--model", "hidden", "--workers", "2", "--epochs", str(epochs), "--out", model]
    whole = [f"{tally}/pages", "--form", f"{tally}/form", "--labels", f"{tally}/truth.csv"]
    print(
        f"1. Writing {scans:,} MNIST test digits as scanned forms to {forms}, and tally sheets to {tally}", flush=True
    )
    pictures, labels = digits.mnist("test")
    write_forms(folder, pictures[:scans], labels[:scans])
    if not (tally / "truth.csv").exists():  # a second run of the demo reads the same pages
        samples.write(tally, pages, pictures, labels)

    session.connect(None)  # one Ray for all jobs
    steps = [
        (f"2. Training the model «hidden» on 2 Ray workers, into {model}", train, training),
        (f"3. Scoring the forms, into {out}", score, [forms, "--model", model, "--labels", truth, "--out", out]),
        (
            f"4. Scoring them with the shipped bundle, with a target error of {TARGET_ERROR}, into {out}",
            score,
            [forms, "--labels", truth, *sure],
        ),
        (f"5. Reading {pages} pages of the tally sheet, from a PDF and TIFFs, into {out}", score, [*whole, *sure]),
    ]
    for said, job, arguments in steps:
        print(said, flush=True)
        if code := job.main(arguments):
            return {"status": "interrupted" if code > 128 else "failed", "exit_code": code}

    # By when they were published: a second run of the demo publishes nothing.
    of_digits, of_pages = sorted(Path(out, "runs").glob("*/run.json"), key=lambda file: file.stat().st_mtime)[-2:]
    _show(out, of_digits.parent.name)
    report, report_of_pages = (str(run.with_name("report.html")) for run in (of_digits, of_pages))
    print(f"\nNow open {report}\nand, for the pages, {report_of_pages}")
    return {"report": report, "report_of_pages": report_of_pages}


def _show(out: str, run_id: str) -> None:
    """Print how the predictions are read."""
    print("\n6. Read the predictions, with one line for each reader; every digit is in the first two runs:")
    print(
        f"   duckdb  FROM read_parquet('{out}/predictions/**/*.parquet') "
        "SELECT run, count(*) AS rows, count(*) FILTER (digit <> label) AS mistakes GROUP BY run;"
    )
    review = f"run == '{run_id}' and decision == 'review'"
    print(f"""   pandas  pd.read_parquet("{out}/predictions").query("{review}")""")
    print(f"""   polars  pl.read_parquet("{out}/fields/").filter(pl.col("decision") == "accept")""")


def write_forms(folder: Path, pictures: NDArray[np.uint8], labels: NDArray[np.int8]) -> None:
    """Write digits as boxes of forms below ``folder/forms``, five broken scans, and the labels in ``folder/truth.csv``.

    Existing files are not written again, so that a second run of the demo scores the same scans.
    """
    rows = []
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        form, box = divmod(number, BOXES_PER_FORM)
        scan = f"form-{form + 1:04d}/box-{box + 1:02d}{FORMATS[box]}"
        _write(folder / "forms" / scan, images.encode(picture, FORMATS[box]))
        rows.append((scan, int(label)))
    whole = images.encode(pictures[0], ".png")
    broken = {
        "torn.png": whole[: len(whole) // 2],
        "empty.png": b"",
        "note.png": b"This form was left blank.\n",
        "flipped-bits.png": whole[:60] + bytes(byte ^ 0xFF for byte in whole[60:]),
        "scanner.tif": b"II*\0" + b"\xff" * 40,
    }
    for name, content in broken.items():
        _write(folder / "forms" / "returned" / name, content)
    with (folder / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("scan", "label"), *rows])


def _write(path: Path, content: bytes) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    session.leave(main)
