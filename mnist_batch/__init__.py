"""Nightly batch recognition of handwritten digits on a Ray cluster."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from pyarrow.dataset import Dataset

# Scans may be personal, so nothing is reported: not to the makers of Ray, and not to those of ONNX Runtime, which reads
# its variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("mnist-batch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read_predictions(
    out: str,
    table: str = "predictions",
    run: "str | Sequence[str] | None" = None,
    as_of: "datetime.datetime | str | None" = None,
) -> "Dataset":
    """The rows of a table of published runs below ``out``, a path or URI, as a pyarrow dataset.

    It has the files that each run.json lists and no others, so it never shows part of a run, at a store either.
    ``table`` is predictions or any other that docs/tables.md describes. ``run`` is one run id, several, or None for all
    runs. ``as_of`` is a time with its zone: only what was published by then and is still there. Columns that an older
    version did not write are null. Raises ``mnist_batch.errors.InputError`` if an argument is wrong, and DamagedRun if
    a run.json cannot be read.
    """
    from mnist_batch.runs import datasets

    return datasets.read(out, table, run, as_of)
