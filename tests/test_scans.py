"""Listing, labels and shards: every file once, in a fixed order, with the truth beside it."""

import gzip
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch import listing, locations, scan_names, scans, selecting, tables, user_tables
from mnist_batch.errors import InputError
from mnist_batch.tables import NO_DIGIT


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
    exclude=st.sampled_from([(), ("b",), ("a/b",), (".c", "*/d/*")]),
    include=st.sampled_from([(), ("*",), (".a", "c"), ("b/*",)]),
    remote=st.booleans(),
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
        changed.setattr(listing, "ALONE", alone)
        changed.setattr(listing, "SHARE", share)
        changed.setattr(listing, "LISTERS", listers)
        shared = listing.list_scans(
            [source], "SCANS", lambda *asked: others.submit(listing.list_some, *asked), choice, tallies[1]
        )
        assert shared.equals(whole)
        assert scans.digest(shared) == scans.digest(whole)
        assert tallies[0] == tallies[1]


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
    assert selecting.told(tally) == "5 files of desktops (.DS_Store, Thumbs.db, desktop.ini, ._*)"


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
            ), (given, source)
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

    touch(tmp_path, "none/x.png", "None/y.png")
    assert labelled(tmp_path, "parent") == expected | {"none/x.png": NO_DIGIT, "None/y.png": NO_DIGIT}
    assert labelled(tmp_path / "none", "parent") == {"x.png": NO_DIGIT}


def test_training_takes_only_folders_of_digits(tmp_path: Path) -> None:
    touch(tmp_path, "7/a.png", "none/b.png")
    assert scans.parent_labels(listing.list_scans([str(tmp_path)])).to_pylist() == [7, None]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_labels_from_a_file(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / "in", "a.png", "b/c.png", "d.png")
    file = tmp_path / f"truth.{suffix}"
    truth = pd.DataFrame({"scan": ["b/c.png", f"{tmp_path}/in/a.png"], "label": [3, 0], "who": ["x", "y"]})
    truth.to_csv(file, index=False) if suffix == "csv" else truth.to_parquet(file)
    assert labelled(tmp_path / "in", str(file)) == {"a.png": 0, "d.png": None, "b/c.png": 3}


PLAIN = "scan,label\nb/c.png,3\na ä.png,0\n"
EXCEL = "Scan;Label;Note\r\nb\\c.png;3;\r\na ä.png;0;x\r\n;;\r\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("LABELS.CSV", PLAIN),
        ("labels.txt", PLAIN),
        ("labels", PLAIN),
        ("labels.parquet", PLAIN),
        ("truth.csv", PLAIN.replace(",", ";")),
        ("truth.tsv", PLAIN.replace(",", "\t")),
        ("truth.csv", "sep=;\n" + PLAIN.replace(",", ";")),
        ("truth.csv", EXCEL),
        ("truth.csv", PLAIN + ",\n"),
        ("truth.csv", PLAIN + "\n , \n\n"),
        ("truth.csv", "\n" + PLAIN),
        ("truth.csv", PLAIN.rstrip()),
        ("truth.csv", PLAIN.replace("\n", "\r\n")),
        ("truth.csv", PLAIN.replace("\n", "\r")),
        ("truth.csv", PLAIN.replace("scan,label", "Scan, LABEL ")),
        ("truth.csv", PLAIN.replace("scan,label", '"scan","label"')),
        ("truth.csv", 'label,who,scan\n3,"x, y",b/c.png\n0,"""",a ä.png\n'),
        ("truth.csv", PLAIN.replace(",3", ", 3 ").replace(",0", ",0.00")),
        ("truth.csv", PLAIN.replace(",3", ",07").replace("07", "03")),
        ("truth.csv", PLAIN.replace(",", ";").replace(";3", ";3,0")),
        ("truth.csv", PLAIN.replace("b/c.png", "./b/c.png").replace("a ä.png", "./a ä.png")),
        ("truth.csv", PLAIN.replace("b/c.png", "in/b/c.png").replace("a ä.png", "in/a ä.png")),
        ("truth.csv", PLAIN.replace("b/c.png", "b\\c.png").replace("a ä.png", "in\\a ä.png")),
        ("truth.csv", PLAIN.replace("a ä.png", " a ä.png ")),
        ("truth.csv", PLAIN + "d.png,\n"),
        ("truth.csv", PLAIN + "d.png,NaN\n"),
        ("truth.csv", PLAIN + "d.png,null\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gzip"])
