"""A form: its pages, and the fields whose cells hold one digit each.

A form is a directory with ``form.json`` and a picture of each page. Coordinates are pixels of the page's picture, whose
upper left corner is (0, 0).
"""

from dataclasses import dataclass
from typing import NamedTuple

FORMAT = 1
FILE = "form.json"


class Box(NamedTuple):
    """A cell on the picture of its page."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Mark:
    """An ArUco mark printed on a page: its id, and its four corners clockwise from its own upper left."""

    id: int
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FormPage:
    """A page of a form: the file of its picture, blank or filled in, the picture's size, and its marks.

    ``dots_per_inch`` is the resolution of the picture, None where it is not known.
    """

    image: str
    width: int
    height: int
    dots_per_inch: float | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Digits:
    """How many digits a field may have, unless it is empty, and from which of its ends they are written.

    ``written_from`` is ``left``, ``right`` or ``either``.
    """

    least: int
    most: int
    written_from: str = "either"


@dataclass(frozen=True)
class Check:
    """A check digit that the number in a field has: the name of its rule, and the rule's weights if it has any."""

    name: str
    weights: tuple[int, ...] = ()


@dataclass(frozen=True)
class Field:
    """A number on a form: the boxes of its cells in writing order, on the page ``page``, counted from 0.

    A ``required`` field may not be empty.
    """

    name: str
    page: int
    cells: tuple[Box, ...]
    digits: Digits
    required: bool = False
    check: Check | None = None


@dataclass(frozen=True)
class Form:
    """A form: ``rules`` are sentences across its fields, such as ``total = a + b``."""

    name: str
    version: str | None
    pages: tuple[FormPage, ...]
    fields: tuple[Field, ...]
    rules: tuple[str, ...] = ()

    def fields_of(self, page: int) -> tuple[Field, ...]:
        """The fields on a page, counted from 0."""
        return tuple(field for field in self.fields if field.page == page)
