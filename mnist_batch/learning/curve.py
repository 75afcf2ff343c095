"""The curve of a training: loss and accuracy by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_batch.figures import BLUE, as_png, new_figure


def history(epochs: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw a training as PNG: loss and accuracy of each net by epoch, on training and validation digits."""
    figure = new_figure(9, 3.4)
    seeds = dict.fromkeys(line["seed"] for line in epochs)
    nets = [[line for line in epochs if line["seed"] == seed] for seed in seeds]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for kind, key, color in (("training", name, "#9db8d2"), ("validation", f"validation_{name}", BLUE)):
            for net in nets:
                at, values = [line["epoch"] for line in net], [line[key] for line in net]
                axes.plot(at, values, marker="o", ms=3, color=color, label=kind if net is nets[0] else None)
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return as_png(figure)
