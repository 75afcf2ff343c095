"""What lies in folders and is no picture that is read: named by its first bytes, and refused."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Iterator

import imagecodecs

from tests.support.formats.drawing import Kind, Row, colour, grey, pillow

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="160" height="200"><path d="M9 9h9v9"/></svg>'
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"


def archive() -> bytes:
    """A zip with a scan in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("scan.png"), pillow(grey(), "PNG"))
    return buffer.getvalue()


# Pictures of a format that is not read, and what is no picture: each with the word that its reason has.
PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "JPEG XL codestream": ("JPEG XL", lambda: imagecodecs.jpegxl_encode(grey())),
    "JPEG XL in its container": ("JPEG XL", lambda: imagecodecs.jpegxl_encode(grey(), usecontainer=True)),
    "JPEG XR": ("JPEG XR", lambda: imagecodecs.jpegxr_encode(grey())),
    "SVG": ("SVG", lambda: SVG),
    "SVG after an XML declaration": ("SVG", lambda: b'<?xml version="1.0"?>\n<!-- drawn by a tool -->\n' + SVG),
    "PCX": ("PCX", lambda: pillow(grey(), "PCX")),
    "DCX, pages of PCX": ("DCX", lambda: struct.pack("<III", 0x3ADE68B1, 12, 0) + pillow(grey(), "PCX")),
    "Photoshop": ("Photoshop", lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 1, 200, 160, 8, 1) + bytes(14)),
    "DICOM": ("DICOM", lambda: bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0" + bytes(4)),
    "DjVu": ("DjVu", lambda: b"AT&TFORM\0\0\0\x40DJVUINFO\0\0\0\x0a" + bytes(60)),
    "JBIG2": ("JBIG2", lambda: b"\x97JB2\r\n\x1a\n\x01\0\0\0\1" + bytes(40)),
    "icon": ("icon", lambda: pillow(colour(), "ICO", sizes=[(48, 48)])),
    "OpenEXR": ("OpenEXR", lambda: b"\x76\x2f\x31\x01\x02\0\0\0channels\0chlist\0" + bytes(40)),
    "QOI": ("QOI", lambda: imagecodecs.qoi_encode(colour())),
    "Radiance HDR": ("Radiance", lambda: imagecodecs.rgbe_encode((colour() / 255).astype("f4"), header=True)),
    "MDI": ("Microsoft Document Imaging", lambda: b"EP*\0" + struct.pack("<I", 8) + bytes(60)),
    "PNG of Apple": (
        "CgBI",
        lambda: pillow(grey(), "PNG")[:8] + b"\0\0\0\4CgBIP\0 \6+\xd5\xb3\x7f" + pillow(grey(), "PNG")[8:],
    ),
    "PAM": ("PAM", lambda: b"P7\nWIDTH 160\nHEIGHT 200\nDEPTH 1\nMAXVAL 255\nENDHDR\n" + grey().tobytes()),
    "PFM": ("PFM", lambda: b"Pf\n160 200\n-1.0\n" + (grey()[::-1] / 255).astype("<f4").tobytes()),
}
OTHERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "PostScript": ("PostScript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 160 200\nshowpage\n"),
    "ZIP": ("ZIP", archive),
    "gzip": ("gzip", lambda: gzip.compress(pillow(grey(), "PNG"), mtime=0)),
    "text": ("text", lambda: b"the scanner was out of paper\n"),
    "text in UTF-16": ("text", lambda: "the scanner was out of paper\n".encode("utf-16")),
    "HTML": ("HTML", lambda: HTML),
    "HTML after spaces": ("HTML", lambda: b"\n\n  <html><body>Please log in</body></html>"),
    "XML": ("XML", lambda: b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'),
    "JSON": ("text", lambda: b'{"error": "not found"}\n'),
    "film, MP4": ("video", lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40)),
    "bytes of nothing known": ("starts with", lambda: bytes(range(200, 256)) * 4),
}


def kinds() -> Iterator[Kind]:
    """All of them."""
    for status, cases in [("undecodable", PICTURES), ("not_an_image", OTHERS)]:
        for name, (word, make) in cases.items():
            yield Kind(name, make, (Row(status, word=word),))
