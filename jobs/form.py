"""Make a form of a page, put marks on it, or check how a page is read with a form."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_batch.errors import InputError
from mnist_batch.wording import counted

from . import session

if TYPE_CHECKING:
    from mnist_batch.forms.form import Form
    from mnist_batch.forms.making import Written
    from mnist_batch.forms.proposing import Proposal

DESCRIPTION = """\
Make a form of a page, blank or filled in: the boxes for digits are found, grouped into fields, and drawn.

  python -m jobs.form blank.png --out forms/turnout
  python -m jobs.form page-1.png page-2.png --out forms/turnout
  python -m jobs.form pages.tif --out s3://bucket/forms/turnout

It writes form.json, the picture of each page, and preview.png, which shows each cell and the name of its field.
What is written in the cells of a filled page is taken out of its picture. Writing elsewhere stays in it.
Look at the preview, then rename the fields in form.json and correct what is wrong.

  python -m jobs.form --print-marks blank.png --out forms/turnout
  python -m jobs.form --print-marks --out forms/turnout

prints four marks in the corners of the page, or of the form that is there: scans of it are then found in any state.
print-1.png is the page to print and to give out.

  python -m jobs.form --check forms/turnout page.tif --page 3 --out check.png

shows how a page is read with a form: where its cells fall, and what is read in each. A page that does not fit is no
error; the last line says so.

No Ray is needed. Exit codes: 0 done, 2 bad arguments or input."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and make the form; returns the exit code."""
    arguments = _parser()
    given = arguments.parse_args(argv)
    if given.check:
        if len(given.pages) != 1:
            arguments.error("--check takes one PAGE; give the image file that it is in")
        return session.run(lambda: _check(given))
    if not given.out:
        arguments.error("--out is missing; give the directory of the form")
    if given.from_omrchecker and given.print_marks:
        arguments.error("--print-marks: make the form of the template first, then give --print-marks without PAGE")
    if not given.pages and not given.print_marks:
        arguments.error("PAGE is missing; give the picture of a page to make a form of")
    if given.from_omrchecker:
        return session.run(lambda: _import(given))
    return session.run(lambda: _make(given) if given.pages else _add_marks(given))


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.form", DESCRIPTION)
    arguments.add_argument(
        "pages", nargs="*", metavar="PAGE", help="an image file, by path or URI (s3://...), of one page or several"
    )
    arguments.add_argument(
        "--out",
        metavar="PATH",
        help="the directory of the form, or a URI of one; of --check a PNG, check.png if left out",
    )
    arguments.add_argument("--name", help="the name of the form; that of its directory if left out")
    arguments.add_argument(
        "--dots-per-inch",
        type=_resolution,
        metavar="N",
        help="the resolution of the pages; what their files say if left out, else that of pages as wide as A4",
    )
    arguments.add_argument(
        "--from-omrchecker",
        metavar="FILE",
        help="take the fields from this template.json of OMRChecker, whose blocks of digits are on the page",
    )
    arguments.add_argument(
        "--print-marks", action="store_true", help="put marks on the pages; without PAGE, on those of the form in --out"
    )
    arguments.add_argument(
        "--check",
        metavar="FORM",
        help="compare PAGE with the form in this directory, or with those in its directories",
    )
    arguments.add_argument("--page", type=int, default=0, metavar="N", help="the page of PAGE to check, from 0")
    arguments.add_argument(
        "--model", metavar="FOLDER", help="the model bundle that reads the cells; the one in this package if left out"
    )
    arguments.add_argument("--replace", action="store_true", help="replace a form that is in the directory")
    return arguments


def _resolution(given: str) -> float:
    with suppress(ValueError):
        if 50 <= (number := float(given)) <= 1200:
            return number
    raise argparse.ArgumentTypeError(f"expected 50 to 1200, got {given!r}")


