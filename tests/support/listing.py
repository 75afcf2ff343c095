"""Files that are listed and never opened."""

from pathlib import Path

import pyarrow as pa


def touch(folder: Path, *names: str) -> None:
    """Write files of one byte below a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(listed: pa.Table) -> list[str]:
    """The scans that are listed."""
    return listed["scan"].to_pylist()
