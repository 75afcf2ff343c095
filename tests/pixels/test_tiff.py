"""Every kind of TIFF that is read comes out as drawn, every other is told by name, and each page stands for itself."""

import struct
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_batch.intake import listing
from mnist_batch.pixels import tiff, tiff_pages
from mnist_batch.reading import images, preprocessing
from tests.support.pictures import drawing, encoded
from tests.support.ruler import picture_of

GREY = drawing()
CLEAR = np.full_like(GREY, 255)
WIDE = GREY.astype(np.uint16) * 257
NONE = np.zeros_like(GREY)


def tiff_of(samples: NDArray[Any], **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def pages_of(*pages: tuple[NDArray[Any], dict[str, Any]], **options: Any) -> bytes:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer, **options) as writer:
        for samples, more in pages:
            writer.write(samples, contiguous=False, **more)
    return buffer.getvalue()


def found(data: bytes) -> list[str | NDArray[np.uint8]]:
    """Each page, or the status and reason that stand for it."""
    rows: list[str | NDArray[np.uint8]] = []
    for read in images.pages(data):
        try:
            rows.append(read())
        except images.Unreadable as error:
            rows.append(f"{error.status}: {error.reason}")
    return rows


def interleaved(*samples: NDArray[Any]) -> NDArray[Any]:
    return np.dstack(samples)


INK = 255 - GREY
MAP = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
UNASSOCIATED, ASSOCIATED, UNSPECIFIED = (
    {"extrasamples": [kind]} for kind in ("unassalpha", "assocalpha", "unspecified")
)
BLACK, RGB, CMYK = {"photometric": "minisblack"}, {"photometric": "rgb"}, {"photometric": "separated"}
PLANES = {"planarconfig": "separate"}

