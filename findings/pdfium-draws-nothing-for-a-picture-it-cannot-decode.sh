#!/usr/bin/env bash
# One would guess: rendering a page of a PDF whose scan is damaged fails, or says so.
# What happens: FPDF_RenderPageBitmap has no result at all. A scan in JPEG 2000 that lacks its last two bytes, or in a compression
# that nobody has, gives a page of clean white paper; a JPEG that ends halfway goes on in grey, Deflate that ends halfway in black.
# A form that was never read looks like an empty one. Whoever renders scans has to ask FPDFImageObj_GetBitmap whether each picture
# of the page can be decoded, and to look at the end of its data (FPDFImageObj_GetImageDataRaw) for what ends early.
# Seen on 2026-11-28 with pypdfium2 5.15.2 (PDFium 159.0.8149), pillow 13.0.0, numpy 2.4.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pypdfium2==5.15.2 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import zlib

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image
from pypdfium2.version import PDFIUM_INFO, PYPDFIUM_INFO

print("pypdfium2", PYPDFIUM_INFO.version, "PDFium", PDFIUM_INFO.version)
scan = np.full((400, 300), 200, np.uint8)
scan[::20] = 30


def stream(entries: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data)


def pdf(compression: bytes, data: bytes) -> bytes:
    picture = b"/Type/XObject/Subtype/Image/Width 300/Height 400/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/" + compression
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]/Resources<</XObject<</I 5 0 R>>>>/Contents 4 0 R>>",
               stream(b"", b"q 300 0 0 400 0 0 cm /I Do Q"), stream(picture, data)]  # fmt: skip
    content, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(places)
    return content + table + b"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(content)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(scan).save(file, kind)
    return file.getvalue()


jpeg, jpeg2000, deflate = encoded("JPEG"), encoded("JPEG2000"), zlib.compress(scan.tobytes())
as_seen = True
for name, compression, data, rest, decodes in [
    ("JPEG", b"DCTDecode", jpeg, None, True), ("JPEG, half", b"DCTDecode", jpeg[: len(jpeg) // 2], 128, True),
    ("Deflate", b"FlateDecode", deflate, None, True), ("Deflate, half", b"FlateDecode", deflate[: len(deflate) // 2], 0, True),
    ("JPEG 2000", b"JPXDecode", jpeg2000, None, True), ("JPEG 2000, 2 bytes short", b"JPXDecode", jpeg2000[:-2], 255, False),
    ("a compression that nobody has", b"NoneDecode", jpeg, 255, False),
]:  # fmt: skip
    document = pdfium.PdfDocument(pdf(compression, data))
    page = document[0]
    drawn = page.render(scale=1).to_numpy()[..., 0]
    bitmap = raw.FPDFImageObj_GetBitmap(raw.FPDFPage_GetObject(page, 0))
    last = np.unique(drawn[-15:])
    print(f"{name:30} no error; the last rows are {last[:4]}; FPDFImageObj_GetBitmap: {'a bitmap' if bitmap else 'nothing'}")
    as_seen &= bool(bitmap) == decodes and (rest is None or last.tolist() == [rest])
sys.exit(0 if as_seen else "this has changed: look at what is printed above")
PYTHON
