"""Make a form of a blank or filled page: boxes are found, grouped into fields, and drawn for you to correct."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mnist_batch.errors import InputError
from mnist_batch.wording import counted

from . import session

if TYPE_CHECKING:
    from mnist_batch.forms.proposing import Proposal

DESCRIPTION = """\
Make a form of a page, blank or filled in: the boxes for digits are found, grouped into fields, and drawn.

  python -m jobs.form blank.png --out forms/turnout
  python -m jobs.form page-1.png page-2.png --out forms/turnout
  python -m jobs.form pages.tif --out s3://bucket/forms/turnout

It writes form.json, the picture of each page, and preview.png, which shows each cell and the name of its field.
Look at the preview, then rename the fields in form.json and correct what is wrong.

No Ray is needed. Exit codes: 0 done, 2 bad arguments or input."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and make the form; returns the exit code."""
    arguments = session.parser("jobs.form", DESCRIPTION)
    arguments.add_argument(
        "pages",
        nargs="+",
        metavar="PAGE",
        help="an image file, by path or URI (s3://...); one of several pages has each",
    )
    arguments.add_argument("--out", required=True, metavar="FOLDER", help="the directory of the form, or a URI of one")
    arguments.add_argument("--name", help="the name of the form; that of its directory if left out")
    arguments.add_argument(
        "--dots-per-inch",
        type=_resolution,
        metavar="N",
        help="the resolution of the pages; what their files say if left out, else that of pages as wide as A4",
    )
    arguments.add_argument(
        "--omrchecker",
        metavar="FILE",
        help="take the fields from this template.json of OMRChecker, whose blocks of digits are on the page",
    )
    arguments.add_argument("--replace", action="store_true", help="replace a form that is in the directory")
    given = arguments.parse_args(argv)
    return session.run(lambda: _import(given) if given.omrchecker else _make(given))


def _resolution(given: str) -> float:
    with suppress(ValueError):
        if 50 <= (number := float(given)) <= 1200:
            return number
    raise argparse.ArgumentTypeError(f"expected 50 to 1200, got {given!r}")


def _make(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch.forms import making, opening, proposing
    from mnist_batch.reports import inspection
    from mnist_batch.store import locations

    proposals: list[Proposal] = []
    dots: list[float | None] = []
    for name in given.pages:
        content, readers = inspection.file_of(name, "PAGE")
        said = making.resolutions(content)
        for number, reader in enumerate(readers):
            page = inspection.read(reader, name, "PAGE")
            grey = page if page.ndim == 2 else page[:, :, -1]
            dots.append(given.dots_per_inch or (said[number] if number < len(said) else None))
            proposals.append(proposing.propose(grey, dots[-1]))
            _tell(len(proposals), proposals[-1])
    if not any(proposal.fields for proposal in proposals):
        raise InputError(
            f"PAGE {given.pages[0]!r}: no boxes for digits were found; check --dots-per-inch, take a page on which the "
            "boxes are clearly printed, or write form.json by hand (docs/forms.md)"
        )
    location = locations.absolute(given.out)
    form = making.form_of(given.name or location.rpartition("/")[2], proposals, dots)
    previews = making.write(location, form, proposals, given.replace)
    opening.open_form(location, "--out")
    print(f"look at {' and '.join(previews)}, then rename the fields in form.json and correct what is wrong")
    return {
        "form": location,
        "pages": len(form.pages),
        "fields": len(form.fields),
        "cells": sum(len(field.cells) for field in form.fields),
        "left_out": sum(len(proposal.left_out) for proposal in proposals),
        "skew_degrees": [proposal.skew for proposal in proposals],
        "previews": previews,
    }


def _import(given: argparse.Namespace) -> Mapping[str, Any]:
    """Make a form of the template of OMRChecker and the one page that it is of."""
    from mnist_batch.forms import making, omrchecker, opening, proposing
    from mnist_batch.forms.form import FormPage
    from mnist_batch.reports import inspection
    from mnist_batch.store import locations

    content, readers = inspection.file_of(given.pages[0], "PAGE")
    if len(given.pages) > 1 or len(readers) > 1:
        raise InputError("PAGE: a template of OMRChecker is of one page; give the picture of this page")
    page = inspection.read(readers[0], given.pages[0], "PAGE")
    grey = page if page.ndim == 2 else page[:, :, -1]
    dots = given.dots_per_inch or next(iter(making.resolutions(content)), None)
    location = locations.absolute(given.out)
    name = given.name or location.rpartition("/")[2]
    of_page = FormPage("page-1.png", grey.shape[1], grey.shape[0], dots)
    imported = omrchecker.open_template(given.omrchecker, name, of_page)
    for remark in imported.remarks:
        print(remark)
    proposal = proposing.Proposal(grey, 0.0, (), ())
    previews = making.write(location, imported.form, [proposal], given.replace)
    opening.open_form(location, "--out")
    print(f"look at {previews[0]}, then move the cells in form.json to where people write")
    fields = imported.form.fields
    return {"form": location, "fields": len(fields), "cells": sum(len(field.cells) for field in fields)}


def _tell(number: int, proposal: "Proposal") -> None:
    cells = sum(map(len, proposal.fields))
    turned = f", straightened by {abs(proposal.skew):.2f} degrees" if proposal.skew else ""
    print(f"page {number}: {counted(len(proposal.fields), 'field')}, {counted(cells, 'cell')}{turned}")
    for reason, count in Counter(each.reason for each in proposal.left_out).items():
        first = next(each.box for each in proposal.left_out if each.reason == reason)
        at = f"({first.x:.0f}, {first.y:.0f})"
        print(f"  left out: {count:,} of them, the first at {at}: {reason}")


if __name__ == "__main__":
    session.leave(main)
