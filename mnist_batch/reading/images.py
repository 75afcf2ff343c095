"""From a file to its grey pages. No Ray in here.

The order for one scan is ``read_scan`` -> ``pages``, then ``normalising.examine`` for each; whatever cannot be read
raises ``Unreadable`` with one of the statuses in ``MEANINGS``.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial

from mnist_batch.errors import Unreadable as Unreadable
from mnist_batch.pixels import decoding, pnm, signatures, tiff_pages
from mnist_batch.pixels.decoding import Grey as Grey
from mnist_batch.pixels.decoding import encode as encode
from mnist_batch.pixels.opencv import MAX_PIXELS as MAX_PIXELS
from mnist_batch.statuses import Status
from mnist_batch.store import locations, retry
from mnist_batch.wording import counted

MAX_BYTES = 64 * 1024 * 1024
MAX_PAGES = 1000


def read_scan(
    source: str, path: bytes, size: int | None = None, modified_ns: int | None = None, max_bytes: int = MAX_BYTES
) -> bytes:
    """The bytes of one listed scan; only regular files are read, and no link below the source is followed.

    ``path`` is the manifest's: inside the file system of ``source``. Where ``size`` and ``modified_ns`` are given,
    they are what was listed. Raises Unreadable (``missing``, ``changed``, ``not_a_file``, ``empty``, ``too_large``),
    and InputError and StorageError where a store does not answer: that says nothing of the scan.
    """
    read = _read_remote if locations.is_uri(source) else _read_local
    data, *found = read(source, path, max_bytes + 1)
    for what, now, listed in zip(("size", "time of change"), found, (size, modified_ns), strict=True):
        if None not in (now, listed) and now != listed:
            raise Unreadable(Status.CHANGED, f"{what} was {listed} when listed, now {now}")
    if not data:
        raise Unreadable(Status.EMPTY, "0 bytes")
    if len(data) > max_bytes:
        raise Unreadable(Status.TOO_LARGE, f"more than {counted(max_bytes, 'byte')}")
    return data


Found = tuple[bytes, int | None, int | None]  # content, size, modified_ns


def _read_local(source: str, path: bytes, most: int) -> Found:
    folder, _, name = path.rpartition(b"/")
    try:
        above = _open_folder(source, folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Unreadable(Status.NOT_A_FILE, "in a folder that became a link, which is not followed") from None
        raise Unreadable(Status.MISSING, error.strerror or str(error)) from None
    try:
        _need_regular(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        # O_NONBLOCK: if it was swapped for a pipe since, opening it would wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        raise Unreadable(Status.MISSING, error.strerror or str(error)) from None
    try:
        status = os.fstat(descriptor)
        _need_regular(status.st_mode)
        size = status.st_size
        data = os.read(descriptor, min(size + 1, most))
        while len(data) not in (size, most) and (more := os.read(descriptor, most - len(data))):
            data += more
        return data, size, status.st_mtime_ns
    except OSError as error:
        raise Unreadable(Status.MISSING, f"could not be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _need_regular(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise Unreadable(Status.NOT_A_FILE, "a folder that could not be listed")
    kind = "symbolic link" if stat.S_ISLNK(mode) else "pipe, socket or device"
    raise Unreadable(Status.NOT_A_FILE, f"a {kind}, which is not followed or opened")


_last_folder: tuple[str, bytes, int] = ("", b"", -1)


def _open_folder(source: str, folder: bytes) -> int:
    # Step by step from the source, which may be a link; nothing below it may. Scans come folder by folder.
    global _last_folder
    if _last_folder[:2] == (source, folder):
        return _last_folder[2]
    top = source.rstrip("/").encode()
    if not top or not (folder + b"/").startswith(top + b"/"):
        top = folder  # a scan named by its full path, or a source that is not UTF-8
    kind = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(top or b"/", kind)
    for part in folder[len(top) :].split(b"/")[1:]:
        try:
            below = os.open(part, kind | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    if _last_folder[2] >= 0:
        os.close(_last_folder[2])
    _last_folder = (source, folder, descriptor)
    return descriptor


def _read_remote(source: str, path: bytes, most: int) -> Found:
    filesystem, _ = locations.resolve(source)
    try:
        data = locations.read(filesystem, path.decode(), most)
    except FileNotFoundError as error:
        raise Unreadable(Status.MISSING, error.strerror or str(error)) from None
    except retry.Denied as error:
        raise Unreadable(Status.MISSING, f"could not be read: {error}") from None
    return data, len(data) if len(data) < most else None, None


def content_digest(data: bytes) -> bytes:
    """BLAKE2b-128 of a file's bytes, as ``predictions.content`` has it."""
    return hashlib.blake2b(data, digest_size=16).digest()


def pages(data: bytes, max_pixels: int = MAX_PIXELS) -> list[Callable[[], Grey]]:
    """What reads each page of an image file, in order; called, it gives the page or raises Unreadable.

    A TIFF or PNM may have several, of which each is read or not by itself; one more where there is something
    wrong after them, which says what. Pages are upright, with square pixels; transparency is laid over paper,
    16 bits become 8. Raises Unreadable (``not_an_image``, ``undecodable``, ``too_large``) where there is no page.
    """
    kind, fault = signatures.kind_of(data), None
    reads: list[Callable[[], Grey]]
    if kind == "TIFF":
        reads, fault = tiff_pages.readers(data, MAX_PAGES, max_pixels)
    elif kind == "PNM":
        found, fault = pnm.images(data, MAX_PAGES)
        reads = [partial(decoding.pnm, image, maximum, max_pixels) for image, maximum in found]
    else:
        reads = [partial(decoding.picture, kind, data, max_pixels)]
    if len(reads) == 1 and fault is None:
        return reads
    named: list[Callable[[], Grey]] = [partial(_page, number, read) for number, read in enumerate(reads, 1)]
    return named if fault is None else [*named, partial(_refuse, fault)]


def _page(number: int, read: Callable[[], Grey]) -> Grey:
    try:
        return read()
    except Unreadable as error:
        raise Unreadable(error.status, f"page {number}: {error.reason}") from None


def _refuse(error: Unreadable) -> Grey:
    raise error


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Grey]:
    """The pages of an image file as grey uint8 arrays, one at a time.

    Raises Unreadable as ``pages`` does, and at the first page that cannot be read.
    """
    for read in pages(data, max_pixels):
        yield read()
