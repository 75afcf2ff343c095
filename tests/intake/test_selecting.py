"""Which files are scans: patterns, what desktops leave, files that say something of scans."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mnist_batch.errors import InputError
from mnist_batch.intake import listing, selecting
from mnist_batch.store import locations
from tests.support.listing import names, touch


def chosen(
    folder: Path | str, *, include: Sequence[str] = (), exclude: Sequence[str] = (), **files: tuple[str, ...]
) -> list[str]:
    """The scans below a folder, the same by its path and as at a store."""
    choice = selecting.Selection(
        selecting.patterns("--include", include), selecting.patterns("--exclude", exclude), **files
    )
    there, remote = (
        names(listing.list_scans([f"{scheme}{folder}"], selection=choice)) for scheme in ("", "fsspec+file://")
    )
    assert there == remote or files
    return there


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ([], [], ["a.png", "b.TIF", "old.png", "day/a.png", "day/deep/c.tif", "old/d.png", "old/e/f.png"]),
        (["*.png"], [], ["a.png", "old.png", "day/a.png", "old/d.png", "old/e/f.png"]),
        (["*.png", "*.TIF"], ["old"], ["a.png", "b.TIF", "old.png", "day/a.png"]),
        ([], ["old/"], ["a.png", "b.TIF", "old.png", "day/a.png", "day/deep/c.tif"]),
        ([], ["./old/e"], ["a.png", "b.TIF", "old.png", "day/a.png", "day/deep/c.tif", "old/d.png"]),
        ([], ["e", "deep"], ["a.png", "b.TIF", "old.png", "day/a.png", "old/d.png"]),
        ([], ["*/?.png"], ["a.png", "b.TIF", "old.png", "day/deep/c.tif"]),
        (["day"], [], ["day/a.png", "day/deep/c.tif"]),
        (["day/*"], ["*.tif"], ["day/a.png"]),
        (["[ab].*"], [], ["a.png", "b.TIF", "day/a.png"]),
        (["*.PNG"], [], []),
        (["day/a.png"], [], ["day/a.png"]),
    ],
)
def test_patterns_choose_by_name_by_path_and_by_folder(
    tmp_path: Path, include: list[str], exclude: list[str], left: list[str]
) -> None:
    touch(tmp_path, "a.png", "b.TIF", "old.png", "day/a.png", "day/deep/c.tif", "old/d.png", "old/e/f.png")
    assert chosen(tmp_path, include=include, exclude=exclude) == left
    tally = selecting.Tally()
    choice = selecting.Selection(selecting.patterns("", include), selecting.patterns("", exclude))
    assert len(listing.list_scans([str(tmp_path)], selection=choice, tally=tally)) == len(left)
    assert choice.unmatched(tally) == ([] if left else ["--include '*.PNG'"])


def test_an_excluded_folder_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "lost+found/b.png")
    scandir = os.scandir

    def denied(folder: bytes) -> Any:
        if folder.endswith(b"lost+found"):
            raise PermissionError("denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)
    assert names(listing.list_scans([str(tmp_path)])) == ["a.png", "lost+found/"]
    only = selecting.Selection(include=("*.png",))
    assert names(listing.list_scans([str(tmp_path)], selection=only)) == [
        "a.png",
        "lost+found/",
    ]  # who knows what is in it
    without = selecting.Selection(exclude=("lost+found",))
    assert names(listing.list_scans([str(tmp_path)], selection=without)) == ["a.png"]


def test_what_desktops_leave_is_no_scan_and_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, ".DS_Store", "a/Thumbs.db", "a/thumbs.DB", "b/desktop.ini", "b/._1.png", "b/1.png", ".hidden", "_a")
    assert chosen(tmp_path) == [".hidden", "_a", "b/1.png"]
    assert chosen(tmp_path, include=["*"]) == [".hidden", "_a", "b/1.png"]
    tally = selecting.Tally()
    listing.list_scans([str(tmp_path)], tally=tally)
    assert tally.left_out == {"desktop": 5}
    assert selecting.text(tally) == "5 files left by desktops (.DS_Store, Thumbs.db, desktop.ini, ._*)"


def test_files_given_as_labels_are_no_scans_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/truth.csv", "in/a.png", "in/b/truth.csv")
    (tmp_path / "link").symlink_to("in")
    monkeypatch.chdir(tmp_path / "in")
    left = ["a.png", "b/truth.csv"]
    for file in (f"{tmp_path}/in/truth.csv", "truth.csv", "../link/truth.csv", f"file://{tmp_path}/in/truth.csv"):
        for source in (tmp_path / "in", tmp_path / "link"):
            assert (
                names(
                    listing.list_scans([str(source)], selection=selecting.Selection(labels=(locations.absolute(file),)))
                )
                == left
            ), (file, source)
    remote = f"fsspec+file://{tmp_path}/in"
    choice = selecting.Selection(labels=(f"{remote}/truth.csv",))
    assert names(listing.list_scans([remote], selection=choice)) == left
    every = [str(path) for path in (tmp_path / "in").iterdir()]  # as a shell writes in/*
    choice = selecting.Selection(labels=(f"{tmp_path}/in/truth.csv",))
    assert sorted(names(listing.list_scans(every, selection=choice))) == ["a.png", "truth.csv"]


@pytest.mark.parametrize("pattern", ["", " ", "/", "./"])
def test_a_pattern_of_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="--exclude: a pattern is empty"):
        selecting.patterns("--exclude", ["*.png", pattern])
