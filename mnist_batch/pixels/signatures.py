"""Recognise a file by its first bytes: a supported format, or the name of whatever else it is."""

import codecs
import re

from mnist_batch.errors import Unreadable
from mnist_batch.statuses import Status

# Only these reach a decoder. A file's name proves nothing, and some formats that decoders support have known flaws.
_READ = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0\x08\0\0\0", "TIFF"),
    (0, b"MM\0+\0\x08\0\0", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
)
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

# Pictures in formats that are not supported.
_PICTURES = (
    (8, b"CR\x02\0", "a Canon camera's raw image (CR2)"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"II\xbc\x01", "a JPEG XR image"),
    (0, b"EP*\0", "a Microsoft Document Imaging file (MDI)"),
    (0, b"8BPS", "a Photoshop document (PSD)"),
    (0, b"P7\n", "a PAM image"),
    (0, b"PF\n", "a PFM image"),
    (0, b"Pf\n", "a PFM image"),
    (0, b"\xb1\x68\xde\x3a", "a DCX file (PCX pages)"),
    (0, b"\x97JB2\r\n\x1a\n", "a JBIG2 image"),
    (0, b"AT&TFORM", "a DjVu document"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"\0\0\x02\0\x01\0", "a cursor (CUR)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"gimp xcf", "a GIMP image (XCF)"),
    (0, b"BPG\xfb", "a BPG image"),
    (0, b"qoif", "a QOI image"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (0, b"\x01\xda\x00\x01", "an SGI image"),
    (0, b"\x01\xda\x01\x01", "an SGI image"),
    (0, b"SIMPLE  =", "a FITS image"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS drawing"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)"),
    (0, b"/* XPM", "an XPM image"),
    (0, b"#define ", "an XBM image, or a text file"),
    (0, b"\x8aMNG\r\n\x1a\n", "an MNG animation"),
    (0, b"\x8bJNG\r\n\x1a\n", "a JNG image"),
    (0, b"FUJIFILMCCD-RAW", "a Fujifilm camera's raw image (RAF)"),
    (0, b"IIRO", "an Olympus camera's raw image (ORF)"),
    (0, b"IIRS", "an Olympus camera's raw image (ORF)"),
    (0, b"MMOR", "an Olympus camera's raw image (ORF)"),
    (0, b"IIU\0", "a Panasonic camera's raw image (RW2)"),
    (0, b"\0MRM", "a Minolta camera's raw image (MRW)"),
    (0, b"FOVb", "a Sigma camera's raw image (X3F)"),
    (4, b"ftypcrx ", "a Canon camera's raw image (CR3)"),
)
_SAVE = "save it as PNG or TIFF"

# Files that are not pictures.
_OTHERS = (
    (0, b"%!PS", "a PostScript file; save its pages as PNG or TIFF images"),
    (0, b"PK\x03\x04", "a ZIP archive or an Office document; unpack it, or save its pages as images"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (OLE), or Thumbs.db"),
    (0, b"\x1f\x8b", "gzip-compressed; unpack it"),
    (0, b"BZh", "bzip2-compressed; unpack it"),
    (0, b"\xfd7zXZ\0", "xz-compressed; unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard-compressed; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (257, b"ustar", "a tar archive; unpack it"),
    (0, b"SQLite format 3\0", "a SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array; save it as PNG or TIFF"),
    (0, b"\x7fELF", "a program"),
    (0, b"\0\x05\x16\x07", "what macOS keeps beside a file (AppleDouble)"),
    (0, b"\0\0\0\x01Bud1", "a .DS_Store of macOS"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska)"),
    (0, b"\0\0\x01\xba", "a video (MPEG)"),
    (0, b"{\\rtf", "an RTF document"),
)


def kind_of(data: bytes) -> str:
    """The format of a file of pages: PNG, JPEG, TIFF, PDF, BMP, PNM, WebP, GIF, JPEG 2000, AVIF or HEIF.

    Raises Unreadable for any other file and names what it is: ``undecodable`` for a picture, else ``not_an_image``.
    """
    kind = _match(_READ, data) or _in_container(data) or _pdf(data)
    if kind is None or (kind == "TIFF" and data[8:10] == b"CR"):
        raise _unknown(data)
    return kind


def _match(table: tuple[tuple[int, bytes, str], ...], data: bytes) -> str | None:
    for at, start, name in table:
        if data.startswith(start, at):
            return name
    return None


def _in_container(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and data[15:18] == b"\0\0\0" and 12 <= data[14] <= 124:  # the size of the second header
        return "BMP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PNM"
    if data[4:8] != b"ftyp":
        return None
    brands = [data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4], "big"), 256), 4) if at != 12]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIF" if any(brand in _HEIF for brand in brands) else None


def _pdf(data: bytes) -> str | None:
    # PDF readers search this far. An archive may hold a PDF that begins there, too.
    return "PDF" if b"%PDF-" in data[:1024] and not _match((*_PICTURES, *_OTHERS), data) else None


def _unknown(data: bytes) -> Unreadable:
    picture = _match(_PICTURES, data)
    if picture:
        return Unreadable(Status.UNDECODABLE, f"{picture}, which is not read; {_SAVE}")
    other = _match(_OTHERS, data)
    if other:
        return Unreadable(Status.NOT_AN_IMAGE, other)
    if data[:1] == b"\x0a" and data[1:2] in (b"\0", b"\x02", b"\x03", b"\x04", b"\x05") and data[2:3] == b"\x01":
        return Unreadable(Status.UNDECODABLE, f"a PCX image, which is not read; {_SAVE}")
    if data[4:8] == b"ftyp":
        return Unreadable(Status.NOT_AN_IMAGE, "a video")
    if data[:4] == b"RIFF":
        return Unreadable(Status.NOT_AN_IMAGE, "a sound or video (RIFF)")
    if not any(data):
        return Unreadable(Status.NOT_AN_IMAGE, "nothing but zero bytes: a copy or download that did not finish")
    return _text(data) or Unreadable(
        Status.NOT_AN_IMAGE, f"of no known kind: it starts with the bytes {data[:8].hex(' ')}"
    )


def _text(data: bytes) -> Unreadable | None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Unreadable(Status.NOT_AN_IMAGE, "a text file")
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.search(rb"<svg[\s>]", start):
        return Unreadable(Status.UNDECODABLE, f"an SVG drawing, which is not read; {_SAVE}")
    if start.startswith((b"<!doctype html", b"<html")):
        return Unreadable(Status.NOT_AN_IMAGE, "a web page (HTML), perhaps a download that failed")
    if start.startswith(b"<?xml"):
        return Unreadable(Status.NOT_AN_IMAGE, "an XML file")
    return Unreadable(Status.NOT_AN_IMAGE, "a text file") if _is_text(data[:1024]) else None


def _is_text(start: bytes) -> bool:
    if re.search(rb"[^\t\n\f\r\x1b -~\x80-\xff]", start):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut off
    except UnicodeDecodeError:
        return 4 * sum(byte < 0x80 for byte in start) > 3 * len(start)
    return len(start) > 1
