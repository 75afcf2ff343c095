"""Every file is listed once, in a fixed order, by one process or by many."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scans, selecting, store_folders
from mnist_batch.schemas import tables
from tests.support.listing import names, touch


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
    exclude=st.sampled_from([(), ("b",), ("a/b",), (".c", "*/d/*")]),
    include=st.sampled_from([(), ("*",), (".a", "c"), ("b/*",)]),
    remote=st.booleans(),
    together=st.booleans(),
)
def test_many_list_what_one_lists_and_in_its_order(
    paths: list[list[str]],
    alone: int,
    share: int,
    listers: int,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    *,
    remote: bool,
    together: bool,
) -> None:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(3) as others, pytest.MonkeyPatch.context() as changed:
        written = {"/".join([*path[:-1], f".{path[-1]}"]) for path in paths}  # folders and, with a dot before, scans
        touch(Path(folder), *written)
        source = f"fsspec+file://{folder}" if remote else folder
        choice, tallies = selecting.Selection(include, exclude), [selecting.Tally(), selecting.Tally()]
        whole = listing.list_scans([source], selection=choice, tally=tallies[0])
        if not exclude:
            assert len(whole) + tallies[0].left_out["not_included"] == len(written)
        if not include:
            assert (len(whole) == len(written)) == (tallies[0].left_out["excluded"] == 0)
        if together:
            changed.setattr(store_folders, "MANY", 0)
            changed.setattr(store_folders, "SAMPLE", 1)
        changed.setattr(listing, "ALONE", alone)
        changed.setattr(listing, "SHARE", share)
        changed.setattr(listing, "LISTERS", listers)
        shared = listing.list_scans(
            [source], "SCANS", lambda *asked: others.submit(listing.list_some, *asked), choice, tallies[1]
        )
        assert shared.equals(whole)
        assert scans.digest(shared) == scans.digest(whole)
        assert tallies[0] == tallies[1]


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
