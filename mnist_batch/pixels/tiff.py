"""Read the directories of a TIFF or BigTIFF file, which describe its pages. Nothing is decoded here."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO

from mnist_batch.errors import Unreadable
from mnist_batch.statuses import Status
from mnist_batch.wording import counted

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
STRIPS, ORIENTATION, SAMPLES, ROWS_A_STRIP, STRIP_SIZES = 273, 274, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, PREDICTOR, COLOURS = 282, 283, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, SUB_DIRECTORIES, EXTRA, FORMAT, OLD_JPEG = (
    *range(322, 326),
    330,
    338,
    339,
    513,
)

Changes = dict[int, tuple[int, bytes] | None]  # new values by tag, as (type, bytes); None removes the tag

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "1B", 3: "1H", 4: "1I", 5: "2I", 13: "1I", 16: "1Q", 18: "1Q"}  # integers, and fractions as two integers
_SHAPES_A_PAGE = (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325)
_SHAPES_A_PAGE += (332, 338, 339, 347, *range(512, 522), *range(529, 533))
# By byte order, + for BigTIFF: the number of entries, an offset, an entry.
_FORMS = {
    order + plus: tuple(struct.Struct(order + form) for form in forms)
    for order in "<>"
    for plus, forms in {"": ("H", "I", "HHI4s"), "+": ("Q", "Q", "HHQ8s")}.items()
}
_MOST_DIRECTORIES = 10_000


@dataclass(slots=True)
class Directory:
    """One directory of ``data``: its entries by tag, as (tag, type, count, the value or its offset)."""

    data: bytes
    order: str
    big: bool
    offset: int
    entries: Mapping[int, tuple[int, int, int, bytes]]

    def raw(self, tag: int) -> bytes:
        """The bytes of a tag's value; empty if the tag is missing or its value lies outside the file."""
        _, kind, count, field = self.entries.get(tag, (0, 0, 0, b""))
        size = _WIDTHS.get(kind, 0) * count
        if size <= len(field):
            return field[:size]
        (at,) = struct.unpack(self.order + ("Q" if self.big else "I"), field)
        return self.data[at : at + size] if at + size <= len(self.data) else b""

    def numbers(self, tag: int) -> tuple[int, ...]:
        """A tag's value as integers; a fraction is two of them."""
        kind, raw = self.entries.get(tag, (0, 0, 0, b""))[1], self.raw(tag)
        if kind not in _LETTERS:
            return ()
        return struct.unpack(
            f"{self.order}{len(raw) // _WIDTHS[kind] * int(_LETTERS[kind][0])}{_LETTERS[kind][1]}", raw
        )

    def first(self, tag: int, default: int = 0) -> int:
        """The first number of a tag's value."""
        entry = self.entries.get(tag)
        if entry is None:
            return default
        _, kind, count, field = entry
        if count == 1 and kind in (3, 4):
            return int.from_bytes(field[: 2 * kind - 4], "little" if self.order == "<" else "big")
        return next(iter(self.numbers(tag)), default)

    @property
    def is_page(self) -> bool:
        """Whether it describes a page, not a smaller copy or a mask of one."""
        return not self.first(SUBFILE) & 0b101 and self.first(OLD_SUBFILE) != 2 and self.first(PHOTOMETRIC) != 4

    @property
    def density(self) -> tuple[float, float]:
        """Pixels per unit across and down, as stored; (0, 0) if not given."""
        if X_RESOLUTION not in self.entries:
            return 0, 0
        across, down = (
            numbers[0] / numbers[1] if len(numbers) == 2 and numbers[1] else 0.0
            for numbers in (self.numbers(X_RESOLUTION), self.numbers(Y_RESOLUTION))
        )
        return across, down


