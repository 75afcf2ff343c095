"""Jobs and runs as tests start them, and what readers see of them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch.pipeline.pools import Pools
from mnist_batch.pipeline.settings import Settings
from mnist_batch.runs import opening
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run

Capture = pytest.CaptureFixture[str]


def ran(capsys: Capture, job: Any, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    """The exit code, what was printed before the last line, and the last line."""
    capsys.readouterr()
    code = job.main([str(argument) for argument in arguments])
    *printed, last = capsys.readouterr().out.splitlines()
    summary = json.loads(last)
    assert summary["exit_code"] == code
    return code, "\n".join(printed), summary


ONE_EACH = Settings(Pools(1, 1))  # each actor more takes seconds to start


def opened(sources: list[Path], model: str, out: Path | str, **options: Any) -> Run:
    options = {"labels": "parent", "shard_size": 20, "run_date": "2026-11-21"} | options
    connect = options.pop("connect", lambda: None)
    asked = Command(sources=[str(source) for source in sources], model=model, out=str(out), **options)
    with opening.open_run(asked, connect) as run:
        return run


def predictions(run: Run) -> pa.Table:
    return pq.read_table(run.table_folder("predictions"), partitioning=None).sort_by([("scan", "ascending")])


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the project may catch it."""


def readers_see(out: Path) -> tuple[int, int]:
    """Rows of predictions, and of per_class, that anyone can read now."""
    counts = []
    for table in ("predictions", "per_class"):
        files = [path for path in (out / table).rglob("*") if path.is_file() and not path.name.startswith(".")]
        counts.append(sum(pq.read_metadata(path).num_rows for path in files))
    return counts[0], counts[1]
