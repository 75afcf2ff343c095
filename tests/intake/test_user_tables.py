"""Manifests as people and programs write them, and what is refused of them."""

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scans, user_tables
from tests.support.listing import names, touch


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
        ({"scan": ["a.png", "C:\\scans\\a.png"]}, "row 2: .* is a Windows path"),
        ({"scan": ["\\\\server\\scans\\a.png"]}, "row 1: .* is a Windows path"),
        ({"scan": ["a.png"], "source": ["D:/scans"]}, "row 1: 'D:/scans' is a Windows path"),
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
