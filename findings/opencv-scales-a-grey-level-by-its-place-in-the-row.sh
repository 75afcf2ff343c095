#!/usr/bin/env bash
# A grey picture is made paler: cv2.addWeighted(picture, 0.1, picture, 0, -10). A good guess: what becomes of a pixel depends
# on its grey level alone, as with a table of 256 entries, so a part that is cut out first has the same pixels.
#
# What happens: the pixels of a row that fill vector registers are computed otherwise than the last ones, and a level that
# comes out near a half is rounded up in one place and down in the other. So a pixel depends on how wide its row is, and
# on how wide the registers of the processor are. cv2.LUT with a table of one's own does not.
# Seen on 2026-11-29 with opencv-python-headless 5.0.0.93 on a processor with AVX-512
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

print("opencv", cv2.__version__, "numpy", np.__version__)
levels = np.arange(256, dtype=np.uint8)[None]


def paler(picture):
    return cv2.addWeighted(picture, 0.1, picture, 0, -10.0)


whole = paler(levels)[0]
alone = np.concatenate([paler(np.ascontiguousarray(levels[:, at : at + 1]))[0] for at in range(256)])
differing = np.flatnonzero(whole != alone)
for level in differing:
    print(f"level {level}: {whole[level]} in a row of 256 pixels, {alone[level]} in a row of one")
table = np.clip(np.rint(levels * 0.1 - 10.0), 0, 255).astype(np.uint8)
by_table = np.concatenate([cv2.LUT(np.ascontiguousarray(levels[:, at : at + 1]), table)[0] for at in range(256)])
same = np.array_equal(cv2.LUT(levels, table)[0], by_table)
print("by a table a row of one has the same pixels:", same)
sys.exit(0 if len(differing) and same else 1)
PYTHON
