#!/usr/bin/env bash
# A page in black and white is stored losslessly as JPEG 2000 with 1 bit a sample, as its standard allows. A good guess: white is
# 255 when it is read, as it is for a PNG or TIFF of 1 bit; and if decoders differ, the tested ones of PDF readers are right.
#
# What happens: paper is 128, middle grey, in Pillow, in PDFium (Chrome) and in MuPDF alike; with 2 bits it is 192, with 4 bits
# 240. All three shift the bits up and do not stretch them. Ink is then told from paper by half the contrast, and a threshold of
# 128 or more finds nothing but ink. From 8 bits on all agree on 255. OpenCV reads no JPEG 2000 with less than 8 bits. Whoever
# reads such pages has to stretch them by their bits (the header says how many), or find the paper for himself.
# Seen on 2026-11-29 with pillow 13.0.0, pypdfium2 5.15.2, pymupdf 2.0, opencv-python-headless 5.0.0.93, imagecodecs 2026.3.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pillow==13.0.0 pypdfium2==5.15.2 pymupdf==2.0 \
    opencv-python-headless==5.0.0.93 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder"
OPENCV_LOG_LEVEL=SILENT "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version

import cv2
import imagecodecs
import numpy as np
import pymupdf
import pypdfium2
from PIL import Image

print(*(f"{name} {version(name)}" for name in ("pillow", "pypdfium2", "pymupdf", "opencv-python-headless", "imagecodecs")))
WIDTH, HEIGHT = 64, 48


def pdf(data: bytes) -> bytes:
    size, drawing = b"%d %d" % (WIDTH, HEIGHT), b"q %d 0 0 %d 0 0 cm /I Do Q" % (WIDTH, HEIGHT)
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %s]/Resources<</XObject<</I 5 0 R>>>>/Contents 4 0 R>>" % size,
               b"<</Length %d>>\nstream\n%s\nendstream" % (len(drawing), drawing),
               b"<</Type/XObject/Subtype/Image/Width %d/Height %d/Filter/JPXDecode/Length %d>>\nstream\n%s\nendstream"
               % (WIDTH, HEIGHT, len(data), data)]  # fmt: skip
    content, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(places)
    return content + table + b"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(content)


def by_opencv(data: bytes) -> int | None:
    page = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if page is None else int(page.max())


seen = {}
for bits in (1, 2, 4, 8):
    page = np.full((HEIGHT, WIDTH), 2**bits - 1, np.uint8)
    page[10:30, 10:30] = 0
    data = imagecodecs.jpeg2k_encode(page, bitspersample=bits, level=0)
    kept = np.array_equal(imagecodecs.jpeg2k_decode(data), page)
    with Image.open(io.BytesIO(data)) as image:
        by_pillow = int(np.asarray(image).max())
    by_pdfium = int(pypdfium2.PdfDocument(pdf(data))[0].render(scale=1).to_numpy().max())
    by_mupdf = max(pymupdf.open("pdf", pdf(data))[0].get_pixmap().samples)
    seen[bits] = kept, by_pillow, by_pdfium, by_mupdf, by_opencv(data)
    print(f"{bits} bits: samples as written {kept}; white is {by_pillow} in Pillow, {by_pdfium} in PDFium, {by_mupdf} in "
          f"MuPDF, {seen[bits][4]} in OpenCV")  # fmt: skip
buffers = io.BytesIO(), io.BytesIO()
for buffer, kind in zip(buffers, ("PNG", "TIFF")):
    Image.new("1", (WIDTH, HEIGHT), 1).save(buffer, kind)
plain = [int(np.asarray(Image.open(buffer).convert("L")).max()) for buffer in buffers]
print("1 bit as PNG and TIFF, in Pillow:", plain)
expected = {bits: (True, *[256 - 2 ** (8 - bits)] * 3, None) for bits in (1, 2, 4)} | {8: (True, 255, 255, 255, 255)}
sys.exit(0 if seen == expected and plain == [255, 255] else f"this has changed: {seen}")
PYTHON
