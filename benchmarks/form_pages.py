"""Forms, filled in and disturbed, with the truth of every cell: a folder to look at, or arrays to measure with.

    python -m benchmarks.form_pages --out folder --form boxes --pages 20 --seed 1

writes the form, the pages, ``truth.csv`` (scan, page, field, value, labels) and ``contact.png``. All is as its seed
says.
"""

import argparse
import csv
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from benchmarks import form_disturbing as steps
from benchmarks.form_disturbing import Sheet
from benchmarks.form_drawing import FORMS, SIBLINGS, STRANGERS, FormDrawing, form
from benchmarks.form_filling import Manner, Page, digits_of, filled, mnist_digits
from benchmarks.handwriting import Digits, Grey, Random

__all__ = ["FORMS", "KINDS", "SIBLINGS", "STRANGERS", "Manner", "Page", "digits_of", "disturbed", "filled", "form",
           "mnist_digits", "page_of", "write_form", "write_stack"]  # fmt: skip

Step = Callable[[Sheet], None]


def _chain(*chosen: Step | tuple[Callable[..., None], dict[str, Any]]) -> tuple[Step, ...]:
    return tuple(_bound(*each) if isinstance(each, tuple) else each for each in chosen)


def _bound(step: Callable[..., None], options: Mapping[str, Any]) -> Step:
    return lambda sheet: step(sheet, **options)


def _scan(dots_per_inch: float) -> tuple[Step, ...]:
    return _chain(steps.laid, (steps.scanned_at, {"dots_per_inch": dots_per_inch}), steps.blurred, steps.noisy)


def _turn(degrees: int) -> tuple[Step, ...]:
    return _chain(steps.laid, (steps.turned, {"degrees": degrees}), steps.noisy)


def _some_resolution(sheet: Sheet) -> None:
    steps.scanned_at(sheet, float(sheet.random.choice([150, 200, 200, 240, 300])))


def _skewed(sheet: Sheet) -> None:
    steps.laid(sheet, 10, (0.9, 0.95))


KINDS: dict[str, tuple[Step, ...]] = {
    "clean": (),
    "moderate": _chain(
        (steps.laid, {"skew": 2.5, "scale": (0.96, 1.03), "shift": 0.02}), _some_resolution,
        (steps.stretched, {"most": 4}), steps.noisy, steps.compressed),
    **{f"scan {dots} dpi": _scan(dots) for dots in (100, 150, 200, 300, 600)},
    "scan in colour": _scan(200),
    "turned 90": _turn(90),
    "turned 180": _turn(180),
    "turned 270": _turn(270),
    "skew to 10 degrees": _chain(_skewed, steps.noisy),
    "scale 0.7 to 1.4": _chain((steps.laid, {"skew": 2, "scale": (0.7, 1.0)}), _some_resolution, steps.noisy),
    "shifted": _chain((steps.laid, {"shift": 0.08}), steps.noisy),
    "a third cut off": _chain(steps.laid, (steps.cut, {"share": 0.67}), steps.noisy),
    "enlarged copy": _chain((steps.laid, {"scale": (1.15, 1.41), "shift": 0.04}), steps.copied),
    "uneven feed": _chain(steps.laid, steps.stretched, steps.noisy),
    "photo": _chain(steps.photographed, steps.blurred, steps.noisy, steps.compressed),
    "jpeg 10 to 30": _chain(steps.laid, steps.noisy, (steps.compressed, {"quality": (10, 30)})),
    "noise": _chain(steps.laid, steps.blurred, (steps.noisy, {"most": 30.0, "paper": (190, 240)})),
    "blurred": _chain(steps.laid, (steps.blurred, {"most": 2.5}), steps.noisy),
    "1 bit 200 dpi": _chain(steps.laid, steps.noisy, steps.bilevel),
    "1 bit 300 dpi": _chain(steps.laid, (steps.scanned_at, {"dots_per_inch": 300}), steps.noisy, steps.bilevel),
    "photocopy": _chain(steps.laid, steps.copied, steps.noisy),
    "photocopy, 1 bit": _chain((steps.laid, {"scale": (0.95, 0.99)}), steps.copied, steps.laid, steps.bilevel),
    "fax 204x196": _chain(steps.laid, (steps.faxed, {"rows": 196})),
    "fax 204x98": _chain(steps.laid, (steps.faxed, {"rows": 98})),
    "fax 204x196, pixels not square": _chain(steps.laid, (steps.faxed, {"rows": 196, "square": False})),
    "fax 204x98, pixels not square": _chain(steps.laid, (steps.faxed, {"rows": 98, "square": False})),
    "fax with lines lost": _chain(
        steps.laid, (steps.faxed, {"rows": 98, "square": False}), steps.lines_lost, steps.squared),
    "pen and stamps over print": _chain(steps.laid, steps.marked, steps.blurred, steps.noisy),
    "torn": _chain(steps.torn, steps.laid, steps.noisy),
    "a black rectangle": _chain(steps.laid, steps.blackened, steps.noisy),
    "two sheets at once": _chain(steps.laid, steps.doubled, steps.noisy),
    "blank back": _chain(steps.laid, steps.backed, steps.noisy),
}  # fmt: skip


def disturbed(page: Page, kind: str | Sequence[Step], random: Random) -> Page:
    """The page after a kind of disturbance of ``KINDS``, or a chain of steps."""
    sheet = Sheet(page, random)
    for step in KINDS[kind] if isinstance(kind, str) else kind:
        step(sheet)
    return sheet.delivered(kind if isinstance(kind, str) else "chain")