def test_label_files_as_people_and_spreadsheets_write_them(
    tmp_path: Path, name: str, content: str, encoding: str
) -> None:
    touch(tmp_path / "in", "a ä.png", "b/c.png", "d.png")
    written = gzip.compress(content.encode()) if encoding == "gzip" else content.encode(encoding)
    (tmp_path / name).write_bytes(written)
    assert labelled(tmp_path / "in", str(tmp_path / name)) == {"a ä.png": 0, "d.png": None, "b/c.png": 3}


def test_a_label_file_may_be_parquet_whatever_its_name_and_types(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.png", "b.png", "c.png")
    file = tmp_path / "truth.csv"
    for values, kind in [
        ([7, None], pa.int64()),
        ([7.0, float("nan")], pa.float64()),
        (["7", ""], pa.string()),
        (["7", None], pa.dictionary(pa.int32(), pa.string())),
    ]:
        pq.write_table(pa.table({"SCAN": ["a.png", "b.png"], "Label": pa.array(values, kind)}), file)
        assert labelled(tmp_path / "in", str(file)) == {"a.png": 7, "b.png": None, "c.png": None}


def test_names_as_find_prints_them_from_any_folder_above(tmp_path: Path) -> None:
    touch(tmp_path / "data/day", "a.png", "b/c.png")
    listed = scans.identities(listing.list_scans([str(tmp_path / "data/day")]))
    for before in (
        "",
        "./",
        "day/",
        "data/day/",
        "./data/day/",
        f"{tmp_path}/data/day/",
        f"file://{tmp_path}/data/day/",
    ):
        named = scan_names.ScanNames(listed)
        found = [named.scan_of("line 2", f"{before}{scan}") for _, scan in listed]
        assert found == listed, before
        named.check()
        assert named.scan_of("line 2", f"ay/{listed[0][1]}") is None
        assert named.scan_of("line 2", f"{before}nothing.png") is None


def test_names_that_may_mean_two_scans_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "day", "a.png", "day/a.png")
    listed = listing.list_scans([str(tmp_path / "day")])
    file = tmp_path / "truth.csv"
    file.write_text("scan,label\na.png,1\nday/a.png,2\n")  # all below their source
    assert scans.attach_labels(listed, str(file))["label"].to_pylist() == [1, 2]
    file.write_text("scan,label\nday/a.png,1\nday/day/a.png,2\n")  # all as find printed them
    with pytest.raises(InputError, match=r"line 2: 'day/a.png' may be a path below its source.*'day/day/a.png'"):
        scans.attach_labels(listed, str(file))


def test_a_label_may_say_that_no_valid_digit_is_written(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.png", "b.png", "c.png")
    (tmp_path / "truth.csv").write_text("scan,label\na.png,none\nb.png,None\nc.png,8\n")
    told = labelled(tmp_path / "in", str(tmp_path / "truth.csv"))
    assert told == {"a.png": NO_DIGIT, "b.png": NO_DIGIT, "c.png": 8}
    listed = scans.attach_labels(listing.list_scans([str(tmp_path / "in")]), str(tmp_path / "truth.csv"))
    pq.write_table(listed, tmp_path / "own.parquet")  # -1 in a table of ours means none
    assert labelled(tmp_path / "in", str(tmp_path / "own.parquet")) == told
    manifest = listing.read_manifest(str(tmp_path / "own.parquet"))
    assert manifest["label"].to_pylist() == [NO_DIGIT, NO_DIGIT, 8]
    pq.write_table(
        listed.replace_schema_metadata(None).cast(pa.schema([(f.name, f.type) for f in listed.schema])),
        tmp_path / "foreign.parquet",
    )
    with pytest.raises(InputError, match=r"row 1: label is -1"):  # to others it may be what is not known
        labelled(tmp_path / "in", str(tmp_path / "foreign.parquet"))


def test_labels_of_scans_that_are_not_listed_can_be_ignored_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path / "in", "a.png", "b.png")
    listed = listing.list_scans([str(tmp_path / "in")])
    file = tmp_path / "truth.csv"
    file.write_text("scan,label\nyesterday/a.png,1\nb.png,2\nz.png,3\n")
    with pytest.raises(InputError, match=r"line 2: no scan 'yesterday/a.png' is listed.*'a.png' is one.*--ignore-unl"):
        scans.attach_labels(listed, str(file))
    caplog.set_level("INFO")
    assert scans.attach_labels(listed, str(file), ignore_unlisted=True)["label"].to_pylist() == [None, 2]
    assert "2 of its 3 rows name scans that are not listed" in caplog.text
    file.write_text("scan,label\nz.png,11\n")  # a label that is none is told all the same
    with pytest.raises(InputError, match="label is '11'"):
        scans.attach_labels(listed, str(file), ignore_unlisted=True)


