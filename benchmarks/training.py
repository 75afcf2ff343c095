"""The whole job of training, cold start included, beside Keras alone, in one run.

    python -m benchmarks.training

These take turns with the same model, digits, global batch and epochs: jobs.train with two workers of one thread, with
one worker, and ``fit`` of Keras on all cores (``benchmarks/peers/plain_keras.py``); then two workers and Keras in
bfloat16. --results keeps a line of JSON for each program; the tables of docs/scaling.md are made from it.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import json_lines
from benchmarks.processes import measured, module
from mnist_batch.models.ladder import LADDER

RESULTS = Path(__file__).parent / "training.jsonl"
GOALS = (0.97, 0.98, 0.99, 0.995)
# Workers, and none for Keras alone; and what layers compute in.
CONTENDERS = {
    "ours, 2 workers": (2, "float32"),
    "ours, 1 worker": (1, "float32"),
    "plain_keras": (0, "float32"),
    "ours, 2 workers, bfloat16": (2, "bfloat16"),
    "plain_keras, bfloat16": (0, "bfloat16"),
}

Line = dict[str, Any]


def take_turns(model: str, epochs: int, batch_size: int) -> Iterator[Line]:
    """Run each contender once; yield its time, memory and epochs."""
    for contender, (workers, precision) in CONTENDERS.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out")
            command = module("benchmarks.peers.plain_keras", model, str(epochs), str(batch_size), precision, str(out))
            if workers:
                flags = {"model": model, "epochs": epochs, "batch-size": batch_size, "workers": workers, "out": out}
                flags["precision"] = precision
                command = module("jobs.train", *(text for name in flags for text in (f"--{name}", str(flags[name]))))
            usage = measured(command, Path(folder, "log"), out).totals()
            history = json.loads((out / "history.json").read_text())
            yield {
                "contender": contender,
                **{name: usage[name] for name in ("seconds", "cpu_seconds", "peak_megabytes")},
                "epoch_seconds": [line["seconds"] for line in history],
                "validation_accuracy": [line["validation_accuracy"] for line in history],
                "test_accuracy": json.loads((out / "model.json").read_text())["test"]["accuracy"],
            }


def fixed_seconds(line: Line) -> float:
    """The seconds of a program outside its epochs."""
    return float(line["seconds"] - sum(line["epoch_seconds"]))


def epoch_seconds(line: Line) -> float:
    """The median epoch of a program without the first, in which TensorFlow also builds its graph."""
    return float(median(line["epoch_seconds"][1:]))


def seconds_to(line: Line, goal: float) -> float | None:
    """Seconds from the start of a program until its validation accuracy reached the goal; None if it never did.

    Whatever is outside the epochs counts as the start.
    """
    for taken, share in zip(accumulate(line["epoch_seconds"]), line["validation_accuracy"], strict=True):
        if share >= goal:
            return fixed_seconds(line) + float(taken)
    return None


def table(lines: Sequence[Line]) -> str:
    """The table of docs/scaling.md: medians over the repetitions."""
    names = ("", "whole job, s", "an epoch, s", "all but epochs, s", "CPU s", "peak MB", "MNIST test, %")
    goals = [f"{100 * goal:g} % after, s" for goal in GOALS]
    rows = [f"| {' | '.join([*names, *goals])} |", "|---" * (len(names) + len(goals)) + "|"]
    for contender in dict.fromkeys(line["contender"] for line in lines):
        own = [line for line in lines if line["contender"] == contender]
        cells = [
            contender,
            f"{median(line['seconds'] for line in own):.1f}",
            f"{median(map(epoch_seconds, own)):.2f}",
            f"{median(map(fixed_seconds, own)):.1f}",
            f"{median(line['cpu_seconds'] for line in own):.0f}",
            f"{median(line['peak_megabytes'] for line in own):,.0f}",
            f"{100 * mean(line['test_accuracy'] for line in own):.2f}",
        ]
        for goal in GOALS:
            reached = [seconds for line in own if (seconds := seconds_to(line, goal)) is not None]
            cells.append(f"{median(reached):.0f}" if len(reached) == len(own) else "–")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, save, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", choices=LADDER, default="cnn")
    arguments.add_argument("--epochs", type=int, default=5, metavar="N")
    arguments.add_argument("--batch-size", type=int, default=256, metavar="N")
    arguments.add_argument("--repetitions", type=int, default=3, metavar="N")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--show", action="store_true", help="measure nothing, show what was measured")
    given = arguments.parse_args(argv)
    if not given.show:
        setting = {name: getattr(given, name) for name in ("model", "epochs", "batch_size")} | {"cores": os.cpu_count()}
        for repetition in range(given.repetitions):
            for line in take_turns(given.model, given.epochs, given.batch_size):
                print(json.dumps(line), flush=True)
                json_lines.add(given.results, {**setting, "repetition": repetition, **line})
    print(table(json_lines.read(given.results)))


if __name__ == "__main__":
    main()
