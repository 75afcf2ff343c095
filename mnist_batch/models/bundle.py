"""A trained model on disk: a folder with model.keras, model.onnx, model.json, history.json and history.png."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_batch.errors import InputError, JobError, StorageError
from mnist_batch.store import locations

MODEL_FILES = ("model.keras", "model.onnx")
FORMAT = 1
SHIPPED = str(Path(__file__).parent.parent / "data/ensemble")  # the bundle that comes with the package


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its location, what ``model.json`` says, and the digest of its two models.

    ``argument`` is the flag that named it, for messages.
    """

    location: str
    info: Mapping[str, Any]
    digest: str
    argument: str = "--model"

    def read(self, name: str) -> bytes:
        """The bytes of ``model.keras`` or ``model.onnx``; InputError where they are not the ones recorded."""
        filesystem, folder = locations.resolve(self.location)
        content = locations.read(filesystem, f"{folder}/{name}")
        found, recorded = hashlib.sha256(content).hexdigest(), self.info["sha256"][name]
        if found != recorded:
            raise InputError(
                f"{self.argument} {self.location}: {name} has sha256 {found[:16]}..., model.json records "
                f"{recorded[:16]}...; it was changed after training, so train again or restore it"
            )
        return content


def open_bundle(location: str, argument: str = "--model") -> Bundle:
    """Read ``model.json`` and verify both model files against it.

    Raises InputError, naming ``argument``, where the location holds no bundle or a file of it was changed.
    """
    location = locations.absolute(location)
    filesystem, folder = locations.resolve(location)
    try:
        info = json.loads(locations.read(filesystem, f"{folder}/model.json"))
        recorded = [str(info["sha256"][name]) for name in MODEL_FILES]
        str(info["architecture"]), float(info["test"]["accuracy"])
    except JobError:  # what a store says
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{argument} {location}: no model bundle there ({type(error).__name__} reading model.json); "
            "give the folder that jobs.train wrote with --out"
        ) from None
    if info.get("format") != FORMAT:
        raise InputError(f"{argument} {location}: bundle format {info.get('format')!r}; this version reads {FORMAT}")
    bundle = Bundle(location, info, hashlib.sha256("".join(recorded).encode()).hexdigest()[:16], argument)
    for name in MODEL_FILES:
        try:
            bundle.read(name)
        except StorageError:
            raise
        except OSError:
            raise InputError(f"{argument} {location}: {name} is missing; train again or restore it") from None
    return bundle


def describe(folder: Path, info: Mapping[str, Any]) -> None:
    """Write ``model.json`` beside the two model files in ``folder``, with their sha256."""
    sha256 = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in MODEL_FILES}
    whole = {"format": FORMAT, **info, "sha256": sha256}
    (folder / "model.json").write_text(json.dumps(whole, indent=2) + "\n")


def check_free(location: str) -> None:
    """Raise InputError where something other than a bundle is at the location, which publishing would replace."""
    filesystem, target = locations.resolve(location)
    if not locations.exists(filesystem, target) or locations.exists(filesystem, f"{target}/model.json"):
        return
    if locations.is_folder(filesystem, target) and not locations.names(filesystem, target):
        return
    raise InputError(f"--out {location}: there is something else than a model bundle; name a new folder")


def publish(folder: Path, location: str) -> Bundle:
    """Copy a finished local bundle to its location, where it appears whole or not at all.

    A bundle that is there already is replaced by two renames: killed between them, it is beside the location
    as ``.<name>.*.old``. InputError where anything else is there.
    """
    check_free(location)
    filesystem, target = locations.resolve(location)
    parent, _, name = target.rpartition("/")
    token = secrets.token_hex(4)
    arriving, leaving = f"{parent}/.{name}.{token}.new", f"{parent}/.{name}.{token}.old"
    for file in sorted(folder.iterdir()):
        locations.write_whole(filesystem, f"{arriving}/{file.name}", file.read_bytes())
    locations.move_folder(filesystem, target, leaving)
    locations.move_folder(filesystem, arriving, target)
    locations.delete_folder(filesystem, leaving)
    return open_bundle(location)
