"""Every kind of file that scanners, faxes, phones and programs write has the rows that its specification asks for."""

from collections import defaultdict
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mnist_batch.intake import listing
from mnist_batch.pixels import normalising
from mnist_batch.reading import images, isolated, preprocessing
from tests.support import formats
from tests.support.formats import bmp, drawing, tiff_pages
from tests.support.formats.drawing import Kind, Row

Rows = dict[str, list[dict[str, Any]]]
BESIDE = " and beside it"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """A file of every kind, listed; a plain one lies after each of which a page cannot be read."""
    folder = tmp_path_factory.mktemp("scans")
    for name, kind in formats.KINDS.items():
        (folder / file_name(name)).write_bytes(formats.content(name))
        if any(row.status != "ok" for row in kind.rows):
            (folder / (file_name(name) + BESIDE)).write_bytes(formats.content("PNG grey of 8 bits"))
    return listing.list_scans([str(folder)])


@pytest.fixture(scope="module")
def read(scans: pa.Table) -> Rows:
    """The rows of every file, read in this process."""
    return by_scan(preprocessing.preprocess(scans))


def file_name(kind: str) -> str:
    return kind.replace("/", "-")


def by_scan(rows: pa.Table) -> Rows:
    found: Rows = defaultdict(list)
    for row in rows.to_pylist():
        del row["row"]  # where it stood in the manifest
        found[row["scan"]].append(row)
    return found


def wrong(kind: Kind, rows: list[dict[str, Any]]) -> list[str]:
    """What is not as it should be, in words; nothing where all is right."""
    if len(rows) != len(kind.rows):
        return [f"{len(rows)} rows, not {len(kind.rows)}: {[(row['status'], row['reason']) for row in rows[:5]]}"]
    return [
        f"page {row['page']}: {what}"
        for number, (row, right) in enumerate(zip(rows, kind.rows, strict=True))
        if (what := wrong_row(row, right) or (row["page"] != number and f"where {number} is its turn"))
    ]


def wrong_row(row: dict[str, Any], right: Row) -> str | None:
    if row["status"] != right.status:
        return f"{row['status']} ({row['reason']}), not {right.status}"
    if right.status != "ok":
        return None if right.word in row["reason"] else f"{row['reason']!r} does not say {right.word!r}"
    picture = np.frombuffer(row["picture"], np.uint8).reshape(28, 28)
    if (far := drawing.distance(picture, right.shows)) > right.tolerance:
        return f"not an upright {right.shows}: {far:.2f} from it"
    polarity = row["normalisation"]["polarity"]
    return None if polarity == right.polarity else f"said to be {polarity}, which it is not"


@pytest.mark.parametrize("name", formats.KINDS)
def test_a_file_has_the_rows_that_are_right_for_its_kind(read: Rows, name: str) -> None:
    assert wrong(formats.KINDS[name], read[file_name(name)]) == []


def test_a_file_that_cannot_be_read_changes_nothing_for_the_one_beside_it(read: Rows) -> None:
    [plain] = read[file_name("PNG grey of 8 bits")]
    beside = [row for name, rows in read.items() if name.endswith(BESIDE) for row in rows]
    assert len(beside) > 40
    own = {"scan", "modified_ns"}
    for row in beside:
        assert {key: row[key] for key in row.keys() - own} == {key: plain[key] for key in plain.keys() - own}


@pytest.mark.long
def test_the_reading_process_gives_the_same_rows_whatever_comes_first(scans: pa.Table, read: Rows) -> None:
    backwards = scans.take(pa.array(range(len(scans) - 1, -1, -1)))
    reader = isolated.Reader()
    try:
        rows = reader.read(backwards)
    finally:
        reader.close()
    assert rows["scan"].to_pylist() == [scan for scan in backwards["scan"].to_pylist() for _ in read[scan]]
    assert by_scan(rows) == read


@pytest.mark.long
def test_a_thousand_cells_of_one_file_are_a_thousand_rows(tmp_path: Path) -> None:
    (tmp_path / "cells.tif").write_bytes(tiff_pages.thousand_cells())
    reader = isolated.Reader()
    try:
        rows = reader.read(listing.list_scans([str(tmp_path)])).to_pylist()
    finally:
        reader.close()
    assert [(row["page"], row["status"]) for row in rows] == [(page, "ok") for page in range(1000)]
    assert len({row["picture"] for row in rows}) == 1


@pytest.mark.parametrize("header", [40, 52, 56, 124])
@pytest.mark.parametrize("shifts", list(permutations((0, 8, 16))) + list(permutations((8, 16, 24))))
def test_the_masks_of_a_bmp_say_where_its_colours_are(shifts: tuple[int, ...], header: int) -> None:
    red, green, blue = (0xFF << shift for shift in shifts)
    pixel = sum(level << shift for level, shift in zip((10, 130, 250), shifts, strict=True))
    samples = np.full((3, 4, 1), pixel, np.uint32)
    [found] = images.decode(
        bmp.bmp(samples, 32, compression=3, masks=[red, green, blue, *[0] * (header > 52)], header=header)
    )
    assert np.unique(found).tolist() == [round(0.299 * 10 + 0.587 * 130 + 0.114 * 250)]


def test_no_two_kinds_are_the_same_file() -> None:
    assert len(formats.KINDS) >= 120
    assert len({formats.content(name) for name in formats.KINDS}) == len(formats.KINDS)


def test_a_page_that_is_turned_squashed_scrambled_or_blank_does_not_pass() -> None:
    page = drawing.grey()
    swapped = page.copy()
    swapped[48:96, 48:96], swapped[96:144, 96:144] = page[96:144, 96:144], page[48:96, 48:96]
    faults = {f"turned {turn}": drawing.turned(page, turn) for turn in range(2, 9)}
    faults |= {"fax": drawing.narrow(page, down=98 / 204), "narrow": drawing.narrow(page, across=0.5)}
    faults |= {"fine": drawing.narrow(page, down=391 / 204), "swapped tiles": swapped, "another": drawing.grey("6")}
    faults |= {"blank": np.full_like(page, 255)}
    far = {name: drawing.distance(normalising.normalise(np.ascontiguousarray(fault))) for name, fault in faults.items()}
    assert {name for name, one in far.items() if one < 1.5 * drawing.RESAMPLED} == set()
    assert drawing.distance(normalising.normalise(page)) == 0
