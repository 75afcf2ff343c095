"""What is for review is chosen by hash, put in order, and shared; fields bring the cells that they are written in."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mnist_batch.errors import InputError
from mnist_batch.reading import images
from mnist_batch.reports import crops, review_pack, reviewing
from mnist_batch.reports.reviewing import Chosen, Item, choose
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from tests.support import field_run, run_facts


@pytest.fixture
def night(tmp_path: Path) -> tuple[Run, Published]:
    return field_run.written(tmp_path)


def named(chosen: Chosen) -> list[tuple[str, str | None]]:
    return [(item.scan, item.field) for item in chosen.items]


def test_fields_come_by_form_and_field_the_same_readings_together_and_the_surest_first(
    night: tuple[Run, Published],
) -> None:
    chosen = choose(*night, most=100)
    assert named(chosen) == [
        ("2.png", "ballots"),  # 45, the surest
        ("0.png", "ballots"),
        ("1.png", "ballots"),  # without a value
        ("2.png", "spoilt"),  # 1
        ("3.png", "spoilt"),  # 7, the surer
        ("1.png", "spoilt"),
    ]
    assert (chosen.waiting, chosen.accepted, chosen.unread) == (6, 2, 3)  # a blank page is no loss
    items = {(item.scan, item.field): item for item in chosen.items}
    first = items["0.png", "ballots"]
    assert first.readings == (("123", 0.5), ("723", pytest.approx(0.3)))
    assert (first.suggestion, first.digits, first.group) == ("123", 3, "turnout: ballots")
    assert first.note == "its check digit is wrong"
    assert items["2.png", "ballots"].note == "the rule fails: a = b"
    assert items["1.png", "ballots"].suggestion is None
    assert items["1.png", "ballots"].note == "the second cell holds no digit"
    assert [cell[:2] for cell in first.cells] == [(60, 80), (100, 80), (140, 80)]


def test_an_empty_field_is_suggested_as_empty(night: tuple[Run, Published], tmp_path: Path) -> None:
    run, published = night
    rows = [field_run.field_of("3.png", "ballots", "review", None, status="empty", reason="it may not be empty")]
    for part in Path(run.table_folder("fields")).iterdir():
        part.unlink()
    field_run.write_table(run, "fields", tables.FIELDS, rows, tmp_path / "in")
    (item,) = choose(run, published, most=100).items
    assert (item.suggestion, item.readings) == ("none", ())


def test_fewer_are_among_more_and_accepted_ones_come_last_and_blind(night: tuple[Run, Published]) -> None:
    few, more = choose(*night, most=2), choose(*night, most=4, audit=1)
    assert (len(few.items), few.waiting) == (2, 6)
    assert set(named(few)) < set(named(more))
    assert [item.drawn for item in more.items] == [False] * 4 + [True]
    assert more.items[-1].suggestion is None
    assert more.items[-1].readings == ()
    assert named(choose(*night, most=1, audit=2))[1] == named(more)[-1]


def test_a_run_without_a_rule_has_accepted_nothing(night: tuple[Run, Published]) -> None:
    with pytest.raises(InputError, match="was scored without --target-error, so it has no accepted answers"):
        choose(night[0], run_facts.published(run_id="night"), most=1, audit=1)
    assert any(
        sentence.startswith("the run was scored without --target-error")
        for sentence in reviewing.sentences(run_facts.published(), choose(*night, most=10))
    )


def test_the_crop_of_a_field_has_its_cells_and_the_page_around_them(
    night: tuple[Run, Published], tmp_path: Path
) -> None:
    run, published = night
    found = dict(crops.of_items(published, choose(run, published, most=100).items))
    assert len(found) == 6
    for item, crop in found.items():
        assert not isinstance(crop, str)
        assert len(crop.boxes) == field_run.FIELDS[str(item.field)]
        height, width = crop.picture.shape
        for position, (left, top, wide, high) in enumerate(crop.boxes):
            middle = crop.picture[round((top + high / 2) * height), round((left + wide / 2) * width)]
            assert middle == 40 * position + int(item.scan[0])
        assert crop.picture[1, 1] == 250
    pack = review_pack.write(run, published, choose(run, published, most=100), str(tmp_path / "review"))
    assert pack.sizes == (6,)
    assert len(list((tmp_path / "review/pictures").iterdir())) == 6


def test_a_field_that_was_cut_off_is_shown_on_its_page(night: tuple[Run, Published], tmp_path: Path) -> None:
    run, published = night
    folder = Path(run.table_folder("predictions"))
    rows = [row | {"cell": None} for row in pq.read_table(folder, partitioning=None).to_pylist()]
    for part in folder.iterdir():
        part.unlink()
    field_run.write_table(run, "predictions", tables.PREDICTIONS, rows, tmp_path / "in")
    items = choose(run, published, most=100).items
    assert {item.digits for item in items} == {1, 3}
    for item, crop in crops.of_items(published, items):
        assert not isinstance(crop, str)
        assert np.array_equal(crop.picture, field_run.page_of(int(item.scan[0])))


@pytest.mark.parametrize(("people", "overlap"), [(1, 0), (2, 0), (2, 5), (3, 40), (7, 3)])
def test_each_item_is_one_persons_but_for_the_overlap(people: int, overlap: int) -> None:
    items = [Item("/in", f"{number}.png", 0, None, bytes([number * 37 % 30])) for number in range(30)]
    shares = review_pack.split(items, people, overlap)
    counts = [sum(item in share for share in shares) for item in items]
    assert sorted(counts) == sorted([1] * (30 - min(overlap, 30)) + [people] * min(overlap, 30))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for share in shares:
        assert share == [item for item in items if item in share]  # in their order


def test_a_scan_of_many_pages_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Image.fromarray(np.full((30, 40), 10 * number, np.uint8)) for number in range(9)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    content = images.content_digest((tmp_path / "pages.tif").read_bytes())
    items = [Item(str(tmp_path), "pages.tif", page, content, b"") for page in (7, 2, 5, 2)]
    read, times = images.read_scan, []
    monkeypatch.setattr(images, "read_scan", lambda *given, **named: times.append(1) or read(*given, **named))
    found = list(crops.of_items(run_facts.published(), items))
    assert [(item.page, crop.picture[0, 0]) for item, crop in found] == [(2, 20), (2, 20), (5, 50), (7, 70)]
    assert len(times) == 1
