"""What is drawn shows what was counted."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnist_batch import figures
from mnist_batch.reports import plots


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures as they are when they become pictures; these are checked to be pictures of something."""
    seen: list[Figure] = []

    def as_png(figure: Figure) -> bytes:
        seen.append(figure)
        content = figures.as_png(figure)
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(2**24)) > 10  # an empty figure has one
        return content

    monkeypatch.setattr(plots, "as_png", as_png)
    return seen


def test_the_heatmap_has_every_count_in_its_cell(drawn: list[Figure]) -> None:
    matrix = np.zeros((11, 10), np.int64)
    matrix[3, 3], matrix[3, 8], matrix[7, 1] = 900, 2, 41
    plots.confusion(matrix)
    matrix[10, 5] = 6
    plots.confusion(matrix)
    for figure, rows in zip(drawn, (10, 11), strict=True):  # the row of none only where there is one
        [axes] = figure.axes
        cells = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
        shown = matrix[:rows]
        assert cells == {(label, answer): str(shown[label, answer]) for label, answer in np.argwhere(shown).tolist()}
        assert [tick.get_text() for tick in axes.get_yticklabels()] == [*"0123456789", "none"][:rows]


def test_the_bars_of_answers_are_as_high_as_their_counts(drawn: list[Figure]) -> None:
    counts = {"0": 1_200, "3": 7, "9": 0}
    plots.answers(counts)
    [figure] = drawn
    [axes] = figure.axes
    assert [bar.get_height() for bar in axes.patches] == list(counts.values())
    assert [text.get_text() for text in axes.texts] == ["1,200", "7", "0"]
