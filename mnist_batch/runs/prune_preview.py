"""What a call of ``pruning.prune`` would remove, thing by thing, with the files and bytes of each; nothing is done."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pyarrow import fs

from mnist_batch.runs import series
from mnist_batch.runs.pruning import Pruned
from mnist_batch.runs.run import LOCK
from mnist_batch.store import locations
from mnist_batch.wording import counted

_OF_RUN = re.compile(r"(?:[^/]+/run_date=[^/]+/run_id=|runs/|_staging/)([^/.][^/]*)|_staging/\.([^/]+)\.discarding")
_LOCK = re.compile(rf"_staging/[^/.][^/]*{re.escape(LOCK)}")


class Size(NamedTuple):
    """How many files, and their bytes."""

    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')}, {counted(self.bytes, 'byte')}"


@dataclass(frozen=True)
class Preview:
    """What would be ``withdrawn`` and ``deleted``: of each run its folders, with their sizes; and ``cleared``.

    ``locked`` are the runs with a lock, and who has it or had it when he was killed: what is at work is left alone.
    """

    withdrawn: Mapping[str, Mapping[str, Size]]
    deleted: Mapping[str, Mapping[str, Size]]
    cleared: Mapping[str, Size]
    locked: Mapping[str, str]

    @property
    def sums(self) -> dict[str, Size]:
        """The size of all that would be withdrawn, deleted and cleared."""
        return {
            "withdrawn": _sum(size for folders in self.withdrawn.values() for size in folders.values()),
            "deleted": _sum(size for folders in self.deleted.values() for size in folders.values()),
            "cleared": _sum(self.cleared.values()),
        }


def preview(out: str, pruned: Pruned) -> Preview:
    """What a call of ``prune`` would remove that returned ``pruned`` with ``dry_run``; the output is listed once."""
    out = locations.absolute(out)
    sizes = _sizes(out)
    of_run: dict[str, dict[str, Size]] = defaultdict(dict)
    for path, size in sizes.items():
        if match := _OF_RUN.fullmatch(path):
            of_run[match[1] or match[2]][_location(out, path)] = size
    by_location = {_location(out, path): size for path, size in sizes.items()}
    locked = [path.removesuffix(LOCK).rpartition("/")[2] for path in sizes if _LOCK.fullmatch(path)]
    return Preview(
        {run_id: of_run[run_id] for run_id in pruned.withdrawn},
        {run_id: of_run[run_id] for run_id in pruned.deleted},
        {location: by_location.get(location, Size()) for location in pruned.cleared},
        {run_id: holder for run_id in locked if (holder := series.holder(out, run_id))},
    )


def _sizes(out: str) -> dict[str, Size]:
    """The size of each file of an output, and of each folder that has files, by their paths below it, in order."""
    filesystem, root = locations.resolve(out)
    sizes: dict[str, Size] = defaultdict(Size)
    for entry in locations.entries(filesystem, root, recursive=True):
        if entry.type == fs.FileType.File:
            path = entry.path.removeprefix(f"{root}/")
            for end in (*(slash.start() for slash in re.finditer("/", path)), len(path)):
                sizes[path[:end]] = _sum([sizes[path[:end]], Size(1, entry.size)])
    return dict(sorted(sizes.items()))


def _sum(sizes: Iterable[Size]) -> Size:
    counts = list(sizes)
    return Size(sum(size.files for size in counts), sum(size.bytes for size in counts))


def _location(out: str, path: str) -> str:
    return locations.named(out, f"{locations.resolve(out)[1]}/{path}")


def text(preview: Preview, grace_hours: float) -> str:
    """The preview as text: each thing that would be removed, a line each, then the sums."""
    lines = []
    for what, runs in (("withdrawn", preview.withdrawn), ("deleted", preview.deleted)):
        for run_id, folders in runs.items():
            lines.append(f"would be {what}: {run_id}")
            lines += [f"  {location}: {size}" for location, size in folders.items()]
    lines += [f"would be cleared: {location}: {size}" for location, size in preview.cleared.items()]
    for run_id, holder in preview.locked.items():
        lines.append(f"would be left alone while {holder} is at work on it: {run_id}")
    sums = preview.sums
    later = f", deleted by the first call after {grace_hours:g} hours" if preview.withdrawn else ""
    return "\n".join(
        [
            *lines,
            f"to be withdrawn: {counted(len(preview.withdrawn), 'run')}, {sums['withdrawn']}{later}",
            f"to be deleted: {counted(len(preview.deleted), 'run')}, {sums['deleted']}",
            f"to be cleared: {counted(len(preview.cleared), 'leftover')}, {sums['cleared']}",
        ]
    )
