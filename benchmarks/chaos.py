"""Kill random processes of scoring runs at random times, give the same command again until it ends, check the books.

    python -m benchmarks.chaos --runs 50 --model demo/models/hidden
    python -m benchmarks.chaos --runs 50 --model demo/models/hidden --store s3
    python -m benchmarks.chaos --kills 300 --kills-a-run 10 --model demo/models/hidden --store s3 --alone

With --kills it goes on until so many processes were killed, however many runs that takes. With --alone the driver
scores without Ray, and is what is killed: nothing but publishing is tried, many times an hour.
Writes a line a run to benchmarks/chaos.jsonl, or chaos-s3.jsonl for outputs at an S3 server on loopback;
docs/reliability.md shows their sums. Meanwhile a reader reads the output through ``read_predictions`` without end.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

import mnist_batch
from benchmarks import json_lines
from jobs.demo import write_forms
from mnist_batch.learning import digits
from mnist_batch.store import changing, locations
from tests.support import s3
from tests.support.processes import descendants

RESULTS = {"disk": Path(__file__).parent / "chaos.jsonl", "s3": Path(__file__).parent / "chaos-s3.jsonl"}
SHARD_SIZE = 25
KILLS = 3  # at most, in a run
WAIT_SECONDS = 0.2, 2.0  # between ticks: a job takes about ten seconds undisturbed
KINDS = {
    "Preprocess actor": "ray::MapWorker(MapBatches(Preprocess))",
    "Classify actor": "ray::MapWorker(MapBatches(Classify))",
    "reading process": "-m mnist_batch.reading",
    "driver": "-m jobs.score",
    "driver alone": "-m tests.support.alone",
    "raylet": "raylet/raylet",
    "GCS": "gcs/gcs_server",
}
SURVIVED = {"Preprocess actor", "Classify actor", "reading process"}  # the job itself goes on


def victims(job: int) -> dict[str, list[int]]:
    """The processes of a job by their kind, of those in ``KINDS``."""
    found: dict[str, list[int]] = {}
    for process, command in descendants(job):
        for kind, mark in KINDS.items():
            if mark in command:
                found.setdefault(kind, []).append(process)
                break
    return found


def rows_of(out: str) -> list[tuple[Any, ...]]:
    """What is read in ``predictions`` now, on a disk by anyone: scan, status, digit and content of every row."""
    if locations.is_uri(out):
        rows = mnist_batch.read_predictions(out)
    elif Path(out, "predictions").exists():
        rows = ds.dataset(Path(out, "predictions"), format="parquet")
    else:
        return []
    return [tuple(row.values()) for row in rows.to_table(["scan", "page", "status", "digit", "content"]).to_pylist()]


class Reader:
    """Reads an output through ``read_predictions`` again and again: how often, and how often part of ``rows`` rows."""

    def __init__(self, out: str, rows: int) -> None:
        self.out, self.rows, self.looks, self.partial = out, rows, 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Reader":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _read(self) -> None:
        while not self.over.wait(0.1):
            seen = len(mnist_batch.read_predictions(self.out).to_table(["scan"]))
            self.looks += 1
            self.partial += seen not in (0, self.rows)


@contextmanager
def place(store: str, folder: str) -> Iterator[str]:
    """Where files go: a folder, or a bucket of an S3 server on loopback."""
    if store == "disk":
        yield folder
        return
    with s3.store() as proxy:
        os.environ.update(s3.CREDENTIALS | {"AWS_ENDPOINT_URL": proxy.url})
        proxy.send("PUT", "/benchmark")
        yield "s3://benchmark"


def score(scans: Path, model: str, out: str, alone: bool = False) -> subprocess.Popen[bytes]:
    """Start the job, in a process group of its own."""
    command = [sys.executable, "-m", "jobs.score", str(scans), "--model", model, "--out", out]
    command += ["--shard-size", str(SHARD_SIZE), "--run-id", "night"]
    if alone:
        command = [sys.executable, "-m", "tests.support.alone", str(scans), model, out, str(SHARD_SIZE)]
    nowhere, patience = subprocess.DEVNULL, {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}  # Ray's own is a minute
    environment = os.environ | patience
    return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=environment, start_new_session=True)  # noqa: S603


def one_run(
    scans: Path, out: str, expected: Sequence[tuple[Any, ...]], chance: random.Random, given: argparse.Namespace
) -> dict[str, Any]:
    """One run, disturbed until ``given.kills_a_run``, brought to its end; what was killed and what is in its tables."""
    with Reader(out, len(expected)) as reader:
        found = _disturbed(scans, out, expected, chance, given)
    return found | {"reads": reader.looks, "read_in_part": reader.partial}


def _disturbed(
    scans: Path, out: str, expected: Sequence[tuple[Any, ...]], chance: random.Random, given: argparse.Namespace
) -> dict[str, Any]:
    kills: Counter[str] = Counter()
    commands, partial, started = 0, 0, time.monotonic()
    while True:
        commands += 1
        job = score(scans, given.model, out, given.alone)
        while job.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                job.wait(chance.uniform(*WAIT_SECONDS))
            _perhaps_kill(job, kills, chance, given.kills_a_run)
            partial += len(rows_of(out)) not in (0, len(expected))
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        if job.returncode == 0:
            break
    found = Counter(rows_of(out))
    verified = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "jobs.verify", "--out", out], capture_output=True, check=False
    )
    return {
        "kills": dict(kills),
        "commands": commands,
        "rows": found.total(),
        "lost": len(set(expected) - set(found)),
        "doubled": found.total() - len(found),
        "wrong": len(set(found) - set(expected)),
        "seen_in_part": partial,
        "verify_exit_code": verified.returncode,
        "seconds": round(time.monotonic() - started, 1),
    }


def _perhaps_kill(job: subprocess.Popen[bytes], kills: Counter[str], chance: random.Random, kills_a_run: int) -> None:
    """Kill a process of a job by chance, unless so many were killed already, and count it."""
    there = victims(job.pid)
    replaced = sorted(set(there) & SURVIVED)
    kinds = replaced if replaced and chance.random() < 0.75 else sorted(there)
    # Most ticks of a job's start pass: it would never get as far as its actors.
    if job.poll() is None and kinds and kills.total() < kills_a_run and (replaced or chance.random() < 0.2):
        kind = chance.choice(kinds)
        with suppress(ProcessLookupError):
            os.kill(chance.choice(there[kind]), signal.SIGKILL)
            kills[kind] += 1


def summary(runs: Sequence[Mapping[str, Any]]) -> str:
    """The sums over all runs, as docs/reliability.md shows them."""
    kills: Counter[str] = Counter()
    for run in runs:
        kills.update(run["kills"])
    by_kind = ", ".join(f"{kills[kind]} {kind}" for kind in KINDS if kills[kind])
    names = ("rows", "lost", "doubled", "wrong", "seen_in_part", "reads", "read_in_part")
    sums = {name: sum(run.get(name, 0) for run in runs) for name in names}
    return "\n".join(
        [
            "| what | count |",
            "|---|---|",
            f"| runs | {len(runs)} |",
            f"| commands until they were published | {sum(run['commands'] for run in runs)} |",
            f"| processes killed | {kills.total()} ({by_kind}) |",
            f"| rows published | {sums['rows']:,} |",
            f"| rows lost | {sums['lost']} |",
            f"| rows doubled | {sums['doubled']} |",
            f"| rows with another answer than undisturbed | {sums['wrong']} |",
            f"| looks at `predictions/` that met a part of a run | {sums['seen_in_part']} |",
            *(
                [
                    f"| reads through `read_predictions` | {sums['reads']:,} |",
                    f"| of these met a part of a run | {sums['read_in_part']} |",
                ]
                if sums["reads"]
                else []
            ),
            f"| runs that `jobs.verify` found fault with | {sum(run['verify_exit_code'] != 0 for run in runs)} |",
        ]
    )


def enough(runs: Sequence[Mapping[str, Any]], most: int, kills: int | None) -> bool:
    """Whether so many processes were killed in these runs; where ``kills`` is None, whether there are ``most`` runs."""
    return len(runs) >= most if kills is None else sum(sum(run["kills"].values()) for run in runs) >= kills


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    until = arguments.add_mutually_exclusive_group()
    until.add_argument("--runs", type=int, default=50, metavar="N")
    until.add_argument("--kills", type=int, metavar="N", help="as many runs as it takes to kill so many processes")
    arguments.add_argument("--scans", type=int, default=1_000)
    arguments.add_argument("--model", default="demo/models/hidden")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--store", choices=list(RESULTS), default="disk", help="where the outputs are")
    arguments.add_argument("--kills-a-run", type=int, default=KILLS, metavar="N", help="at most so many in a run")
    arguments.add_argument("--alone", action="store_true", help="score without Ray, in the driver itself")
    arguments.add_argument("--results", type=Path)
    given = arguments.parse_args(argv)
    chance, kept = random.Random(given.seed), given.results or RESULTS[given.store]
    with tempfile.TemporaryDirectory() as folder, place(given.store, folder) as base:
        scans = Path(folder, "forms")
        images, labels = digits.mnist("test")
        write_forms(Path(folder), images[: given.scans], labels[: given.scans])
        if score(scans, given.model, f"{base}/calm", given.alone).wait() != 0:
            print(f"scoring with --model {given.model} does not work undisturbed; make demo makes one", file=sys.stderr)
            return 2
        expected = rows_of(f"{base}/calm")
        runs: list[dict[str, Any]] = []
        while not enough(runs, given.runs, given.kills):
            out = f"{base}/out-{len(runs)}"
            runs.append(one_run(scans, out, expected, chance, given))
            print(len(runs), json.dumps(runs[-1]), flush=True)
            changing.delete_folder(*locations.resolve(out))
            json_lines.write(kept, runs)
    print(summary(runs))
    faults = ("lost", "doubled", "wrong", "seen_in_part", "read_in_part", "verify_exit_code")
    return int(any(run[name] for run in runs for name in faults))


if __name__ == "__main__":
    sys.exit(main())
