"""Make a form of pages: form.json with the fields proposed, the picture of each page, and previews to correct it by."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_batch.errors import InputError
from mnist_batch.forms.form import FILE, Digits, Field, Form, FormPage, as_json
from mnist_batch.forms.proposing import LeftOut, Proposal
from mnist_batch.pixels import decoding, signatures
from mnist_batch.pixels.opencv import cv2
from mnist_batch.store import changing, locations

Grey = NDArray[np.uint8]
Colours = NDArray[np.uint8]

SHORT_SIDES = 2.0, 13.0  # inches; a page with another one has a resolution that is not to be trusted
FIELD_COLOURS = (30, 30, 200), (190, 80, 10), (20, 130, 20)  # BGR; neighbours differ
LEFT_OUT_COLOUR = (0, 150, 240)


def resolutions(content: bytes, shapes: Sequence[tuple[int, ...]]) -> list[float | None]:
    """The dots per inch of each page of a file, as the file says it; None where it says none, or one that cannot be.

    ``shapes`` are those of the pages as they were read. A PDF says how large its pages are on paper.
    """
    try:
        said = _of_pdf(content, shapes) if signatures.kind_of(content) == "PDF" else _of_picture(content)
    except Exception:  # noqa: BLE001 - a file that others read, but not these
        said = []
    said += [0.0] * (len(shapes) - len(said))
    return [_trusted(dots, min(shape[:2])) for dots, shape in zip(said, shapes, strict=False)]


def _of_pdf(content: bytes, shapes: Sequence[tuple[int, ...]]) -> list[float]:
    from mnist_batch.pixels import pdf  # imported here: few forms are made of a PDF, and PDFium takes long to load

    return [min(shape[:2]) / side for shape, side in zip(shapes, pdf.short_sides(content), strict=True)]


def _of_picture(content: bytes) -> list[float]:
    found = []
    with Image.open(BytesIO(content)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(max(float(each) for each in image.info.get("dpi", (0, 0))))
    return found


def _trusted(dots_per_inch: float, short_side: int) -> float | None:
    inches = short_side / dots_per_inch if dots_per_inch > 0 else 0
    return round(dots_per_inch, 2) if SHORT_SIDES[0] <= inches <= SHORT_SIDES[1] else None


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


@dataclass(frozen=True)
class Written:
    """The names of the files of a form that are there to be looked at, and to be printed."""

    previews: tuple[str, ...]
    prints: tuple[str, ...]


def write(
    location: str,
    form: Form,
    pictures: Sequence[Grey],
    left_out: Sequence[Sequence[LeftOut]] | None = None,
    dots_per_inch: Sequence[float] | None = None,
    replace: bool = False,
) -> Written:
    """Write a form, its pictures and previews into a directory, which may be a URI, and pages to print if asked.

    ``left_out`` are boxes of each page that are shown in its preview; ``dots_per_inch`` are those at which each page is
    to be printed, none if it is None. Raises InputError if the directory cannot be, or has another form that is not to
    be replaced.
    """
    changing.check_place("--out", location)
    filesystem, folder = locations.resolve(location)
    content, several = as_json(form), len(pictures) > 1
    there = locations.read_if_there(filesystem, f"{folder}/{FILE}")
    if there not in (None, content) and not replace:
        raise InputError(
            f"--out {location}: it has a form, {FILE}, and what was corrected in it would be lost; "
            "give another directory, or --replace"
        )
    previews, prints = [], []
    for number, (page, picture) in enumerate(zip(form.pages, pictures, strict=True)):
        png = decoding.encode(picture)
        changing.write_whole(filesystem, f"{folder}/{page.image}", with_resolution(png, page.dots_per_inch))
        previews.append(f"preview-{number + 1}.png" if several else "preview.png")
        drawn = preview(picture, form.fields_of(number), left_out[number] if left_out else ())
        changing.write_whole(filesystem, f"{folder}/{previews[-1]}", decoding.encode(drawn))
        if dots_per_inch is not None:
            prints.append(f"print-{number + 1}.png")
            printed = with_resolution(png, dots_per_inch[number])
            changing.write_whole(filesystem, f"{folder}/{prints[-1]}", printed)
    changing.write_whole(filesystem, f"{folder}/{FILE}", content)
    return Written(tuple(previews), tuple(prints))


def with_resolution(png: bytes, dots_per_inch: float | None) -> bytes:
    """A PNG that says its resolution."""
    if dots_per_inch is None:
        return png
    content = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.save(content, "PNG", dpi=(dots_per_inch, dots_per_inch))
    return content.getvalue()


def preview(picture: Grey, fields: Sequence[Field], left_out: Sequence[LeftOut] = ()) -> Colours:
    """A page with the cells of its fields drawn and named, and what was left out: uint8 (H, W, 3), BGR."""
    drawn: Colours = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    unit = max(1, round(min(picture.shape) / 900))
    for each in left_out:
        _outline(drawn, each.box, LEFT_OUT_COLOUR, unit)
    for number, field in enumerate(fields):
        colour = FIELD_COLOURS[number % len(FIELD_COLOURS)]
        for position, cell in enumerate(field.cells):
            _outline(drawn, cell, colour, 2 * unit)
            if len(field.cells) > 1:
                at = round(cell.x) + 3 * unit, round(cell.y + cell.height) - 4 * unit
                write_on(drawn, at, str(position + 1), colour, 0.33 * unit, unit)
    for number, field in enumerate(fields):
        at = round(field.cells[0].x), round(field.cells[0].y) - 3 * unit
        write_on(drawn, at, field.name, FIELD_COLOURS[number % len(FIELD_COLOURS)], 0.45 * unit, unit)
    return drawn


def write_on(
    drawn: Colours, at: tuple[int, int], text: str, colour: tuple[int, int, int], size: float, width: int
) -> None:
    """Write words on a picture, with a white rim that sets them off what is printed there."""
    for ink, thick in (((255, 255, 255), 4 * width), (colour, width)):
        cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)


def _outline(drawn: Colours, box: Sequence[float], colour: tuple[int, int, int], width: int) -> None:
    x, y, wide, high = box
    cv2.rectangle(drawn, (round(x), round(y)), (round(x + wide), round(y + high)), colour, width)
