"""What a report shows of the fields and pages of a run with forms: which of them, and what lies in their place."""

import itertools
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from mnist_batch.reports import cut_outs, field_examples
from mnist_batch.reports.field_examples import FieldExamples
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.store import locations
from tests.support import field_run

Tables = dict[str, pa.Table]


@pytest.fixture
def of_run(tmp_path: Path) -> tuple[Published, FieldExamples]:
    """A run of four pages, two of them with a label, and its examples."""
    run, published = field_run.written(tmp_path)
    kept = FieldExamples()
    beside = _tables(run)
    labels = [{"123": "128", "99": "99"}.get(value) for value in beside["fields"]["value"].to_pylist()]
    at = beside["fields"].schema.get_field_index("label")
    beside["fields"] = beside["fields"].set_column(at, "label", pa.array(labels, pa.string()))
    kept.add(beside, _cells(run), pa.array([bytes([number]) * 784 for number in range(len(_cells(run)))]))
    return published, kept


def _tables(run: Run) -> Tables:
    found: Tables = {}
    for table in tables.BESIDE:
        folder = Path(run.table_folder(table))
        found[table] = pa.concat_tables(
            locations.read_table(run.filesystem, str(path)).unify_dictionaries() for path in sorted(folder.iterdir())
        ).unify_dictionaries()
    return found


def _cells(run: Run) -> pa.Table:
    return pa.concat_tables(parts.read_parts(run, [*tables.SHOWN, "cell"]))


def said(rows: list[dict[str, Any]]) -> dict[tuple[str, str], str | None]:
    return {(row["scan"], row["field"]): row["why_not"] for row in rows}


def test_each_field_is_shown_where_it_lies_on_its_page(of_run: tuple[Published, FieldExamples]) -> None:
    published, kept = of_run
    mistakes, review, pages = cut_outs.shown(published, kept.field_mistakes, kept.field_review, kept.pages({}))
    assert [(row["scan"], row["value"], row["truth"]) for row in mistakes] == [("0.png", "123", "128")]
    assert len(review) == 6
    for row in review:
        seen = cv2.imdecode(np.frombuffer(row["shown"], np.uint8), cv2.IMREAD_GRAYSCALE)
        height, width = seen.shape
        cells = field_run.FIELDS[row["field"]]
        across = (width - 2 * 0.7 * 50) / cells
        middles = [seen[height // 2, int(0.7 * 50 + (cell + 0.5) * across)] for cell in range(cells)]
        assert middles == pytest.approx([40 * cell + int(row["scan"][0]) for cell in range(cells)], abs=8)
        assert len(row["picture"]) == 784 * cells
    assert {row["why_not"] for row in pages} == {"No such file or directory"}


def test_a_scan_that_is_gone_or_changed_costs_its_pictures_only(
    of_run: tuple[Published, FieldExamples], tmp_path: Path
) -> None:
    published, kept = of_run
    (tmp_path / "in/1.png").unlink()
    (tmp_path / "in/2.png").write_bytes((tmp_path / "in/0.png").read_bytes())
    [review] = cut_outs.shown(published, kept.field_review)
    reasons = {"0.png": None, "1.png": "No such file or directory", "3.png": None}
    reasons["2.png"] = "it has changed since it was scored"
    assert {key: why for key, why in said(review).items() if why != reasons[key[0]]} == {}
    assert {row["scan"] for row in review if row["shown"]} == {"0.png", "3.png"}


def test_when_there_is_no_time_left_the_rest_has_no_picture(
    of_run: tuple[Published, FieldExamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    published, kept = of_run
    monkeypatch.setattr(cut_outs, "SECONDS", -1)
    [review] = cut_outs.shown(published, kept.field_review)
    assert [row["why_not"] for row in review].count(None) == 1
    assert set(said(review).values()) == {None, "there was no time left to read it again"}


def test_a_picture_is_small_whatever_is_on_the_page(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 1400), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    page = cut_outs.crops.whole(noise)
    assert len(cut_outs.crops.jpeg(page, cut_outs.SIDES, cut_outs.MOST_BYTES)) <= cut_outs.MOST_BYTES


def test_the_same_rows_are_kept_however_they_come_in_shards(of_run: tuple[Published, FieldExamples]) -> None:
    rows = [
        {
            **{"source": "/in", "scan": f"{number % 40:02}.png", "page": number % 3, "form": "turnout"},
            **{"field": f"f{number}", "status": "ok", "value": str(number), "label": str(number - number % 2)},
            **{"confidence": (number * 37 % 101) / 101, "decision": "review" if number % 3 else "accept"},
        }
        for number in range(400)
    ]
    statuses = ["unknown_form"] * 30 + ["not_registered"] * 14 + ["blank_page"] * 90 + ["other_version"] * 20
    pages = [{"source": "/in", "scan": f"{at}.png", "page": 0, "status": status} for at, status in enumerate(statuses)]
    nullable = {name: pa.schema([item.with_nullable(True) for item in each]) for name, each in tables.BESIDE.items()}
    beside = {
        "fields": pa.Table.from_pylist(rows, nullable["fields"]),
        "pages": pa.Table.from_pylist(pages, nullable["pages"]),
    }
    nothing = _none()
    whole, joined = FieldExamples(), FieldExamples()
    whole.add(beside, nothing)
    cut, kept = [0, 1, 100, 250, 400], []
    for first, last in itertools.pairwise(cut):
        part = FieldExamples()
        part.add({name: each.slice(first, last - first) for name, each in beside.items()}, nothing)
        kept.append(part.table())
    order = [0, 1, 2, 3]
    random.Random(1).shuffle(order)
    joined.merge(pa.concat_tables(kept))
    shuffled = FieldExamples()
    shuffled.merge(pa.concat_tables([kept[at] for at in order]))
    for kind in ("field_mistakes", "field_doubtful", "field_review", "unregistered"):
        drop = ["kind"]
        assert getattr(joined, kind).drop_columns(drop).equals(getattr(whole, kind).drop_columns(drop))
        assert len(getattr(whole, kind)) > 20
    for kind in ("field_mistakes", "field_doubtful", "field_review"):
        assert getattr(joined, kind).equals(getattr(shuffled, kind))
    shown = whole.pages({"unknown_form": 30, "not_registered": 14, "other_version": 20})["status"].to_pylist()
    assert list(dict.fromkeys(shown)) == ["unknown_form", "other_version", "not_registered"]  # the largest group first
    assert shown.count("other_version") == field_examples.OF_A_STATUS


def _none() -> pa.Table:
    return tables.PREDICTIONS.empty_table().select([*tables.SHOWN, "cell"])