def test_bytes_that_are_not_utf8_mean_the_name_of_those_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"in/caf\xe9.png"))).write_bytes(b"x")
    (tmp_path / "truth.csv").write_bytes(b"scan,label\ncaf\xe9.png,4\n")
    assert labelled(tmp_path / "in", str(tmp_path / "truth.csv")) == {"caf\\xe9.png": 4}
    touch(tmp_path / "other", "café.png")
    with pytest.raises(InputError, match="the file is not UTF-8"):
        labelled(tmp_path / "other", str(tmp_path / "truth.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan,label\na.png,1\nz.png,2\n", r"line 3: no scan 'z.png'.*'a.png' is one"),
        ("scan,label\na.png,1\na.png,2\n", r"line 3: 'a.png' is labelled 1 and 2"),
        ("scan,label\na.png,1\nb.png,2\na.png,1\n", r"line 4: 'a.png' is labelled 1 twice"),
        ("scan,label\na.png,1\n\n\n./a.png,none\n", r"line 5: './a.png' is labelled 1 and none"),
        ("scan,label\n", "has no row"),
        ("scan,label\n,\n", "has no row"),
        ("scan,label\na.png,10\n", r"line 2: label is '10'.*none.*or empty"),
        ("scan,label\na.png,1\nb.png,-1\n", r"line 3: label is '-1'"),
        ("scan,label\na.png,1\nb.png,seven\n", r"line 3: label is 'seven'"),
        ("scan,label\na.png,1.5\n", r"line 2: label is '1.5'"),
        ("scan,label\na.png,\n", r"no row has a label"),
        ("scan,label\n,1\n", r"line 2: scan is ''"),
        ("file,label\na.png,1\n", r"needs a column 'scan'; it has \['file', 'label'\]"),
        ("file;label\na.png;1\n", r"needs a column 'scan'; it has \['file', 'label'\]"),
        ("scan|label\na.png|1\n", r"needs a column 'scan'.*commas, semicolons or tabs"),
        ("scan\na.png\n", r"needs a column 'label'"),
        ("scan,label,Label\na.png,1,2\n", r"2 columns called 'label'"),
        ("", "is empty"),
        ("\n\n", "needs a column 'scan'"),
        ("scan,label\na.png,1,2\n", "line 2: has 3 of 2 columns"),
        ("scan,label\na.png,1\nb.png\n", "line 3: has 1 of 2 columns"),
        ('scan,label\na.png,1\n"b.png,2\n', "line 3: is not CSV"),
        ("scan,label\n\0\n", "holds zero bytes"),
        ("PK\3\4workbook", "a workbook of a spreadsheet"),
        ("PAR1 and no more", "not a readable CSV or Parquet"),
        ("\x1f\x8b and no more", "not a readable CSV or Parquet"),
    ],
)
def test_label_files_that_break_a_rule(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path / "in", "a.png", "b.png")
    file = tmp_path / "truth.csv"
    file.write_bytes(text.encode("latin-1"))
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
    file.write_text(f"source,scan,label\n{tmp_path}/two,a.png,1\n{tmp_path}/one,a.png,none\n")
    assert scans.attach_labels(listed, str(file))["label"].to_pylist() == [NO_DIGIT, 1]
    file.write_text("source,scan,label\nscanner 7,two/a.png,1\n")  # to others a source may be something else
    assert scans.attach_labels(listed, str(file))["label"].to_pylist() == [None, 1]


