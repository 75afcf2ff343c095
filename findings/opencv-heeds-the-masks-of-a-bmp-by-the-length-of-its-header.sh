#!/usr/bin/env bash
# A BMP of 32 bits has three masks, which say where in each pixel red, green and blue lie. They follow its header of 40 bytes, or
# are the last 12 bytes of a longer one: the same bytes at the same place. A good guess: OpenCV heeds them in both, as it does for
# 16 bits, or in neither.
#
# What happens: with a header of 56 bytes or more OpenCV puts the colours where the masks say. With 40 or 52 it takes the bytes
# as blue, green, red, and nothing is said: colours change places, and where the first byte is padding, white paper is yellow. For
# 16 bits it heeds them behind a header of 40. Whoever reads such files with OpenCV has to give them a longer header, or to read
# the masks himself. Pillow heeds the orders that it knows, or raises an error.
# Seen on 2026-11-29 with opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import cv2
import numpy as np
from PIL import Image, __version__

print("opencv", cv2.__version__, "pillow", __version__)
WIDTH, HEIGHT = 4, 2
MASKS = {  # of red, green and blue
    "blue, green, red, padding": (0xFF0000, 0xFF00, 0xFF),
    "red, green, blue, padding": (0xFF, 0xFF00, 0xFF0000),
    "padding, blue, green, red": (0xFF000000, 0xFF0000, 0xFF00),
    "padding, red, green, blue": (0xFF00, 0xFF0000, 0xFF000000),
}
SHOWN = {"paper": (255, 255, 255), "red ink": (255, 0, 0)}


def bmp(masks, colour, header, bits=32):
    parts = zip(masks, colour)
    pixel = sum(level * (mask & -mask) * (mask // (mask & -mask)) // 255 & mask for mask, level in parts)
    pixels = np.full((HEIGHT, WIDTH), pixel, f"<u{bits // 8}").tobytes()
    head = struct.pack("<IiiHHIIiiII", header, WIDTH, HEIGHT, 1, bits, 3, len(pixels), 0, 0, 0, 0)
    head = (head + struct.pack("<3I", *masks)).ljust(header, b"\0")
    start = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + pixels


def by_opencv(data):
    return tuple(int(level) for level in cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[0, 0, ::-1])


def by_pillow(data):
    try:
        return Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))
    except OSError as error:
        return error


right = {}
for order, masks in MASKS.items():
    for header in (40, 52, 56, 108, 124):
        colours = {name: by_opencv(bmp(masks, colour, header)) for name, colour in SHOWN.items()}
        right[order, header] = colours == SHOWN
        if header in (40, 56):
            others = {str(by_pillow(bmp(masks, colour, header))) for colour in SHOWN.values()}
            print(f"{order}; header of {header}: OpenCV {colours}; Pillow {sorted(others)}")
for masks in ((0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)):
    seen = by_opencv(bmp(masks, (255, 0, 0), 40, 16))
    print(f"16 bits, masks {[hex(mask) for mask in masks]}, header of 40: red is {seen}")
    right[masks, 16] = seen[0] > 200 and max(seen[1:]) < 50
usual = next(iter(MASKS))
expected = {key: key[0] == usual or key[1] not in (40, 52) for key in right}
sys.exit(0 if right == expected else "this has changed: look at what is printed above")
PYTHON
