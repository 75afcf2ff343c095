"""The files in which benchmarks keep what they have measured: a line of JSON for each measurement."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def read(file: Path) -> list[dict[str, Any]]:
    """The measurements of a file, in order; none if there is no such file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def add(file: Path, measured: Mapping[str, Any]) -> None:
    """Add a measurement to a file."""
    with file.open("a") as lines:
        lines.write(f"{json.dumps(measured)}\n")


def write(file: Path, measured: Iterable[Mapping[str, Any]]) -> None:
    """Replace the measurements of a file."""
    file.write_text("".join(f"{json.dumps(each)}\n" for each in measured))
