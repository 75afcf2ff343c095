"""What the model is shown of a page or cell: the readings of its ink, normalised."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

from mnist_batch.pixels import normalising
from mnist_batch.pixels.decoding import Grey
from mnist_batch.reading import images
from mnist_batch.schemas import tables
from mnist_batch.statuses import MEANINGS, Status

_NO_INK = bytes(tables.IMAGE_BYTES)


def rows_of(cells: Sequence[Sequence[Grey]], shown_side: int = 0) -> list[dict[str, Any]]:
    """The columns of ``tables.PREPROCESSED`` for pages, or for cells of each of which there may be several pictures.

    The first picture of a cell is the likeliest. With ``shown_side`` it is in ``shown``, too, as ``images.shown`` makes
    it.
    """
    readings = iter(normalising.examine_each([picture for pictures in cells for picture in pictures]))
    return [_row(pictures, list(chain(*islice(readings, len(pictures)))), shown_side) for pictures in cells]


def _row(pictures: Sequence[Grey], readings: Sequence[normalising.Normalised], shown_side: int) -> dict[str, Any]:
    seen, *others = readings
    picture = seen.picture.tobytes()
    status = Status.BLANK if picture == _NO_INK else Status.OK
    return {
        "status": status,
        "reason": None if status == Status.OK else MEANINGS[status],
        "picture": picture,
        "others": [other.picture.tobytes() for other in others],
        "normalisation": normalisation_of(seen),
        "stray": seen.stray,
        "shown": images.shown(pictures[0], shown_side) if shown_side else None,
    }


def normalisation_of(seen: normalising.Normalised) -> dict[str, Any] | None:
    """How a page was normalised, as ``tables.NORMALISATION``; None for a blank page."""
    if seen.box is None or seen.shift is None:
        return None
    x, y, width, height = seen.box
    return {
        "polarity": seen.polarity,
        "threshold": seen.threshold,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "scale": seen.scale,
        "shift_across": seen.shift[0],
        "shift_down": seen.shift[1],
        "touching_border": seen.touching_border,
    }
