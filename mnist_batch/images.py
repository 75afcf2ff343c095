"""From a file to its grey pages. No Ray in here.

The order for one scan is ``read_scan`` -> ``decode``, then ``normalising.normalise``; whatever cannot be read
raises ``Unreadable`` with one of the statuses in ``tables.STATUSES``.
"""

import errno
import hashlib
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

# OpenCV reads its limit when it is imported. 40 million pixels are more than an A4 page at 600 dpi.
MAX_PIXELS = int(os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "40000000"))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a corrupt scan is a row with a reason, not a log line

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_batch import locations

MAX_BYTES = 64 * 1024 * 1024
MAX_PAGES = 1000

cv2.setNumThreads(1)  # an actor is one CPU; OpenCV would otherwise take them all

Grey = NDArray[np.uint8]


class Unreadable(Exception):
    """A scan that cannot be scored: ``status`` is one of ``tables.STATUSES``, ``reason`` says what was wrong."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


def read_scan(
    source: str, path: bytes, size: int | None = None, modified_ns: int | None = None, max_bytes: int = MAX_BYTES
) -> bytes:
    """The bytes of one listed scan; only regular files are read, and no link below the source is followed.

    ``path`` is the manifest's: inside the file system of ``source``. Where ``size`` and ``modified_ns`` are given,
    they are what was listed. Raises Unreadable (``missing``, ``changed``, ``not_a_file``, ``empty``, ``too_large``).
    """
    read = _read_remote if locations.is_uri(source) else _read_local
    data, *found = read(source, path, max_bytes + 1)
    for what, now, listed in zip(("size", "time of change"), found, (size, modified_ns), strict=True):
        if None not in (now, listed) and now != listed:
            raise Unreadable("changed", f"{what} was {listed} when listed, now {now}")
    if not data:
        raise Unreadable("empty", "0 bytes")
    if len(data) > max_bytes:
        raise Unreadable("too_large", f"more than {max_bytes:,} bytes")
    return data


Found = tuple[bytes, int | None, int | None]  # content, size, modified_ns


def _read_local(source: str, path: bytes, most: int) -> Found:
    folder, _, name = path.rpartition(b"/")
    try:
        above = _open_folder(source, folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Unreadable("not_a_file", "in a folder that became a link, which is not followed") from None
        raise Unreadable("missing", error.strerror or str(error)) from None
    try:
        _need_regular(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        # O_NONBLOCK: if it was swapped for a pipe since, opening it would wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        raise Unreadable("missing", error.strerror or str(error)) from None
    try:
        status = os.fstat(descriptor)
        _need_regular(status.st_mode)
        size = status.st_size
        data = os.read(descriptor, min(size + 1, most))
        while len(data) not in (size, most) and (more := os.read(descriptor, most - len(data))):
            data += more
        return data, size, status.st_mtime_ns
    except OSError as error:
        raise Unreadable("missing", f"could not be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _need_regular(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise Unreadable("not_a_file", "a folder that could not be listed")
    kind = "symbolic link" if stat.S_ISLNK(mode) else "pipe, socket or device"
    raise Unreadable("not_a_file", f"a {kind}, which is not followed or opened")


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
        with filesystem.open_input_stream(path.decode(), compression=None) as stream:
            return bytes(stream.read(most)), None, None
    except OSError as error:
        raise Unreadable("missing", f"could not be read: {error}") from None


def content_digest(data: bytes) -> bytes:
    """BLAKE2b-128 of a file's bytes, as ``predictions.content`` has it."""
    return hashlib.blake2b(data, digest_size=16).digest()


def encode(picture: Grey, suffix: str = ".png") -> bytes:
    """A grey picture as the bytes of an image file of this kind."""
    return bytes(cv2.imencode(suffix, picture)[1])


