"""The folders of a store are listed many at once, or together, and the listing is the same."""

from pathlib import Path

import pytest

from mnist_batch.intake import listing, scans, store_folders
from tests.support import s3, static_s3
from tests.support.listing import names, touch


def listed_at_a_store(folder: Path, patch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, int]]:
    """The scans below a folder as a store lists them, and what it was asked."""
    with static_s3.served(folder, delay_seconds=0.1) as server:
        for name, value in (s3.CREDENTIALS | {"AWS_ENDPOINT_URL": server.url}).items():
            patch.setenv(name, value)
        port = server.url.rpartition(":")[2]  # so that no client of an earlier server is used
        listed = listing.list_scans([f"s3://scans?endpoint_override=127.0.0.1:{port}&scheme=http"])
        assert len(scans.digest(listed)) == 32
        return names(listed), server.asked()


def test_many_folders_of_a_store_are_listed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "z.png", *(f"{folder:02}/{scan}.png" for folder in range(40) for scan in "ab"))
    found, asked = listed_at_a_store(tmp_path, monkeypatch)
    assert found == names(listing.list_scans([str(tmp_path)]))
    assert asked["most_under_way"] > 4
    assert asked["GET bucket"] <= 41 + 1  # and one that asks whether there is such a bucket


def test_many_folders_of_few_scans_are_listed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "z.png", *(f"{folder:04}/page.png" for folder in range(120)), "0100/deep/er.png", "z/z.png")
    monkeypatch.setattr(store_folders, "MANY", 100)
    found, asked = listed_at_a_store(tmp_path, monkeypatch)
    assert found == names(listing.list_scans([str(tmp_path)]))
    assert asked["GET bucket"] < 2 * store_folders.AT_ONCE + 4


def test_large_folders_are_not_held_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"{folder}/{scan}.png" for folder in range(8) for scan in range(10)))
    monkeypatch.setattr(store_folders, "HELD", 20)
    found, asked = listed_at_a_store(tmp_path, monkeypatch)
    assert found == names(listing.list_scans([str(tmp_path)]))
    assert asked["most_under_way"] == 2
