"""Figures without a display."""

from io import BytesIO
from typing import Any

BLUE, RED = "#1f4e79", "#b42318"


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
