"""The hard cells are drawn as their seed says, with known ink, and counted as what is right for them."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import hard_cells
from benchmarks.handwriting import NO_DIGIT, Digits, enlarged, redrawn
from mnist_batch.learning import digits
from mnist_batch.models import bundle
from mnist_batch.pixels.normalising import normalise
from tests.support import ROOT

WRITTEN = Digits(*(array[:300] for array in digits.mnist("test")))


@pytest.mark.parametrize("name", hard_cells.KINDS)
def test_a_cell_depends_on_its_seed_and_number_alone(name: str) -> None:
    first, again, other = (hard_cells.cells(name, count, seed, WRITTEN) for count, seed in ((3, 5), (2, 5), (2, 6)))
    assert all(np.array_equal(one.page, same.page) for one, same in zip(first, again, strict=False))
    assert [cell.label for cell in first[:2]] == [cell.label for cell in again]
    pages = [cell.page.tobytes() for cell in (*first, *other)]
    assert len(set(pages)) == len(pages)


@pytest.mark.parametrize("name", hard_cells.KINDS)
def test_the_ink_of_a_cell_is_that_of_its_valid_digit(name: str) -> None:
    for cell in hard_cells.cells(name, 6, 0, WRITTEN):
        assert cell.page.dtype == cell.ink.dtype == np.uint8
        assert cell.page.shape[:2] == cell.ink.shape
        if hard_cells.KINDS[name].right == "nothing":
            assert cell.label == NO_DIGIT
            assert not cell.ink.any()
            continue
        assert 0 <= cell.label <= 9
        page = np.atleast_3d(hard_cells.grey_page(cell))[:, :, 0].astype(int)
        on, off = page[cell.ink > 0.6 * cell.ink.max()], page[cell.ink < 20]
        assert len(on) > 5
        assert abs(np.median(on) - np.median(off)) > 10  # the digit is there to be seen


@pytest.mark.parametrize("thickness", [2, 5, 10])
def test_a_digit_is_drawn_with_the_pen_that_was_asked_for(thickness: float) -> None:
    one = WRITTEN.pictures[np.flatnonzero(WRITTEN.labels == 1)[0]]
    cover = redrawn(one, 60, thickness)
    upright = [row.sum() for row in cover if row.any()][20:-20]
    assert np.median(upright) == pytest.approx(thickness, rel=0.3)
    assert redrawn(one, 60, thickness, fades_to=0.3).sum() < 0.8 * cover.sum()


def test_a_digit_written_large_stays_the_digit() -> None:
    pages = [(250 - 200 * np.pad(enlarged(picture, 70), 20)).astype(np.uint8) for picture in WRITTEN.pictures[:40]]
    likeness = [
        np.corrcoef(normalise(page).ravel(), normalise(picture).ravel())[0, 1]
        for page, picture in zip(pages, WRITTEN.pictures, strict=False)
    ]
    assert np.median(likeness) > 0.9


def test_what_became_of_cells_is_counted_by_what_is_right_for_them() -> None:
    confidence = np.array([0.9, 0.8, 0, 0.7, 0.95], np.float32)
    accepted, contrast = confidence >= np.float32(0.9), np.full(5, 60)
    seen = hard_cells.Seen(np.zeros((5, 28, 28), np.uint8), np.array([3, 4, -1, -1, 8]), confidence, accepted, contrast)
    assert hard_cells.counts(seen, np.array([3, 9, 1, -1, -1])) == {
        "cells": 5,
        "right": 2,
        "refused": 1,
        "wrong": 2,
        "accepted": 2,
        "accepted_wrong": 1,
        "surest": 0.95,
        "confused": {"9-4": 1, "-1-8": 1},
    }


def test_every_kind_is_measured_and_drawn(tmp_path: Path) -> None:
    results = hard_cells.measure(hard_cells.BundleReader(bundle.SHIPPED), WRITTEN, 2, 3, tmp_path)
    assert results.keys() == hard_cells.KINDS.keys()
    for found in results.values():
        answered = found["right"] + found["refused"] + found["wrong"]
        assert answered == found["cells"] == 2
        assert found["accepted_wrong"] <= found["accepted"] <= 2
    assert len(list(tmp_path.glob("*.png"))) == len(results)
    assert all(0 <= share <= 1 for share in hard_cells.totals(results).values())


def test_the_hard_cells_of_the_page_are_those_measured() -> None:
    page = (ROOT / "docs/accuracy.md").read_text()
    results = json.loads(hard_cells.RESULTS.read_text())
    _, shown, below = page.split("<!-- hard cells -->")
    assert shown.strip() == hard_cells.table(results["kinds"])
    said = below.split("##")[0]
    for share in ("read", "accepted_wrong", "accepted_invalid"):
        assert f"{100 * results['totals'][share]:.1f} %" in said
    assert results["kinds"].keys() == hard_cells.KINDS.keys()
    assert results["totals"] == hard_cells.totals(results["kinds"])
