#!/usr/bin/env bash
# One would guess: an image library that cannot decompress a TIFF says so (None or an exception), as OpenCV does for ZSTD.
# What happens: where libtiff has no codec of the compression's number at all (JPEG 2000, JPEG XL, PNG in TIFF), OpenCV's
# imdecode and imdecodemulti succeed and give a page of the right size that is all black. A form that was never read looks
# like an empty one. Whoever reads TIFFs with OpenCV has to read tag 259 and refuse what it does not know.
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder"
OPENCV_LOG_LEVEL=SILENT "$folder/venv/bin/python" - <<'PYTHON'
import sys
from io import BytesIO

import cv2, imagecodecs, numpy as np, tifffile

print("OpenCV", cv2.__version__, "tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__)
page = np.full((200, 160), 240, np.uint8)
page[40:160, 70:90] = 20

as_seen = True
for compression, black in [("lzw", False), ("zstd", None), ("jpeg2000", True), ("jpegxl", True), ("png", True)]:
    file = BytesIO()
    tifffile.imwrite(file, page, compression=compression, metadata=None)
    data = file.getvalue()
    assert np.array_equal(tifffile.imread(BytesIO(data)), page)  # it is valid, and holds the page
    bytes_of_it = np.frombuffer(data, np.uint8)
    found = cv2.imdecode(bytes_of_it, cv2.IMREAD_UNCHANGED)
    said, pages = cv2.imdecodemulti(bytes_of_it, cv2.IMREAD_UNCHANGED)
    what = "None" if found is None else f"{found.shape}, grey from {found.min()} to {found.max()}"
    print(f"{compression:9} imdecode: {what}; imdecodemulti: {said}, {len(pages)} pages")
    if black is None:
        as_seen &= found is None and not said
    else:
        right = np.zeros_like(page) if black else page
        as_seen &= found is not None and np.array_equal(found, right) and bool(said)
sys.exit(0 if as_seen else "this has changed: look at what is printed above")
PYTHON
