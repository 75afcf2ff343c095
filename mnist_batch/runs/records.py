"""Read the facts of a run; a damaged file is reported with its name and a remedy."""

from pyarrow import fs

from mnist_batch.errors import DamagedRun, InputError
from mnist_batch.schemas import facts
from mnist_batch.store import locations


def read(filesystem: fs.FileSystem, path: str, kind: type[facts.Facts], remedy: str) -> facts.Facts | None:
    """Read the facts in a file; None if there is no file.

    Raises DamagedRun, with the ``remedy``, if they are damaged, and InputError if an older version wrote them and this
    one cannot read them.
    """
    if (content := locations.read_if_there(filesystem, path)) is None:
        return None
    try:
        return facts.from_json(kind, content)
    except facts.OlderFormat as error:
        raise InputError(f"{path}: {error}; {remedy}") from None
    except ValueError as error:  # no JSON, no UTF-8, or not what was written
        raise DamagedRun(f"{path} is damaged ({error}); {remedy}") from None