def _make(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch.forms import erasing, making, marking, opening, proposing
    from mnist_batch.pixels import colours
    from mnist_batch.reports import inspection
    from mnist_batch.store import locations

    proposals: list[Proposal] = []
    dots: list[float | None] = []
    for name in given.pages:
        content, readers = inspection.file_of(name, "PAGE")
        pages = [inspection.read(reader, name, "PAGE") for reader in readers]
        said = making.resolutions(content, [page.shape for page in pages])
        for page, resolution in zip(pages, said, strict=True):
            dots.append(given.dots_per_inch or resolution)
            proposal = proposing.propose(colours.whole(page), dots[-1])
            picture, erased = erasing.without_writing(proposal.picture, proposal.fields)
            proposals.append(replace(proposal, picture=picture))
            _tell(len(proposals), proposals[-1])
            if erased:
                print(f"  taken out of the picture: what is written in {counted(erased, 'cell')}")
    if not any(proposal.fields for proposal in proposals):
        raise InputError(
            f"PAGE {given.pages[0]!r}: no boxes for digits were found; check --dots-per-inch, take a page on which the "
            "boxes are clearly printed, or write form.json by hand (docs/forms.md)"
        )
    location = locations.absolute(given.out)
    form = making.form_of(given.name or location.rpartition("/")[2], proposals, dots)
    pictures, to_print = [proposal.picture for proposal in proposals], None
    if given.print_marks:
        to_print = [each or proposing.supposed(picture) for each, picture in zip(dots, pictures, strict=True)]
        form, pictures = marking.marked(form, pictures, to_print)
    left_out = [proposal.left_out for proposal in proposals]
    written = making.write(location, form, pictures, left_out, to_print, given.replace)
    opening.open_form(location, "--out")
    previews = " and ".join(f"{location}/{name}" for name in written.previews)
    print(f"look at {previews}, then rename the fields in form.json beside it and correct what is wrong")
    skew = [proposal.skew for proposal in proposals]
    return _summary(location, form, written) | {"left_out": sum(map(len, left_out)), "skew_degrees": skew}


def _add_marks(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch.forms import making, marking, opening, proposing

    opened = opening.open_form(given.out, "--out")
    dots = [
        given.dots_per_inch or page.dots_per_inch or proposing.supposed(picture)
        for page, picture in zip(opened.form.pages, opened.pictures, strict=True)
    ]
    form, pictures = marking.marked(opened.form, opened.pictures, dots)
    written = making.write(opened.location, form, pictures, None, dots, replace=True)
    return _summary(opened.location, form, written)


def _check(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch.forms import opening
    from mnist_batch.models import bundle
    from mnist_batch.pixels import decoding
    from mnist_batch.reports import form_check, inspection

    forms = opening.open_forms([given.check], "--check")
    page = inspection.page_of(given.pages[0], given.page, "PAGE")
    checked = form_check.check(page, forms, given.model or bundle.SHIPPED)
    picture = given.out or "check.png"
    inspection.save(decoding.encode(form_check.draw(page, checked)), Path(picture))
    for line in form_check.lines(checked):
        print(line)
    return form_check.facts(checked) | {"picture": picture}


def _summary(location: str, form: "Form", written: "Written") -> dict[str, Any]:
    if written.prints:
        print(f"print {' and '.join(written.prints)} at full size, and give out what was printed")
    cells = sum(len(field.cells) for field in form.fields)
    summary = {"form": location, "pages": len(form.pages), "fields": len(form.fields), "cells": cells}
    return summary | {"previews": written.previews, "prints": written.prints}


def _import(given: argparse.Namespace) -> Mapping[str, Any]:
    """Make a form of the template of OMRChecker and the one page that it is of."""
    from mnist_batch.forms import making, omrchecker, opening
    from mnist_batch.forms.form import FormPage
    from mnist_batch.pixels import colours
    from mnist_batch.reports import inspection
    from mnist_batch.store import locations

    content, readers = inspection.file_of(given.pages[0], "PAGE")
    if len(given.pages) > 1 or len(readers) > 1:
        raise InputError("PAGE: a template of OMRChecker is of one page; give the picture of this page")
    page = inspection.read(readers[0], given.pages[0], "PAGE")
    grey = colours.whole(page)
    dots = given.dots_per_inch or making.resolutions(content, [page.shape])[0]
    location = locations.absolute(given.out)
    name = given.name or location.rpartition("/")[2]
    of_page = FormPage("page-1.png", grey.shape[1], grey.shape[0], dots)
    imported = omrchecker.open_template(given.from_omrchecker, name, of_page)
    for remark in imported.remarks:
        print(remark)
    written = making.write(location, imported.form, [grey], replace=given.replace)
    opening.open_form(location, "--out")
    print(f"look at {location}/{written.previews[0]}, then move the cells in form.json to where people write")
    return _summary(location, imported.form, written)


def _tell(number: int, proposal: "Proposal") -> None:
    cells = sum(map(len, proposal.fields))
    turned = f", straightened by {abs(proposal.skew):.2f} degrees" if proposal.skew else ""
    print(f"page {number}: {counted(len(proposal.fields), 'field')}, {counted(cells, 'cell')}{turned}")
    if proposal.black_and_white:
        print("  black and white: light tints are lost, and boxes that have no lines with them; take a page in grey")
    for reason, count in Counter(each.reason for each in proposal.left_out).items():
        first = next(each.box for each in proposal.left_out if each.reason == reason)
        boxes = "1 box" if count == 1 else f"{count:,} boxes"
        print(f"  left out: {boxes}, first at ({first.x:.0f}, {first.y:.0f}): {reason}")


if __name__ == "__main__":
    session.leave(main)
