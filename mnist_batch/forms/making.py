"""Make a form of pages: form.json with the fields proposed, the picture of each page, and previews to correct it by."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_batch.errors import InputError
from mnist_batch.forms.form import FILE, Digits, Field, Form, FormPage, as_json
from mnist_batch.forms.proposing import LeftOut, Proposal
from mnist_batch.pixels import decoding
from mnist_batch.pixels.opencv import cv2
from mnist_batch.store import locations

Colours = NDArray[np.uint8]

SHORT_SIDES = 2.0, 13.0  # inches; a page with another one has a resolution that is not to be trusted
FIELD_COLOURS = (30, 30, 200), (190, 80, 10), (20, 130, 20)  # BGR; neighbours differ
LEFT_OUT_COLOUR = (0, 150, 240)


def resolutions(content: bytes) -> list[float | None]:
    """The dots per inch of each page of an image file, as the file says it; None where it says none."""
    found: list[float | None] = []
    try:
        with Image.open(BytesIO(content)) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                dots = max(float(each) for each in image.info.get("dpi", (0, 0)))
                short = min(image.size) / dots if dots > 0 else 0
                found.append(round(dots, 2) if SHORT_SIDES[0] <= short <= SHORT_SIDES[1] else None)
    except Exception:  # noqa: BLE001 - a file that others read, but Pillow does not
        return found
    return found


def form_of(name: str, proposals: Sequence[Proposal], dots_per_inch: Sequence[float | None]) -> Form:
    """A form with a page and the fields of each proposal; the fields are named in reading order."""
    pages = tuple(
        FormPage(f"page-{number}.png", proposal.picture.shape[1], proposal.picture.shape[0], dots)
        for number, (proposal, dots) in enumerate(zip(proposals, dots_per_inch, strict=True), 1)
    )
    boxes = [(page, cells) for page, proposal in enumerate(proposals) for cells in proposal.fields]
    fields = tuple(
        Field(f"field_{number}", page, cells, Digits(1, len(cells))) for number, (page, cells) in enumerate(boxes, 1)
    )
    return Form(name, None, pages, fields)


def write(location: str, form: Form, proposals: Sequence[Proposal], replace: bool = False) -> list[str]:
    """Write a form and its previews into a directory, which may be a URI; returns the names of the previews.

    Raises InputError if the directory has another form, unless that is to be replaced.
    """
    filesystem, folder = locations.resolve(location)
    content = as_json(form)
    there = locations.read_if_there(filesystem, f"{folder}/{FILE}")
    if there not in (None, content) and not replace:
        raise InputError(
            f"--out {location}: it has a form, {FILE}, and what was corrected in it would be lost; "
            "give another directory, or --replace"
        )
    previews = []
    for number, (page, proposal) in enumerate(zip(form.pages, proposals, strict=True), 1):
        previews.append(f"preview-{number}.png" if len(proposals) > 1 else "preview.png")
        picture = with_resolution(decoding.encode(proposal.picture), page.dots_per_inch)
        locations.write_whole(filesystem, f"{folder}/{page.image}", picture)
        drawn = preview(proposal.picture, form.fields_of(number - 1), proposal.left_out)
        locations.write_whole(filesystem, f"{folder}/{previews[-1]}", decoding.encode(drawn))
    locations.write_whole(filesystem, f"{folder}/{FILE}", content)
    return previews


def with_resolution(png: bytes, dots_per_inch: float | None) -> bytes:
    """A PNG that says its resolution."""
    if dots_per_inch is None:
        return png
    content = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.save(content, "PNG", dpi=(dots_per_inch, dots_per_inch))
    return content.getvalue()


def preview(picture: NDArray[np.uint8], fields: Sequence[Field], left_out: Sequence[LeftOut] = ()) -> Colours:
    """A page with the cells of its fields drawn and named, and what was left out: uint8 (H, W, 3), BGR."""
    drawn: Colours = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    unit = max(1, round(min(picture.shape) / 900))
    for each in left_out:
        _outline(drawn, each.box, LEFT_OUT_COLOUR, unit)
    for number, field in enumerate(fields):
        colour = FIELD_COLOURS[number % len(FIELD_COLOURS)]
        for cell in field.cells:
            _outline(drawn, cell, colour, 2 * unit)
        at = round(field.cells[0].x), round(field.cells[0].y) - 3 * unit
        cv2.putText(drawn, field.name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, colour, unit, cv2.LINE_AA)
    return drawn


def _outline(drawn: Colours, box: Sequence[float], colour: tuple[int, int, int], width: int) -> None:
    x, y, wide, high = box
    cv2.rectangle(drawn, (round(x), round(y)), (round(x + wide), round(y + high)), colour, width)
