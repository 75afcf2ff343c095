"""Pictures and the page that people open: heatmap, bars, training curve, report.html."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from mnist_batch.tables import CLASSES, STATUSES


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches."""
    # Figure, not pyplot: no display, no state shared between two reports in one process.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def as_png(figure: Any) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def confusion(matrix: NDArray[np.int64]) -> bytes:
    """A heatmap, as PNG, of counts label x answer, int64 (10, 10).

    Colour is the share of the label's scans, so that a rare digit shows as well as a common one; the number
    in a cell is the count, left out where it is 0.
    """
    import seaborn

    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The diagonal would drown every mistake: colour follows the square root.
    figure = new_figure(6.2, 6.4)
    axes = figure.subplots()
    seaborn.heatmap(
        np.sqrt(share),
        annot=np.where(matrix > 0, matrix.astype(str), ""),
        fmt="",
        cmap=seaborn.light_palette("#1f4e79", as_cmap=True),
        vmin=0,
        vmax=1,
        square=True,
        linewidths=0.5,
        linecolor="white",
        cbar=False,
        ax=axes,
        annot_kws={"size": 10},
    )
    axes.set(xlabel="answer", ylabel="label", title="What was written, and what was read")
    axes.tick_params(length=0, labelrotation=0)
    return as_png(figure)


def answers(counts: Mapping[str, int]) -> bytes:
    """Bars, as PNG, of how many scans were answered with each digit, for a run without labels."""
    figure = new_figure(7.5, 3.6)
    axes = figure.subplots()
    bars = axes.bar(list(counts), list(counts.values()), color="#1f4e79")
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, size=9)
    axes.set(xlabel="answer", title="Answers (this run has no labels)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks([])
    return as_png(figure)


def history(epochs: Sequence[Mapping[str, Any]]) -> bytes:
    """The curve of a training, as PNG: loss and accuracy by epoch, on training and validation digits."""
    figure = new_figure(9, 3.4)
    at = [line["epoch"] for line in epochs]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(at, [line[name] for line in epochs], marker="o", ms=3, color="#9db8d2", label="training")
        axes.plot(
            at, [line[f"validation_{name}"] for line in epochs], marker="o", ms=3, color="#1f4e79",
            label="validation",
        )  # fmt: skip
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return as_png(figure)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist_batch", "."),
        autoescape=True,  # a scan called <script> is text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = lambda content: "data:image/png;base64," + base64.b64encode(content).decode()
    environment.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    environment.filters["rate"] = lambda value: "–" if value is None else f"{100 * value:.2f}"
    return environment.get_template("report.html.j2")


def page(
    *,
    facts: Mapping[str, Any],
    summary: Mapping[str, Any],
    per_class: Sequence[Mapping[str, Any]],
    heatmap: bytes,
    mistakes: Sequence[Mapping[str, Any]],
    doubtful: Sequence[Mapping[str, Any]],
    unreadable: Sequence[Mapping[str, Any]],
) -> str:
    """``report.html``: one self-contained page that opens offline."""
    weakest = min((row["recall"] for row in per_class if row["recall"] is not None), default=None)
    return _template().render(
        facts=facts,
        summary=summary,
        per_class=per_class,
        weakest=weakest,
        heatmap=heatmap,
        mistakes=mistakes,
        doubtful=doubtful,
        unreadable=unreadable,
        meanings=STATUSES,
        classes=CLASSES,
    )
