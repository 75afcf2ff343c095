"""The current model of an output: the bundle that its runs follow where no --model is given."""

import getpass
import json
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

from mnist_batch.errors import DamagedRun, InputError, StorageError
from mnist_batch.models import bundle, vetting
from mnist_batch.runs.run import now
from mnist_batch.schemas import facts
from mnist_batch.store import changing, locations, locks

FILE = "current.json"
FORMAT = 1


@dataclass(frozen=True)
class Promoted:
    """A bundle that was made the current one: its location, digest and architecture; when, and by which user."""

    location: str
    digest: str
    architecture: str
    at: str
    by: str | None


@dataclass(frozen=True)
class Promotions:
    """``current.json``: the bundles that were promoted, the current one last, and those that ``--back`` took away."""

    promoted: tuple[Promoted, ...] = ()
    undone: tuple[Promoted, ...] = ()
    format: int = FORMAT

    @property
    def current(self) -> Promoted | None:
        """The bundle that runs follow; None if that is the one in this package."""
        return self.promoted[-1] if self.promoted else None


def read(out: str) -> Promotions:
    """What was promoted in an output; raises DamagedRun if ``current.json`` cannot be read."""
    filesystem, root = locations.resolve(out)
    if (content := locations.read_if_there(filesystem, f"{root}/{FILE}")) is None:
        return Promotions()
    try:
        found = facts.validated(Promotions, json.loads(content))
        if found.format != FORMAT:
            raise ValueError(f"it has format {found.format}, and this version reads {FORMAT}")
    except ValueError as error:
        raise DamagedRun(f"{root}/{FILE}: {error}; restore it from a backup, or give --model") from None
    return found


def promote(out: str, location: str) -> Promotions:
    """Make a bundle the current one of an output; nothing is written if it is that already.

    Raises InputError if there is no bundle, or the output cannot be written.
    """
    locations.reach("BUNDLE", location)
    opened = bundle.open_bundle(location, "BUNDLE")
    vetting.vet(opened)
    by = None
    with suppress(OSError, KeyError):  # a user without a name
        by = getpass.getuser()
    with _locked(out):
        known = read(out)
        if known.current and (known.current.location, known.current.digest) == (opened.location, opened.digest):
            return known
        promoted = Promoted(opened.location, opened.digest, opened.facts.architecture, now(), by)
        return _write(out, replace(known, promoted=(*known.promoted, promoted)))


def back(out: str) -> Promotions:
    """Undo the last promotion; raises InputError if nothing is promoted in the output."""
    with _locked(out):
        known = read(out)
        if not known.current:
            raise InputError(f"--back: no model is promoted in {locations.absolute(out)}; there is nothing to undo")
        return _write(out, replace(known, promoted=known.promoted[:-1], undone=(*known.undone, known.current)))


def check(found: bundle.Bundle, promoted: Promoted) -> None:
    """Raise InputError if the bundle at a promoted location is another one than was promoted."""
    if found.digest != promoted.digest:
        raise InputError(
            f"the model at {promoted.location} is {found.digest}, and {promoted.digest} was promoted; restore it, "
            "promote this one (jobs.promote), or give --model"
        )


def _locked(out: str) -> AbstractContextManager[None]:
    root = locations.resolve(out)[1]
    return locks.locked(out, f"{root}/_staging/{FILE}.lock", f"{FILE} of {out}")


def _write(out: str, promotions: Promotions) -> Promotions:
    filesystem, root = locations.resolve(out)
    try:
        changing.write_whole(filesystem, f"{root}/{FILE}", facts.as_json(promotions))
    except StorageError as error:
        raise InputError(f"--out {out}: cannot be written to ({error.__cause__})") from None
    return promotions
