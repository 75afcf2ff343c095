"""What the model is shown of a page or cell: the readings of its ink, normalised."""

from collections.abc import Sequence
from typing import Any

from mnist_batch.pixels import normalising
from mnist_batch.pixels.decoding import Grey
from mnist_batch.reading import images
from mnist_batch.statuses import MEANINGS, Status


def row_of(pictures: Sequence[Grey], shown_side: int = 0) -> dict[str, Any]:
    """The columns of ``tables.PREPROCESSED`` for a page, or for a cell of which there may be several ``pictures``.

    The first of them is the likeliest. With ``shown_side`` it is in ``shown``, too, as ``images.shown`` makes it.
    """
    seen, *others = [reading for picture in pictures for reading in normalising.examine_all(picture)]
    status = Status.OK if seen.picture.any() else Status.BLANK
    return {
        "status": status,
        "reason": None if status == Status.OK else MEANINGS[status],
        "picture": seen.picture.tobytes(),
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
