"""Find the listed scan that a name means: a path below its source, a full path, or a path that ``find`` printed."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection

from mnist_batch.errors import InputError
from mnist_batch.intake import scans, user_tables
from mnist_batch.store import locations

Key = tuple[str, str]  # source, scan


class ScanNames:
    """The listed scans by every name that a user may give them.

    A name is a scan's path below its source, or that path with the source before it or the end of the source, from
    a folder's name on: ``a.png`` of ``/data/day`` is also ``day/a.png``, ``data/day/a.png`` and ``/data/day/a.png``.
    ``./a.png`` and ``b\\c.png`` are understood, too, if no scan has that very name, and so is what ``jobs.export``
    wrote for a name that a spreadsheet would run as a formula.
    """

    def __init__(self, listed: Collection[Key]) -> None:
        self.sources: dict[str, list[str]] = defaultdict(list)
        for source, scan in listed:
            self.sources[scan].append(source)
        # What may come before the name of a scan, and of which sources.
        self.below: dict[str, set[str]] = defaultdict(set)
        for source in {source for source, _ in listed}:
            root = source.rstrip("/")
            self.below[root].add(source)
            for at in [match.end() for match in re.finditer("/+", root)]:
                self.below[root[at:]].add(source)
        self.from_above: tuple[str, str] | None = None  # the first name that began with the end of a source, and where
        self.either: tuple[str, str] | None = None  # the first name that could be read both ways, and where

    def has(self, source: object, scan: str) -> bool:
        """Whether a scan with exactly this source and name is listed."""
        return source is not None and source in self.sources.get(scan, ())

    def scan_of(self, where: str, name: str, source: object = None) -> Key | None:
        """The scan that ``name`` means; None if no listed scan has that name.

        ``source`` tells scans of the same name apart; if it is a location, no scan of another one is meant. ``where``
        begins messages. Raises InputError where the name may be that of several.
        """
        meant = user_tables.as_meant(name)
        for form in (name, meant):
            if self.has(source, form):
                return str(source), form
        for form in dict.fromkeys(below(source, form) for form in (name, meant, _cleaned(meant))):
            own = {(source, form) for source in self.sources.get(form, ())}
            longer = self._longer(form)
            if found := own or longer:
                if len(found) > 1:
                    raise InputError(f"{where}: several sources have a scan {name!r}; give its full path")
                if own and longer - own:
                    self.either = self.either or (where, name)
                if not own and not locations.is_uri(form) and not form.startswith("/"):
                    self.from_above = self.from_above or (where, name)
                return found.pop()
        return None

    def check(self) -> None:
        """Raise InputError if one name begins with the name of its source and another may or may not."""
        if self.either and self.from_above:
            (where, name), (_, other) = self.either, self.from_above
            raise InputError(
                f"{where}: {name!r} may be a path below its source, or begin with the source's own name as {other!r} "
                "does; give full paths"
            )

    def _longer(self, form: str) -> set[Key]:
        found = set()
        for match in re.finditer("/", form):
            before, scan = form[: match.start()], form[match.end() :]
            if before in self.below:
                found |= {(source, scan) for source in self.sources.get(scan, ()) if source in self.below[before]}
        return found

    def example(self, name: str) -> str:
        """A listed scan to show in a message about a name that is not listed: a similar one, if there is any."""
        last = posixpath.basename(_cleaned(name))
        alike = (scan for scan in self.sources if posixpath.basename(scan) == last)
        return next(alike, None) or next(iter(self.sources), "")


def below(source: object, name: str) -> str:
    """The name of a scan with its source before it, if that is a location; to users a source may be something else."""
    text = str(source or "").strip()
    if not scans.rooted(text) or scans.rooted(name):
        return name
    return f"{(locations.absolute(text) if text.startswith('file://') else text).rstrip('/')}/{name}"


def _cleaned(name: str) -> str:
    name = name.strip()
    if locations.is_uri(name):
        return locations.absolute(name) if name.startswith("file://") else name
    return posixpath.normpath(name.replace("\\", "/"))
