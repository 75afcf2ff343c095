"""What a terminal shows of a run."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import printing
from mnist_batch.runs.run import Run
from tests.support import field_run


def test_what_a_terminal_shows_of_answers(tmp_path: Path) -> None:
    run = Run(str(tmp_path), "night", "2026-11-21")
    pages = {"source": ["/a", "/b", "/b", "/b"], "scan": ["x.png", "x.png", "y.tif", "y.tif"], "page": [0, 0, 0, 1]}
    answered = {"digit": [3, 4, None, 5], "confidence": [1.0, 0.5, None, 0.75], "decision": [None, "review"] * 2}
    read = {"status": ["ok", "ok", "blank", "ok"], "reason": [None, None, "no ink", None]}
    folder = Path(run.table_folder("predictions"))
    folder.mkdir(parents=True)
    pq.write_table(pa.table(pages | answered | read), folder / "part-00000.parquet")
    lines = ["/a/x.png: 3 (confidence 1.0000)", "/b/x.png: 4 (confidence 0.5000, review)", "/b/y.tif: blank (no ink)"]
    assert printing.answers_text(run, 3).splitlines() == lines
    assert printing.answers_text(run).splitlines() == [*lines, "/b/y.tif p. 2: 5 (confidence 0.7500, review)"]
    assert printing.answers_text(run, 1) == "x.png: 3 (confidence 1.0000)"  # one source needs no name
    assert printing.counts_text({"0": 1_200, "1": 0}) == "read as 0: 1,200, 1: 0"


def test_of_a_run_with_forms_a_terminal_shows_numbers_and_not_their_cells(tmp_path: Path) -> None:
    run, _ = field_run.written(tmp_path)
    lines = [
        "0.png ballots: 123 (confidence 0.5000, review)",
        "0.png spoilt: 1 (confidence 0.9900, accept)",
        "1.png ballots: not_a_digit (the second cell holds no digit)",
    ]
    assert sorted(printing.answers_text(run).splitlines())[:3] == lines
    assert len(printing.answers_text(run).splitlines()) == 8
    assert printing.answers_text(run, 2).count("\n") == 1
