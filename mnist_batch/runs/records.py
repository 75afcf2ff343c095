"""What a run says of itself in JSON: read whole, or told as damaged; a file is named with what to do about it."""

import json
from collections.abc import Mapping
from typing import Any

from pyarrow import fs

from mnist_batch.errors import DamagedRun
from mnist_batch.store import locations

# What has to be there, and of which type.
RUN: Mapping[str, type] = {"fingerprint": str, "run_date": str, "listing": str, "files": list, "totals": dict}
OPENED: Mapping[str, type] = {"fingerprint": str, "run_date": str, "listing": str, "scans": int, "shards": list}
REFUSED: Mapping[str, type] = {"rows": int, "unreadable": int}


def read(filesystem: fs.FileSystem, path: str, needed: Mapping[str, type], remedy: str) -> Mapping[str, Any] | None:
    """The object in a file; None where there is no file. DamagedRun, with the ``remedy``, where it is not whole."""
    if (content := locations.read_if_there(filesystem, path)) is None:
        return None
    try:
        said = json.loads(content)
    except ValueError as error:  # no JSON, or no UTF-8
        raise DamagedRun(f"{path} is damaged ({error}); {remedy}") from None
    wrong = [
        name for name, kind in needed.items() if not isinstance(said, dict) or not isinstance(said.get(name), kind)
    ]
    if wrong:
        raise DamagedRun(f"{path} is damaged (it does not say {', '.join(wrong)}); {remedy}")
    return dict(said)
