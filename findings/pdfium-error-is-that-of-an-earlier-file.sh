#!/usr/bin/env bash
# One would guess: the error of PDFium for a file that cannot be opened (FPDF_GetLastError, err_code in pypdfium2) is about that
# file.
# What happens: for a PDF without a page FPDF_LoadMemDocument64 fails and sets no error. FPDF_GetLastError then gives the error of
# whatever file failed before in the same process. After a locked file, a PDF without a page "needs a password"; alone it fails
# with "Success". Whoever tells users why a PDF cannot be opened has to look into the file too: for /Encrypt, for example.
# Seen on 2026-11-28 with pypdfium2 5.15.2 (PDFium 159.0.8149)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pypdfium2==5.15.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pypdfium2 as pdfium
from pypdfium2.version import PDFIUM_INFO, PYPDFIUM_INFO

print("pypdfium2", PYPDFIUM_INFO.version, "PDFium", PDFIUM_INFO.version)


def pdf(kids: bytes, trailer: bytes = b"") -> bytes:
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, bool(kids)),
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>"]  # fmt: skip
    content, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 4\n0000000000 65535 f \n" + b"".join(places)
    return content + table + b"trailer\n<</Size 4/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (trailer, len(content))


def error(data: bytes) -> int | None:
    try:
        pdfium.PdfDocument(data).close()
    except pdfium.PdfiumError as failed:
        print("   ", failed)
        return failed.err_code
    return None


empty = pdf(b"")
locked = pdf(b"3 0 R", b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<00><00>]" % (b"12" * 32, b"34" * 32))
files = {"whole": pdf(b"3 0 R"), "without a page": empty, "locked": locked, "without a page, again": empty, "text": b"text",
         "without a page, a third time": empty}  # fmt: skip
seen = []
for name, data in files.items():
    print(name)
    seen.append(error(data))
sys.exit(0 if seen == [None, 0, 4, 4, 3, 3] else f"this has changed: {seen}")
PYTHON
