"""How the cells of pages are read, beside the same digits cut out perfectly; and how fast pages go."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import form_pages
from benchmarks.form_drawing import FORMS, form
from benchmarks.form_filling import BLANK, CROSSED, STRUCK, Page
from benchmarks.form_registering import decoded, digits, references
from benchmarks.handwriting import Grey
from mnist_batch.forms.cutting import Cut, cut
from mnist_batch.forms.registering import register
from mnist_batch.forms.registration import Verdict
from mnist_batch.models import bundle
from mnist_batch.models.answers import Model, ModelSpec, Others
from mnist_batch.pixels import decoding, normalising, pdf, tiff_pages
from mnist_batch.pixels.opencv import MAX_PIXELS
from mnist_batch.statuses import Status

Figures = dict[str, Any]
ReadDigits = Callable[[Sequence[Sequence[Grey]]], NDArray[np.int64]]  # ``Reader.digits``
NOTHING = -1  # no digit is read
GOALS = {"fax 204x98": 0.015, "fax 204x98, pixels not square": 0.015}
OTHERS_GOAL = 0.003  # of the digits may be read less than of those cut perfectly


@dataclass(frozen=True)
class Cells:
    """N cells: ``labels``, what was cut for each, and the digit alone where there is one."""

    labels: tuple[str, ...]
    cuts: tuple[Cut, ...]
    alone: tuple[Grey | None, ...]

    @classmethod
    def of(cls, page: Page, cuts: Sequence[Cut]) -> "Cells":
        """The visible cells of a page."""
        chosen = [each for each in cuts if (each.field, each.position) not in page.hidden]
        labels = tuple(page.truth[each.field].labels[each.position] for each in chosen)
        return cls(labels, tuple(chosen), tuple(page.alone.get((each.field, each.position)) for each in chosen))


def cut_from(page: Page, looks: int) -> list[Cut] | None:
    """The cells of a page as they are cut; None if it was not registered."""
    picture = decoded(page)[0]
    known = references((page.form,), looks)
    found = register(picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., -1]), known)
    if found.verdict is not Verdict.REGISTERED:
        return None
    [reference] = [each for each in known if each.page == found.page]
    return cut(picture, found, reference)


class Reader:
    """The bundle that ships, which reads cells as jobs.score does."""

    def __init__(self) -> None:
        opened = bundle.open_bundle(bundle.SHIPPED)
        self.model = Model.open(ModelSpec(bundle.SHIPPED, opened.digest))

    def digits(self, cells: Sequence[Sequence[Grey]]) -> NDArray[np.int64]:
        """The digit in each cell, of which there may be several pictures; ``NOTHING`` where there is no answer."""
        found = np.full(len(cells), NOTHING, np.int64)
        seen = [[each.picture for one in cell for each in normalising.examine_all(one)] for cell in cells]
        rows = np.array([at for at, readings in enumerate(seen) if readings and readings[0].any()], np.int64)
        if len(rows):
            found[rows] = self.model.answers(*Others.split([seen[at] for at in rows])).digit
        return found


def read(pages: int, seed: int, kinds: Sequence[str], failures: Path | None = None) -> dict[str, Any]:
    """The figures of each kind: pages of every form in turn; the cells that were read wrongly go to ``failures``."""
    reader = Reader()
    faces = [(name, page) for name in FORMS for page in range(len(form(name, seed).pictures))]
    results = {}
    for kind in kinds:
        cells, lost = [], 0
        for number in range(pages):
            name, at = faces[number % len(faces)]
            page = form_pages.page_of(form(name, seed), at, kind, digits(), seed, number)
            found = cut_from(page, seed) if page.expected == "registered" else None
            lost += found is None
            cells += [Cells.of(page, found)] if found else []
        if failures:
            write_wrong(failures / f"cells-{kind}-{seed}.png".replace(" ", "_"), reader.digits, cells)
        results[kind] = {"pages": pages, "not_registered": lost, **figures(reader.digits, cells)}
    return results


def figures(read_digits: ReadDigits, pages: Sequence[Cells]) -> Figures:
    """What became of the cells of pages."""
    labels = np.array([label for page in pages for label in page.labels])
    cuts = [each for page in pages for each in page.cuts]
    alone = [each for page in pages for each in page.alone]
    answers = read_digits([each.pictures if each.status is Status.OK else () for each in cuts])
    written = np.char.isdigit(labels) if len(labels) else np.zeros(0, bool)
    wanted = labels[written].astype(int)
    perfect = read_digits([(each,) for each in (alone[at] for at in np.flatnonzero(written)) if each is not None])
    said = np.array([str(each.status) for each in cuts])
    return {
        "digits": int(written.sum()),
        "perfect": int((perfect == wanted).sum()),
        "right": int((answers[written] == wanted).sum()),
        "taken_for_blank": int((said[written] == Status.BLANK).sum()),
        "wrong": int(((answers[written] != wanted) & (answers[written] >= 0)).sum()),
        **{
            f"{kind}{part}": int(count)
            for kind in (BLANK, CROSSED, STRUCK)
            for part, count in (("", (labels == kind).sum()), ("_read_as_digits", (answers[labels == kind] >= 0).sum()))
        },
    }


def write_wrong(file: Path, read_digits: ReadDigits, pages: Sequence[Cells]) -> None:
    """Draw the cells that were read wrongly as they were cut, above each what is written and what was read."""
    cells = [(label, each) for page in pages for label, each in zip(page.labels, page.cuts, strict=True)]
    answers = read_digits([each.pictures if each.status is Status.OK else () for _, each in cells])
    tiles = []
    for (label, each), answer in zip(cells, answers.tolist(), strict=True):
        if str(answer) == label or (answer < 0 and not label.isdigit()):
            continue
        tile = np.full((120, 100), 160, np.uint8)
        if each.pictures:
            picture = each.pictures[0]
            factor = min(90 / picture.shape[0], 90 / picture.shape[1])
            small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            tile[26 : 26 + small.shape[0], 4 : 4 + small.shape[1]] = small
        said = f"{label} > {answer if answer >= 0 else each.status}"
        cv2.putText(tile, said, (2, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1, cv2.LINE_AA)
        tiles.append(tile)
    if tiles:
        file.parent.mkdir(parents=True, exist_ok=True)
        tiles += [np.full_like(tiles[0], 160)] * (-len(tiles) % 10)
        cv2.imwrite(str(file), np.vstack([np.hstack(tiles[at : at + 10]) for at in range(0, len(tiles), 10)]))


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as docs/forms.md shows them; what misses its goal is marked with !."""
    lines = [
        "| pages | digits | read as written, % | cut from the page | read as digits: blank | crossed | struck out |"
    ]
    lines.append("|---" * 7 + "|")
    for kind, found in results.items():
        count = max(found["digits"], 1)
        misses = found["perfect"] - found["right"] > GOALS.get(kind, OTHERS_GOAL) * count
        others = [f"{found[f'{each}_read_as_digits']} of {found[each]:,}" for each in (BLANK, CROSSED, STRUCK)]
        shares = [f"{100 * found[each] / count:.1f}" for each in ("perfect", "right")]
        marked = " | ".join([f"{found['digits']:,}", shares[0], shares[1] + "!" * misses, *others])
        lines.append(f"| {kind} | {marked} |")
    return "\n".join(lines)


