"""Nightly batch recognition of handwritten digits on a Ray cluster."""

import os

# Forms that people filled in are read here, so nothing is reported to anybody: neither to the makers of ONNX Runtime,
# which reads this when it is imported, nor to those of Ray.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("mnist-batch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
