"""Labels as people and programs write them, and what is refused of them."""

import gzip
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scan_names, scans
from mnist_batch.intake.labels import attach_labels, parent_labels, parse_labels
from mnist_batch.schemas import tables
from mnist_batch.schemas.tables import NO_DIGIT
from tests.support.listing import names, touch


def labelled(folder: Path, labels: str) -> dict[str, int | None]:
    listed = attach_labels(listing.list_scans([str(folder)]), parse_labels(labels))
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
    assert parent_labels(listing.list_scans([str(tmp_path)])).to_pylist() == [7, None]


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
        ("sas.csv", PLAIN + "d.png,.\n"),
        ("database.csv", PLAIN + "d.png,\\N\n"),
        ("spss.csv", PLAIN + "d.png,#NULL!\n"),
        ("julia.csv", PLAIN + "d.png,missing\n"),
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
    assert attach_labels(listed, parse_labels(str(file)))["label"].to_pylist() == [1, 2]
    file.write_text("scan,label\nday/a.png,1\nday/day/a.png,2\n")  # all as find printed them
    with pytest.raises(InputError, match=r"line 2: 'day/a.png' may be a path below its source.*'day/day/a.png'"):
        attach_labels(listed, parse_labels(str(file)))


def test_a_label_may_say_that_no_valid_digit_is_written(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.png", "b.png", "c.png")
    (tmp_path / "truth.csv").write_text("scan,label\na.png,none\nb.png,None\nc.png,8\n")
    told = labelled(tmp_path / "in", str(tmp_path / "truth.csv"))
    assert told == {"a.png": NO_DIGIT, "b.png": NO_DIGIT, "c.png": 8}
    listed = attach_labels(listing.list_scans([str(tmp_path / "in")]), parse_labels(str(tmp_path / "truth.csv")))
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
        attach_labels(listed, parse_labels(str(file)))
    caplog.set_level("INFO")
    assert attach_labels(listed, parse_labels(str(file)), ignore_unlisted=True)["label"].to_pylist() == [None, 2]
    assert "2 of its 3 rows name scans that are not listed" in caplog.text
    file.write_text("scan,label\nz.png,11\n")  # a label that is none is told all the same
    with pytest.raises(InputError, match="label is '11'"):
        attach_labels(listed, parse_labels(str(file)), ignore_unlisted=True)


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
        ('[{"id": 1, "data": {"scan": "a.png"}}]', "is JSON; export it as CSV, which Label Studio"),
        ('{\n  "scan": "a.png"}', "is JSON; export it as CSV"),
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


@pytest.mark.parametrize("other", ["two", "/elsewhere", "s3://bucket/one", "file:///elsewhere"])
def test_a_label_of_another_source_is_none_of_a_scan_of_the_same_name(other: str, tmp_path: Path) -> None:
    """As in a night, which lists of each source only what is new."""
    touch(tmp_path, "one/a.png", "one/b.png")
    listed = listing.list_scans([str(tmp_path / "one")])
    other = f"{tmp_path}/two" if other == "two" else other
    file = tmp_path / "truth.csv"
    file.write_text(f"source,scan,label\n{other},a.png,7\n{tmp_path}/one,b.png,1\n")
    with pytest.raises(InputError, match=f"line 2: no scan '{other.removeprefix('file://')}/a.png' is listed"):
        attach_labels(listed, parse_labels(str(file)))
    assert attach_labels(listed, parse_labels(str(file)), ignore_unlisted=True)["label"].to_pylist() == [None, 1]


def test_a_label_that_two_sources_could_mean_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.png", "two/a.png")
    listed = listing.list_scans([str(tmp_path / "one"), str(tmp_path / "two")])
    file = tmp_path / "truth.csv"
    file.write_text("scan,label\na.png,1\n")
    with pytest.raises(InputError, match="several sources have a scan 'a.png'"):
        attach_labels(listed, parse_labels(str(file)))
    file.write_text(f"scan,label\n{tmp_path}/two/a.png,1\n")
    assert attach_labels(listed, parse_labels(str(file)))["label"].to_pylist() == [None, 1]
    file.write_text(f"source,scan,label\n{tmp_path}/two,a.png,1\n{tmp_path}/one,a.png,none\n")
    assert attach_labels(listed, parse_labels(str(file)))["label"].to_pylist() == [NO_DIGIT, 1]
    file.write_text(f"source,scan,label\n{tmp_path},two/a.png,1\n{tmp_path}/one/,./a.png,2\n")
    assert attach_labels(listed, parse_labels(str(file)))["label"].to_pylist() == [2, 1]
    file.write_text("source,scan,label\nscanner 7,two/a.png,1\n")  # to others a source may be something else
    assert attach_labels(listed, parse_labels(str(file)))["label"].to_pylist() == [None, 1]
