"""What is for review as tasks of Label Studio, with what was read as predictions."""

import base64
import json
from typing import Any

from mnist_batch.errors import InputError
from mnist_batch.reports import crops
from mnist_batch.reports.crops import Crop
from mnist_batch.reports.reviewing import Chosen, Item
from mnist_batch.schemas.facts import Published
from mnist_batch.store import changing, locations

FLAG = "--to-label-studio"
SIDES = (crops.LONGEST, 600, 400, 200)
MOST_BYTES = 90_000  # an export as CSV has the picture in a column, and readers of CSV have limits: Python's is 131,072


def check(location: str) -> None:
    """Raise InputError if there is something at the location, or no file can be."""
    if locations.exists(*locations.resolve(location)):
        raise InputError(f"{FLAG} {location}: something is there already; give a new file")
    changing.check_place(FLAG, location)


def write(published: Published, chosen: Chosen, location: str) -> tuple[int, dict[str, str]]:
    """Write the tasks as JSON; returns how many there are, and why the scans of others cannot be shown.

    Raises InputError like ``check``, and InputError or StorageError if a store does not answer.
    """
    check(location)
    tasks, not_shown = {}, {}
    for item, crop in crops.of_items(published, chosen.items):
        if isinstance(crop, str):
            not_shown[item.scan] = crop
        else:
            tasks[item.key] = _task(published, item, crop)
    in_order = [tasks[item.key] for item in chosen.items if item.key in tasks]
    filesystem, path = locations.resolve(location)
    changing.write_whole(filesystem, path, json.dumps(in_order, indent=1).encode() + b"\n")
    return len(in_order), not_shown


def _task(published: Published, item: Item, crop: Crop) -> dict[str, Any]:
    """A task; the columns of a label file are among its data, so that they are among those of an export as CSV."""
    picture = base64.b64encode(crops.jpeg(crop, SIDES, MOST_BYTES)).decode()
    of_field = {} if item.field is None else {"field": item.field}
    data = {"image": f"data:image/jpeg;base64,{picture}", "scan": item.scan, "page": item.page, **of_field}
    data |= {"source": item.source, "group": item.group}
    if item.suggestion is None:
        return {"data": data}
    score = {"score": item.readings[0][1]} if item.readings else {}
    prediction = {"model_version": published.model.digest, **score, "result": [_result(item)]}
    return {"data": data, "predictions": [prediction]}


def _result(item: Item) -> dict[str, Any]:
    if item.field is None:
        return {
            "from_name": "label",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": [item.suggestion]},
        }
    return {"from_name": "value", "to_name": "image", "type": "textarea", "value": {"text": [item.suggestion]}}
