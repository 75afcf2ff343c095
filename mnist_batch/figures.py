"""matplotlib figures without a display."""

from io import BytesIO
from typing import Any

BLUE, RED = "#1f4e79", "#b42318"


def new_figure(width: float, height: float) -> Any:
    """An empty figure; ``width`` and ``height`` are in inches."""
    # Figure, not pyplot: it needs no display and shares no state between two reports in one process.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def as_png(figure: Any) -> bytes:
    """A figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
