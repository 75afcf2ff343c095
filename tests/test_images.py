"""Decoding, with Pillow as the oracle, and what is said of files that cannot be decoded."""

import os
import socket
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_batch import images


def drawing(height: int = 40, width: int = 30) -> NDArray[np.uint8]:
    """Blocks of several greys, no two sides alike, so that turning it shows."""
    grey = np.full((height, width), 230, np.uint8)
    grey[4:16, 4:20] = 20
    grey[20:36, 8:16] = 120
    return grey


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GREY = Image.fromarray(drawing())
COLOUR = Image.merge("RGB", [GREY, GREY.point(lambda value: value // 2), GREY.point(lambda value: 255 - value)])
BITS = GREY.point(lambda value: 255 * (value > 128)).convert("1")
SIXTEEN = Image.fromarray(drawing().astype(np.uint16) * 257)

SUPPORTED = {
    "png": encoded(GREY, "PNG"),
    "png colour": encoded(COLOUR, "PNG"),
    "png palette": encoded(COLOUR.quantize(8), "PNG"),
    "png 1 bit": encoded(BITS, "PNG"),
    "png 16 bit": encoded(SIXTEEN, "PNG"),
    "jpeg": encoded(GREY, "JPEG", quality=95),
    "jpeg colour": encoded(COLOUR, "JPEG", quality=95),
    "jpeg cmyk": encoded(COLOUR.convert("CMYK"), "JPEG", quality=95),
    "tiff": encoded(GREY, "TIFF"),
    "tiff colour": encoded(COLOUR, "TIFF", compression="tiff_lzw"),
    "tiff 1 bit": encoded(BITS, "TIFF", compression="group4"),
    "tiff 16 bit": encoded(SIXTEEN, "TIFF"),
    "tiff cmyk": encoded(COLOUR.convert("CMYK"), "TIFF"),
    "bmp": encoded(GREY, "BMP"),
    "bmp colour": encoded(COLOUR, "BMP"),
    "bmp 1 bit": encoded(BITS, "BMP"),
    "pgm": encoded(GREY, "PPM"),
    "pgm 16 bit": encoded(SIXTEEN, "PPM"),
    "ppm": encoded(COLOUR, "PPM"),
    "pbm": encoded(BITS, "PPM"),
    "webp": encoded(GREY, "WEBP", lossless=True),
    "webp lossy": encoded(COLOUR, "WEBP", quality=95),
}


@pytest.mark.parametrize("kind", SUPPORTED)
def test_every_supported_format_decodes_to_what_pillow_sees(kind: str) -> None:
    data = SUPPORTED[kind]
    with Image.open(BytesIO(data)) as image:
        expected = np.asarray(image).astype(np.uint32)
        if "16 bit" in kind:
            expected = expected >> 8
        else:
            expected = np.asarray(image.convert("RGB").convert("L")).astype(np.uint32)
    [page] = images.decode(data)
    assert (page.dtype, page.shape) == (np.dtype(np.uint8), (40, 30))
    lossy = "jpeg" in kind or "lossy" in kind
    assert np.abs(page.astype(int) - expected).max() <= (8 if lossy else 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(GREY, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("L")).astype(int)
    [page] = images.decode(data)
    assert page.shape == expected.shape
    assert np.abs(page.astype(int) - expected).max() <= 8


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("WEBP", "LA"), ("TIFF", "RGBA")]
)
def test_transparency_is_laid_over_white_paper(kind: str, mode: str) -> None:
    clear = np.where(drawing() < 200, 255, 0).astype(np.uint8)
    ink = Image.new("L", (30, 40), 0)
    image = Image.merge("RGBA", [ink, ink, ink, Image.fromarray(clear)]).convert(mode)
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    [page] = images.decode(data)
    assert np.array_equal(page, 255 - clear)


def test_a_palette_with_a_transparent_entry_is_laid_over_white_paper() -> None:
    palette = Image.new("P", (30, 40), 1)
    palette.putpalette([0, 0, 0, 200, 200, 200])
    palette.paste(0, (0, 0, 10, 40))
    [page] = images.decode(encoded(palette, "PNG", transparency=0))
    assert page[0, 0] == 255
    assert page[0, 29] == 200


def test_transparency_and_orientation_are_both_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6
    [page] = images.decode(encoded(COLOUR.convert("RGBA"), "PNG", exif=exif))
    assert page.shape == (30, 40)


def test_every_page_of_a_tiff_is_read_in_order() -> None:
    turned = GREY.rotate(90, expand=True)
    pages = list(images.decode(encoded(GREY, "TIFF", save_all=True, append_images=[turned, COLOUR])))
    assert [page.shape for page in pages] == [(40, 30), (30, 40), (40, 30)]
    assert np.array_equal(pages[0], drawing())


@pytest.mark.parametrize("short", [100, 200, 1_000, 3_000])
def test_a_tiff_that_lost_pages_is_not_read_in_part(short: int) -> None:
    pages = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30), np.uint8)) for seed in range(3)]
    whole = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    assert len(list(images.decode(whole))) == 3
    with pytest.raises(images.Unreadable, match="undecodable"):
        list(images.decode(whole[:-short]))


