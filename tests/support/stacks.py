"""Stacks of filled-in pages of drawn forms, with the truth of every field."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import form_pages
from benchmarks.form_filling import Page
from mnist_batch.intake.field_values import EMPTY


def stack(folder: Path, kinds: Sequence[str], form: str = "boxes", seed: int = 1) -> tuple[Path, Path, list[Page]]:
    """Write a form and a page of it for each kind of disturbance; returns the form, the labels and the pages.

    The pages are ``folder/pages/0000.png`` and so on; ``folder/truth.csv`` has their fields.
    """
    drawing, digits = form_pages.form(form), form_pages.mnist_digits()
    form_pages.write_form(drawing, folder / form)
    pages = [form_pages.page_of(drawing, 0, kind, digits, seed, number) for number, kind in enumerate(kinds)]
    (folder / "pages").mkdir()
    for number, page in enumerate(pages):
        form_pages.write_stack([page], folder / f"pages/{number:04}.png")
    with (folder / "truth.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scan", "page", "field", "value"])
        for number, page in enumerate(pages):
            known = {name: written.value for name, written in page.truth.items() if written.value is not None}
            rows.writerows([f"{number:04}.png", 0, name, value or EMPTY] for name, value in known.items())
    return folder / form, folder / "truth.csv", pages


def blank(path: Path, shape: tuple[int, int] = (1169, 827)) -> None:
    """Write an empty page."""
    Image.fromarray(np.full(shape, 250, np.uint8)).save(path)
