"""The pictures of a run and its page: heatmap, bars, curves, report.html."""

import base64
import importlib
import shlex
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.figures import BLUE, RED, as_png, new_figure
from mnist_batch.models.intervals import wilson
from mnist_batch.reports import drift_text, promise, unlike
from mnist_batch.schemas.facts import Published, Totals
from mnist_batch.schemas.tables import CLASSES, NO_DIGIT
from mnist_batch.statuses import MEANINGS, READ


def import_ahead() -> None:
    """Start importing matplotlib in a thread, so that the import runs while the caller waits for Ray."""
    threading.Thread(target=importlib.import_module, args=["matplotlib.backends.backend_agg"], daemon=True).start()


def confusion(matrix: NDArray[np.int64]) -> bytes:
    """A heatmap, as PNG, of the counts of label x answer, int64 (11, 10); the last label is none.

    Colour is the share among the scans with that label, so that a rare digit is as visible as a common one. The number
    in a cell is the count; zeros are left out. The row of none is left out if all its counts are 0.
    """
    from matplotlib.colors import LinearSegmentedColormap

    matrix = matrix if matrix[CLASSES:].any() else matrix[:CLASSES]
    # Colour follows the square root: on a linear scale the diagonal would hide every mistake.
    shade = np.sqrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))
    figure = new_figure(6.2, 6.4)
    axes = figure.subplots()
    shades = LinearSegmentedColormap.from_list("shades", ["#eef2f6", BLUE])
    axes.pcolormesh(shade, cmap=shades, vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    for label, answer in np.argwhere(matrix):
        ink = "white" if shade[label, answer] > 0.5 else "#262626"
        axes.text(answer + 0.5, label + 0.5, str(matrix[label, answer]), ha="center", va="center", color=ink)
    axes.set(xlabel="answer", ylabel="label", title="What was written, and what was read", aspect="equal")
    axes.set(xticks=np.arange(CLASSES) + 0.5, xticklabels=range(CLASSES))
    axes.set(yticks=np.arange(len(matrix)) + 0.5, yticklabels=[*range(CLASSES), "none"][: len(matrix)])
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return as_png(figure)


def answers(counts: Mapping[str, int]) -> bytes:
    """Bars, as PNG, of the number of scans answered with each digit, for a run without labels."""
    figure = new_figure(7.5, 3.6)
    axes = figure.subplots()
    bars = axes.bar(list(counts), list(counts.values()), color=BLUE)
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, size=9)
    axes.set(xlabel="answer", title="Answers (this run has no labels)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks([])
    return as_png(figure)


def reliability(bins: pa.Table) -> bytes:
    """The share of right answers by confidence and, below, their number, as PNG, from a ``calibration`` with labels.

    The error bars are 95 % intervals.
    """
    rows = [row for row in bins.to_pylist() if row["count"]]
    right = np.array([row["accuracy"] for row in rows])
    low, high = wilson(np.array([row["correct"] for row in rows]), np.array([row["count"] for row in rows]))
    figure = new_figure(6, 5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="#94a3b8", lw=1, ls="--")
    upper.errorbar(
        [row["mean_confidence"] for row in rows], right, [right - low, high - right],
        fmt="o", ms=4, color=BLUE, ecolor="#9db8d2",
    )  # fmt: skip
    upper.set(ylabel="right, % of the answers", ylim=(-0.03, 1.03))
    upper.yaxis.set_major_formatter(_percent)
    upper.spines[["top", "right"]].set_visible(False)
    _bars(lower, rows)
    return as_png(figure)


def confidences(bins: pa.Table) -> bytes:
    """The number of answers by confidence, as PNG, from a ``calibration`` without labels."""
    figure = new_figure(6, 2.8)
    _bars(figure.subplots(), bins.to_pylist())
    return as_png(figure)


def _bars(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    edges = [row["low"] for row in rows], [row["count"] for row in rows], [row["high"] - row["low"] for row in rows]
    axes.bar(*edges, align="edge", color=BLUE, edgecolor="white")
    axes.set(xlabel="confidence", ylabel="scans", xlim=(0, 1.01))
    if max(row["count"] for row in rows) < 10:
        axes.yaxis.get_major_locator().set_params(integer=True)
    else:  # logarithmic, because nearly all answers are in the last bin
        axes.set_yscale("log")
        axes.set_ylim(0.7, None)
    axes.spines[["top", "right"]].set_visible(False)


def risk(curve: pa.Table, totals: Totals | None = None, target_error: float | None = None) -> bytes:
    """The share of wrong answers by the share accepted, as PNG, from a ``risk_coverage`` with labels.

    Of a run with a rule, a dot shows what it accepted and a line shows its target error.
    """
    rows = [row for row in curve.to_pylist() if row["accepted"]]
    figure = new_figure(6, 4)
    axes = figure.subplots()
    axes.plot([row["coverage"] for row in rows], [row["risk"] for row in rows], marker="o", ms=3, color=BLUE)
    if target_error is not None:
        axes.axhline(target_error, color=RED, lw=1, ls="--")
    if totals and (accepted := totals.accepted_labelled):
        axes.plot(accepted / rows[0]["accepted"], (totals.accepted_errors or 0) / accepted, "o", ms=8, color=RED)
    axes.set(xlabel="accepted, % of the labelled answers", ylabel="wrong, % of the accepted", xlim=(None, 1.01))
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.001))
    return _rates(figure, axes.xaxis, axes.yaxis)