def page_of(
    drawing: FormDrawing, page: int, kind: str, digits: Digits, seed: int, number: int, manner: Manner | None = None
) -> Page:
    """The page of a number in a measurement with a seed: what it is depends on these arguments alone."""
    manner = replace(manner or Manner(), in_colour="colour" in kind)
    random = np.random.default_rng([seed, number, page, zlib.crc32(f"{drawing.name} {kind}".encode())])
    return disturbed(filled(drawing, page, digits, random, manner), kind, random)


def write_form(drawing: FormDrawing, folder: Path) -> None:
    """Write ``form.json`` and the pictures of the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "form.json").write_text(json.dumps(drawing.form_json, indent=1))
    for described, picture in zip(drawing.form_json["pages"], drawing.pictures, strict=True):
        cv2.imwrite(str(folder / described["image"]), picture)


def write_stack(pages: Sequence[Page], path: Path) -> None:
    """Write pages into one file: TIFF (G4 where a page is bilevel), PDF of JPEGs, or PNG of a single page.

    The resolution is in the file, of each axis in TIFF.
    """
    if path.suffix in (".tif", ".tiff"):
        with path.open("w+b") as file:
            write_tiff(pages, file)
        return
    images = [Image.fromarray(_rgb(page.picture)) for page in pages]
    if path.suffix == ".pdf":
        images[0].save(path, save_all=True, append_images=images[1:], resolution=pages[0].dots_per_inch[0], quality=80)
    elif len(images) == 1:
        images[0].save(path, dpi=pages[0].dots_per_inch)
    else:
        raise ValueError(f"{path} cannot hold {len(images)} pages; name a file ending in .tif or .pdf.")


def write_tiff(pages: Sequence[Page], file: BinaryIO) -> None:
    """Write pages into a TIFF that is open for reading and writing."""
    with TiffImagePlugin.AppendingTiffWriter(file, new=True) as tiff:
        for page in pages:
            how = ("1", "group4") if page.is_bilevel else (None, "tiff_deflate")
            image = Image.fromarray(_rgb(page.picture)).convert(how[0])
            image.save(tiff, "TIFF", compression=how[1], dpi=page.dots_per_inch)
            tiff.newFrame()


def _rgb(picture: Grey) -> Grey:
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1])


def contact_sheet(pages: Sequence[Page], across: int = 5, width: int = 420) -> Grey:
    """Small pictures of pages side by side, the corners of their cells in red: uint8 (H, W, 3)."""
    tiles = []
    for page in pages:
        picture = page.picture if page.picture.ndim == 3 else cv2.cvtColor(page.picture, cv2.COLOR_GRAY2BGR)
        aspect = page.dots_per_inch[0] / page.dots_per_inch[1]
        factor = width / max(picture.shape[1], picture.shape[0] * aspect / 1.4)
        small = cv2.resize(picture, None, fx=factor, fy=factor * aspect, interpolation=cv2.INTER_AREA)
        for cell, corners in page.corners.items():
            path = np.round(corners * (factor, factor * aspect) * 8).astype(np.int32)
            colour = (255, 0, 0) if cell in page.hidden else (0, 0, 255)
            cv2.polylines(small, [path], True, colour, 1, cv2.LINE_AA, 3)
        tile = np.full((round(1.4 * width) + 34, width + 8, 3), 160, np.uint8)
        tile[30 : 30 + small.shape[0], 4 : 4 + small.shape[1]] = small[: tile.shape[0] - 30, :width]
        cv2.putText(tile, page.kind, (6, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 160)] * (-len(tiles) % across)
    return np.vstack([np.hstack(tiles[at : at + across]) for at in range(0, len(tiles), across)])


def main(argv: Sequence[str] | None = None) -> None:
    """Render pages into a folder."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    arguments.add_argument("--form", default="boxes", choices=[*FORMS, *SIBLINGS, *STRANGERS])
    arguments.add_argument("--form-seed", type=int, default=0, metavar="N", help="another look of the form")
    arguments.add_argument("--pages", type=int, default=20, metavar="N")
    arguments.add_argument("--seed", type=int, default=0, metavar="N")
    arguments.add_argument("--kinds", nargs="+", default=["moderate"], choices=[*KINDS, "all"], metavar="KIND",
                           help=f"taken in turn; all, or some of: {', '.join(KINDS)}")  # fmt: skip
    arguments.add_argument("--digits", type=Path, metavar="FILE", help="a Parquet with the columns png and label")
    given = arguments.parse_args(argv)
    drawing = form(given.form, given.form_seed)
    write_form(drawing, given.out / drawing.name)
    digits = digits_of(given.digits) if given.digits else mnist_digits()
    kinds = list(KINDS) if "all" in given.kinds else given.kinds
    pages = []
    with (given.out / "truth.csv").open("w", newline="") as file:
        truth = csv.writer(file)
        truth.writerow(["scan", "page", "field", "value", "labels"])
        for number in range(given.pages):
            at = number % len(drawing.pictures)
            page = page_of(drawing, at, kinds[number % len(kinds)], digits, given.seed, number)
            name = f"{number:04}.{'tif' if page.is_bilevel else 'png'}"
            write_stack([page], given.out / name)
            truth.writerows([name, 0, field, it.value, " ".join(it.labels)] for field, it in page.truth.items())
            pages.append(page)
    cv2.imwrite(str(given.out / "contact.png"), contact_sheet(pages[:60]))


if __name__ == "__main__":
    main()
