"""Whatever lies in a folder ends as a row with the status that docs/inputs.md tells, and moves no neighbour."""

import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from PIL import Image

from mnist_batch import scoring, statuses
from mnist_batch.intake import listing
from mnist_batch.reading import images, preprocessing
from tests.support import ROOT, formats
from tests.support.pictures import BITS, COLOUR, GREY, SIXTEEN, encoded, heic, png_header
from tests.support.ruler import picture_of, write_scan
from tests.support.running import ONE_EACH, opened, predictions

PNG, JPEG = encoded(GREY, "PNG"), encoded(GREY, "JPEG")
PAGE = (ROOT / "docs/inputs.md").read_text()


def bomb() -> bytes:
    """A PNG of 100 megapixels in about 12 kB."""
    data = encoded(Image.new("1", (10_000, 10_000)), "PNG", optimize=True)
    assert len(data) < 20_000
    return data


def clear() -> Image.Image:
    image = COLOUR.convert("RGBA")
    image.putalpha(GREY)
    return image


def in_tiff(compression: str | None = None, **options: bool) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, np.asarray(GREY), photometric="minisblack", compression=compression, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return encoded(GREY, "JPEG", exif=exif)


CONTENTS: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "zero bytes": ("zero.png", b"", "empty"),
    "text with an image's name": ("text.png", b"this is no image", "not_an_image"),
    "GIF": ("a.gif", encoded(GREY.convert("P"), "GIF"), "ok"),
    "HEIC of a phone": ("a.heic", heic(COLOUR), "ok"),
    "AVIF": ("a.avif", encoded(COLOUR, "AVIF"), "ok"),
    "JPEG 2000": ("a.jp2", encoded(GREY, "JPEG2000"), "ok"),
    "PDF": ("a.pdf", encoded(GREY, "PDF"), "ok"),
    "PDF with a password": ("locked.pdf", formats.content("PDF with a password"), "undecodable"),
    "PDF that ends early": ("cut.pdf", formats.content("PDF that ends early"), "undecodable"),
    "PDF that only Adobe's programs show (XFA)": ("xfa.pdf", formats.content("PDF of XFA"), "undecodable"),
    "ZIP archive, Office document": ("a.zip", b"PK\x03\x04", "not_an_image"),
    "web page": ("a.html", b"<!DOCTYPE html><html>", "not_an_image"),
    "JPEG XL, PSD and other pictures that are not read": ("a.jxl", b"\xff\x0a\xfa\x1f", "undecodable"),
    "TIFF in a compression that is not read": ("jp2.tif", lambda: in_tiff("jpeg2000"), "undecodable"),
    "TIFF in Zstandard": ("zstd.tif", lambda: in_tiff("zstd"), "ok"),
    "BigTIFF": ("big.tif", lambda: in_tiff(bigtiff=True), "ok"),
    "PGM whose white is 7": ("seven.pgm", b"P5 30 40 7\n" + (np.asarray(GREY) >> 5).tobytes(), "ok"),
    "PNG cut after its header": ("header.png", PNG[:33], "undecodable"),
    "PNG cut in its data": ("half.png", PNG[: len(PNG) // 2], "undecodable"),
    "PNG 20 bytes short": ("short.png", PNG[:-20], "undecodable"),
    "PNG with a wrong checksum": ("crc.png", PNG[:50] + bytes([PNG[50] ^ 1]) + PNG[51:], "undecodable"),
    "JPEG without its end": ("end.jpg", JPEG[:-200], "undecodable"),
    "TIFF whose directory lies outside the file": ("offset.tif", b"II*\0\xff\xff\xff\x7f", "undecodable"),
    "TIFF whose directories run in a circle": ("circle.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "undecodable"),
    "PNG that says 30,000 x 30,000": ("claims.png", lambda: png_header(30_000, 30_000), "too_large"),
    "12 kB that unpack to 100 megapixels": ("bomb.png", bomb, "too_large"),
    "more bytes than `--max-bytes`": ("large.png", lambda: PNG + bytes(images.MAX_BYTES), "too_large"),
    "16-bit PNG": ("sixteen.png", encoded(SIXTEEN, "PNG"), "ok"),
    "palette PNG": ("palette.png", encoded(COLOUR.quantize(8), "PNG"), "ok"),
    "PNG with transparency, laid over white paper": ("clear.png", encoded(clear(), "PNG"), "ok"),
    "CMYK JPEG": ("cmyk.jpg", encoded(COLOUR.convert("CMYK"), "JPEG"), "ok"),
    "1-bit PNG": ("bits.png", encoded(BITS, "PNG"), "ok"),
    "JPEG turned by EXIF": ("turned.jpg", rotated(), "ok"),
    "1 x 1": ("one.png", encoded(Image.new("L", (1, 1)), "PNG"), "blank"),
    "1 x 5000": ("thin.png", encoded(Image.new("L", (1, 5_000)), "PNG"), "blank"),
    "wrong extension": ("really-a.bmp", PNG, "ok"),
    "no extension": ("scan", PNG, "ok"),
    "hidden file": (".hidden", PNG, "ok"),
    "name with a newline, percent signs and markup": ("a\n%2e%s<b>.png", PNG, "ok"),
    "name of 255 bytes": ("n" * 251 + ".png", PNG, "ok"),
}
PAGES = "TIFF of 3 pages"
NOT_UTF8 = "name that is not UTF-8, shown with \\\\xNN"
SPECIAL = {
    "symbolic link to itself": ("loop", "not_a_file"),
    "symbolic link to nothing": ("dangling", "not_a_file"),
    "symbolic link out of the source": ("escape.png", "not_a_file"),
    "symbolic link to a folder": ("folder", "not_a_file"),
    "pipe": ("pipe", "not_a_file"),
    "socket": ("socket", "not_a_file"),
    "device": ("device", "not_a_file"),
    "hard link": ("hard.png", "ok"),
}


@pytest.fixture
def strange(tmp_path: Path) -> Iterator[Path]:
    """A folder with one of everything, beside a file that nothing in it may lead to."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(PNG)
    for name, content, _ in CONTENTS.values():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content())
    (folder / "pages.tif").write_bytes(encoded(GREY, "TIFF", save_all=True, append_images=[BITS.copy(), COLOUR]))
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(PNG)
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "escape.png").symlink_to(tmp_path / "outside.png")
    (folder / "folder").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    if os.geteuid() == 0:
        os.mknod(folder / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, without end
    else:
        os.mkfifo(folder / "device")
    os.link(folder / "scan", folder / "hard.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # the names of sockets may not be long
        listener.bind("socket")
        os.chdir(here)
        yield folder


def expected() -> dict[str, str]:
    rows = {name: status for name, _, status in CONTENTS.values()} | dict(SPECIAL.values())
    return rows | {"caf\\xe9.png": "ok"}


@pytest.mark.usefixtures("shared_ray")
def test_everything_strange_is_a_row_and_its_neighbours_are_as_in_a_clean_run(
    strange: Path, ruler: str, tmp_path: Path
) -> None:
    for number in range(20):
        write_scan(tmp_path / "clean" / f"{number}.png", number % 10)
        write_scan(strange / "neighbours" / f"{number}.png", number % 10)
    clean = opened([tmp_path / "clean"], ruler, tmp_path / "out", labels="none", shard_size=7)
    scoring.score(clean, ONE_EACH)
    run = opened([strange], ruler, tmp_path / "out", labels="none", shard_size=7)
    facts = scoring.score(run, replace(ONE_EACH, max_unreadable=1))
    rows = predictions(run).to_pylist()
    found = {row["scan"]: row["status"] for row in rows if "/" not in row["scan"] and row["scan"] != "pages.tif"}
    assert found == expected()
    assert [(row["page"], row["status"]) for row in rows if row["scan"] == "pages.tif"] == [
        (0, "ok"),
        (1, "ok"),
        (2, "ok"),
    ]
    assert facts.scans == len(found) + 1 + 20
    assert all((row["reason"] is None) == (row["status"] == "ok") for row in rows)
    told = ["digit", "confidence", "probabilities", "content"]
    neighbours = predictions(run).filter(pa.compute.starts_with(predictions(run)["scan"], "neighbours/"))
    assert neighbours.select(told).equals(predictions(clean).select(told))


def test_the_page_tells_all_of_it() -> None:
    told = dict(re.findall(r"^\| (.+?) \| `(\w+)` \|$", PAGE, re.MULTILINE))
    documented = {what: status for what, (_, _, status) in CONTENTS.items()}
    documented |= {what: status for what, (_, status) in SPECIAL.items()} | {PAGES: "ok", NOT_UTF8: "ok"}
    assert {what: told.get(what) for what in documented} == documented
    assert set(told.values()) == set(statuses.MEANINGS)


def test_nothing_outside_the_source_is_opened(strange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = listing.list_scans([str(strange)])
    (strange / "late").mkdir()
    write_scan(strange / "late/1.png", 1)
    write_scan(tmp_path / "elsewhere/1.png", 2)
    both = pa.concat_tables([listed, listing.list_scans([str(strange)]).slice(0)])
    (strange / "late/1.png").unlink()
    (strange / "late").rmdir()
    (strange / "late").symlink_to(tmp_path / "elsewhere")  # swapped between listing and reading
    opened_files: list[str] = []
    open_it = os.open

    def watched(path: object, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        descriptor = open_it(path, flags, *rest, dir_fd=dir_fd)
        opened_files.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    rows = preprocessing.preprocess(both).to_pylist()
    assert opened_files
    assert [path for path in opened_files if not path.startswith(str(strange))] == []
    [late] = [row for row in rows if row["scan"] == "late/1.png"]
    assert (late["status"], late["reason"]) == ("not_a_file", "its folder became a link, which is not followed")


def test_a_folder_that_may_not_be_listed_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scan(tmp_path / "in/a.png", 1)
    write_scan(tmp_path / "in/closed/b.png", 2)
    scandir = os.scandir

    def guarded(folder: bytes) -> object:
        if folder.endswith(b"/closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)  # root may list it, whatever its mode
    rows = preprocessing.preprocess(listing.list_scans([str(tmp_path / "in")])).to_pylist()
    assert [(row["scan"], row["status"]) for row in rows] == [("a.png", "ok"), ("closed/", "not_a_file")]


def test_a_disk_that_cannot_read_a_scan_costs_that_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_scan(tmp_path / f"{number}.png", number)
    fstat = os.fstat

    def failing(descriptor: int) -> os.stat_result:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/1.png"):
            raise OSError(5, "Input/output error")
        return fstat(descriptor)

    manifest = listing.list_scans([str(tmp_path)])
    monkeypatch.setattr(os, "fstat", failing)
    rows = preprocessing.preprocess(manifest)
    assert rows["status"].to_pylist() == ["ok", "missing", "ok"]
    assert rows["reason"][1].as_py() == "could not be read: Input/output error"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "PPM", "WEBP", "GIF"])
def test_no_format_decodes_a_page_above_the_limit(kind: str) -> None:
    side = int(images.MAX_PIXELS**0.5) + 1
    image = Image.fromarray(np.zeros((side, side), np.uint8))
    data = BytesIO()
    image = image if kind in ("JPEG", "WEBP") else image.convert("1")
    image.save(data, kind, **({"method": 0} if kind == "WEBP" else {}))
    with pytest.raises(images.Unreadable, match=r"too_large: more than 40,000,000 pixels a page"):
        list(images.decode(data.getvalue()))


def test_a_picture_that_is_right_is_read_right(tmp_path: Path) -> None:
    write_scan(tmp_path / "7.png", 7)
    [row] = preprocessing.preprocess(listing.list_scans([str(tmp_path)])).to_pylist()
    assert row["picture"] == picture_of(7).tobytes()
