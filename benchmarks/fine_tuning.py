"""The value of own scans: a bundle fine-tuned on some of them, compared with bundles trained from nothing.

    python -m benchmarks.fine_tuning numbers.parquet --folder FOLDER --scans 100 600

The file has the columns writer, label, part (train or calibrate, of different writers) and png; docs/training.md names
the source of its digits. The scans to train on and the bundles are written below the folder; a bundle that is there is
not trained again. The table of that page is printed, and its rows are kept in benchmarks/fine_tuning.jsonl.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import json_lines, refusals
from mnist_batch.learning import digits, validating
from mnist_batch.models import answers, bundle, engines
from mnist_batch.pixels.normalising import normalise
from mnist_batch.reading import images

Grey = NDArray[np.uint8]
RESULTS = Path(__file__).parent / "fine_tuning.jsonl"
NO_DIGITS = ("crossed", "scribbled", "a printed letter", "two digits")
CELLS = 500  # of each kind of what is no digit
HOW = ("--model hidden", "--model scanned", "--from shipped")


def no_digits() -> Grey:
    """Cells that a model should refuse, normalised: uint8 (N, 28, 28)."""
    random = np.random.default_rng(0)
    return np.stack([normalise(refusals.KINDS[kind](random)) for kind in NO_DIGITS for _ in range(CELLS)])


def trained(how: str, scans: list[dict[str, Any]], folder: Path) -> bundle.Bundle:
    """Train a bundle on the scans with these flags of jobs.train, below the folder."""
    data, out = folder / f"scans-{len(scans)}", folder / f"{how.split()[-1]}-{len(scans)}"
    for number, scan in enumerate(scans):
        path = data / str(scan["label"]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scan["png"])
    if not out.exists():
        command = [sys.executable, "-m", "jobs.train", *how.split(), "--data", str(data), "--out", str(out)]
        subprocess.run(command, check=True)  # noqa: S603 - our own job
    return bundle.open_bundle(str(out))


def judged(made: bundle.Bundle, theirs: tuple[Grey, NDArray[np.int8]], cells: Grey) -> dict[str, Any]:
    """The shares of other writers' digits and MNIST test that a bundle reads correctly, and of cells it refuses."""
    engine, mnist = engines.OnnxEngine(made), digits.mnist("test")
    return {
        "others": validating.validate(engine(theirs[0]).values, theirs[1]).accuracy,
        "mnist": validating.validate(engine(mnist[0]).values, mnist[1]).accuracy,
        "refused": float((answers.refusals_of(engine(cells).values) >= 0).mean()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/training.md."""
    lines = ["| own scans | | own held out | other writers | MNIST test | refused |", "|---|---|---|---|---|---|"]
    for row in rows:
        held = f"{row['correct']} of {row['held_out']}" if "correct" in row else "-"
        shares = " | ".join(f"{100 * row[name]:.2f}" for name in ("others", "mnist", "refused"))
        lines.append(f"| {row.get('scans', '-')} | {row['how']} | {held} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    """Train, measure, print and keep the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("numbers", type=Path, metavar="FILE", help="scanned digits, as Parquet")
    arguments.add_argument("--folder", type=Path, required=True, help="where scans and bundles lie")
    arguments.add_argument("--scans", type=int, nargs="+", default=[100, 600], metavar="N", help="scans to train on")
    given = arguments.parse_args()
    rows = pq.read_table(given.numbers).to_pylist()
    own, others = ([row for row in rows if row["part"] == part] for part in ("train", "calibrate"))
    pictures = np.stack([normalise(next(iter(images.decode(row["png"])))) for row in others])
    theirs, cells = (pictures, np.array([row["label"] for row in others], np.int8)), no_digits()
    source = {"source": hashlib.sha256(given.numbers.read_bytes()).hexdigest()}
    found = [{"how": "shipped, as it is", **source, **judged(bundle.open_bundle(bundle.SHIPPED), theirs, cells)}]
    order = np.random.default_rng(0).permutation(len(own)).tolist()
    for count in given.scans:
        for how in HOW:
            made = trained(how, [own[at] for at in order[:count]], given.folder)
            validation = made.facts.validation
            assert validation is not None
            held = {"correct": validation.correct, "held_out": validation.digits}
            found.append({"scans": count, "how": f"`{how}`", **held, **source, **judged(made, theirs, cells)})
    print(table(found))
    json_lines.write(RESULTS, found)


if __name__ == "__main__":
    main()
