"""Kill random processes of scoring runs at random times, give the same command again until it ends, check the books.

    python -m benchmarks.chaos --runs 50 --model demo/models/hidden

Writes a line a run to benchmarks/chaos.jsonl; docs/reliability.md shows their sums.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from jobs.demo import write_forms
from mnist_batch.learning import digits
from tests.support.processes import descendants

RESULTS = Path(__file__).parent / "chaos.jsonl"
SHARD_SIZE = 25
KILLS = 3  # at most, in a run
WAIT_SECONDS = 0.2, 2.0  # between ticks: a job takes about ten seconds undisturbed
KINDS = {
    "Preprocess actor": "ray::MapWorker(MapBatches(Preprocess))",
    "Classify actor": "ray::MapWorker(MapBatches(Classify))",
    "reading process": "-m mnist_batch.reading",
    "driver": "-m jobs.score",
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


def rows_of(out: Path) -> list[tuple[Any, ...]]:
    """What anyone reads in ``predictions`` now: scan, status, digit and content of every row."""
    if not (out / "predictions").exists():
        return []
    table = ds.dataset(out / "predictions", format="parquet").to_table(["scan", "page", "status", "digit", "content"])
    return [tuple(row.values()) for row in table.to_pylist()]


def score(scans: Path, model: str, out: Path) -> subprocess.Popen[bytes]:
    """Start the job, in a process group of its own."""
    command = [sys.executable, "-m", "jobs.score", str(scans), "--model", model, "--out", str(out)]
    command += ["--shard-size", str(SHARD_SIZE), "--run-id", "night"]
    nowhere, patience = subprocess.DEVNULL, {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}  # Ray's own is a minute
    environment = os.environ | patience
    return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=environment, start_new_session=True)  # noqa: S603


def one_run(
    scans: Path, model: str, out: Path, expected: Sequence[tuple[Any, ...]], chance: random.Random
) -> dict[str, Any]:
    """One run, disturbed until ``KILLS``, brought to its end; what was killed and what is in its tables."""
    kills: Counter[str] = Counter()
    commands, partial, started = 0, 0, time.monotonic()
    while True:
        commands += 1
        job = score(scans, model, out)
        while job.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                job.wait(chance.uniform(*WAIT_SECONDS))
            there = victims(job.pid)
            replaced = sorted(set(there) & SURVIVED)
            kinds = replaced if replaced and chance.random() < 0.75 else sorted(there)
            # Most ticks of a job's start pass: it would never get as far as its actors.
            if job.poll() is None and kinds and kills.total() < KILLS and (replaced or chance.random() < 0.2):
                kind = chance.choice(kinds)
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(there[kind]), signal.SIGKILL)
                    kills[kind] += 1
            partial += len(rows_of(out)) not in (0, len(expected))
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        if job.returncode == 0:
            break
    found = Counter(rows_of(out))
    verified = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "jobs.verify", "--out", str(out)], capture_output=True, check=False
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


def summary(runs: Sequence[Mapping[str, Any]]) -> str:
    """The sums over all runs, as docs/reliability.md shows them."""
    kills: Counter[str] = Counter()
    for run in runs:
        kills.update(run["kills"])
    by_kind = ", ".join(f"{kills[kind]} {kind}" for kind in KINDS)
    sums = {name: sum(run[name] for run in runs) for name in ("rows", "lost", "doubled", "wrong", "seen_in_part")}
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
            f"| runs that `jobs.verify` found fault with | {sum(run['verify_exit_code'] != 0 for run in runs)} |",
        ]
    )


def read(path: Path) -> list[dict[str, Any]]:
    """The results of the last measurement."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=50)
    arguments.add_argument("--scans", type=int, default=1_000)
    arguments.add_argument("--model", default="demo/models/hidden")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--results", type=Path, default=RESULTS)
    given = arguments.parse_args(argv)
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        scans, out = Path(folder, "forms"), Path(folder, "calm")
        images, labels = digits.mnist("test")
        write_forms(Path(folder), images[: given.scans], labels[: given.scans])
        if score(scans, given.model, out).wait() != 0:
            print(f"scoring with --model {given.model} does not work undisturbed; make demo makes one", file=sys.stderr)
            return 2
        expected = rows_of(out)
        runs = []
        for number in range(given.runs):
            runs.append(one_run(scans, given.model, Path(folder, "out"), expected, chance))
            print(number + 1, json.dumps(runs[-1]), flush=True)
            shutil.rmtree(Path(folder, "out"))
            given.results.write_text("".join(f"{json.dumps(run)}\n" for run in runs))
    print(summary(runs))
    faults = ("lost", "doubled", "wrong", "seen_in_part", "verify_exit_code")
    return int(any(run[name] for run in runs for name in faults))


if __name__ == "__main__":
    sys.exit(main())
