"""From the file of a scan to its grey pages. No Ray in here.

The order for one scan is ``read_scan`` -> ``pages``, then ``normalising.examine`` for each page. A scan or page that
cannot be read raises ``Unreadable`` with one of the statuses in ``MEANINGS``.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO

from PIL import Image

from mnist_batch.errors import Unreadable as Unreadable
from mnist_batch.pixels import colours, image_file, signatures
from mnist_batch.pixels.decoding import Grey as Grey
from mnist_batch.pixels.decoding import encode as encode
from mnist_batch.pixels.opencv import MAX_PIXELS as MAX_PIXELS
from mnist_batch.statuses import Status
from mnist_batch.store import clients, locations, retry
from mnist_batch.wording import counted

MAX_BYTES = 64 * 1024 * 1024
PAGED = ("PDF", "TIFF")  # the formats of files with pages, which may have more bytes
PAGED_TIMES = 8  # as many
MOST_PAGED_BYTES = 512 * 1024**2  # a file is held in memory, a TIFF twice, and a reading process has 2 GiB
HEAD_BYTES = 4096  # of a file, to tell its format
MAX_PAGES = 1000


def read_scan(
    source: str, path: bytes, size: int | None = None, modified_ns: int | None = None, max_bytes: int = MAX_BYTES
) -> bytes:
    """The bytes of one listed scan. Only regular files are read, and no link below the source is followed.

    ``path`` is the manifest's, inside the file system of ``source``. ``size`` and ``modified_ns``, if given, are those
    that were listed. A PDF or TIFF may have ``paged_bytes``. Raises Unreadable (``missing``, ``changed``,
    ``not_a_file``, ``empty``, ``too_large``). Raises InputError or StorageError if a store does not answer, which says
    nothing about the scan.
    """
    large = size is not None and size > max_bytes
    data, size_now, modified_now = _read(source, path, size, HEAD_BYTES if large else max_bytes + 1)
    if (large or len(data) > max_bytes) and _is_paged(data):
        max_bytes, large = paged_bytes(max_bytes), False
        data, size_now, modified_now = _read(source, path, size, max_bytes + 1)
    for what, now, listed in (("size", size_now, size), ("modification time", modified_now, modified_ns)):
        if None not in (now, listed) and now != listed:
            raise Unreadable(Status.CHANGED, f"{what} was {listed} when listed and is {now} now")
    if not data:
        raise Unreadable(Status.EMPTY, "0 bytes")
    if large or len(data) > max_bytes:
        raise Unreadable(Status.TOO_LARGE, f"more than {counted(max_bytes, 'byte')}")
    return data


def paged_bytes(max_bytes: int) -> int:
    """How many bytes a PDF or TIFF may have where a file of one picture may have ``max_bytes``."""
    return max(max_bytes, min(PAGED_TIMES * max_bytes, MOST_PAGED_BYTES))


def _is_paged(data: bytes) -> bool:
    try:
        return signatures.kind_of(data[:HEAD_BYTES]) in PAGED
    except Unreadable:
        return False


Content = tuple[bytes, int | None, int | None]  # bytes, size, modified_ns


def _read(source: str, path: bytes, size: int | None, most: int) -> Content:
    if locations.is_uri(source):
        return _read_remote(source, path, most if size is None else min(size + 1, most))
    return _read_local(source, path, most)


def _read_local(source: str, path: bytes, most: int) -> Content:
    folder, _, name = path.rpartition(b"/")
    above = _folder(source, folder)
    try:
        try:
            mode = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
        except FileNotFoundError:  # in the folder that was kept; another may have taken its place
            above = _folder(source, folder, anew=True)
            mode = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
        _need_regular(mode)
        # O_NONBLOCK: if the file was replaced by a pipe since, opening it would wait for a writer.
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
    if stat.S_ISLNK(mode):
        raise Unreadable(Status.NOT_A_FILE, "a symbolic link, which is not followed")
    raise Unreadable(Status.NOT_A_FILE, "a pipe, socket or device, which is not opened")


def _folder(source: str, folder: bytes, anew: bool = False) -> int:
    try:
        return _open_folder(source, folder, anew)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Unreadable(Status.NOT_A_FILE, "its folder became a link, which is not followed") from None
        raise Unreadable(Status.MISSING, error.strerror or str(error)) from None


_last_folder: tuple[str, bytes, int] = ("", b"", -1)


def _open_folder(source: str, folder: bytes, anew: bool) -> int:
    # One folder at a time from the source: the source may be a link, but no folder below it may be. Scans come folder
    # by folder, so the last descriptor is kept.
    global _last_folder
    if _last_folder[:2] == (source, folder) and not anew:
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


def _read_remote(source: str, path: bytes, most: int) -> Content:
    try:
        if source.startswith("s3:"):
            data, size = clients.read_first(source, path.decode(), most)
        else:
            data, size = locations.read_first(locations.resolve(source)[0], path.decode(), most)
    except FileNotFoundError as error:
        raise Unreadable(Status.MISSING, error.strerror or str(error)) from None
    except retry.Denied as error:
        raise Unreadable(Status.MISSING, f"could not be read: {error}") from None
    return data, size, None


def content_digest(data: bytes) -> bytes:
    """BLAKE2b-128 of a file's bytes, as ``predictions.content`` has it."""
    return hashlib.blake2b(data, digest_size=16).digest()


def check_share(data: bytes, pages: int, max_bytes: int) -> None:
    """Raise Unreadable (``too_large``) if a file has more than ``max_bytes`` for each of so many pages."""
    if len(data) > max_bytes * pages:
        raise Unreadable(Status.TOO_LARGE, f"more than {counted(max_bytes, 'byte')} a page")


def pages(data: bytes, max_pixels: int = MAX_PIXELS) -> list[Callable[[], Grey]]:
    """A function for each page of an image file, in order, which returns the page or raises Unreadable.

    A PDF, TIFF or PNM may have several pages, and one that cannot be read does not affect the others. If the file is
    wrong after its last page, one more function raises what is wrong. Pages are upright, with square pixels;
    transparency is laid over paper, 16 bits become 8. Raises Unreadable (``not_an_image``, ``undecodable``,
    ``too_large``) if the file has no page.
    """
    reads, fault = image_file.readers(data, MAX_PAGES, max_pixels)
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

    Raises Unreadable like ``pages``, and at the first page that cannot be read.
    """
    for read in pages(data, max_pixels):
        yield read()


def shown(page: Grey, side: int) -> bytes:
    """A page as PNG for people to see, with all its inks, reduced until neither side has more than ``side`` pixels."""
    picture, content = Image.fromarray(colours.whole(page)), BytesIO()
    picture.thumbnail((side, side))
    picture.save(content, "PNG")
    return content.getvalue()