def test_a_long_profile_before_the_transparency_hides_it_not() -> None:
    palette = Image.new("P", (30, 40), 0)
    palette.putpalette([0, 0, 0, 200, 200, 200])
    data = encoded(palette, "PNG", transparency=0, icc_profile=np.random.default_rng(0).bytes(9_000))
    [page] = images.decode(data)
    assert page[0, 0] == 255


@pytest.mark.parametrize("maximum", [4095, 65535, 1000])
def test_the_white_of_a_pgm_is_the_one_in_its_header(maximum: int) -> None:
    samples = np.array([[0, maximum // 2, maximum]], ">u2")
    [page] = images.decode(b"P5\n# a comment\n3 1\n%d\n" % maximum + samples.tobytes())
    assert page.tolist() == [[0, 127, 255]]


def test_a_16_bit_png_with_a_clear_grey_keeps_its_greys() -> None:
    samples = Image.fromarray((np.array([[0, 64, 128, 255]], np.uint16)) * 257)
    [page] = images.decode(encoded(samples, "PNG", transparency=0))
    assert page.tolist() == [[0, 64, 128, 255]]


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


PNG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)), "PNG")
JPEG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)), "JPEG")

BROKEN = {
    "text": (b"hello, this is no image", "not_an_image"),
    "pdf": (b"%PDF-1.7\n", "not_an_image"),
    "pickle": (b"\x80\x04\x95", "not_an_image"),
    "one byte": (b"\x89", "not_an_image"),
    "png header only": (PNG[:33], "undecodable"),
    "png cut in its data": (PNG[: len(PNG) // 2], "undecodable"),
    "png 20 bytes short": (PNG[:-20], "undecodable"),
    "png with a bad crc": (PNG[:50] + bytes([PNG[50] ^ 1]) + PNG[51:], "undecodable"),
    "jpeg cut": (JPEG[: len(JPEG) // 2], "undecodable"),
    "tiff with a bad offset": (b"II*\0\xff\xff\xff\x7f", "undecodable"),
    "tiff whose directory is its own next": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "undecodable"),
    "png of 30,000 x 30,000": (png_header(30_000, 30_000), "too_large"),
    "tiff of floats": (encoded(Image.fromarray(drawing().astype(np.float32)), "TIFF"), "undecodable"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_decoded_says_why(kind: str) -> None:
    data, status = BROKEN[kind]
    with pytest.raises(images.Unreadable) as caught:
        list(images.decode(data))
    assert caught.value.status == status
    assert caught.value.reason


CLEAR = COLOUR.convert("RGBA")
TRANSPARENT = {
    "png": encoded(CLEAR, "PNG"),
    "webp": encoded(CLEAR, "WEBP"),
    "tiff": encoded(CLEAR, "TIFF"),
    "tiff of pages": encoded(GREY, "TIFF", save_all=True, append_images=[CLEAR, BITS]),
}


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([*SUPPORTED.values(), *TRANSPARENT.values()]), st.data())
def test_a_damaged_file_decodes_or_says_why_and_never_does_anything_else(whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        pages = list(images.decode(bytes(content)))
    except images.Unreadable as error:
        assert error.status in ("not_an_image", "undecodable", "too_large")
    else:
        assert all(page.dtype == np.uint8 and page.ndim == 2 and page.size for page in pages)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    good = tmp_path / "a.png"
    good.write_bytes(PNG)
    (tmp_path / "link.png").symlink_to(good)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with (tmp_path / "big").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        found = {}
        for name in ("a.png", "link.png", "pipe", "socket", "empty", "big", "gone", "."):
            try:
                found[name] = images.read_scan(str(tmp_path), os.fsencode(tmp_path / name)) == PNG
            except images.Unreadable as error:
                found[name] = error.status
    assert found == {
        "a.png": True,
        "link.png": "not_a_file",
        "pipe": "not_a_file",
        "socket": "not_a_file",
        "empty": "empty",
        "big": "too_large",
        "gone": "missing",
        ".": "not_a_file",
    }


def test_a_scan_behind_a_uri_is_read_and_a_missing_one_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    source = f"fsspec+file://{tmp_path}"
    assert images.read_scan(source, os.fsencode(tmp_path / "a.png")) == PNG
    with pytest.raises(images.Unreadable, match="missing"):
        images.read_scan(source, os.fsencode(tmp_path / "b.png"))
