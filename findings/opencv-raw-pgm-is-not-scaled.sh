#!/usr/bin/env bash
# One would guess: the same page as plain PGM (P2) and as raw PGM (P5) decodes to the same pixels, white as 255.
# What happens: OpenCV scales P2 by its maximum and leaves P5 as it is stored. A raw PGM of maximum 15 (netpbm's pamdepth
# writes them) is a page of grey 0 to 15 of 255: nearly black, and empty for whoever looks for ink on white paper. P3 and P6
# differ alike. Pillow scales all four. Whoever reads PNM with OpenCV has to scale P5 and P6, and must not scale P2 and P3.
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cd "$folder"
OPENCV_LOG_LEVEL=SILENT "$folder/venv/bin/python" - <<'PYTHON'
import sys
from io import BytesIO

import cv2, numpy as np, PIL
from PIL import Image

print("OpenCV", cv2.__version__, "Pillow", PIL.__version__)
MAXIMUM = 15
page = np.full((20, 16), MAXIMUM, np.uint8)
page[4:16, 7:9] = 0
colour = np.repeat(page[..., None], 3, axis=2)
as_seen = True
for number, samples, scaled in [(2, page, True), (5, page, False), (3, colour, True), (6, colour, False)]:
    words = " ".join(map(str, samples.ravel().tolist())).encode() + b"\n"
    data = b"P%d\n16 20\n%d\n" % (number, MAXIMUM) + (words if number <= 3 else samples.tobytes())
    with Image.open(BytesIO(data)) as image:
        by_pillow = int(np.asarray(image).max())
    assert by_pillow == 255, "Pillow does not scale it"
    white = int(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).max())
    print(f"P{number}, maximum {MAXIMUM}: white is {white} in OpenCV, {by_pillow} in Pillow")
    as_seen &= white == (255 if scaled else MAXIMUM)
sys.exit(0 if as_seen else "this has changed: look at what is printed above")
PYTHON
