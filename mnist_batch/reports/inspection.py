"""How one page is read, as a picture: where its ink is, what of it is the digit, and what the model sees."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnist_batch import figures
from mnist_batch.errors import InputError
from mnist_batch.intake import listing
from mnist_batch.models import bundle, vetting
from mnist_batch.models.answers import Answers, Model, ModelSpec, Others
from mnist_batch.pixels import colours
from mnist_batch.pixels.ink import Grey, Ink
from mnist_batch.pixels.normalising import Normalised
from mnist_batch.pixels.opencv import cv2
from mnist_batch.reading import images
from mnist_batch.statuses import MEANINGS, Status
from mnist_batch.store import locations
from mnist_batch.wording import counted, pixels

T = TypeVar("T")
DIGIT, LINE, SPECK = (31, 78, 121), (200, 60, 50), (230, 160, 40)


def page_of(scan: str, number: int, argument: str = "SCAN") -> Grey:
    """A page of an image file, by path or URI; InputError, which names the argument, if there is none."""
    _, pages = file_of(scan, argument)
    if not 0 <= number < len(pages):
        raise InputError(f"--page is {number}; {scan!r} has {counted(len(pages), 'page')}, counted from 0")
    return read(pages[number], scan, argument)


def file_of(scan: str, argument: str = "SCAN") -> tuple[bytes, list[Callable[[], Grey]]]:
    """The content of an image file, by path or URI, and a function that reads each page of it.

    Raises InputError, which names the argument, if it is no image file.
    """
    filesystem, path = locations.resolve(scan)
    if locations.is_folder(filesystem, path):
        raise InputError(f"{argument} {scan!r} is a folder; give one image file")
    found = listing.list_scans([scan], argument).to_pylist()
    if not found:
        raise InputError(f"{argument} {scan!r} has a name that only files created by desktops have; give an image file")
    return read(lambda: _opened(images.read_scan(found[0]["source"], found[0]["path"])), scan, argument)


def _opened(content: bytes) -> tuple[bytes, list[Callable[[], Grey]]]:
    return content, images.pages(content)


def read(reader: Callable[[], T], scan: str, argument: str = "SCAN") -> T:
    """What a reader of a file returns; InputError, which names the argument, if it cannot be read."""
    try:
        return reader()
    except images.Unreadable as error:
        raise InputError(
            f"{argument} {scan!r} cannot be read: {error.status} ({error.reason}); give an image file"
        ) from None


def answer(readings: Sequence[Grey], model: str) -> Answers:
    """What a bundle answers to one page, by its readings, uint8 (28, 28), likeliest first."""
    vetting.vet(bundle.open_bundle(model))
    return Model.open(ModelSpec(model)).answers(*Others.split([readings]))


def save(picture: bytes, path: Path) -> None:
    """Write a picture; InputError if that fails."""
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise InputError(f"--out {str(path)!r}: cannot be written ({error.strerror}); name another file") from None


def facts(seen: Normalised) -> dict[str, Any]:
    """What was done to a page, as words by name; empty for a blank page."""
    if seen.box is None or seen.shift is None or seen.scale is None or seen.threshold is None:
        return {}
    x, y, width, height = seen.box
    return {
        "polarity": str(seen.polarity).replace("_", " "),
        "threshold": f"{seen.threshold:.0f} grey levels from the paper",
        "ink": f"{width} x {height} pixels at ({x}, {y})",
        "scale": f"{pixels(seen.scale)} of the picture per pixel of the page",
        "shift": f"{seen.shift[0]} across, {seen.shift[1]} down, to centre the mass",
        "at an edge": (
            "yes, and alone in the outer third of the page: never accepted"
            if seen.stray
            else "yes, the digit may be cut off"
            if seen.touching_border
            else "no"
        ),
    }


def draw(page: Grey, ink: Ink | None, seen: Normalised, answers: Answers, title: str) -> bytes:
    """The steps of a page and its answer as PNG."""
    from matplotlib.patches import Rectangle

    status, probabilities = answers.statuses[0], answers.probabilities[0]
    figure = figures.new_figure(11, 5.2)
    figure.suptitle(title, family="monospace", size=10)
    places = figure.subplot_mosaic([["page", "strength", "pieces", "picture"], ["words", "words", "bars", "bars"]])
    on_page, strength, pieces, picture, words, bars = places.values()
    for axes in figure.axes:
        axes.set_axis_off()
    on_page.imshow(colours.whole(page), cmap="gray", vmin=0, vmax=255)
    on_page.set_title(f"page, {page.shape[1]} x {page.shape[0]}")
    if ink is None or seen.box is None:
        words.text(0, 1, f"{status}: {MEANINGS[status]}", va="top")
        return figures.as_png(figure)
    x, y, width, height = seen.box
    on_page.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, color="#c83c32"))
    strength.imshow(ink.strength, cmap="gray_r", vmin=0)
    strength.set_title("ink on its paper")
    pieces.imshow(_coloured(ink))
    pieces.set_title("digit blue, lines red, specks orange", size=10)
    picture.imshow(seen.picture, cmap="gray", vmin=0, vmax=255)
    picture.set_title("what the model sees")
    words.text(0, 1, "\n".join(f"{name}: {value}" for name, value in facts(seen).items()), va="top", size=9)
    _bars(bars, probabilities, f"answer: {probabilities.argmax()}" if status == Status.OK else status)
    return figures.as_png(figure)


def _coloured(ink: Ink) -> NDArray[np.uint8]:
    drawn = np.full((*ink.mask.shape, 3), 255, np.uint8)
    drawn[ink.mask > 0] = SPECK
    if ink.lines is not None:
        drawn[(ink.lines & ink.mask) > 0] = LINE
    (height, width), others = ink.mask.shape, cv2.subtract(ink.mask, ink.digit)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(others, connectivity=8)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_WIDTH] > width / 2 or stats[label, cv2.CC_STAT_HEIGHT] > height / 2:
            drawn[labels == label] = LINE
    drawn[ink.digit > 0] = DIGIT
    return drawn


def _bars(axes: Any, probabilities: NDArray[np.float32], title: str) -> None:
    axes.set_axis_on()
    axes.bar(range(10), probabilities, color=figures.BLUE)
    axes.set(xticks=range(10), ylim=(0, 1), title=title)
    axes.spines[["top", "right"]].set_visible(False)
