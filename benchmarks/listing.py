"""How long listing a folder of a million entries takes, and how much memory, in a process that does nothing else.

    python -m benchmarks.listing --entries 1000000

The entries are hard links to a few digits, in one folder: the worst that a scanner's spool may look like.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mnist_batch import digits, images, listing, scans

LINKS = 50_000  # of one file; ext4 allows 65,000


def make(folder: Path, entries: int) -> None:
    """Fill a folder with hard links to MNIST digits."""
    pictures, _ = digits.mnist("test")
    folder.mkdir()
    for number in range(entries):
        path = folder / f"scan-{number:07d}.png"
        if number % LINKS == 0:
            path.write_bytes(images.encode(pictures[number // LINKS]))
            first = path
        else:
            os.link(first, path)


def measure(folder: str) -> dict[str, float]:
    """List, cut and digest the folder here; seconds, peak memory, and that of the imports alone."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.monotonic()
    listed = listing.list_scans([folder])
    shards = scans.cut(listed)
    scans.digest(listed)
    return {
        "entries": listed.num_rows,
        "shards": len(shards),
        "seconds": round(time.monotonic() - started, 2),
        "megabytes_before": round(before),
        "megabytes_peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Make the folder, measure in a process of its own, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--folder", help=argparse.SUPPRESS)
    given = arguments.parse_args(argv)
    if given.folder:
        print(json.dumps(measure(given.folder)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "in"), given.entries)
        command = [sys.executable, "-m", "benchmarks.listing", "--folder", f"{folder}/in"]
        return subprocess.run(command, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
