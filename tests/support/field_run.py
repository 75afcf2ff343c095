"""A published run with forms, as its tables have it: four pages with two fields each, one of three cells."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist_batch.reading import images
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from tests.support import run_facts

CELL, LEFT, TOP = (40, 50), 60, 80  # of the first cell of the first field, in pixels of the page
FIELDS = {"ballots": 3, "spoilt": 1}


def page_of(number: int) -> NDArray[np.uint8]:
    """A page whose cells are of different greys."""
    paper = np.full((400, 300), 250, np.uint8)
    for row, cells in enumerate(FIELDS.values()):
        for position in range(cells):
            x, y = LEFT + 40 * position, TOP + 100 * row
            paper[y + 5 : y + 45, x + 5 : x + 35] = 40 * position + number
    return paper


def cells_of(scan: str, content: bytes) -> list[dict[str, Any]]:
    rows = []
    for row, (field, cells) in enumerate(FIELDS.items()):
        for position in range(cells):
            x, y, (width, height) = LEFT + 40 * position, TOP + 100 * row, CELL
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            cell = {"x": x, "y": y, "width": width, "height": height, "corners": corners}
            of_cell = {"form": "turnout", "field": field, "position": position, "cell": cell}
            rows.append({"scan": scan, "status": "ok", "digit": 1, "confidence": 0.5, "content": content} | of_cell)
    return rows[::-1]  # in no order


def field_of(scan: str, field: str, decision: str, value: str | None, **more: Any) -> dict[str, Any]:
    row = {"scan": scan, "form": "turnout", "field": field, "status": "ok", "decision": decision, "value": value}
    return row | {"confidence": 0.5, "rules_failed": []} | more


def write_table(run: Run, name: str, schema: pa.Schema, rows: list[dict[str, Any]], source: Path) -> None:
    folder = Path(run.table_folder(name))
    folder.mkdir(parents=True, exist_ok=True)
    of_run = {"source": str(source), "page": 0, "model": "m", "night": datetime.date(2026, 11, 21), "run": run.run_id}
    schema = pa.schema([item.with_nullable(True) for item in tables.published(schema)])
    table = pa.Table.from_pylist([of_run | row for row in rows], schema)
    pq.write_table(table, folder / f"part-{len(list(folder.iterdir())):05}.parquet")


def written(tmp_path: Path) -> tuple[Run, Published]:
    """The run ``night`` below ``tmp_path``, in two parts, with a rule; its pages are in ``in``."""
    source, run = tmp_path / "in", Run(str(tmp_path / "out"), "night", "2026-11-21")
    source.mkdir()
    for number in range(4):
        content = images.encode(page_of(number))
        (source / f"{number}.png").write_bytes(content)
        write_table(
            run, "predictions", tables.PREDICTIONS, cells_of(f"{number}.png", images.content_digest(content)), source
        )
    first = [
        field_of("0.png", "ballots", "review", "123", alternative="723", alternative_confidence=0.3, check="failed"),
        field_of("0.png", "spoilt", "accept", "1", confidence=0.99),
        field_of("1.png", "ballots", "review", None, status="not_a_digit", reason="the second cell holds no digit"),
        field_of("1.png", "spoilt", "review", "7", confidence=0.6),
    ]
    second = [
        field_of("2.png", "ballots", "review", "45", confidence=0.8, rules_failed=["a = b"]),
        field_of("2.png", "spoilt", "review", "1", confidence=0.4),
        field_of("3.png", "ballots", "accept", "99", confidence=0.99),
        field_of("3.png", "spoilt", "review", "7", confidence=0.7),
    ]
    for rows in (first, second):
        write_table(run, "fields", tables.FIELDS, rows, source)
    statuses = ["registered"] * 4 + ["unknown_form", "not_registered", "blank_page", "undecodable"]
    pages = [{"scan": f"{number}.png", "status": status} for number, status in enumerate(statuses)]
    write_table(run, "pages", tables.PAGES, pages, source)
    return run, run_facts.commit(run, threshold=0.9, target_error=0.005)
