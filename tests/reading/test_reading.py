"""Scans are read in a process of their own: one that kills it is a row, and its neighbours are as ever."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnist_batch.errors import InputError, JobError, StorageError
from mnist_batch.intake import listing
from mnist_batch.intake.labels import attach_labels, parse_labels
from mnist_batch.models import answers
from mnist_batch.pixels import ink, normalising
from mnist_batch.reading import images, isolated, preprocessing, reading_ahead
from mnist_batch.schemas import tables
from mnist_batch.statuses import Status
from tests.support.ruler import picture_of, write_scan

pytestmark = pytest.mark.long


def listed(folder: Path) -> pa.Table:
    return listing.list_scans([str(folder)])


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[isolated.Reader]:
    """A reader whose process obeys the failpoints in ``points``."""
    (tmp_path / "points").mkdir()
    monkeypatch.setenv("MNIST_BATCH_FAILPOINTS", str(tmp_path / "points"))
    reader = isolated.Reader()
    yield reader
    reader.close()


def test_the_process_reads_what_this_one_would(tmp_path: Path, reader: isolated.Reader) -> None:
    for number in range(600):
        write_scan(tmp_path / "in" / f"{number % 3}" / f"{number}.png", number % 10)
    (tmp_path / "in/1/broken.png").write_bytes(b"x")
    manifest = attach_labels(listed(tmp_path / "in"), parse_labels("parent"))
    rows = reader.read(manifest, shard=7)
    assert rows.equals(preprocessing.preprocess(manifest, shard=7))
    assert len(rows) == 601


FATAL = {
    "kill": ("crashed", "signal SIGKILL"),
    "exit": ("crashed", "exit code 1"),
    "late": ("timeout", "not read and decoded in 20 seconds, three times"),
    "allocate": ("crashed", "of memory"),
}


@pytest.mark.parametrize(
    "action", ["kill", "allocate", *(pytest.param(action, marks=pytest.mark.slow) for action in ("exit", "late"))]
)
def test_a_scan_that_kills_its_reader_is_a_row_and_its_neighbours_are_as_ever(
    tmp_path: Path, reader: isolated.Reader, action: str
) -> None:
    for number in range(300):
        write_scan(tmp_path / "in" / f"{number:03d}.png", number % 10)
    manifest = listed(tmp_path / "in")
    clean = reader.read(manifest)
    reader.close()
    (tmp_path / "points/read 270.png").write_text(f"{action} always")
    noted: list[tuple[int, int | None, str, str]] = []
    again: list[int] = []
    rows = reader.read(manifest, note=lambda *death: noted.append(death), again=again.append)
    assert again == [300, 1]
    assert rows.schema.equals(tables.PREPROCESSED)
    [fatal] = rows.slice(270, 1).to_pylist()
    status, reason = FATAL[action]
    assert (fatal["scan"], fatal["status"]) == ("270.png", status)
    assert reason in fatal["reason"]
    assert noted == [(270, None, status, fatal["reason"])]
    others = [row for row in range(300) if row != 270]
    assert rows.take(others).equals(clean.take(others))

    # Known to kill, it is not read again: the process that is now there stays.
    process = reader.process
    known = {(270, None): (status, fatal["reason"])}
    same = reader.read(manifest, fatal=known, note=lambda *_: pytest.fail("noted twice"), again=again.append)
    assert same.equals(rows)
    assert again == [300, 1]
    assert reader.process is process


def test_a_scan_without_end_is_ended_by_its_limit(tmp_path: Path, reader: isolated.Reader) -> None:
    write_scan(tmp_path / "in/only.png", 1)  # alone: a limit this short may end any scan on a machine that stands still
    (tmp_path / "points/read only.png").write_text("loop always")
    reader.limits = preprocessing.Limits(scan_timeout_seconds=0.25)
    [row] = reader.read(listed(tmp_path / "in")).to_pylist()
    assert (row["status"], row["reason"]) == ("timeout", "not read and decoded in 0.25 seconds, three times")


def test_a_reader_that_dies_once_loses_nothing(tmp_path: Path, reader: isolated.Reader) -> None:
    for number in range(5):
        write_scan(tmp_path / "in" / f"{number}.png", number)
    manifest = listed(tmp_path / "in")
    (tmp_path / "points/read 2.png").write_text("kill")
    rows = reader.read(manifest)
    assert not (tmp_path / "points/read 2.png").exists()
    assert rows.equals(preprocessing.preprocess(manifest))


def test_a_reader_at_work_says_so(tmp_path: Path) -> None:
    for number in range(5):
        write_scan(tmp_path / f"{number}.png", number)
    beats: list[tuple[int, int]] = []
    reader = isolated.Reader(beat_seconds=0)
    try:
        rows = reader.read(listed(tmp_path), beat=lambda *at: beats.append(at))
    finally:
        reader.close()
    assert beats == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]
    assert rows.equals(preprocessing.preprocess(listed(tmp_path)))


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_each_page_has_its_time_and_says_so(tmp_path: Path, kind: str) -> None:
    first, *others = [Image.fromarray(picture_of(digit)) for digit in (2, 7, 1)]
    first.save(tmp_path / "a", kind, save_all=True, append_images=others)
    write_scan(tmp_path / "b.png", 9)
    at: list[tuple[int, int]] = []
    reader = isolated.Reader(beat_seconds=0)
    try:
        reader.read(listed(tmp_path), beat=lambda *page: at.append(page))  # it is said where the time begins anew
    finally:
        reader.close()
    assert at == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_a_page_without_end_is_ended_by_its_limit(tmp_path: Path, reader: isolated.Reader) -> None:
    first, second = [Image.fromarray(picture_of(digit)) for digit in (2, 7)]
    (tmp_path / "in").mkdir()
    first.save(tmp_path / "in/a.pdf", save_all=True, append_images=[second])
    write_scan(tmp_path / "in/b.png", 9)
    (tmp_path / "points/page 1 a.pdf").write_text("late always")
    rows = reader.read(listed(tmp_path / "in")).to_pylist()
    assert [(row["scan"], row["page"], row["status"]) for row in rows] == [
        ("a.pdf", 0, "ok"),
        ("a.pdf", 1, "timeout"),
        ("b.png", 0, "ok"),
    ]


def stack(path: Path, pages: int) -> None:
    first, *others = [Image.fromarray(picture_of(number % 10)) for number in range(pages)]
    path.parent.mkdir(exist_ok=True)
    first.save(path, save_all=True, append_images=others)


@pytest.mark.parametrize(("name", "poison"), [("a.pdf", [2, 3]), pytest.param("a.tif", [0], marks=pytest.mark.long)])
def test_a_page_that_kills_its_reader_costs_only_its_page(
    tmp_path: Path, reader: isolated.Reader, name: str, poison: list[int]
) -> None:
    stack(tmp_path / "in" / name, 6)
    for number in range(3):
        write_scan(tmp_path / "in" / f"{number}.png", number)
    manifest = listed(tmp_path / "in")
    clean = preprocessing.preprocess(manifest)
    for page in poison:
        (tmp_path / f"points/page {page} {name}").write_text("kill always")
    noted: list[tuple[int, int | None]] = []
    rows = reader.read(manifest, note=lambda row, page, *_: noted.append((row, page)))
    assert rows.select(["scan", "page", "row", "content"]).equals(clean.select(["scan", "page", "row", "content"]))
    dead = [at for at, row in enumerate(clean.to_pylist()) if row["scan"] == name and row["page"] in poison]
    assert noted == [(clean["row"][at].as_py(), clean["page"][at].as_py()) for at in dead]
    assert {rows["status"][at].as_py() for at in dead} == {"crashed"}
    assert all("three times (signal SIGKILL)" in rows["reason"][at].as_py() for at in dead)
    others = [at for at in range(len(clean)) if at not in dead]
    assert rows.take(others).equals(clean.take(others))

    process = reader.process
    known = {place: (Status.CRASHED, rows["reason"][at].as_py()) for place, at in zip(noted, dead, strict=True)}
    assert reader.read(manifest, fatal=known, note=lambda *_: pytest.fail("noted twice")).equals(rows)
    assert reader.process is process  # nothing that kills it was read


@pytest.mark.long
def test_a_page_that_kills_its_reader_once_or_twice_keeps_its_row(
    tmp_path: Path, reader: isolated.Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack(tmp_path / "in/a.pdf", 4)
    manifest = listed(tmp_path / "in")
    (tmp_path / "points/page 1 a.pdf").write_text("kill")
    (tmp_path / "points/page 3 a.pdf").write_text("kill")
    assert reader.read(manifest, note=lambda *_: pytest.fail("noted")).equals(preprocessing.preprocess(manifest))
    assert not list((tmp_path / "points").glob("*.pdf"))


def test_a_file_of_which_many_pages_kill_is_given_up_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "MOST_FATAL", 2)
    fatal = {1: (Status.CRASHED, "why"), 3: (Status.TIMEOUT, "why")}
    asked = preprocessing.PagesAsked.of(1, fatal)
    found = []
    for pages in (6, 4):  # of the second no page is left after these
        stack(tmp_path / f"{pages}/a.pdf", pages)
        rows = [row for page in preprocessing.read_pages(listed(tmp_path / str(pages)), asked=asked) for row in page]
        found.append([(row.page, row.status) for row in rows])
    assert found[1] == [(1, "crashed"), (2, "ok"), (3, "timeout")]
    assert found[0] == [*found[1], (4, "crashed")]
    assert asked.fatal[4][1].startswith("not read, nor what follows: 2 pages of the file before this one killed the")


def test_pages_for_people_to_see_come_beside_what_the_model_sees(tmp_path: Path, reader: isolated.Reader) -> None:
    """Each page is whole and reduced, a small one as it is, a blank one too; a scan that kills its reader has none."""
    large = np.full((300, 90), 200, np.uint8)
    large[100:200, 30:60] = 20
    for name, page in (("1.png", large), ("2.png", picture_of(2)), ("3.png", np.full((40, 40), 255, np.uint8))):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(images.encode(page))
    write_scan(tmp_path / "in/4.png", 4)
    reader.shown_side = 100
    rows = reader.read(listed(tmp_path / "in"), fatal={(3, None): (Status.CRASHED, "as before")})
    assert (
        rows.drop_columns(["shown"]).slice(0, 3).equals(preprocessing.preprocess(listed(tmp_path / "in").slice(0, 3)))
    )
    reduced, small, blank, killed = rows["shown"].to_pylist()
    [page] = images.decode(reduced)
    assert page.shape == (100, 30)
    assert np.abs(page[40:60, 13:17].astype(int) - 20).max() <= 2
    [page] = images.decode(small)
    assert np.array_equal(page, picture_of(2))
    assert blank is not None
    assert killed is None


def test_a_page_with_two_inks_is_shown_with_both() -> None:
    pen, stamp = np.full((2, 60, 40), 230, np.uint8)
    pen[20:40, 18:22] = stamp[20:40, 18:22] = 30
    stamp[5:15] = 120
    [page] = images.decode(images.shown(np.stack([pen, stamp], axis=2), 60))
    assert np.array_equal(page, stamp)


def test_a_sign_of_life_that_cannot_be_written_is_no_fault_of_a_scan(tmp_path: Path) -> None:
    for number in range(5):
        write_scan(tmp_path / f"{number}.png", number)

    def full_disk(row: int, page: int) -> None:
        raise StorageError("No space left on device")

    reader = isolated.Reader(beat_seconds=0)
    try:
        with pytest.raises(StorageError, match="No space left"):
            reader.read(listed(tmp_path), beat=full_disk)
        last = listed(tmp_path).slice(4)
        assert reader.read(last).equals(preprocessing.preprocess(last))
    finally:
        reader.close()


def test_scans_of_a_remote_store_are_asked_for_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3 * reading_ahead.FEWEST):
        write_scan(tmp_path / f"{number:03}.png", number % 10)
    together = threading.Barrier(reading_ahead.FEWEST)  # each read waits until so many are on their way
    read_scan = images.read_scan

    def slow(*scan: Any) -> bytes:
        together.wait(timeout=30)
        return read_scan(*scan)

    remote, local = (listing.list_scans([f"{scheme}{tmp_path}"]) for scheme in ("fsspec+file://", ""))
    expected = preprocessing.preprocess(local)
    monkeypatch.setattr(images, "read_scan", slow)
    found = preprocessing.preprocess(remote)
    assert found.drop_columns(["source", "modified_ns"]).equals(expected.drop_columns(["source", "modified_ns"]))


def test_a_page_of_more_pixels_than_the_limit_is_not_decoded(tmp_path: Path) -> None:
    write_scan(tmp_path / "in/a.png", 1)
    Image.new("L", (101, 100)).save(tmp_path / "in/b.png")
    small = isolated.Reader(preprocessing.Limits(max_pixels=10_000, max_bytes=2_000))
    (tmp_path / "in/c.png").write_bytes(b"\x89PNG" + bytes(2_000))
    try:
        rows = small.read(listed(tmp_path / "in")).to_pylist()
    finally:
        small.close()
    assert [row["status"] for row in rows] == ["ok", "too_large", "too_large"]
    assert [row["reason"] for row in rows[1:]] == ["more than 10,000 pixels a page", "more than 2,000 bytes"]


@pytest.mark.parametrize("kind", ["pdf", "tif"])
def test_each_page_of_a_file_may_have_as_many_bytes_as_a_picture(tmp_path: Path, kind: str) -> None:
    stack(tmp_path / f"in/a.{kind}", 4)
    size = (tmp_path / f"in/a.{kind}").stat().st_size
    enough, few = (preprocessing.preprocess(listed(tmp_path / "in"), limits=preprocessing.Limits(max_bytes=most)) for
                   most in (-(-size // 4), (size - 1) // 4))  # fmt: skip
    assert enough["status"].to_pylist() == ["ok"] * 4
    assert few["status"].to_pylist() == ["too_large"]
    assert few["reason"].to_pylist() == [f"more than {(size - 1) // 4:,} bytes a page"]


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "scan_timeout_seconds"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 2**64])
def test_a_limit_is_above_0_and_a_number(name: str, value: float) -> None:
    with pytest.raises(InputError, match="it has to be above 0 and below"):
        preprocessing.Limits(**{name: value})


def test_a_scan_that_kills_its_reader_but_once_alone_keeps_its_row(
    tmp_path: Path, reader: isolated.Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_scan(tmp_path / "in" / f"{number}.png", number)
    manifest = listed(tmp_path / "in")
    poison = tmp_path / "points/read 1.png"
    poison.write_text("kill always")
    asked = reader._ask

    def unlucky(scans: pa.Table, *more: Any) -> Iterator[pa.Table]:
        try:
            yield from asked(scans, *more)
        finally:
            if len(scans) == 1 and scans["scan"][0].as_py() == "1.png":
                poison.unlink(missing_ok=True)  # it was something else that killed the process

    monkeypatch.setattr(reader, "_ask", unlucky)
    assert reader.read(manifest).equals(preprocessing.preprocess(manifest))


def test_a_reader_that_cannot_start_is_no_fault_of_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scan(tmp_path / "1.png", 1)
    monkeypatch.setattr(isolated.sys, "executable", "/bin/false")
    with pytest.raises(JobError, match=r"the process that reads scans did not start \(exit code 1\)"):
        isolated.Reader().read(listed(tmp_path))


INTERRUPTED_WHILE_A_READER_STARTS = """
import os, signal, threading
from mnist_batch.reading import isolated

