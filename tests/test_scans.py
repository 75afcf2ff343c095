"""Listing, labels and shards: every file once, in a fixed order, with the truth beside it."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch import listing, scans, tables, user_tables
from mnist_batch.errors import InputError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(listed: pa.Table) -> list[str]:
    return listed["scan"].to_pylist()


def test_every_file_is_listed_once_in_a_fixed_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a/2.png", "a/1.png", "a/deep/er/x", "_hidden.png", ".dot", "no extension")
    listed = listing.list_scans([str(tmp_path)])
    assert listed.schema.equals(tables.MANIFEST)
    assert names(listed) == [".dot", "_hidden.png", "b.png", "no extension", "a/1.png", "a/2.png", "a/deep/er/x"]
    assert set(listed["source"].to_pylist()) == {str(tmp_path)}
    assert listed["size"].to_pylist() == [1] * 7
    assert listed["path"].to_pylist()[4] == os.fsencode(tmp_path / "a/1.png")


@given(
    paths=st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), max_size=30),
    alone=st.integers(1, 8),
    share=st.integers(1, 8),
    listers=st.integers(1, 5),
    remote=st.booleans(),
)
def test_many_list_what_one_lists_and_in_its_order(
    paths: list[list[str]], alone: int, share: int, listers: int, *, remote: bool
) -> None:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(3) as others, pytest.MonkeyPatch.context() as changed:
        for path in paths:  # of folders and, with a dot before their names, of scans
            touch(Path(folder), "/".join([*path[:-1], f".{path[-1]}"]))
        source = f"fsspec+file://{folder}" if remote else folder
        whole = listing.list_scans([source])
        assert len(whole) == len({tuple(path) for path in paths})
        changed.setattr(listing, "ALONE", alone)
        changed.setattr(listing, "SHARE", share)
        changed.setattr(listing, "LISTERS", listers)
        shared = listing.list_scans([source], ask=lambda folders: others.submit(listing.list_some, folders))
        assert shared.equals(whole)
        assert scans.digest(shared) == scans.digest(whole)


def test_links_pipes_and_sockets_are_listed_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "out/secret.png")
    (tmp_path / "in/loop").symlink_to("..")
    (tmp_path / "in/away.png").symlink_to(tmp_path / "out/secret.png")
    (tmp_path / "in/dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "in/socket"))
        assert names(listing.list_scans([str(tmp_path / "in")])) == [
            "a.png",
            "away.png",
            "dangling",
            "loop",
            "pipe",
            "socket",
        ]


def test_names_that_are_not_utf8_are_listed_and_keep_their_bytes(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n.png")
    Path(os.fsdecode(name)).write_bytes(b"x")
    listed = listing.list_scans([str(tmp_path)])
    assert names(listed) == ["caf\\xe9\n.png"]
    assert listed["path"].to_pylist() == [name]


def test_a_file_is_a_source_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    listed = listing.list_scans([str(tmp_path / "b.png"), str(tmp_path / "a.png")])
    assert list(zip(listed["source"].to_pylist(), names(listed), strict=True)) == [
        (str(tmp_path), "a.png"),
        (str(tmp_path), "b.png"),
    ]


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    listed = listing.list_scans([str(tmp_path)])
    assert listed.num_rows == 0
    assert listed.schema.equals(tables.MANIFEST)
    assert scans.cut(listed) == []


def test_a_uri_lists_the_same_as_the_path(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    touch(tmp_path, "a.png")
    local, remote = listing.list_scans([str(tmp_path)]), listing.list_scans([f"fsspec+file://{tmp_path}"])
    assert names(local) == names(remote)
    assert local["size"].equals(remote["size"])
    [single] = listing.list_scans([f"fsspec+file://{tmp_path}/a/1.png"]).to_pylist()
    assert (single["source"], single["scan"]) == (f"fsspec+file://{tmp_path}/a", "1.png")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["a", "a/b"], "overlap"),
        (["a", "a-b", "a/b"], "overlap"),
        (["a/b/x.png", "a/b/x.png"], "overlap"),
        (["nowhere"], "SCANS: there is no file or folder"),
        (["fsspec+file:///nowhere"], "no file or folder"),
        (["gopher://host/x"], "not a location"),
    ],
)
def test_sources_that_break_a_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], message: str
) -> None:
    touch(tmp_path, "a/b/x.png", "a-b/y.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        listing.list_scans(sources)


def labelled(folder: Path, labels: str) -> dict[str, int | None]:
    listed = scans.attach_labels(listing.list_scans([str(folder)]), labels)
    assert listed.schema.equals(tables.MANIFEST)
    return dict(zip(names(listed), listed["label"].to_pylist(), strict=True))


def test_labels_from_the_parent_folder(tmp_path: Path) -> None:
    touch(tmp_path, "7/a.png", "x/0/b.png", "x/c.png", "10/d.png", "\u0665/e.png")
    expected = {"7/a.png": 7, "x/0/b.png": 0, "x/c.png": None, "10/d.png": None, "\u0665/e.png": None}
    assert labelled(tmp_path, "parent") == expected
    assert labelled(tmp_path / "7", "parent") == {"a.png": 7}
    with pytest.raises(InputError, match="no scan is in a folder named 0 to 9"):
        labelled(tmp_path / "10", "parent")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_labels_from_a_file(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / "in", "a.png", "b/c.png", "d.png")
    file = tmp_path / f"truth.{suffix}"
    truth = pd.DataFrame({"scan": ["b/c.png", f"{tmp_path}/in/a.png"], "label": [3, 0], "who": ["x", "y"]})
    truth.to_csv(file, index=False) if suffix == "csv" else truth.to_parquet(file)
    assert labelled(tmp_path / "in", str(file)) == {"a.png": 0, "d.png": None, "b/c.png": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan,label\na.png,1\nz.png,2\n", r"row 2: no scan 'z.png'"),
        ("scan,label\na.png,1\na.png,2\n", r"row 2: 'a.png' is labelled 1 and 2"),
        ("scan,label\na.png,1\nb.png,2\na.png,1\n", r"row 3: 'a.png' is labelled 1 twice"),
        ("scan,label\n", "has no row"),
        ("scan,label\na.png,10\n", r"row 1: label is 10"),
        ("scan,label\na.png,1\nb.png,-1\n", r"row 2: label is -1"),
        ("scan,label\na.png,1\nb.png,seven\n", r"row 2: label is 'seven'"),
        ("scan,label\na.png,1.5\n", r"row 1: label is 1.5"),
        ("scan,label\na.png,\n", r"row 1: 'a.png' has no label"),
        ("scan,label\n,1\n", r"row 1: scan is ''"),
        ("file,label\na.png,1\n", r"needs a column 'scan'"),
        ("scan\na.png\n", r"needs a column 'label'"),
        ("", "not a readable CSV"),
        ("scan,label\na.png,1,2\n", "not a readable CSV"),
    ],
)
def test_label_files_that_break_a_rule(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path / "in", "a.png", "b.png")
    file = tmp_path / "truth.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        labelled(tmp_path / "in", str(file))


def test_a_label_that_two_sources_could_mean_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.png", "two/a.png")
    listed = listing.list_scans([str(tmp_path / "one"), str(tmp_path / "two")])
    file = tmp_path / "truth.csv"
    file.write_text("scan,label\na.png,1\n")
    with pytest.raises(InputError, match="several sources have a scan 'a.png'"):
        scans.attach_labels(listed, str(file))
    file.write_text(f"scan,label\n{tmp_path}/two/a.png,1\n")
    assert scans.attach_labels(listed, str(file))["label"].to_pylist() == [None, 1]


def test_a_manifest_names_scans_below_its_folder_its_source_or_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "other/b.png", "other/c.png")
    file = tmp_path / "list.parquet"
    pd.DataFrame({"scan": ["a.png", f"{tmp_path}/other/c.png"], "label": [4, None]}).to_parquet(file)
    rows = listing.read_manifest(str(file)).to_pylist()
    assert [(row["source"], row["scan"], row["path"], row["label"]) for row in rows] == [
        (str(tmp_path), "a.png", os.fsencode(tmp_path / "a.png"), 4),
        ("/", f"{tmp_path}/other/c.png"[1:], os.fsencode(tmp_path / "other/c.png"), None),
    ]
    pd.DataFrame({"scan": ["b.png"], "source": [str(tmp_path / "other")]}).to_parquet(file)
    [row] = listing.read_manifest(str(file)).to_pylist()
    assert (row["path"], row["size"]) == (os.fsencode(tmp_path / "other/b.png"), 1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a.png"]}, "needs a column 'scan'"),
        ({"scan": [1]}, "row 1: scan is 1"),
        ({"scan": ["a.png", None]}, "row 2: scan is None"),
        ({"scan": ["a.png", "a.png"]}, "row 2: 'a.png' stands in row 1 already"),
        ({"scan": ["a.png", "./a.png"]}, "row 2: './a.png' stands in row 1 already"),
        ({"scan": ["../a.png"]}, "leaves its source"),
        ({"scan": pa.array([], pa.string())}, "has no row"),
        ({"scan": ["a\0.png"]}, "leaves its source"),
        ({"scan": ["a.png"], "label": [11]}, "row 1: label is 11"),
    ],
)
def test_manifests_that_break_a_rule(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    file = tmp_path / "list.parquet"
    pq.write_table(pa.table(columns), file)
    with pytest.raises(InputError, match=message):
        listing.read_manifest(str(file))


def test_a_manifest_in_batches_is_the_same_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "b.png", "c.png")
    rows = pd.DataFrame(
        {
            "scan": ["c.png", "b.png", f"fsspec+file://{tmp_path}/a.png", "gone.png", "a.png"],
            "source": [str(tmp_path)] * 4 + [f"fsspec+file://{tmp_path}"],
            "label": [3, None, 1, 0, 9],
        }
    )
    rows[:4].to_parquet(file := tmp_path / "list.parquet")
    whole = listing.read_manifest(str(file))
    assert whole["size"].to_pylist() == [1, 1, 1, None]
    monkeypatch.setattr(user_tables, "BATCH", 2)
    assert listing.read_manifest(str(file)).equals(whole)
    rows.to_parquet(file)
    with pytest.raises(InputError, match=r"row 5: 'a.png' stands in row 3 already"):
        listing.read_manifest(str(file))


def test_a_manifest_that_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_text("scan\n")
    with pytest.raises(InputError, match="not a readable"):
        listing.read_manifest(str(tmp_path / "list.parquet"))


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
    seen = {scans.digest(listed), scans.digest(scans.attach_labels(listed, "parent"))}
    assert scans.digest(listing.list_scans([str(tmp_path)])) in seen
    (tmp_path / "7/a.png").write_bytes(b"longer")
    seen.add(scans.digest(listing.list_scans([str(tmp_path)])))
    touch(tmp_path, "7/c.png")
    seen.add(scans.digest(listing.list_scans([str(tmp_path)])))
    assert len(seen) == 4
