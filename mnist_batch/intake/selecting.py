"""Which files below the sources are scans: all but those that patterns leave out and those that never are one."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache

from mnist_batch.errors import InputError
from mnist_batch.store import locations
from mnist_batch.wording import counted

# Files that desktops leave in folders that somebody opened, in lower case; macOS writes ._NAME next to NAME.
DESKTOP = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"}
REASONS = {  # why files are left out: the key in run.json and the words in the log
    "desktop": "left by desktops (.DS_Store, Thumbs.db, desktop.ini, ._*)",
    "labels": "given with --labels",
    "excluded": "matched by --exclude (a folder counts once)",
    "not_included": "matched by no --include",
}


@dataclass
class Tally:
    """How many files were left out, by ``REASONS``, and how many each pattern matched."""

    left_out: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Add the counts of another walk."""
        self.left_out += other.left_out
        self.matched += other.matched


@dataclass(frozen=True)
class Selection:
    """Which files are scans. Patterns are those of a shell (``*``, ``?``, ``[a-z]``), and ``*`` matches slashes, too.

    A pattern matches a file by its path below its source or by its name, or by those of a folder that it lies in.
    ``include`` leaves out files that match none of its patterns; ``exclude`` leaves out files that match one, and
    folders that do are not opened. ``labels`` are label files, by path or URI, which are no scans.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def takes(self, source: str, path: bytes, below: str, tally: Tally) -> bool:
        """Whether the file at ``path``, ``below`` its source, is a scan; if not, it is counted in ``tally``."""
        reason = self._reason(source, path, below, tally)
        if reason:
            tally.left_out[reason] += 1
        return reason is None

    def _reason(self, source: str, path: bytes, below: str, tally: Tally) -> str | None:
        name = below.rpartition("/")[2].lower()
        if name in DESKTOP or name.startswith("._"):
            return "desktop"
        if self.labels and self._is_label_file(source, path):
            return "labels"
        if self.exclude and (found := _matching(self.exclude, below)):
            tally.matched.update(found | _matching(self.include, below))
            return "excluded"
        if self.include:
            found = _matching(self.include, below)
            tally.matched.update(found)
            return None if found else "not_included"
        return None

    def enters(self, below: str, tally: Tally) -> bool:
        """Whether the folder ``below`` its source is opened; if not, it is counted in ``tally``."""
        found = _matching(self.exclude, below) if self.exclude else ()
        if found:
            tally.matched.update(found)
            tally.left_out["excluded"] += 1
        return not found

    def _is_label_file(self, source: str, path: bytes) -> bool:
        folder, name = os.path.split(path)
        for location, known, known_name in self._label_files:
            if name != known_name or locations.is_uri(source) != locations.is_uri(location):
                continue
            on_disk = not locations.is_uri(source)
            if folder == known or (on_disk and os.path.realpath(folder) == os.path.realpath(known)):
                return True
        return False

    @cached_property
    def _label_files(self) -> list[tuple[str, bytes, bytes]]:
        return [(location, *os.path.split(os.fsencode(locations.resolve(location)[1]))) for location in self.labels]

    def unmatched(self, tally: Tally) -> list[str]:
        """The patterns that matched nothing, each with its flag."""
        flags = [("--include", self.include), ("--exclude", self.exclude)]
        return [f"{flag} {pattern!r}" for flag, given in flags for pattern in given if not tally.matched[pattern]]


EVERYTHING = Selection()


def patterns(flag: str, given: Sequence[str]) -> tuple[str, ...]:
    """Patterns as ``Selection`` takes them: each once, without a leading ./ or a trailing /.

    Raises InputError, naming ``flag``, for a pattern that is empty then.
    """
    plain = [os.fsencode(pattern).decode("utf-8", "backslashreplace") for pattern in given]  # as tables write names
    plain = [pattern.removeprefix("./").rstrip("/") for pattern in plain]
    if not all(pattern.strip() for pattern in plain):
        raise InputError(f"{flag}: a pattern is empty; give one such as '*.png'")
    return tuple(sorted(set(plain)))


def _matching(given: tuple[str, ...], below: str) -> set[str]:
    folder, _, name = below.rpartition("/")
    found = {pattern for pattern in given if fnmatchcase(below, pattern) or fnmatchcase(name, pattern)}
    return found | _matching_above(given, folder) if folder else found


@lru_cache(1_000)  # called for every file in it
def _matching_above(given: tuple[str, ...], folder: str) -> frozenset[str]:
    return frozenset(_matching(given, folder))


def text(tally: Tally) -> str:
    """What was left out, as a sentence for the log; empty if nothing was."""
    return "; ".join(
        f"{counted(tally.left_out[reason], 'file')} {words}"
        for reason, words in REASONS.items()
        if tally.left_out[reason]
    )