signal.signal(signal.SIGINT, lambda *_: None)
reader = isolated.Reader()
threading.Thread(target=reader._start, daemon=True).start()
while reader.process is None or b"numpy" not in open(f"/proc/{reader.process.pid}/maps", "rb").read():
    pass  # until it imports
os.killpg(0, signal.SIGINT)  # as Ctrl-C in a terminal does
os._exit(130)
"""


def test_a_job_that_is_interrupted_while_its_reader_starts_leaves_no_trace_on_the_screen() -> None:
    job = [sys.executable, "-c", INTERRUPTED_WHILE_A_READER_STARTS]
    done = subprocess.run(job, stderr=subprocess.PIPE, text=True, start_new_session=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")  # stderr ends when the reader has ended, too


def test_a_source_that_cannot_be_opened_there_is_told(tmp_path: Path, reader: isolated.Reader) -> None:
    write_scan(tmp_path / "1.png", 1)
    manifest = listed(tmp_path)
    manifest = manifest.set_column(0, manifest.schema.field("source"), [["gopher://host"] * len(manifest)])
    with pytest.raises(InputError, match="'gopher://host' is not a location"):
        reader.read(manifest)


def test_an_error_that_only_one_scan_brings_up_is_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_scan(tmp_path / f"{number}.png", number)
    pages = preprocessing.images.pages
    odd = (tmp_path / "1.png").read_bytes()
    monkeypatch.setattr(preprocessing.images, "pages", lambda data, most: 1 / 0 if data == odd else pages(data, most))
    rows = preprocessing.preprocess(listed(tmp_path))
    assert rows["status"].to_pylist() == ["ok", "crashed", "ok"]
    assert rows["reason"][1].as_py() == "ZeroDivisionError: division by zero"


def test_an_error_in_normalising_is_the_row_of_its_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are normalised many at a time, and more of them here than at once."""
    count, odd = preprocessing.HELD + 5, picture_of(7)
    for number in range(count):
        write_scan(tmp_path / f"{number:03d}.png", number % 7)
    clean = preprocessing.preprocess(listed(tmp_path))
    Image.fromarray(odd).save(tmp_path / "003.png")
    first, *others = [Image.fromarray(picture) for picture in (picture_of(1), odd, picture_of(2))]
    first.save(tmp_path / "031.tif", save_all=True, append_images=others)
    readings_of_each = normalising.readings_of_each

    def failing(pages: Sequence[NDArray[np.uint8]]) -> list[list[ink.Ink]]:
        if any(np.array_equal(page, odd) for page in pages):
            raise KeyError("odd")
        return readings_of_each(pages)

    monkeypatch.setattr(normalising, "readings_of_each", failing)
    rows = preprocessing.preprocess(listed(tmp_path))
    crashed = [(row["scan"], row["page"]) for row in rows.to_pylist() if row["reason"] == "KeyError: 'odd'"]
    assert crashed == [("003.png", 0), ("031.tif", 1)]
    assert rows["page"].to_pylist() == [0] * 32 + [0, 1, 2] + [0] * (count - 32)
    others_clean = clean.filter(pc.not_equal(clean["scan"], "003.png"))
    names = ["scan", "status", "picture", "normalisation", "content"]
    kept = pc.and_(pc.not_equal(rows["scan"], "003.png"), pc.not_equal(rows["scan"], "031.tif"))
    assert rows.filter(kept).select(names).equals(others_clean.select(names))