def decode(data: bytes) -> Iterator[Grey]:
    """The pages of an image file as grey uint8 arrays, one at a time: one, or as many as a TIFF has.

    EXIF orientation is applied, transparency is laid over white paper, 16 bits become 8. Raises
    Unreadable (``not_an_image``, ``undecodable``, ``too_large``), also where only some pages can be decoded.
    """
    kind = _signature(data)
    buffer = np.frombuffer(data, np.uint8)
    try:
        if kind == "TIFF":
            for number in range(_tiff_pages(data)):
                decoded, pages = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(number, number + 1))
                if not decoded or len(pages) != 1:
                    raise Unreadable("undecodable", f"truncated or corrupt TIFF, at page {number + 1}")
                yield _grey(pages[0])
            return
        page = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise Unreadable("too_large", f"more than {MAX_PIXELS:,} pixels a page") from None
        raise Unreadable("undecodable", f"corrupt {kind}: {error.err}") from None
    if page is None:
        raise Unreadable("undecodable", f"truncated or corrupt {kind}")
    if _may_be_transparent(kind, data):
        page = _with_alpha(data)
    yield _grey(page, _pnm_maximum(data) if kind == "PNM" else 65535)


def _tiff_pages(data: bytes) -> int:
    # OpenCV ends at a page it cannot reach and says nothing; the chain of directories says how many there are.
    order = "<" if data[:1] == b"I" else ">"
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + "I", data, 4)
        while at:
            if at in seen:
                raise Unreadable("undecodable", "corrupt TIFF: its directories run in a circle")
            seen.add(at)
            if len(seen) > MAX_PAGES:
                raise Unreadable("too_large", f"more than {MAX_PAGES:,} pages")
            (entries,) = struct.unpack_from(order + "H", data, at)
            (at,) = struct.unpack_from(order + "I", data, at + 2 + 12 * entries)
    except struct.error:
        raise Unreadable("undecodable", f"truncated TIFF, after {len(seen)} directories") from None
    if not seen:
        raise Unreadable("undecodable", "a TIFF without a page")
    return len(seen)


def _pnm_maximum(data: bytes) -> int:
    # The sample that means white stands in the header: 255, 4095, 65535...
    header = re.match(rb"P[2356](?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+(\d+)", data[:4096])
    return int(header[1]) if header else 65535


_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
)


def _signature(data: bytes) -> str:
    # Only these reach a decoder: a file's name says nothing, and OpenCV knows formats with open flaws.
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PNM"
    raise Unreadable("not_an_image", f"starts with {data[:8]!r}, which is no supported image format")


def _may_be_transparent(kind: str, data: bytes) -> bool:
    if kind == "PNG":
        colour, bits = data[25:26], data[24:25]
        has_clear_entry = b"tRNS" in data[: data.find(b"IDAT")] and bits != b"\x10"  # 16 bits: Pillow clips them
        return colour in (b"\x04", b"\x06") or has_clear_entry
    return kind == "WebP" and data[12:16] in (b"VP8X", b"VP8L")


def _with_alpha(data: bytes) -> NDArray[np.uint8]:
    # OpenCV either keeps the alpha channel or turns by EXIF orientation, not both; Pillow does both.
    try:
        with Image.open(BytesIO(data), formats=("PNG", "WEBP")) as image:
            rgba = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError) as error:
        raise Unreadable("undecodable", f"corrupt transparent image: {error}") from None
    return rgba[:, :, [2, 1, 0, 3]]


def _grey(page: NDArray[Any], maximum: int = 65535) -> Grey:
    if page.dtype == np.uint16:
        page = (page >> 8 if maximum == 65535 else np.minimum(page.astype(np.uint32) * 255 // maximum, 255)).astype(
            np.uint8
        )
    if page.dtype != np.uint8:
        raise Unreadable("undecodable", f"samples of type {page.dtype}; only 1, 8 and 16 bit integers are read")
    if page.ndim == 3 and page.shape[2] == 4:
        alpha = page[:, :, 3:].astype(np.uint16)
        page = ((page[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if page.ndim == 3:
        page = cv2.cvtColor(page, cv2.COLOR_BGR2GRAY)
    return np.ascontiguousarray(page, np.uint8)
