#!/usr/bin/env bash
# One would guess: OpenCV turns a TIFF by its Orientation (tag 274) the same way whether it lies in strips or in tiles.
# What happens: in strips every orientation is right. In tiles, those that run from right to left (2, 3, 6, 7) come with their
# tiles in the wrong places: the picture has the right size and grey levels, and its parts are shuffled. Nothing is said.
# Pillow is right for all. Whoever reads TIFFs with OpenCV has to look for tag 322 beside tag 274.
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93, pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93 pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$folder"
OPENCV_LOG_LEVEL=SILENT "$folder/venv/bin/python" - <<'PYTHON'
import sys
from io import BytesIO

import cv2, numpy as np, PIL, tifffile
from PIL import Image, ImageOps

print("OpenCV", cv2.__version__, "Pillow", PIL.__version__, "tifffile", tifffile.__version__)
down, across = np.mgrid[:200, :160]
page = (down + across // 2).astype(np.uint8)  # no two places of it are alike
stored = {
    1: page, 2: page[:, ::-1], 3: page[::-1, ::-1], 4: page[::-1],
    5: page.T, 6: page.T[::-1], 7: page.T[::-1, ::-1], 8: page.T[:, ::-1],
}  # fmt: skip
wrong = {}
for layout, options in [("strips", {}), ("tiles", {"tile": (64, 64)})]:
    wrong[layout] = set()
    for orientation, pixels in stored.items():
        file = BytesIO()
        tifffile.imwrite(
            file, np.ascontiguousarray(pixels), metadata=None, extratags=[(274, 3, 1, orientation, True)], **options
        )
        with Image.open(BytesIO(file.getvalue())) as image:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), page), "Pillow sees another page"
        found = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE)
        if found is None or not np.array_equal(found, page):
            wrong[layout].add(orientation)
            print(f"{layout}, orientation {orientation}:", "None" if found is None else
                  f"{found.shape}, {(found != page).mean():.0%} of the pixels are another's")
    print(f"{layout}: {sorted(stored.keys() - wrong[layout])} are right")
sys.exit(0 if wrong == {"strips": set(), "tiles": {2, 3, 6, 7}} else "this has changed: look at what is printed above")
PYTHON
