"""Open forms: read and check form.json and the pictures of its pages, from directories on a disk or at a store."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import InputError, Unreadable
from mnist_batch.forms.form import FILE, Form, FormPage, parse
from mnist_batch.pixels import colours, image_file
from mnist_batch.pixels.opencv import MAX_PIXELS
from mnist_batch.statuses import Status
from mnist_batch.store import locations
from mnist_batch.wording import counted

MAX_BYTES = 64 * 1024 * 1024  # of a picture
MAX_JSON_BYTES = 16 * 1024 * 1024

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class OpenForm:
    """A form whose files were read: uint8 (H, W) of each page, paper light, and a digest of all files in hex."""

    form: Form
    digest: str
    location: str
    pictures: tuple[Grey, ...]


def open_form(location: str, flag: str = "--form") -> OpenForm:
    """Read the form in a directory, which may be a URI. Raises InputError, naming the flag and the file."""
    location = locations.absolute(location)
    said = _inside(location, FILE)
    files = [_read(said, flag, MAX_JSON_BYTES)]
    form = parse(files[0], f"{flag} {said}")
    pictures = []
    for number, page in enumerate(form.pages):
        file = _inside(location, page.image)
        files.append(_read(file, flag, MAX_BYTES))
        pictures.append(_picture(files[-1], page, f"{flag} {file}", f"pages[{number}] of {FILE}"))
    return OpenForm(form, _digest(files), location, tuple(pictures))


def open_forms(folders: Sequence[str], flag: str = "--form") -> list[OpenForm]:
    """Read the forms in these directories; each is of a form, or holds directories of forms. All may be URIs.

    Raises InputError like ``open_form``, and if two forms have the same name and version.
    """
    forms = [open_form(each, flag) for folder in folders for each in _forms_of(folder, flag)]
    found: dict[tuple[str, str | None], str] = {}
    for each in forms:
        key = (each.form.name, each.form.version)
        if key in found:
            version = f"version {each.form.version!r}" if each.form.version else "no version"
            raise InputError(
                f"{flag}: {found[key]} and {each.location} both have the name {each.form.name!r} and {version}; "
                "leave one of them out, or give them different versions"
            )
        found[key] = each.location
    return forms


def _forms_of(location: str, flag: str) -> list[str]:
    location = locations.absolute(location)
    filesystem, folder = locations.resolve(location)
    if not locations.exists(filesystem, folder):
        raise InputError(f"{flag} {location}: there is nothing; {locations.what_to_check(location)}")
    if not locations.is_folder(filesystem, folder):
        raise InputError(f"{flag} {location}: expected the directory of a form, got a file; give its directory")
    if locations.exists(filesystem, f"{folder}/{FILE}"):
        return [location]
    below = [
        locations.named(location, entry.path)
        for entry in locations.entries(filesystem, folder)
        if not entry.is_file and not entry.base_name.startswith(".")
    ]
    if not below:
        raise InputError(
            f"{flag} {location}: expected {FILE}, or directories of forms, got neither; give the directory of a form, "
            "or one that holds directories of forms"
        )
    return below


def _inside(location: str, name: str) -> str:
    return locations.named(location, f"{locations.resolve(location)[1]}/{name}")


def _read(file: str, flag: str, most: int) -> bytes:
    filesystem, path = locations.resolve(file)
    if not locations.exists(filesystem, path):
        raise InputError(f"{flag} {file}: there is no such file; a form has {FILE} and a picture of each of its pages")
    if not locations.info(filesystem, path).is_file:
        raise InputError(f"{flag} {file}: expected a file, got a directory, pipe or device; put the file there")
    content = locations.read(filesystem, path, most + 1)
    if len(content) > most:
        raise InputError(f"{flag} {file}: expected at most {counted(most, 'byte')}, got more; make the file smaller")
    return content


def _picture(content: bytes, page: FormPage, where: str, place: str) -> Grey:
    try:
        picture = _only_page(content)
    except Unreadable as error:
        raise InputError(f"{where}: the picture of {place} cannot be read: {error.reason}") from None
    height, width = picture.shape[:2]
    if (width, height) != (page.width, page.height):
        raise InputError(
            f"{where}: the picture has {width:,} x {height:,} pixels, upright and with square pixels, but {place} says "
            f"{page.width:,} x {page.height:,}; restore the picture that the cells were drawn on, or make both agree"
        )
    return colours.whole(picture)


def _only_page(content: bytes) -> Grey:
    """The page of a picture file; raises Unreadable if it cannot be read or the file has several."""
    readers, fault = image_file.readers(content, 2, MAX_PIXELS)
    if len(readers) > 1:
        raise Unreadable(Status.TOO_LARGE, "the file has several pages; save each page as a picture of its own")
    if fault is not None:
        raise fault
    return readers[0]()


def _digest(files: Sequence[bytes]) -> str:
    """BLAKE2b-128 in hex of several files, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for content in files:
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()
