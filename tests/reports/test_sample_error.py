"""The error among the accepted, from a filled-in sheet: what is counted, its exact interval, and what is refused."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_batch.errors import InputError
from mnist_batch.reports import sample_error
from mnist_batch.reports.sampling import Sample
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import SampleError
from tests.support import ROOT, run_facts

KEYS = [("/in", "a.png", 0), ("/in", "b.tif", 0), ("/in", "b.tif", 3), ("/in", "=c.png", 0), ("/more", "a.png", 0)]


def sample(answer: int = 3) -> Sample:
    """A sample of ``KEYS``, all answered alike."""
    rows = [{**dict(zip(tables.KEY, key, strict=True)), "digit": answer} for key in KEYS]
    return Sample(pa.Table.from_pylist(rows, tables.EXAMPLES), 200, True)


def written(folder: Path, *lines: str) -> str:
    (folder / "mine.csv").write_text("\n".join(lines))
    return str(folder / "mine.csv")


HEADER = "number,run,source,scan,page,label"
WHOLE = [
    "1,night,/in,a.png,0,3",
    "2,night,/in,b.tif,0,NONE",
    "3,night,/in,b.tif,3,",
    "4,night,/in,'=c.png,0,03",
    "5,night,/more,a.png,0,9",
]


@pytest.mark.parametrize(
    "lines",
    [
        [HEADER, *WHOLE],
        [HEADER, *WHOLE[::-1], ",,,,,"],
        ["\ufeff" + HEADER.replace(",", ";"), *(line.replace(",", ";") + ",0" for line in WHOLE if line[-1] != ",")],
        [HEADER.replace("number,run,", ""), *(line.split(",night,")[1] for line in WHOLE)],
        [HEADER.title(), *(line.replace("night", "") for line in WHOLE)],
    ],
)
def test_a_sheet_is_read_as_people_and_spreadsheets_write_it(tmp_path: Path, lines: list[str]) -> None:
    lines = [re.sub("NONE,0$", "NONE", line) for line in lines]
    labels = sample_error.labels_of(written(tmp_path, *lines), sample(), "night")
    assert labels == {KEYS[0]: 3, KEYS[1]: tables.NO_DIGIT, KEYS[3]: 3, KEYS[4]: 9}
    error = sample_error.stated(run_facts.published(), sample(), str(tmp_path / "mine.csv"))
    assert (error.accepted, error.drawn, error.labelled, error.wrong) == (200, 5, 4, 2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["9,night,/in,z.png,0,3"],
            r"line 3: page 0 of 'z.png' was not drawn, .*label only the 5 rows of this run's audit.csv",
        ),
        (["9,night,/in,b.tif,1,3"], r"line 3: page 1 of 'b.tif' was not drawn"),
        (["1,night,/in,a.png,0,3"], r"line 3: 'a.png' is labelled a second time; keep one row"),
        (["5,night,/more,a.png,0,x"], r"line 3: label is 'x'; it has to be 0 to 9, none"),
        (["5,night,/more,a.png,0,10"], r"line 3: label is '10'"),
        (["5,night,/more,a.png,-,1"], r"line 3: page is '-'"),
        (["5,other,/more,a.png,0,1"], r"line 3: run is 'other', and this is run 'night'; give the audit.csv of this"),
        (["5,other,/more,a.png,0,"], r"line 3: run is 'other'"),
        (["9,night,/in,z.png,,3"], r"line 3: 'z.png' was not drawn"),
        (["9,night,/more,b.tif,0,3"], r"line 3: page 0 of 'b.tif' was not drawn"),
        (["5,night,/nowhere,a.png,0,1"], r"line 3: page 0 of 'a.png' was not drawn"),
        (["5,night,,a.png,0,1"], r"line 3: several sources have a scan 'a.png'; give its full path"),
        (["5,night"], r"line 3: has 2 of 6 columns"),
    ],
)
def test_what_is_no_label_of_the_sample_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=rf"^--audit-labels .*mine.csv, {message}"):
        sample_error.labels_of(written(tmp_path, HEADER, WHOLE[0], *lines), sample(), "night")


def test_a_sheet_that_nobody_has_filled_in_is_refused(tmp_path: Path) -> None:
    empty = written(tmp_path, HEADER, "1,night,/in,a.png,0,", "9,night,/in,not drawn.png,0,")
    with pytest.raises(InputError, match="no row has a label; fill in the column label, 0 to 9 or none"):
        sample_error.labels_of(empty, sample(), "night")
    with pytest.raises(InputError, match=r"needs a column 'label'"):
        sample_error.labels_of(written(tmp_path, "scan,digit", "a.png,3"), sample(), "night")


def test_a_row_without_a_page_is_for_all_pages_that_were_drawn(tmp_path: Path) -> None:
    labels = sample_error.labels_of(written(tmp_path, "scan,label", "b.tif,3"), sample(), "night")
    assert labels == {KEYS[1]: 3, KEYS[2]: 3}


@settings(max_examples=50)
@given(st.integers(1, 3_000).flatmap(lambda labelled: st.tuples(st.integers(0, labelled), st.just(labelled))))
def test_the_interval_is_that_of_clopper_and_pearson(counts: tuple[int, int]) -> None:
    from scipy.stats import binomtest

    exact = binomtest(*counts).proportion_ci(0.95, method="exact")
    assert sample_error.interval(*counts) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_page_says_how_many_answers_a_target_needs() -> None:
    page = (ROOT / "docs/reading.md").read_text()
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) % \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for labelled, most in rows:
        assert f"{100 * sample_error.interval(0, int(labelled.replace(',', '')))[1]:.2f}" == most


def said(wrong: int, labelled: int, drawn: int, target_error: float | None) -> str:
    low, high = sample_error.interval(wrong, labelled)
    counts = {"accepted": 5_000, "drawn": drawn, "labelled": labelled, "wrong": wrong, "low": low, "high": high}
    error = SampleError(**counts, labels="mine.csv", blake2b="", stated_at="")
    return sample_error.text(run_facts.published(sample_error=error, target_error=target_error)) or ""


def test_what_is_said_of_the_error() -> None:
    assert sample_error.text(run_facts.published()) is None
    assert said(1, 300, 300, None) == (
        "Of 5,000 accepted answers 300 were drawn at random, 300 of these have been labelled, and 1 of these is wrong: "
        "0.33 %. With 95 % certainty 0.01 to 1.84 % of all accepted answers are wrong."
    )
    assert said(0, 300, 300, 0.005).endswith("Whether the target error of 0.5 % is kept needs a larger sample.")
    assert said(0, 1_000, 1_000, 0.005).endswith("0.00 to 0.37 % of all accepted answers are wrong. This is within the "
                                                 "target error of 0.5 %.")  # fmt: skip
    assert " This is above the target error of 0.5 %. 10 rows have no label and are not counted" in said(
        9, 290, 300, 0.005
    )
