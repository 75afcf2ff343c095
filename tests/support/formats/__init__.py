"""Valid image files of every kind that scanners, faxes, phones and programs write, made when asked for."""

from functools import cache

from tests.support.formats import (
    bmp,
    jpeg,
    modern,
    pdf_pages,
    png,
    pnm,
    refused,
    tiff_combinations,
    tiff_compressions,
    tiff_pages,
    tiff_samples,
)
from tests.support.formats.drawing import Kind

_MODULES = (
    tiff_compressions,
    tiff_samples,
    tiff_pages,
    tiff_combinations,
    png,
    jpeg,
    bmp,
    pnm,
    modern,
    pdf_pages,
    refused,
)
_ALL = [kind for module in _MODULES for kind in module.kinds()]
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
assert len(KINDS) == len(_ALL), "two kinds have one name"


@cache
def content(name: str) -> bytes:
    """The file of this kind."""
    return KINDS[name].make()
