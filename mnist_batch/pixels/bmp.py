"""Read the header of a BMP: its variant, density and alpha, and mend what OpenCV misreads. Nothing is decoded here."""

import struct


def may_have_alpha(data: bytes) -> bool:
    """Whether it has 32 bits with channel masks, one of them for alpha."""
    header, bits, compression = data[14:18], data[28:30], data[30:34]
    masked = compression in (b"\3\0\0\0", b"\6\0\0\0") and (header > b"\x34" or compression[:1] == b"\6")
    return bits == b"\x20\0" and masked and data[66:70] not in (b"", bytes(4))


def with_masks_in_header(data: bytes) -> bytes:
    """A BMP whose masks follow its header, with a longer one that holds them: OpenCV ignores them else, for 32 bits."""
    if data[14:15] not in b"\x28\x34" or data[28:34] != b"\x20\0\3\0\0\0" or len(data) < 66:
        return data
    (start,) = struct.unpack_from("<I", data, 10)
    return data[:10] + struct.pack("<IB", min(start + 4, 2**32 - 1), 56) + data[15:66] + bytes(4) + data[66:]


def density(data: bytes) -> tuple[float, float]:
    """Pixels per unit across and down; (0, 0) if not given."""
    return struct.unpack_from("<ii", data, 38) if data[14] >= 40 else (0, 0)


def variant(data: bytes) -> str | None:
    """The variant of a BMP that is not read, in words; None if it is of none of them."""
    header, (bits, compression) = data[14], struct.unpack_from("<HI", bytes(data[28:34]).ljust(6, b"\0"))
    if header == 64 and compression in (3, 4):
        return f"in {'Huffman' if compression == 3 else 'RLE24'} compression"
    if header >= 40 and compression in (4, 5):
        return f"with a {'JPEG' if compression == 4 else 'PNG'} inside"
    if header == 16 or (header >= 40 and bits not in (1, 4, 8, 16, 24, 32)):
        return f"of {bits} bits with a header of {header} bytes"
    return "of 16 bits with other masks than 5:5:5 and 5:6:5" if bits == 16 and compression in (3, 6) else None
