"""Crops of pages for people to see: the cells of a field with what is around them, upright, however the page lay."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mnist_batch.errors import Unreadable
from mnist_batch.intake import listing
from mnist_batch.pixels import colours
from mnist_batch.pixels.opencv import cv2
from mnist_batch.reading import images
from mnist_batch.reports.reviewing import Item
from mnist_batch.schemas.facts import Published
from mnist_batch.statuses import Status

MARGIN = 0.7  # of the height of a cell, on each side
LONGEST = 900  # pixels of a crop

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """A grey picture, uint8 (H, W), and where cells lie on it: left, top, width and height as shares of the whole."""

    picture: Grey
    boxes: tuple[tuple[float, float, float, float], ...] = ()


def whole(page: Grey) -> Crop:
    """A page as it is, reduced to ``LONGEST`` pixels."""
    return Crop(reduced(page))


def around(page: Grey, cells: Sequence[Sequence[float]]) -> Crop:
    """What is around some cells, turned so that they are upright; off the page it is white.

    Each cell is x and y of its four corners on the page, clockwise from its own upper left: eight numbers.
    """
    corners = np.asarray(cells, np.float64).reshape(-1, 4, 2)
    across = (corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]).sum(0)
    across /= np.linalg.norm(across) or 1.0
    turned = corners @ np.array([[across[0], -across[1]], [across[1], across[0]]])
    height = float(np.median(np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)))
    low = turned.min((0, 1)) - MARGIN * height
    size = np.ceil(turned.max((0, 1)) + MARGIN * height - low)
    width, tall = (max(1, round(side)) for side in size)
    matrix = np.array([[across[0], across[1], -low[0]], [-across[1], across[0], -low[1]]])
    picture = np.asarray(cv2.warpAffine(page, matrix, (width, tall), borderValue=255), np.uint8)
    least, most = (turned.min(1) - low) / size, (turned.max(1) - low) / size
    boxes = np.hstack([least, most - least]).clip(0, 1).round(4).tolist()
    return Crop(reduced(picture), tuple((left, top, wide, high) for left, top, wide, high in boxes))


def reduced(page: Grey, longest: int = LONGEST) -> Grey:
    """A picture whose longer side has at most so many pixels."""
    scale = longest / max(page.shape)
    if scale >= 1:
        return page
    size = (max(1, round(page.shape[1] * scale)), max(1, round(page.shape[0] * scale)))
    return np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg(crop: Crop, sides: Sequence[int], most_bytes: int) -> bytes:
    """The picture, reduced to the first of the ``sides`` with which it has at most so many bytes, else to the last."""
    content = b""
    for longest in sides:
        content = images.encode(reduced(crop.picture, longest), ".jpg")
        if len(content) <= most_bytes:
            break
    return content


def of_items(published: Published, items: Sequence[Item]) -> Iterator[tuple[Item, Crop | str]]:
    """The crop of each item, scan by scan, or a sentence why its scan cannot be shown.

    Raises InputError or StorageError if a store does not answer.
    """
    by_scan = sorted(items, key=lambda item: (item.source, item.scan, item.page))
    for _, of_scan in groupby(by_scan, lambda item: (item.source, item.scan)):
        group = list(of_scan)
        try:
            pages = _pages_again(published, group[0])
        except Unreadable as error:
            yield from ((item, error.reason) for item in group)
            continue
        for page, of_page in groupby(group, lambda item: item.page):
            try:
                grey = colours.whole(pages[page]())
            except Unreadable as error:
                yield from ((item, error.reason) for item in of_page)
                continue
            for item in of_page:
                yield item, around(grey, item.cells) if item.cells else whole(grey)


def _pages_again(published: Published, item: Item) -> list[Callable[[], images.Grey]]:
    """A function for each page of the scan of an item; Unreadable if it is gone or not what was scored."""
    path = listing.path_of_named(item.source, item.scan)
    data = images.read_scan(item.source, path, max_bytes=published.limits.max_bytes)
    # What was decoded when the run was scored can be decoded here; nothing else is.
    if images.content_digest(data) != item.content:
        raise Unreadable(Status.CHANGED, "it has changed since it was scored")
    return images.pages(data, published.limits.max_pixels)
