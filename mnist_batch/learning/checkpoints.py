"""What a training stores while it runs, so that one that was killed goes on to the same weights."""

import hashlib
import json
import logging
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import fs

from mnist_batch import versions
from mnist_batch.learning.recipe import Recipe
from mnist_batch.models.ladder import Model, Optimizer
from mnist_batch.schemas.bundle_facts import DatasetFacts
from mnist_batch.store import locations

log = logging.getLogger(__name__)

RUN = "run"  # the name of Ray Train's run; its folder belongs to one training


def fingerprint(recipe: Recipe, nets: Sequence[str], facts: DatasetFacts) -> str:
    """16 hex digits of all that decides the weights; a killed training goes on only if nothing of it has changed."""
    identity = [asdict(recipe), nets, asdict(facts), versions.versions()]
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()


def set_damaged_aside(filesystem: fs.FileSystem, storage: str) -> None:
    """Rename the storage of a killed training if it is damaged, and log whether it goes on or begins anew.

    Ray writes its snapshot in place: a kill may leave half of one, and every later run would fail on it.
    """
    snapshot = f"{storage}/{RUN}/checkpoint_manager_snapshot.json"
    if not locations.exists(filesystem, snapshot):
        return
    epochs_done = 0
    try:
        state = json.loads(locations.read(filesystem, snapshot))
        for kept in state["checkpoint_results"]:
            checkpoint = f"{storage}/{RUN}/{kept['checkpoint_dir_name']}"
            epochs_done = len(json.loads(locations.read(filesystem, f"{checkpoint}/history.json")))
            with np.load(BytesIO(locations.read(filesystem, f"{checkpoint}/state.npz"))) as arrays:
                for name in arrays:
                    arrays[name]
        log.info("this training was begun before: it goes on after epoch %d", epochs_done)
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        aside = f"{storage}.damaged-{time.time_ns()}"
        log.warning("what a killed training left is damaged (%s): moved to %s, beginning anew", error, aside)
        filesystem.move(storage, aside)


def save(folder: Path, model: Model, optimizer: Optimizer, history: list[dict[str, Any]]) -> None:
    """Write the state after an epoch into a folder."""
    variables = [*model.variables, *optimizer.variables]
    np.savez(folder / "state.npz", *(variable.numpy() for variable in variables))
    (folder / "history.json").write_text(json.dumps(history))


def resume(model: Model, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Set model and optimizer to the last epoch stored and return the history up to it; empty if none is."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as folder, np.load(Path(folder) / "state.npz") as state:
        for variable, saved in zip([*model.variables, *optimizer.variables], state.values(), strict=True):
            variable.assign(saved)
        return read_history(Path(folder))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The history that ``save`` wrote: a dict of metrics for each epoch."""
    history: list[dict[str, Any]] = json.loads((folder / "history.json").read_text())
    return history


def save_weights(folder: Path, model: Model) -> None:
    """Write the weights alone into a folder, for ``read_weights``."""
    np.savez(folder / "weights.npz", *(weight.numpy() for weight in model.weights))


def read_weights(folder: Path) -> list[NDArray[Any]]:
    """The weights that ``save_weights`` wrote, in the order of ``model.weights``."""
    with np.load(folder / "weights.npz") as saved:
        return [saved[name] for name in saved.files]
