"""The digests of the bytes of scans, without decoding them. No Ray in here."""

import pyarrow as pa

from mnist_batch.reading import images, reading_ahead

COLUMNS = ("source", "path", "size", "modified_ns")  # of the manifest


def digests(scans: pa.Table) -> pa.Array:
    """``images.content_digest`` of each scan, binary(16); null where it cannot be read.

    ``scans`` has ``COLUMNS``. Those at a store are requested many at a time. Raises InputError or StorageError if a
    store does not answer.
    """
    found = list[bytes | None]()
    for _, read in reading_ahead.read_ahead(scans, images.MAX_BYTES):
        try:
            found.append(images.content_digest(read()))
        except images.Unreadable:  # its row will say so
            found.append(None)
    return pa.array(found, pa.binary(16))