def test_every_scan_is_a_row_in_order_and_a_broken_one_moves_no_neighbour(tmp_path: Path) -> None:
    for number, digit in enumerate([3, 1, 4, 1, 5]):
        write_scan(tmp_path / f"{number}.png", digit)
    clean = preprocessing.preprocess(listed(tmp_path))
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "3.png").write_bytes(b"not an image at all")
    rows = preprocessing.preprocess(listed(tmp_path), shard=7)
    assert rows.schema.equals(tables.PREPROCESSED)
    assert rows["shard"].to_pylist() == [7] * 5
    assert rows["scan"].to_pylist() == [f"{number}.png" for number in range(5)]
    assert rows["status"].to_pylist() == ["ok", "empty", "ok", "not_an_image", "ok"]
    assert [reason is None for reason in rows["reason"].to_pylist()] == [True, False, True, False, True]
    for number in (0, 2, 4):
        assert rows["picture"][number] == clean["picture"][number]
        assert rows["content"][number] == clean["content"][number]


def test_a_scan_that_vanished_or_changed_since_it_was_listed_says_so(tmp_path: Path) -> None:
    for number in range(4):
        write_scan(tmp_path / f"{number}.png", number)
    manifest = listed(tmp_path)
    (tmp_path / "0.png").unlink()
    os.utime(tmp_path / "1.png", ns=(1, 1))
    (tmp_path / "2.png").write_bytes(b"longer than it was")
    rows = preprocessing.preprocess(manifest)
    assert rows["status"].to_pylist() == ["missing", "changed", "changed", "ok"]
    assert "modification time was" in rows["reason"][1].as_py()
    assert "size was" in rows["reason"][2].as_py()


def test_every_page_of_a_tiff_is_a_row_with_its_number(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(picture_of(digit)) for digit in (2, 7, 1)]
    first.save(tmp_path / "form.tif", save_all=True, append_images=others)
    write_scan(tmp_path / "x.png", 9)
    rows = preprocessing.preprocess(listed(tmp_path))
    assert list(zip(rows["scan"].to_pylist(), rows["page"].to_pylist(), strict=True)) == [
        ("form.tif", 0),
        ("form.tif", 1),
        ("form.tif", 2),
        ("x.png", 0),
    ]
    assert np.array_equal(answers.images_of(rows), [picture_of(digit) for digit in (2, 7, 1, 9)])
