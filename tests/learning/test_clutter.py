"""What lies beside a digit in its cell."""

import numpy as np
import pytest

from mnist_batch.learning import augmenting, clutter, digits
from mnist_batch.pixels.normalising import examine


@pytest.mark.parametrize("kind", range(len(clutter.KINDS)))
def test_something_is_drawn_beside_a_digit_and_leaves_it_as_it_is(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clutter, "SHARES", np.eye(len(clutter.KINDS))[kind])
    empty = 0
    for number, image in enumerate(digits.mnist("train").images[:40]):
        ink = np.pad(image, 8)[:, : 44 - number % 9]
        before = ink.copy()
        drawn = clutter.beside(ink, np.random.default_rng(number))
        assert (drawn.shape, drawn.dtype) == (ink.shape, np.uint8)
        assert np.array_equal(ink, before)
        assert np.array_equal(drawn, clutter.beside(ink, np.random.default_rng(number)))
        empty += not drawn.any()
    assert empty < 10, "what lies below a digit at the foot of its cell is not seen"


def test_a_digit_in_a_firm_pen_covers_an_older_one_of_its_size_in_a_thin_pen() -> None:
    images = digits.mnist("train").images
    for number, (image, older) in enumerate(zip(images[:40], images[40:80], strict=True)):
        ink = np.pad(image, 8)[:, : 44 - number % 9]
        firm, thin = clutter.firm_over_thin(ink, older, np.random.default_rng(number))
        assert firm.shape == thin.shape == ink.shape
        assert (firm >= ink).all()
        assert firm.sum(dtype=np.int64) > ink.sum(dtype=np.int64)
        assert 0 < thin.sum(dtype=np.int64) < older.sum(dtype=np.int64) * 1.5
        assert all(
            np.array_equal(*two)
            for two in zip(clutter.firm_over_thin(ink, older, np.random.default_rng(number)), (firm, thin), strict=True)
        )


@pytest.mark.parametrize(("beside", "over"), [(1, 0), (0, 1)])
def test_a_digit_is_learned_from_what_still_shows_it(
    beside: float, over: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmenting, "BESIDE", beside)
    monkeypatch.setattr(augmenting, "FIRM_OVER_THIN", over)
    monkeypatch.setattr(augmenting, "AS_IT_IS", 0)
    share, bends = digits.mnist("train").take(np.arange(200)), augmenting.draw_bends(np.random.default_rng(1), 4)
    scans = [
        augmenting._digit(image, 2, share, np.random.default_rng(number), bends)
        for number, image in enumerate(share.images)
    ]
    views = augmenting._views(scans)
    kept = sum(np.array_equal(view, examine(scan.page).picture) for view, scan in zip(views, scans, strict=True))
    assert 0.8 * len(views) < kept < len(views)
    assert all(view.any() for view in views)