def speeds(pages: int, seed: int) -> dict[str, float]:
    """Pages of a form with 81 cells, A4 at 200 dpi, that a CPU decodes, registers, cuts and normalises per second."""
    kinds = {"PNG": "scan 200 dpi", "TIFF G4": "1 bit 200 dpi", "PDF of JPEG scans": "scan 200 dpi"}
    return {
        name: round(pages / sum(_seconds(_page(kind, seed, number), name, seed) for number in range(pages)), 1)
        for name, kind in kinds.items()
    }


def _page(kind: str, seed: int, number: int) -> Page:
    return form_pages.page_of(form("boxes", seed), 0, kind, digits(), seed, number)


def _seconds(page: Page, name: str, seed: int) -> float:
    """The seconds of CPU that a page takes from its bytes to its normalised cells."""
    [reference] = references(("boxes",), seed)
    decode = FILES[name](page)
    start = time.process_time()
    picture = decode()
    found = register(picture, [reference])
    cuts = cut(picture, found, reference) if found.verdict is Verdict.REGISTERED else []
    normalising.examine_each([one for each in cuts for one in each.pictures])
    return time.process_time() - start


def _png(page: Page) -> Callable[[], Grey]:
    data = bytes(cv2.imencode(".png", page.picture)[1])
    return lambda: decoding.picture("PNG", data)


def _tiff(page: Page) -> Callable[[], Grey]:
    file = io.BytesIO()
    form_pages.write_tiff([page], file)
    return lambda: tiff_pages.readers(file.getvalue(), 1, MAX_PIXELS)[0][0]()


def _pdf(page: Page) -> Callable[[], Grey]:
    file = io.BytesIO()
    Image.fromarray(page.picture).save(file, "PDF", resolution=page.dots_per_inch[0], quality=80)
    return lambda: pdf.readers(file.getvalue(), 1, MAX_PIXELS)[0][0]()


FILES = {"PNG": _png, "TIFF G4": _tiff, "PDF of JPEG scans": _pdf}


def speed_table(results: Mapping[str, float]) -> str:
    """The speeds as docs/forms.md shows them."""
    return "\n".join(
        ["| file | pages per second and CPU |", "|---|---|", *(f"| {k} | {v} |" for k, v in results.items())]
    )
