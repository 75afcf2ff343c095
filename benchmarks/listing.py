"""How long listing a million entries takes, and how much memory, in a process that does nothing else.

    python -m benchmarks.listing --entries 1000000
    python -m benchmarks.listing --entries 1000000 --folders 5000

The entries are hard links to a few digits: in one folder, the worst that a scanner's spool may look like, or in many,
which are listed by the tasks of a Ray on this machine, too. So is a manifest that names them all.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mnist_batch.intake import listing, scans
from mnist_batch.learning import digits
from mnist_batch.reading import images

LINKS = 50_000  # of one file; ext4 allows 65,000
WAYS = ("folder", "manifest", "tasks")


def make(top: Path, entries: int, folders: int) -> None:
    """Fill folders with hard links to MNIST digits, and name them all in a manifest beside."""
    pictures, _ = digits.mnist("test")
    names = [f"in/{number * folders // entries:06d}/scan-{number:07d}.png" for number in range(entries)]
    for number, name in enumerate(names):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % LINKS == 0:
            path.write_bytes(images.encode(pictures[number // LINKS]))
            first = path
        else:
            os.link(first, path)
    pq.write_table(pa.table({"scan": names}), top / "list.parquet")


def measure(top: str, way: str) -> dict[str, str | float]:
    """List, cut and digest here: seconds, the seconds of this process's CPU, peak memory, and that of the imports."""
    ask = None
    if way == "tasks":
        from jobs import session
        from mnist_batch.intake import spread

        session.connect(None)
        ask = spread.by_tasks(lambda: None)
    before = peak_megabytes()
    started, worked = time.monotonic(), time.process_time()
    listed = (
        listing.read_manifest(f"{top}/list.parquet")
        if way == "manifest"
        else listing.list_scans([f"{top}/in"], ask=ask)
    )
    shards = scans.cut(listed)
    scans.digest(listed)
    return {
        "way": way,
        "entries": listed.num_rows,
        "shards": len(shards),
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "megabytes_before": round(before),
        "megabytes_peak": round(peak_megabytes()),
    }


def peak_megabytes() -> float:
    """The most memory that this process has had; getrusage would begin with that of its parent."""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) / 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Make the folders, measure each way in a process of its own, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--folders", type=int, default=1)
    arguments.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args(argv)
    if given.measure:
        print(json.dumps(measure(*given.measure)), flush=True)
        return 0
    with tempfile.TemporaryDirectory() as top:
        make(Path(top), given.entries, given.folders)
        for way in WAYS if given.folders > 1 else WAYS[:2]:
            command = [sys.executable, "-m", "benchmarks.listing", "--measure", top, way]
            subprocess.run(command, check=True)  # noqa: S603
    return 0


if __name__ == "__main__":
    sys.exit(main())
