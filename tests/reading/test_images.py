"""Decoding, with Pillow as the oracle, and what is said of files that cannot be decoded."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_batch.intake import listing
from mnist_batch.reading import images, preprocessing
from tests.support import ROOT
from tests.support.pictures import BITS, COLOUR, GREY, SIXTEEN, drawing, encoded, heic, png_header
from tests.support.ruler import write_scan

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
def test_a_tiff_that_lost_pages_is_not_decoded_as_if_it_were_whole(short: int) -> None:
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


@pytest.mark.parametrize("maximum", [1, 7, 15, 100, 200, 255, 1000, 4095])
@pytest.mark.parametrize("form", ["P2", "P3", "P5", "P6"])
def test_the_white_of_every_form_is_the_one_in_its_header(form: str, maximum: int) -> None:
    samples = np.array([[0, maximum]] if form in ("P2", "P5") else [[0, 0, 0, maximum, maximum, maximum]])
    raw = samples.astype(">u2" if maximum > 255 else "u1").tobytes()
    plain = " ".join(map(str, samples.ravel())).encode()
    [page] = images.decode(b"%s 2 1 %d\n" % (form.encode(), maximum) + (raw if form in ("P5", "P6") else plain))
    assert page.tolist() == [[0, 255]]


def test_every_image_of_a_pnm_is_a_page() -> None:
    plain = b"P2\n# P5 in a comment\n2 1\n7\n0 7\n"
    parts = [
        encoded(GREY, "PPM"),
        encoded(COLOUR, "PPM"),
        plain,
        b"P1 2 1 10\n",
        encoded(BITS, "PPM"),
        SUPPORTED["pgm"],
    ]
    pages = list(images.decode(b"".join(parts) + b"\n\n"))
    alone = [next(images.decode(part)) for part in parts]
    assert len(pages) == len(parts)
    assert all(np.array_equal(page, expected) for page, expected in zip(pages, alone, strict=True))
    assert pages[2].tolist() == [[0, 255]]


def test_a_pnm_that_ends_early_keeps_the_images_before() -> None:
    first, second = images.pages(SUPPORTED["pgm"] + SUPPORTED["pgm"][:-1])
    assert np.array_equal(first(), drawing())
    with pytest.raises(images.Unreadable, match="undecodable: truncated PNM: 1,212 of its 1,213 bytes are there"):
        second()
    with pytest.raises(images.Unreadable, match="undecodable: truncated PNM"):
        images.pages(SUPPORTED["pgm"][:-1])


def test_what_follows_an_image_and_is_none_is_left_alone() -> None:
    for data in (
        SUPPORTED["pgm"] + b"\n",
        SUPPORTED["pgm"] + b"trailer",
        SUPPORTED["png"] + b"x",
        SUPPORTED["jpeg"] + b"x",
    ):
        assert len(list(images.decode(data))) == 1


def test_a_pam_behind_a_pgm_is_told() -> None:
    _, second = images.pages(SUPPORTED["pgm"] + b"P7\nWIDTH 3")
    with pytest.raises(images.Unreadable, match="undecodable: a PAM image"):
        second()


def of(width: int, height: int) -> Image.Image:
    return Image.new("L", (width, height), 200)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_pixels_that_are_not_square_are_made_so(kind: str) -> None:
    assert next(images.decode(encoded(of(40, 20), kind, dpi=(204, 98)))).shape == (42, 40)
    assert next(images.decode(encoded(of(40, 20), kind, dpi=(100, 200)))).shape == (20, 80)
    assert next(images.decode(encoded(of(40, 20), kind, dpi=(204, 196)))).shape == (20, 40)
    assert next(images.decode(encoded(of(40, 20), kind, dpi=(1000, 100)))).shape == (20, 40)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_the_density_is_that_of_the_page_before_it_is_turned(kind: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    options = {} if kind == "TIFF" else {"dpi": (200, 100)}
    if kind == "TIFF":
        exif[282], exif[283] = 200.0, 100.0
    assert next(images.decode(encoded(of(40, 20), kind, exif=exif, **options))).shape == (40, 40)
    assert next(
        images.decode(encoded(of(40, 20).convert("LA" if kind != "JPEG" else "L"), kind, exif=exif, **options))
    ).shape == (40, 40)


def strokes(colour: int, opaque: int = 255) -> Image.Image:
    """A stroke of one colour and cover on a page that is clear and black elsewhere."""
    page = Image.new("LA", (30, 40), (0, 0))
    page.paste((colour, opaque), (10, 5, 16, 35))
    return page


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_white_strokes_on_a_clear_page_are_seen(kind: str, options: dict[str, bool]) -> None:
    for colour in (255, 200):
        [page] = images.decode(encoded(strokes(colour).convert("RGBA"), kind, **options))
        assert abs(int(page[20, 12]) - colour) <= 1
        assert page[0, 0] == 0
    for colour in (0, 120):
        [page] = images.decode(encoded(strokes(colour).convert("RGBA"), kind, **options))
        assert abs(int(page[20, 12]) - colour) <= 1
        assert page[0, 0] == 255


def test_white_paper_with_a_clear_edge_stays_white() -> None:
    page = Image.new("LA", (30, 40), (0, 0))
    page.paste((255, 255), (2, 2, 28, 38))
    assert (next(images.decode(encoded(page, "PNG"))) == 255).all()


def test_a_label_with_ink_on_a_clear_page_lies_on_white() -> None:
    page = Image.new("LA", (60, 80), (0, 0))
    page.paste((255, 255), (20, 20, 40, 50))
    page.paste((0, 255), (28, 25, 32, 45))
    [seen] = images.decode(encoded(page, "PNG"))
    assert (seen[0, 0], seen[21, 21], seen[30, 30]) == (255, 255, 0)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_16_bits_with_alpha_may_hold_fewer(bits: int) -> None:
    white = 2**bits - 1
    grey = (drawing().astype(np.uint32) * white // 255).astype(np.uint16)
    data = imagecodecs.png_encode(np.dstack([grey, grey, grey, np.full_like(grey, 65535)]))
    [page] = images.decode(data)
    assert np.abs(page.astype(int) - drawing()).max() <= 1


def bmp_with_alpha(samples: NDArray[np.uint8]) -> bytes:
    """A BMP of 32 bits with a header of version 5; samples are (height, width, 4), BGRA."""
    height, width, _ = samples.shape
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 124, width, -height, 1, 32, 3, samples.size, 0, 0, 0, 0) + masks
    header = header.ljust(124, b"\0")
    size = 14 + len(header)
    return struct.pack("<2sIHHI", b"BM", size + samples.size, 0, 0, size) + header + samples.tobytes()


def test_ink_in_the_alpha_of_a_bmp_is_seen_and_alpha_of_zeros_is_none() -> None:
    ink = 255 - drawing()
    nothing = np.zeros_like(ink)
    [page] = images.decode(bmp_with_alpha(np.dstack([nothing, nothing, nothing, ink])))
    assert np.array_equal(page, drawing())
    [page] = images.decode(bmp_with_alpha(np.dstack([drawing()] * 3 + [nothing])))
    assert np.array_equal(page, drawing())


MORE = {
    "gif": (encoded(GREY, "GIF"), 0),
    "gif of frames": (encoded(GREY, "GIF", save_all=True, append_images=[GREY.rotate(180)]), 0),
    "jpeg 2000": (encoded(COLOUR, "JPEG2000"), 1),
    "jpeg 2000 without a box": (encoded(COLOUR, "JPEG2000", no_jp2=True), 1),
    "jpeg 2000 of 16 bits": (encoded(SIXTEEN, "JPEG2000"), 0),
    "avif": (encoded(COLOUR, "AVIF", quality=95), 12),
    "heic": (heic(COLOUR), 12),
}


@pytest.mark.parametrize("kind", MORE)
def test_formats_of_phones_and_archives_are_read(kind: str) -> None:
    data, tolerance = MORE[kind]
    coloured = not kind.startswith("gif") and "16" not in kind
    expected = np.asarray(COLOUR.convert("L") if coloured else GREY).astype(int)
    [page] = images.decode(data)
    assert np.abs(page - expected).max() <= tolerance
    with pytest.raises(images.Unreadable, match="too_large: more than 1,199 pixels a page"):
        list(images.decode(data, 1_199))
    with pytest.raises(images.Unreadable, match="undecodable"):
        list(images.decode(data[: len(data) // 4]))


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_picture_of_a_phone_is_turned_once(kind: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    pillow_heif.register_heif_opener()
    [page] = images.decode(encoded(COLOUR, kind, quality=95, exif=exif.tobytes()))
    expected = np.rot90(np.asarray(COLOUR.convert("L")), -1).astype(int)
    assert page.shape == expected.shape
    assert np.abs(page - expected).max() <= 12


@pytest.mark.parametrize("kind", SUPPORTED)
def test_a_lower_limit_of_pixels_holds_in_the_same_process(kind: str) -> None:
    assert len(list(images.decode(SUPPORTED[kind], 1_200))) == 1
    with pytest.raises(images.Unreadable, match="too_large: more than 1,199 pixels a page"):
        list(images.decode(SUPPORTED[kind], 1_199))


PNG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)), "PNG")
JPEG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)), "JPEG")

BROKEN = {
    "text": (b"hello, this is no image", "not_an_image"),
    "pdf": (b"%PDF-1.7\n", "undecodable"),
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
        # damaged colours may look like two inks, which a page of two planes holds
        assert all(page.dtype == np.uint8 and page.shape[2:] in ((), (2,)) and page.size for page in pages)


def test_a_folder_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for content in (b"before", b"after"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "a.png").write_bytes(content)
        assert images.read_scan(str(tmp_path), os.fsencode(folder / "a.png")) == content


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


@pytest.mark.parametrize("scheme", ["", "fsspec+file://"])
@pytest.mark.parametrize("with_size", [True, False])
def test_a_file_of_pages_may_have_more_bytes_than_one_of_a_picture(
    tmp_path: Path, scheme: str, with_size: bool
) -> None:
    most = images.paged_bytes(1_000)
    sizes = {"a.png": 1_000, "b.png": 1_001, "a.pdf": most, "b.pdf": most + 1, "a.tif": most, "b.tif": most + 1}
    head = {"png": PNG[:8], "pdf": b"%PDF-1.4\n", "tif": b"II*\0"}
    found = {}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(head[name[-3:]].ljust(size))
        known = size if with_size else None
        try:
            found[name] = len(images.read_scan(f"{scheme}{tmp_path}", os.fsencode(tmp_path / name), known, None, 1_000))
        except images.Unreadable as error:
            found[name] = str(error)
    assert found == {
        name: size if name[0] == "a" else f"too_large: more than {1_000 if 'png' in name else most:,} bytes"
        for name, size in sizes.items()
    }


def test_a_large_file_that_has_changed_since_it_was_listed_says_so(tmp_path: Path) -> None:
    for name in ("a.png", "a.pdf"):
        (tmp_path / name).write_bytes((PNG[:8] if "png" in name else b"%PDF-1.4\n").ljust(2_000))
        with pytest.raises(images.Unreadable, match="changed: size was 3000 when listed and is 2000 now"):
            images.read_scan(str(tmp_path), os.fsencode(tmp_path / name), 3_000, None, 1_000)


@pytest.mark.parametrize(
    ("max_bytes", "most"), [(1, 8), (2**26, 2**29), (2**28, 2**29), (2**29, 2**29), (2**30, 2**30)]
)
def test_how_much_larger_a_file_of_pages_may_be(max_bytes: int, most: int) -> None:
    assert images.paged_bytes(max_bytes) == most


def test_a_scan_behind_a_uri_is_read_and_a_missing_one_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    source = f"fsspec+file://{tmp_path}"
    assert images.read_scan(source, os.fsencode(tmp_path / "a.png")) == PNG
    with pytest.raises(images.Unreadable, match="missing"):
        images.read_scan(source, os.fsencode(tmp_path / "b.png"))


def test_whatever_is_imported_first_opencv_keeps_the_limit_on_pixels(tmp_path: Path) -> None:
    """It reads its limit when it is imported: one module imports it, and sets the limit before."""
    root = ROOT
    for path in [*(root / "mnist_batch").rglob("*.py"), *(root / "jobs").rglob("*.py")]:
        imports = re.search(r"^\s*(import|from) cv2\b", path.read_text(), re.MULTILINE)
        assert not imports or path.name == "opencv.py", path
    side = int(images.MAX_PIXELS**0.5) + 1
    Image.new("L", (side, side)).save(tmp_path / "large.png")
    program = f"""
import mnist_batch.{{module}}
from cv2 import error, imread
from tests.support.pictures import drawing, encoded, heic, GREY, COLOUR, BITS, SIXTEEN, png_header
try:
    print(imread({str(tmp_path / "large.png")!r}))
except error as refused:
    print(refused)
"""
    for module in ("pixels.ink", "reports.inspection"):
        ran = subprocess.run(
            [sys.executable, "-c", program.replace("{module}", module)],
            env={name: value for name, value in os.environ.items() if not name.startswith("OPENCV")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "MAX_IMAGE" in ran.stdout


def test_reading_in_the_same_process_keeps_the_limit_on_pixels(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png", 3)
    manifest = listing.list_scans([str(tmp_path)])
    assert preprocessing.preprocess(manifest)["status"].to_pylist() == ["ok"]
    assert preprocessing.preprocess(manifest, limits=preprocessing.Limits(max_pixels=10))["status"].to_pylist() == [
        "too_large"
    ]
