"""Shards hold every scan once; the digest of a listing tells every change."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch.intake import listing, scans
from mnist_batch.intake.labels import attach_labels, parse_labels
from tests.support.listing import touch


def numbered(count: int) -> pa.Table:
    return pa.table({"number": pa.array(range(count), pa.int32())})


@given(count=st.integers(0, 500), size=st.integers(1, 60))
def test_shards_hold_every_scan_once_in_order(count: int, size: int) -> None:
    shards = scans.cut(numbered(count), size)
    assert [number for shard in shards for number in shard["number"].to_pylist()] == list(range(count))
    assert all(shard.num_rows == size for shard in shards[:-1])
    assert all(shard.num_rows > 0 for shard in shards)


@pytest.mark.parametrize(("count", "shards"), [(0, 0), (1, 1), (5_000, 1), (5_001, 2), (12_000_001, 2_000)])
def test_the_default_shard_keeps_the_number_of_files_small(count: int, shards: int) -> None:
    assert len(scans.cut(pa.table({"none": pa.nulls(count)}))) == shards


def test_the_digest_of_a_listing_tells_every_change(tmp_path: Path) -> None:
    touch(tmp_path, "7/a.png", "7/b.png")
    listed = listing.list_scans([str(tmp_path)])
    seen = {scans.digest(listed), scans.digest(attach_labels(listed, parse_labels("parent")))}
    assert scans.digest(listing.list_scans([str(tmp_path)])) in seen
    (tmp_path / "7/a.png").write_bytes(b"longer")
    seen.add(scans.digest(listing.list_scans([str(tmp_path)])))
    touch(tmp_path, "7/c.png")
    seen.add(scans.digest(listing.list_scans([str(tmp_path)])))
    assert len(seen) == 4