def pages(data: bytes, most: int) -> tuple[list[Directory], Unreadable | None]:
    """The directories of a file's pages, in order, and the fault that broke the chain after them, if any.

    Smaller copies and masks are left out, and pages beyond ``most``. Raises Unreadable (``undecodable``) if there is
    no page.
    """
    directories: list[Directory] = []
    copies: list[Directory] = []
    fault = None
    try:
        for directory in _chain(data):
            (directories if directory.is_page else copies).append(directory)
            if len(directories) > most:
                raise Unreadable(Status.TOO_LARGE, f"more than {counted(most, 'page')}: split the file")
    except Unreadable as error:
        fault = error
    if not directories and copies:
        if SUB_DIRECTORIES in copies[0].entries:
            raise Unreadable(
                Status.UNDECODABLE, "a camera's raw image, or a TIFF with nothing but a preview in its chain"
            )
        directories = copies[:1]  # the only page is marked as a copy
    if not directories:
        raise fault or Unreadable(Status.UNDECODABLE, "a TIFF without a page")
    return directories[:most], fault


def _chain(data: bytes) -> Iterator[Directory]:
    order, big = "<" if data[:1] == b"I" else ">", b"+" in data[2:4]
    count_form, next_form, entry_form = _FORMS[order + "+" * big]
    seen = set[int]()
    try:
        (at,) = next_form.unpack_from(data, next_form.size)
        while at:
            if at in seen:
                raise Unreadable(Status.UNDECODABLE, "corrupt TIFF: its directories run in a circle")
            seen.add(at)
            if len(seen) > _MOST_DIRECTORIES:
                raise Unreadable(Status.TOO_LARGE, f"more than {_MOST_DIRECTORIES:,} directories")
            (count,) = count_form.unpack_from(data, at)
            start = at + count_form.size
            end = start + count * entry_form.size
            if end > len(data):
                raise struct.error
            table = entry_form.iter_unpack(data[start:end])
            if count:
                yield Directory(data, order, big, at, {entry[0]: entry for entry in table})
            (at,) = next_form.unpack_from(data, end)
    except (struct.error, OverflowError):
        raise Unreadable(Status.UNDECODABLE, f"truncated TIFF, after {len(seen)} directories") from None


class Pointer:
    """A file whose header is set to one page after another, so that a decoder sees only that page.

    Pages are never copied: reading one costs the same however long the file is.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.file = BytesIO(data)  # shares the bytes until the first write

    def at(self, page: Directory) -> memoryview:
        """The file with its header set to a page as stored. Release it before asking for the next page."""
        offset = _FORMS[page.order + "+" * page.big][1]
        if offset.unpack_from(self.data, offset.size) == (page.offset,):
            return memoryview(self.data)
        self._write(0, self.data[: offset.size] + offset.pack(page.offset))
        return self.file.getbuffer()

    def at_changed(self, page: Directory, changes: Changes) -> BytesIO:
        """The file with its header set to a new description of a page: a classic TIFF without orientation."""
        kept: Changes = {tag: _classic(page, tag) for tag in page.entries if tag in _SHAPES_A_PAGE}
        entries = sorted((tag, *value) for tag, value in {**kept, **changes}.items() if value is not None)
        at = len(self.data) + len(self.data) % 2
        after = at + 2 + 12 * len(entries) + 4
        table, values = struct.pack(page.order + "H", len(entries)), b""
        for tag, kind, raw in entries:
            place = raw.ljust(4, b"\0")
            if len(raw) > 4:
                place = struct.pack(page.order + "I", after + len(values))
                values += raw + bytes(len(raw) % 2)
            table += struct.pack(page.order + "HHI", tag, kind, len(raw) // _WIDTHS[kind]) + place
        magic = b"II*\0" if page.order == "<" else b"MM\0*"
        self._write(0, magic + struct.pack(page.order + "I", at))
        self._write(at, table + bytes(4) + values)
        self.file.truncate()
        return self.file

    def _write(self, at: int, content: bytes) -> None:
        self.file.seek(at)
        self.file.write(content)


def _classic(page: Directory, tag: int) -> tuple[int, bytes] | None:
    kind, raw = page.entries[tag][1], page.raw(tag)
    if kind in (16, 18):  # BigTIFF's 64-bit integers; no supported file is that large
        numbers = page.numbers(tag)
        if max(numbers, default=0) >= 2**32:
            raise Unreadable(Status.UNDECODABLE, "truncated TIFF: a part of the page lies behind its end")
        return 4, struct.pack(f"{page.order}{len(numbers)}I", *numbers)
    return (kind, raw) if kind in _WIDTHS and raw else None