KINDS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "grey": (GREY, BLACK),
    "grey, white is 0": (INK, {"photometric": "miniswhite"}),
    "grey of 16 bits": (WIDE, BLACK),
    "grey of 16 bits, with differences": (WIDE, {**BLACK, "compression": "lzw", "predictor": True}),
    "colour": (interleaved(GREY, GREY, GREY), RGB),
    "colour in planes": (np.stack([GREY, GREY, GREY]), {**RGB, **PLANES}),
    "colour of 16 bits": (interleaved(WIDE, WIDE, WIDE), RGB),
    "colour of 16 bits in planes": (np.stack([WIDE, WIDE, WIDE]), {**RGB, **PLANES}),
    "colour of 16 bits in planes, deflated": (np.stack([WIDE] * 3), {**RGB, **PLANES, "compression": "zlib"}),
    "ink in alpha": (interleaved(NONE, INK), {**BLACK, **UNASSOCIATED}),
    "ink in alpha, with differences": (
        interleaved(NONE, INK),
        {**BLACK, **UNASSOCIATED, "compression": "lzw", "predictor": True},
    ),
    "ink in alpha, multiplied": (interleaved(NONE, INK), {**BLACK, **ASSOCIATED}),
    "ink in alpha in planes": (np.stack([NONE, INK]), {**BLACK, **PLANES, **UNASSOCIATED}),
    "ink in alpha of 16 bits": (interleaved(WIDE * 0, 65535 - WIDE), {**BLACK, **UNASSOCIATED}),
    "grey and something else": (interleaved(GREY, NONE), {**BLACK, **UNSPECIFIED}),
    "colour, ink in alpha": (interleaved(NONE, NONE, NONE, INK), {**RGB, **UNASSOCIATED}),
    "colour, ink in alpha, multiplied": (interleaved(NONE, NONE, NONE, INK), {**RGB, **ASSOCIATED}),
    "colour, ink in alpha of 16 bits": (interleaved(*[WIDE * 0] * 3, 65535 - WIDE), {**RGB, **UNASSOCIATED}),
    "colour, ink in alpha of 16 bits in planes": (
        np.stack([*[WIDE * 0] * 3, 65535 - WIDE]),
        {**RGB, **PLANES, **UNASSOCIATED},
    ),
    "colour and something else": (interleaved(GREY, GREY, GREY, NONE), {**RGB, **UNSPECIFIED}),
    "colour and two more": (
        interleaved(NONE, NONE, NONE, NONE, INK),
        {**RGB, "extrasamples": ["unspecified", "unassalpha"]},
    ),
    "inks": (interleaved(NONE, NONE, NONE, INK), CMYK),
    "inks of 16 bits": (interleaved(*[WIDE * 0] * 3, 65535 - WIDE), CMYK),
    "inks and alpha": (interleaved(NONE, NONE, NONE, INK, CLEAR), {**CMYK, **UNASSOCIATED}),
    "palette": (GREY, {"photometric": "palette", "colormap": MAP}),
    "palette of 8-bit colours": (GREY, {"photometric": "palette", "colormap": MAP // 257}),
    "PackBits": (GREY, {**BLACK, "compression": "packbits"}),
    "Zstandard": (GREY, {**BLACK, "compression": "zstd"}),
    "LZMA": (GREY, {**BLACK, "compression": "lzma"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_drawn_in_any_layout(kind: str) -> None:
    samples, options = KINDS[kind]
    for order in "<>":
        for big in (False, True):
            for tile in (None, (16, 16)):
                data = tiff_of(samples, byteorder=order, bigtiff=big, tile=tile, **options)
                [page] = images.decode(data)
                assert (page.dtype, page.shape) == (np.dtype(np.uint8), GREY.shape)
                assert np.abs(page.astype(int) - GREY).max() <= 1, (order, big, tile)


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_sample_may_have_any_number_of_bits(bits: int, photometric: str) -> None:
    most = 2**bits - 1
    samples = (GREY.astype(np.uint32) * most + 127) // 255
    packed = samples.astype(np.uint8 if bits < 8 else np.uint16)
    [page] = images.decode(tiff_of(packed, photometric=photometric, bitspersample=bits))
    expected = samples * 255 // most
    if photometric == "miniswhite":
        expected = 255 - expected
    assert np.abs(page.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_what_is_kept_in_16_bits_may_have_fewer(bits: int) -> None:
    samples = (GREY.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    for data in (
        tiff_of(samples, **BLACK),
        encoded(Image.fromarray(samples), "PNG"),
        encoded(Image.fromarray(samples), "PPM"),
    ):
        [page] = images.decode(data)
        assert np.abs(page.astype(int) - GREY).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "grey of 16 bits", "colour", "colour of 16 bits in planes", "LZMA"])
def test_orientation_is_applied_to_strips_and_tiles(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(BytesIO(encoded(Image.fromarray(GREY), "PNG", exif=exif))) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    samples, options = KINDS[kind]
    for tile in (None, (16, 16)):
        [page] = images.decode(tiff_of(samples, tile=tile, extratags=[(274, 3, 1, orientation, True)], **options))
        assert page.shape == expected.shape
        assert np.abs(page - expected).max() <= 1, tile


def without(data: bytes, tag: int) -> bytes:
    """The file with an entry renamed to a tag that nobody knows."""
    entry = struct.pack("<H", tag)
    at = struct.unpack_from("<I", data, 4)[0]
    for number in range(struct.unpack_from("<H", data, at)[0]):
        if data[at + 2 + 12 * number :].startswith(entry):
            place = at + 2 + 12 * number
            return data[:place] + struct.pack("<H", 65000) + data[place + 2 :]
    raise AssertionError(f"no tag {tag}")


def test_a_page_that_does_not_say_what_white_is_is_read() -> None:
    [page] = images.decode(without(tiff_of(GREY, **BLACK), tiff.PHOTOMETRIC))
    assert np.array_equal(page, GREY)


@pytest.mark.parametrize(
    ("compression", "number", "name"),
    [
        ("jpeg2000", 34712, "JPEG 2000"),
        ("jpegxl", 50002, "JPEG XL"),
        ("jpegxr", 34934, "JPEG XR"),
        ("png", 34933, "PNG"),
        ("lerc", 34887, "LERC"),
    ],
)
def test_a_compression_that_is_not_read_is_told_by_name_and_is_no_blank_page(
    compression: str, number: int, name: str
) -> None:
    [row] = refusals(tiff_of(GREY, **BLACK, compression=compression))
    assert row == (
        f"undecodable: a TIFF with compression {number} ({name}), which is not read; save it as PNG, or as plain TIFF"
    )


def refusals(data: bytes) -> list[str]:
    rows = found(data)
    assert all(isinstance(row, str) for row in rows)
    return [str(row) for row in rows]


def test_no_compression_is_read_but_those_that_a_decoder_is_known_to_read() -> None:
    data = bytearray(tiff_of(GREY, **BLACK))
    at = bytes(data).index(struct.pack("<HHIHH", tiff.COMPRESSION, 3, 1, 1, 0))
    for number in [*range(100), *range(32700, 35000), 50000, 50001, 50002, 65535]:
        data[at + 8 : at + 10] = struct.pack("<H", number)
        [row] = found(bytes(data))
        if number not in tiff_pages.READ:
            assert isinstance(row, str)
            assert row.startswith(f"undecodable: a TIFF with compression {number} (")


@pytest.mark.parametrize(
    ("samples", "options", "named"),
    [
        (GREY.astype(np.float32), BLACK, "32-bit floating-point samples"),
        (GREY.astype(np.int16), BLACK, "16-bit signed samples"),
        (GREY.astype(np.uint32), BLACK, "32 bits a sample"),
        (interleaved(GREY, GREY, GREY).astype(np.uint32), RGB, "32 bits a sample"),
        (GREY, {"photometric": "cfa"}, "colours of kind 32803"),
    ],
)
def test_what_is_not_read_of_a_page_is_named(samples: NDArray[Any], options: dict[str, Any], named: str) -> None:
    [row] = refusals(tiff_of(samples, **options))
    assert row.startswith(f"undecodable: a TIFF with {named}")


@pytest.mark.parametrize("compression", ["lzw", "zlib"])
@pytest.mark.parametrize("rows", [40, 8])
def test_a_strip_that_cannot_be_unpacked_is_no_black_or_white_band(compression: str, rows: int) -> None:
    noise = np.random.default_rng(0).integers(1, 5, (40, 30), np.uint8) * 50
    for samples, options in (
        (noise, BLACK),
        (noise, {"photometric": "miniswhite"}),
        (interleaved(noise, noise, noise), RGB),
        (noise > 50, {"photometric": "miniswhite"}),
    ):
        data = tiff_of(samples, compression=compression, rowsperstrip=rows, **options)
        assert len(list(images.decode(data))) == 1
        with tifffile.TiffFile(BytesIO(data)) as file:
            start, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
        damaged = data[:start] + b"\xff" * size + data[start + size :]
        [row] = refusals(damaged)
        assert row.startswith("undecodable: corrupt TIFF: decoder error")


def test_what_is_not_there_of_a_page_is_told_as_truncated() -> None:
    data = tiff_of(GREY, **BLACK)
    assert refusals(data[:-1]) == ["undecodable: truncated or corrupt TIFF"]


SMALL = {"subfiletype": 1, **BLACK}


@pytest.mark.parametrize("big", [False, True])
def test_thumbnails_smaller_copies_and_masks_are_no_pages(big: bool) -> None:
    mask = (GREY > 100, {"subfiletype": 4, "photometric": "mask"})
    data = pages_of((GREY, BLACK), (GREY[::4, ::4], SMALL), mask, (INK, BLACK), (INK[::2, ::2], SMALL), bigtiff=big)
    first, second = found(data)
    assert np.array_equal(first, GREY)
    assert np.array_equal(second, INK)


def test_a_copy_in_front_or_in_the_old_words_is_no_page_either() -> None:
    old = {**BLACK, "extratags": [(tiff.OLD_SUBFILE, 3, 1, 2, True)]}
    [page] = found(pages_of((GREY[::4, ::4], SMALL), (GREY, BLACK), (GREY[::2, ::2], old)))
    assert np.array_equal(page, GREY)


def test_a_file_with_nothing_but_a_copy_is_read() -> None:
    [page] = found(tiff_of(GREY, **SMALL))
    assert np.array_equal(page, GREY)


def test_the_preview_of_a_raw_image_is_not_taken_for_it() -> None:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(GREY[::4, ::4], subifds=1, **SMALL)
        writer.write(GREY.astype(np.uint16), photometric="cfa")
    with pytest.raises(images.Unreadable, match="undecodable: a camera's raw image"):
        images.pages(buffer.getvalue())


MIXED = pages_of(
    (GREY, BLACK), (GREY, {**BLACK, "compression": "jpeg2000"}), (INK, BLACK), (GREY.astype(np.float32), BLACK)
)


def test_a_page_that_cannot_be_read_is_a_row_and_its_neighbours_are_read(tmp_path: Path) -> None:
    first, second, third, fourth = found(MIXED)
    assert np.array_equal(first, GREY)
    assert str(second).startswith("undecodable: page 2: a TIFF with compression 34712 (JPEG 2000)")
    assert np.array_equal(third, INK)
    assert str(fourth).startswith("undecodable: page 4: a TIFF with 32-bit floating-point samples")
    (tmp_path / "mixed.tif").write_bytes(MIXED)
    rows = preprocessing.preprocess(listing.list_scans([str(tmp_path)]))
    assert rows["page"].to_pylist() == [0, 1, 2, 3]
    assert rows["status"].to_pylist() == ["ok", "undecodable", "ok", "undecodable"]
    assert len(set(rows["content"].to_pylist())) == 1


def test_where_the_chain_breaks_the_pages_before_are_rows_and_one_says_so() -> None:
    data = bytearray(pages_of(*[(GREY, BLACK)] * 3))
    directories = tiff.pages(bytes(data), 10)[0]
    last = directories[-1]
    ends = [each.offset + 2 + 12 * len(each.entries) for each in directories]

    *pages, broken = found(bytes(data[: last.offset + 20]))
    assert [np.array_equal(page, GREY) for page in pages] == [True, True]
    assert broken == "undecodable: truncated TIFF, after 3 directories"

    data[ends[-1] : ends[-1] + 4] = struct.pack("<I", directories[0].offset)
    *pages, broken = found(bytes(data))
    assert [np.array_equal(page, GREY) for page in pages] == [True, True, True]
    assert broken == "undecodable: corrupt TIFF: its directories run in a circle"


def test_more_pages_than_the_limit_are_one_row_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PAGES", 2)
    *pages, more = found(pages_of(*[(GREY, BLACK), (GREY[::4, ::4], SMALL)] * 3))
    assert [np.array_equal(page, GREY) for page in pages] == [True, True]
    assert more == "too_large: more than 2 pages: split the file"
    assert len(found(pages_of(*[(GREY, BLACK), (GREY[::4, ::4], SMALL)] * 2))) == 2


def work(count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Calls of functions, and bytes that are written, while a TIFF of so many pages is read."""
    data = pages_of(*[(GREY[:8, :8], {**BLACK, "metadata": None})] * count)
    calls = written = 0
    write = tiff.Pointer._write

    def count_calls(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def counted(pointer: tiff.Pointer, at: int, content: bytes) -> None:
        nonlocal written
        written += len(content)
        write(pointer, at, content)

    with monkeypatch.context() as patch:
        patch.setattr(tiff.Pointer, "_write", counted)
        patch.setattr(cv2, "imdecodemulti", lambda *_, **__: pytest.fail("reads all directories for each page"))
        sys.setprofile(count_calls)
        try:
            assert len(list(images.decode(data))) == count
        finally:
            sys.setprofile(None)
    return calls, written


def test_a_page_takes_as_much_work_in_a_long_file_as_in_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, written = work(50, monkeypatch)
    many_calls, many_written = work(500, monkeypatch)
    assert many_calls <= 10.5 * calls
    assert many_written <= 10.5 * written


@pytest.mark.parametrize("density", [(204, 98), (204, 391), (200, 100), (98, 204)])
def test_a_fax_page_is_read_with_square_pixels(density: tuple[int, int]) -> None:
    across, down = density
    digit = cv2.resize(255 - picture_of(4), (112, 112), interpolation=cv2.INTER_CUBIC)
    stored = cv2.resize(digit, (112, round(112 * down / across)), interpolation=cv2.INTER_AREA)
    data = tiff_of(stored, resolution=density, **BLACK)
    [page] = images.decode(data)
    expected = (112, 112) if across > down else (stored.shape[0], stored.shape[0])
    assert page.shape == pytest.approx(expected, abs=1)
    upright = cv2.resize(digit, page.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(page.astype(int) - upright).mean() < 8
    turned = tiff_of(np.rot90(stored).copy(), resolution=(down, across), extratags=[(274, 3, 1, 6, True)], **BLACK)
    assert np.array_equal(next(images.decode(turned)), page)


@pytest.mark.parametrize("density", [(0, 98), (1, 1), (204, 196), (72, 1), (300, 300)])
def test_a_density_that_is_square_or_no_density_leaves_the_page_as_it_is(density: tuple[int, int]) -> None:
    [page] = images.decode(tiff_of(GREY, resolution=density, **BLACK))
    assert np.array_equal(page, GREY)


def test_a_page_near_the_limit_is_made_square_by_shrinking() -> None:
    [page] = images.decode(tiff_of(GREY, resolution=(200, 100), **BLACK), GREY.size)
    assert page.shape == (40, 15)
    with pytest.raises(images.Unreadable, match="too_large: more than 1,199 pixels a page"):
        list(images.decode(tiff_of(GREY, **BLACK), GREY.size - 1))
