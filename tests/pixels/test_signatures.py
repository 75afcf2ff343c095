"""What a file is told to be: each is named, none as the bytes of Python, and pictures are told from all else."""

import gzip
import io
import tarfile
import zipfile

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from mnist_batch.reading import images
from tests.support.pictures import COLOUR, GREY, drawing, encoded


def archived(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.png", b"x")
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a.png"), io.BytesIO())
    return buffer.getvalue()


NAMED = {
    "JPEG XL": (imagecodecs.jpegxl_encode(drawing()), "undecodable", "a JPEG XL image, which is not read"),
    "JPEG XR": (imagecodecs.jpegxr_encode(drawing()), "undecodable", "a JPEG XR image, which is not read"),
    "JPEG-LS": (imagecodecs.jpegls_encode(drawing()), "undecodable", "a JPEG-LS image, which is not read"),
    "JPEG of 12 bits": (
        imagecodecs.jpeg8_encode(drawing().astype(np.uint16) * 16, bitspersample=12),
        "undecodable",
        "a JPEG of 12 bits a sample, which is not read",
    ),
    "QOI": (imagecodecs.qoi_encode(np.dstack([drawing()] * 3)), "undecodable", "a QOI image, which is not read"),
    "icon": (encoded(GREY, "ICO"), "undecodable", "an icon (ICO), which is not read"),
    "PCX": (encoded(GREY, "PCX"), "undecodable", "a PCX image, which is not read"),
    "SGI": (encoded(GREY, "SGI"), "undecodable", "an SGI image, which is not read"),
    "DDS": (encoded(COLOUR, "DDS"), "undecodable", "a DDS texture, which is not read"),
    "PFM": (encoded(Image.fromarray(drawing().astype(np.float32)), "PPM"), "undecodable", "a PFM image"),
    "PAM": (b"P7\nWIDTH 1\nHEIGHT 1\n", "undecodable", "a PAM image, which is not read"),
    "PSD": (b"8BPS\0\1", "undecodable", "a Photoshop document (PSD), which is not read"),
    "DICOM": (bytes(128) + b"DICM", "undecodable", "a DICOM image, which is not read"),
    "DjVu": (b"AT&TFORM", "undecodable", "a DjVu document, which is not read"),
    "CR2": (b"II*\0\x10\0\0\0CR\x02\0", "undecodable", "a Canon camera's raw image (CR2), which is not read"),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1", "undecodable", "a Canon camera's raw image (CR3), which is not read"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- x -->\n<svg width="3">', "undecodable", "an SVG drawing"),
    "BMP of a JPEG": (
        b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(12) + b"\4\0\0\0" + bytes(20),
        "undecodable",
        "a BMP with a JPEG inside, which is not read",
    ),
    "PostScript": (encoded(GREY, "EPS"), "not_an_image", "a PostScript file"),
    "ZIP": (archived("zip"), "not_an_image", "a ZIP archive or an Office document"),
    "tar": (archived("tar"), "not_an_image", "a tar archive; unpack it"),
    "gzip": (gzip.compress(b"x"), "not_an_image", "gzip-compressed; unpack it"),
    "web page": (b"\n<!DOCTYPE HTML>\n<html>", "not_an_image", "a web page (HTML)"),
    "XML": (b"\xef\xbb\xbf<?xml version='1.0'?><a/>", "not_an_image", "an XML file"),
    "text": (b"BM stands for bitmap, P5 for grey", "not_an_image", "a text file"),
    "text in UTF-8": ("цифры\n".encode() * 200, "not_an_image", "a text file"),
    "text in UTF-16": ("digits".encode("utf-16"), "not_an_image", "a text file"),
    "text in Latin-1": ("très petit café".encode("latin-1"), "not_an_image", "a text file"),
    "video": (b"\0\0\0\x18ftypisom\0\0\2\0", "not_an_image", "a video"),
    "zeros": (bytes(500), "not_an_image", "nothing but zero bytes"),
    "unknown": (b"\x80\x04\x95\0\1", "not_an_image", "of no known kind: it starts with the bytes 80 04 95 00 01"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_what_is_not_read_is_named(kind: str) -> None:
    data, status, reason = NAMED[kind]
    with pytest.raises(images.Unreadable) as caught:
        list(images.decode(data))
    assert caught.value.status == status
    assert caught.value.reason.startswith(reason)
    assert "b'" not in caught.value.reason
    assert "corrupt" not in caught.value.reason


@pytest.mark.parametrize("length", range(1, 40))
@pytest.mark.parametrize("kind", NAMED)
def test_a_start_of_any_length_is_told_to_be_something(kind: str, length: int) -> None:
    with pytest.raises(images.Unreadable):
        list(images.decode(NAMED[kind][0][:length]))