def coverage(curve: pa.Table, totals: Totals, threshold: float | None) -> bytes:
    """The share of answers accepted at each threshold, as PNG, from a ``risk_coverage`` without labels.

    If the run has a rule, a dot shows what it accepted.
    """
    rows = [row for row in curve.to_pylist() if row["accepted"]]
    figure = new_figure(6, 4)
    axes = figure.subplots()
    axes.plot([_nines(row["threshold"]) for row in rows], [row["coverage"] for row in rows], "o-", ms=3, color=BLUE)
    if threshold is not None and totals.scored:
        axes.plot(_nines(threshold), (totals.accepted or 0) / totals.scored, "o", ms=8, color=RED)
    axes.set(xlabel="threshold of confidence", ylabel="accepted, % of the answers", ylim=(0, 1.03))
    axes.set_xticks(range(7), [f"{1 - 0.1**nines:.6g}" for nines in range(7)])
    return _rates(figure, axes.yaxis)


def _nines(confidence: float) -> float:
    # The number of nines, so that 0.9, 0.99 and 0.999 are equally far apart.
    return float(-np.log10(max(1 - confidence, 1e-7)))


def _rates(figure: Any, *shares: Any) -> bytes:
    for axis in shares:
        axis.set_major_formatter(_percent)
    figure.axes[0].spines[["top", "right"]].set_visible(False)
    return as_png(figure)


def _percent(share: float, _: int) -> str:
    return f"{100 * share:.4g}"


def review_page(*, run: Published, pack: Mapping[str, Any], waiting: int, unread: int, gone: Mapping[str, str]) -> str:
    """``review.html``: the items of ``pack``, which a person decides one by one.

    ``waiting`` items are for review in all, ``unread`` cannot be shown, and ``gone`` says of scans why they are not.
    """
    return _template("review.html.j2").render(run=run, pack=pack, waiting=waiting, unread=unread, gone=gone)


def comparison_page(*, a: Published, b: Published, compared: Sequence[Any], shown: Sequence[Mapping[str, Any]]) -> str:
    """``compare.html``: two runs beside each other, what was ``compared``, and rows that differ with their pictures."""
    return _template("compare.html.j2").render(a=a, b=b, compared=compared, shown=shown)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist_batch.reports", "."),
        autoescape=True,  # a scan named <script> is shown as text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    environment.filters["sure"] = _sure
    environment.filters["capitalise"] = lambda sentence: sentence[:1].upper() + sentence[1:]  # and leave names alone
    environment.filters["rate"] = lambda value: "–" if value is None else f"{100 * value:.2f}"
    return environment.get_template(name)


def _data_uri(content: bytes) -> str:
    kind = "jpeg" if content.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _sure(confidence: float) -> str:
    # Never rounded up to 100: an uncertain answer must not look certain.
    return f"{min(int(confidence * 10_000), 9_999) / 100:.2f}"


def page(
    *,
    out: str,
    run: Published,
    per_class: Sequence[Mapping[str, Any]],
    heatmap: bytes,
    reliability: bytes,
    risk: bytes,
    mistakes: Sequence[Mapping[str, Any]],
    doubtful: Sequence[Mapping[str, Any]],
    unreadable: Sequence[Mapping[str, Any]],
    error_text: str | None,
    refused: Sequence[Mapping[str, Any]] = (),
    unregistered: Sequence[Mapping[str, Any]] = (),
    field_report: Sequence[Mapping[str, Any]] = (),
    of_no_form: Sequence[Mapping[str, Any]] = (),
) -> str:
    """``report.html`` of a run in ``out``: one self-contained page that opens without a network.

    ``error_text`` says what a labelled sample of the accepted answers has shown. Of a run with forms the ``mistakes``
    and ``doubtful`` are fields, and ``unregistered`` pages, each cut out of its scan (``cut_outs``); ``field_report``
    are the rows of that table, and ``of_no_form`` pages that are of none of the forms.
    """
    weakest = min((row["recall"] for row in per_class if row["recall"] is not None), default=None)
    return _template("report.html.j2").render(
        out=shlex.quote(out),
        run=run,
        totals=run.totals,
        promise=promise.sentences(run),
        likeness=unlike.sentence(run),
        pale=unlike.pale_sentence(run),
        drift=drift_text,
        per_class=per_class,
        weakest=weakest,
        heatmap=heatmap,
        reliability=reliability,
        risk=risk,
        mistakes=mistakes,
        doubtful=doubtful,
        refused=refused,
        unregistered=unregistered,
        unreadable=unreadable,
        error_text=error_text,
        fields=run.field_totals,
        field_report=field_report,
        of_no_form=of_no_form,
        meanings=MEANINGS,
        read=READ,
        classes=CLASSES,
        no_digit=NO_DIGIT,
    )


def audit_page(*, out: str, run: Published, accepted: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """``audit.html``: the pictures of a sample of the ``accepted`` answers of a run, numbered, without its answers.

    Each of ``rows`` has the ``path`` of the scan, its ``page``, and as PNG the page (``shown``) and what the model saw
    (``picture``), both None where the scan is gone.
    """
    gone = sum(row["shown"] is None for row in rows)
    return _template("audit.html.j2").render(out=shlex.quote(out), run=run, accepted=accepted, rows=rows, gone=gone)


def overview_page(**shown: Any) -> str:
    """``index.html`` of an output, from what ``overview_page.page`` has of it."""
    return _template("overview.html.j2").render(**shown)
