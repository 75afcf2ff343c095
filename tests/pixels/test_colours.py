"""What a pen wrote is told from a second ink of another colour; a page with one ink is as it ever was."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mnist_batch.learning import digits
from mnist_batch.pixels import colours, decoding
from mnist_batch.pixels.normalising import examine_all, normalise
from mnist_batch.reading import images
from tests.support.pictures import encoded

Samples = NDArray[np.uint8]

PAPER = np.array([235, 240, 238], np.uint8)
PENS = {"black": (40, 38, 42), "blue": (140, 60, 30), "violet": (150, 45, 75)}  # BGR
OTHERS = {
    "red": (50, 40, 170),
    "dark red": (50, 40, 100),
    "orange": (60, 140, 240),
    "green": (90, 190, 80),
    "pink": (210, 150, 250),
}
SEVEN = digits.mnist("test").images[0]


def cover(picture: Samples, side: int = 96) -> NDArray[np.float32]:
    """How much of each pixel of a cell the digit covers."""
    large = cv2.resize(picture, (84, 84), interpolation=cv2.INTER_CUBIC)
    covered = np.zeros((side, side), np.float32)
    covered[6:90, 6:90] = large / np.float32(255)
    return covered


def band(side: int = 96) -> NDArray[np.float32]:
    covered = np.zeros((side, side), np.float32)
    cv2.line(covered, (4, 80), (92, 30), 1, 9)
    return covered


def inked(*inks: tuple[NDArray[np.float32], tuple[int, ...]]) -> Samples:
    """Paper with inks over each other, uint8 BGR."""
    page = np.repeat(np.repeat(PAPER[None, None].astype(np.float32), 96, 0), 96, 1)
    for covered, colour in inks:
        page *= 1 - covered[..., None] * (1 - np.array(colour, np.float32) / 255)
    return page.round().astype(np.uint8)


def apart(one: Samples, other: Samples) -> float:
    """The mean difference of two pictures, of which one may lie a pixel beside the other."""
    shifted = [np.roll(one, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    return min(float(np.abs(each.astype(int) - other).mean()) for each in shifted)


@pytest.mark.parametrize("pen", PENS)
@pytest.mark.parametrize("other", OTHERS)
def test_what_the_pen_wrote_is_read_as_if_the_other_ink_were_not_there(pen: str, other: str) -> None:
    alone = normalise(decoding.grey(inked((cover(SEVEN), PENS[pen]))))
    page = decoding.grey(inked((cover(SEVEN), PENS[pen]), (band(), OTHERS[other])))
    assert page.shape == (96, 96, 2)
    likelier, *rest = examine_all(page)
    assert apart(likelier.picture, alone) < 8
    assert rest, "the page with both inks is a reading, too"


@pytest.mark.parametrize("colour", [*PENS.values(), *OTHERS.values()])
def test_a_page_with_one_ink_is_grey_whatever_its_colour(colour: tuple[int, ...]) -> None:
    page = inked((cover(SEVEN), colour))
    assert np.array_equal(decoding.grey(page), cv2.cvtColor(page, cv2.COLOR_BGR2GRAY))


def test_a_red_digit_in_a_black_box_is_not_lost() -> None:
    box = np.zeros((96, 96), np.float32)
    cv2.rectangle(box, (2, 2), (93, 93), 1, 2)
    page = decoding.grey(inked((cover(SEVEN), OTHERS["red"]), (box, PENS["black"])))
    alone = normalise(decoding.grey(inked((cover(SEVEN), OTHERS["red"]))))
    assert min(apart(seen.picture, alone) for seen in examine_all(page)) < 8


def test_light_ink_on_dark_paper_is_as_it_ever_was() -> None:
    page = 255 - inked((cover(SEVEN), PENS["black"]), (band(), OTHERS["red"]))
    assert np.array_equal(decoding.grey(page), cv2.cvtColor(page, cv2.COLOR_BGR2GRAY))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=50)
def test_any_page_in_colour_has_one_plane_or_two_and_the_last_is_its_grey(seed: int, height: int, width: int) -> None:
    page = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    planes = colours.grey(page)
    last = planes if planes.ndim == 2 else planes[:, :, 1]
    assert np.array_equal(last, cv2.cvtColor(page, cv2.COLOR_BGR2GRAY))


def test_the_strips_that_are_unmixed_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = inked((cover(SEVEN), PENS["black"]), (band(), OTHERS["red"]))
    whole = colours.grey(page)
    monkeypatch.setattr(colours, "STRIP", 7 * 96)
    assert np.array_equal(colours.grey(page), whole)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "JPEG", "WebP", "GIF"])
def test_every_format_keeps_both_planes_upright_and_square(kind: str) -> None:
    page = inked((cover(SEVEN), PENS["black"]), (band(), OTHERS["red"]))
    options = {} if kind in ("BMP", "GIF") else {"exif": Image.Exif()}
    if options:
        options["exif"][274] = 6  # turned by a quarter to be upright
    exact = {"JPEG": {"quality": 95}, "WebP": {"lossless": True}}.get(kind, {})
    [seen] = images.decode(encoded(Image.fromarray(page[:, :, ::-1]), kind, **options, **exact))
    turned = colours.grey(page)
    turned = np.rot90(turned, -1) if options else turned
    assert seen.shape == (96, 96, 2)
    assert np.abs(seen.astype(int) - turned).mean() < 4


def test_two_planes_are_made_square_together() -> None:
    page = inked((cover(SEVEN), PENS["black"]), (band(), OTHERS["red"]))
    [seen] = images.decode(encoded(Image.fromarray(page[:, :, ::-1]), "PNG", dpi=(204, 98)))
    assert seen.shape == (200, 96, 2)
