"""Pictures in the formats of scans."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from mnist_batch.reading import images


def drawing(height: int = 40, width: int = 30) -> NDArray[np.uint8]:
    """Strokes of several greys, no two sides alike, so that turning it shows."""
    grey = np.full((height, width), 230, np.uint8)
    grey[4:8, 4:20] = 20
    grey[8:36, 8:12] = 120
    return grey


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(image: Image.Image) -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(image, "HEIF", quality=95)


GREY = Image.fromarray(drawing())


COLOUR = Image.merge("RGB", [GREY, GREY.point(lambda value: value // 2), GREY.point(lambda value: 255 - value)])


BITS = GREY.point(lambda value: 255 * (value > 128)).convert("1")


SIXTEEN = Image.fromarray(drawing().astype(np.uint16) * 257)


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def write_labelled(
    path: Path, pictures: Sequence[NDArray[np.uint8] | bytes], metadata: Mapping[str, str] | None = None, **columns: Any
) -> Path:
    """A Parquet file of pictures, as PNG in the column ``png``, with these other columns."""
    contents = [picture if isinstance(picture, bytes) else images.encode(picture) for picture in pictures]
    pq.write_table(pa.table({"png": contents, **columns}).replace_schema_metadata(metadata), path)
    return path
