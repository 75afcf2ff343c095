"""A folder for people who review a run: pages that open in any browser without a server, with pictures of what to read.

items -> their scans, read again -> crops -> for each person a page, review.html, and the pictures that it shows
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mnist_batch.errors import InputError
from mnist_batch.intake import user_tables
from mnist_batch.reading import images
from mnist_batch.reports import crops, plots
from mnist_batch.reports.crops import Crop
from mnist_batch.reports.reviewing import Chosen, Item, Key
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Published
from mnist_batch.store import locations

PAGE, PICTURES = "review.html", "pictures"
MOST_PEOPLE = 20


@dataclass(frozen=True)
class Pack:
    """What was written: the page of each person, and how many items it has; why scans could not be shown, by scan."""

    pages: tuple[Path, ...]
    sizes: tuple[int, ...]
    not_shown: dict[str, str]


def check(folder: str, people: int, overlap: int) -> Path:
    """The folder to write; raises InputError unless it is new or empty, and the numbers are possible."""
    if locations.is_uri(folder):
        raise InputError(f"--to {folder!r}: the pages are written to a disk; give a path")
    if not 1 <= people <= MOST_PEOPLE:
        raise InputError(f"--people is {people}; it has to be a number from 1 to {MOST_PEOPLE}")
    if overlap < 0 or (overlap and people == 1):
        raise InputError(f"--overlap is {overlap}; it has to be how many items each of several --people decides, or 0")
    path = Path(locations.absolute(folder))
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"--to {path}: something is there already; give a new folder")
    return path


def write(run: Run, published: Published, chosen: Chosen, folder: str, people: int = 1, overlap: int = 0) -> Pack:
    """Write the folder, whole or not at all; with several people it has a folder for each, ``person-1`` and so on.

    ``overlap`` items are decided by all of them, each of the others by one. Raises InputError like ``check``, if the
    folder cannot be written, and if a store does not answer.
    """
    target = check(folder, people, overlap)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    shares = split(chosen.items, people, overlap)
    places = [PAGE] if people == 1 else [f"person-{number}/{PAGE}" for number in range(1, people + 1)]
    try:
        shown, not_shown = _write_pictures(published, chosen.items, [temporary / place for place in places], shares)
        for number, (place, share) in enumerate(zip(places, shares, strict=True), 1):
            said = {
                "run": run.run_id,
                "person": number if people > 1 else None,
                "items": [shown[item.key] for item in share if item.key in shown],
            }
            page = plots.review_page(
                run=published, pack=said, waiting=chosen.waiting, unread=chosen.unread, gone=not_shown
            )
            (temporary / place).write_text(page, "utf-8", "backslashreplace")
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise InputError(f"--to {target}: cannot be written ({error.strerror}); give another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sizes = tuple(sum(item.key in shown for item in share) for share in shares)
    return Pack(tuple(target / place for place in places), sizes, not_shown)


def split(items: Sequence[Item], people: int, overlap: int) -> list[list[Item]]:
    """The items of each person, in their order: the first ``overlap`` of a random order go to all, the rest to one."""
    place = {item.key: number - overlap for number, item in enumerate(sorted(items, key=lambda item: item.rank))}
    return [
        [item for item in items if place[item.key] < 0 or place[item.key] % people == person]
        for person in range(people)
    ]


def _write_pictures(
    published: Published, items: Sequence[Item], pages: Sequence[Path], shares: Sequence[Sequence[Item]]
) -> tuple[dict[Key, dict[str, Any]], dict[str, str]]:
    """Write the picture of each item beside the pages of those who decide it.

    Returns what the pages have to know of the items that can be shown, and why the scans of others cannot.
    """
    for page in pages:
        (page.parent / PICTURES).mkdir(parents=True)
    shown: dict[Key, dict[str, Any]] = {}
    not_shown: dict[str, str] = {}
    keys = [{item.key for item in share} for share in shares]
    for number, (item, crop) in enumerate(crops.of_items(published, items), 1):
        if isinstance(crop, str):
            not_shown[item.scan] = crop
            continue
        name = f"{PICTURES}/{number:05d}.png"
        content = images.encode(crop.picture)
        for page, own in zip(pages, keys, strict=True):
            if item.key in own:
                (page.parent / name).write_bytes(content)
        shown[item.key] = _said(item, crop, name)
    return shown, not_shown


def _said(item: Item, crop: Crop, picture: str) -> dict[str, Any]:
    """What a page has to know of an item."""
    scan = user_tables.without_formulas(pa.array([item.scan], pa.string()))[0].as_py()
    columns = {"scan": scan, "page": item.page} | ({} if item.field is None else {"field": item.field})
    return {
        "id": hashlib.blake2b(json.dumps(item.key).encode(), digest_size=8).hexdigest(),
        "group": item.group,
        "picture": picture,
        "height": crop.picture.shape[0],
        "width": crop.picture.shape[1],
        "boxes": crop.boxes,
        "readings": item.readings,
        "suggestion": item.suggestion,
        "note": item.note,
        "digits": item.digits,
        "drawn": item.drawn,
        "name": f"{item.scan}, page {item.page + 1}" if item.page else item.scan,
        "row": columns | {"source": item.source},
    }
