"""Pictures for the report of a run with forms: fields where they lie on their pages, and small pages of no form."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mnist_batch.errors import InputError, StorageError
from mnist_batch.reports import crops
from mnist_batch.reports.reviewing import Item, Key
from mnist_batch.schemas.facts import Published
from mnist_batch.store import retry

SECONDS = 30.0  # to read the pages again
STORE_SECONDS = 5.0  # to wait for a store that does not answer
SIDES = (360, 240, 120)  # pixels of the longer side of a picture
MOST_BYTES = 20_000  # of a picture: 84 of them are 2.2 MB as text of the page

Row = dict[str, Any]


def shown(published: Published, *galleries: pa.Table) -> list[list[Row]]:
    """The rows of each gallery, ``tables.EXAMPLES``, with what is seen in their place: ``shown``, a JPEG, or None.

    Their scans are read again, within ``SECONDS``; ``why_not`` says why a picture is missing.
    """
    rows = [row for gallery in galleries for row in gallery.to_pylist()]
    seen = _seen(published, list({item.key: item for item in map(_item, rows)}.values()))
    pictures = iter([row | {"why_not": None, "shown": None} | seen[_item(row).key] for row in rows])
    return [[next(pictures) for _ in range(len(gallery))] for gallery in galleries]


def _item(row: Mapping[str, Any]) -> Item:
    where = {name: row[name] for name in ("source", "scan", "page", "content", "form", "field")}
    return Item(**where, rank=b"", cells=tuple(map(tuple, row["cells"] or ())))


def _seen(published: Published, items: Sequence[Item]) -> dict[Key, Row]:
    began = time.monotonic()
    found: dict[Key, Row] = {item.key: {"why_not": "there was no time left to read it again"} for item in items}
    try:
        with retry.patience(STORE_SECONDS):
            for item, crop in crops.of_items(published, items):
                if isinstance(crop, str):
                    found[item.key] = {"why_not": crop}
                else:
                    found[item.key] = {"shown": crops.jpeg(crop, SIDES, MOST_BYTES)}
                if time.monotonic() - began > SECONDS:
                    break
    except (InputError, StorageError):  # the store is gone: the report does without the pictures that are left
        return {
            key: said if "shown" in said else {"why_not": "its store does not answer"} for key, said in found.items()
        }
    return found
