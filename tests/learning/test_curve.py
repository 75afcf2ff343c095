"""The curve of a training shows every net's loss and accuracy of every epoch."""

import pytest
from matplotlib.figure import Figure

from mnist_batch import figures
from mnist_batch.learning import curve


def test_every_figure_of_a_training_is_on_its_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def as_png(figure: Figure) -> bytes:
        drawn.append(figure)
        return figures.as_png(figure)

    monkeypatch.setattr(curve, "as_png", as_png)
    names = ("loss", "validation_loss", "accuracy", "validation_accuracy")
    nets = {1: [(0.3, 0.2, 0.9, 0.95), (0.2, 0.1, 0.95, 0.97)], 2: [(0.4, 0.3, 0.8, 0.85)]}
    history = [
        {"seed": seed, "epoch": epoch, **dict(zip(names, values, strict=True))}
        for seed, epochs in nets.items()
        for epoch, values in enumerate(epochs, 1)
    ]
    assert curve.history(history).startswith(b"\x89PNG")
    [figure] = drawn
    for axes, own in zip(figure.axes, (names[:2], names[2:]), strict=True):
        shown = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
        columns = [names.index(name) for name in own]
        assert [(list(x), list(y)) for x, y in shown] == [
            (list(range(1, len(epochs) + 1)), [values[column] for values in epochs])
            for column in columns
            for epochs in nets.values()
        ]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