def test_a_manifest_names_scans_below_its_folder_its_source_or_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "other/b.png", "other/c.png")
    file = tmp_path / "list.parquet"
    pd.DataFrame({"scan": ["a.png", f"{tmp_path}/other/c.png"], "label": [4, None]}).to_parquet(file)
    rows = listing.read_manifest(str(file)).to_pylist()
    assert [(row["source"], row["scan"], row["path"], row["label"]) for row in rows] == [
        (str(tmp_path), "a.png", os.fsencode(tmp_path / "a.png"), 4),
        ("/", f"{tmp_path}/other/c.png", os.fsencode(tmp_path / "other/c.png"), None),
    ]
    for source in (str(tmp_path / "other"), f"file://{tmp_path}/other", "other", "./other/", "x/../other"):
        pd.DataFrame({"scan": ["b.png"], "source": [source]}).to_parquet(file)
        [row] = listing.read_manifest(str(file)).to_pylist()
        assert (row["path"], row["size"]) == (os.fsencode(tmp_path / "other/b.png"), 1)
        assert row["source"] == str(tmp_path / "other")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_manifest_finds_its_names_again_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    touch(tmp_path / "data", "my/cell 00.png", "my/b ä.png", "a.png", "win/c.png")
    given = [
        "a.png",
        "./my/cell 00.png",
        f"{tmp_path}/data/my/cell 00.png".replace("cell 00", "b ä"),
        "win\\c.png",
        f"fsspec+file://{tmp_path}/data/my/../my/gone.png".replace("/../my", ""),
    ]
    frame = pd.DataFrame({"scan": given})
    file = tmp_path / "data" / f"list.{kind}"
    frame.to_csv(file, index=False) if kind == "csv" else frame.to_parquet(file)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    listed = listing.read_manifest(str(file))
    assert names(listed) == given
    assert listed["size"].to_pylist() == [1, 1, 1, 1, None]
    named = f"file://{tmp_path}/data/my/cell%2000.png"
    (tmp_path / "data/uri.csv").write_text(f"scan\n{named}\n")
    [row] = listing.read_manifest(str(tmp_path / "data/uri.csv")).to_pylist()
    assert (row["source"], row["scan"], row["size"]) == ("/", named, 1)
    for row in listed.to_pylist()[:3]:
        assert os.path.samefile(scans.path_of(row["source"], row["scan"]), row["path"])


def test_a_csv_manifest_of_one_column_may_have_commas_in_its_names(tmp_path: Path) -> None:
    touch(tmp_path, "a,b.png", "c;d.png")
    (tmp_path / "list.csv").write_text('Scan\na,b.png\n"c;d.png"\n\n;\n')
    listed = listing.read_manifest(str(tmp_path / "list.csv"))
    assert listed["size"].to_pylist() == [1, 1]
    (tmp_path / "list.csv").write_text("scan\n\na,b.png\n./a,b.png\n")
    with pytest.raises(InputError, match=r"line 4: './a,b.png' is named in line 3 already"):
        listing.read_manifest(str(tmp_path / "list.csv"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a.png"]}, "needs a column 'scan'"),
        ({"scan": [1]}, "row 1: scan is 1"),
        ({"scan": ["a.png", None]}, "row 2: scan is None"),
        ({"scan": ["a.png", "a.png"]}, "row 2: 'a.png' is named in row 1 already"),
        ({"scan": ["a.png", "./a.png"]}, "row 2: './a.png' is named in row 1 already"),
        ({"scan": ["../a.png"]}, "leaves its source"),
        ({"scan": pa.array([], pa.string())}, "has no row"),
        ({"scan": ["a\0.png"]}, "leaves its source"),
        ({"scan": ["a.png"], "label": [11]}, "row 1: label is 11"),
        ({"scan": ["a.png", "C:\\scans\\a.png"]}, "row 2: .* is a path of Windows"),
        ({"scan": ["\\\\server\\scans\\a.png"]}, "row 1: .* is a path of Windows"),
        ({"scan": ["a.png"], "source": ["D:/scans"]}, "row 1: 'D:/scans' is a path of Windows"),
        ({"scan": ["a.png"], "source": [" "]}, "row 1: source is ' '"),
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
    with pytest.raises(InputError, match=r"row 5: 'a.png' is named in row 3 already"):
        listing.read_manifest(str(file))


def test_a_manifest_that_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_text("PAR1 scan\n")
    with pytest.raises(InputError, match="not a readable"):
        listing.read_manifest(str(tmp_path / "list.parquet"))
    (tmp_path / "list.parquet").unlink()
    with pytest.raises(InputError, match="no such file"):
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
