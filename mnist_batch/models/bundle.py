"""A trained model on disk: a folder with model.keras, model.onnx, model.json, history.json and history.png."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from mnist_batch import wording
from mnist_batch.errors import InputError, JobError, StorageError
from mnist_batch.schemas import bundle_facts
from mnist_batch.schemas.bundle_facts import BundleFacts
from mnist_batch.schemas.facts import CalibratedOn, as_json
from mnist_batch.store import changing, locations

MODEL_FILES = ("model.keras", "model.onnx")
SHIPPED = str(Path(__file__).parent.parent / "data/ensemble")  # comes with the package


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its location, what ``model.json`` records, and the digest of its two model files.

    ``argument`` is the flag that names the bundle in messages.
    """

    location: str
    facts: BundleFacts
    digest: str
    argument: str = "--model"

    @property
    def calibrated_on(self) -> CalibratedOn | None:
        """What the bundle was calibrated on, and whether that is the user's own; None without a calibration.

        Digits that a bundle was trained on beside the embedded MNIST are its user's, but for the bundle that ships.
        """
        if not self.facts.calibrations:
            return None
        calibration = self.facts.calibrations[0]
        trained_on_own = bool(self.facts.scans) and self.location != SHIPPED
        own = calibration.own
        absent = f" (no {wording.either(own.absent)} among them)" if own and own.absent else ""
        sets = {each.name + absent: each.digits for each in calibration.sets}
        return CalibratedOn(sets, calibration.made, own=own is not None or trained_on_own)

    def read(self, name: str) -> bytes:
        """The bytes of ``model.keras`` or ``model.onnx``; raises InputError unless they have the recorded sha256."""
        filesystem, folder = locations.resolve(self.location)
        content = locations.read(filesystem, f"{folder}/{name}")
        actual, recorded = hashlib.sha256(content).hexdigest(), self.facts.sha256[name]
        if actual != recorded:
            raise InputError(
                f"{self.argument} {self.location}: {name} has sha256 {actual[:16]}..., but model.json records "
                f"{recorded[:16]}...; the file was changed after training, so restore it or train again"
            )
        return content


def open_bundle(location: str, argument: str = "--model") -> Bundle:
    """Read ``model.json`` and verify both model files against it.

    Raises InputError, naming ``argument``, if there is no bundle at the location or one of its files was changed.
    """
    location = locations.absolute(location)
    filesystem, folder = locations.resolve(location)
    try:
        facts = bundle_facts.read(locations.read(filesystem, f"{folder}/model.json"))
        recorded = [facts.sha256[name] for name in MODEL_FILES]
    except JobError:  # of a store; it has its own message
        raise
    except OSError as error:
        raise InputError(
            f"{argument} {location}: no model bundle there ({type(error).__name__} while reading model.json); "
            "give the folder that jobs.train wrote to with --out"
        ) from None
    except KeyError as error:
        raise InputError(f"{argument} {location}: model.json has no digest of {error}; train again") from None
    except ValueError as error:
        raise InputError(
            f"{argument} {location}: model.json cannot be used: {error}; restore it, or train again with this version"
        ) from None
    bundle = Bundle(location, facts, hashlib.sha256("".join(recorded).encode()).hexdigest()[:16], argument)
    for name in MODEL_FILES:
        try:
            bundle.read(name)
        except StorageError:
            raise
        except OSError:
            raise InputError(f"{argument} {location}: {name} is missing; restore it or train again") from None
    return bundle


def describe(folder: Path, facts: BundleFacts) -> None:
    """Write ``model.json`` next to the two model files in ``folder``: ``facts``, with the sha256 of these files."""
    sha256 = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in MODEL_FILES}
    (folder / "model.json").write_bytes(as_json(replace(facts, sha256=sha256)))


def check_new(location: str, argument: str) -> None:
    """Raise InputError, naming ``argument``, if anything is at the location but an empty folder, or none can be."""
    filesystem, target = locations.resolve(location)
    if not locations.exists(filesystem, target):
        changing.check_place(argument, location)
        return
    if locations.is_folder(filesystem, target) and not locations.names(filesystem, target):
        return
    raise InputError(f"{argument} {location}: something is there already; give a new folder")


def check_free(location: str) -> None:
    """Raise InputError if publishing to the location would replace something that is not a bundle, or is impossible."""
    filesystem, target = locations.resolve(location)
    if not locations.exists(filesystem, target):
        changing.check_place("--out", location)
        return
    if locations.exists(filesystem, f"{target}/model.json"):
        return
    if locations.is_folder(filesystem, target) and not locations.names(filesystem, target):
        return
    raise InputError(f"--out {location}: something that is not a model bundle is there; give a new folder")


def publish(folder: Path, location: str) -> Bundle:
    """Copy a finished local bundle to its location, where it appears whole or not at all.

    A bundle that is already there is replaced by two renames. If the job is killed between them, the old bundle lies
    next to the location as ``.<name>.*.old``. Raises InputError if anything else is there.
    """
    check_free(location)
    filesystem, target = locations.resolve(location)
    parent, _, name = target.rpartition("/")
    token = secrets.token_hex(4)
    arriving, leaving = f"{parent}/.{name}.{token}.new", f"{parent}/.{name}.{token}.old"
    for file in sorted(folder.iterdir()):
        changing.write_whole(filesystem, f"{arriving}/{file.name}", file.read_bytes())
    changing.move_folder(filesystem, target, leaving)
    changing.move_folder(filesystem, arriving, target)
    changing.delete_folder(filesystem, leaving)
    return open_bundle(location)
