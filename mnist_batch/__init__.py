"""Nightly batch recognition of handwritten digits on a Ray cluster."""

import os

# Scans may be personal, so nothing is reported: not to the makers of Ray, and not to those of ONNX Runtime, which reads
# its variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("mnist-batch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
