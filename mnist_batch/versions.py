"""Which software made a bundle or a run."""

import platform
from importlib import metadata

PACKAGES = (
    "mnist-batch",
    "ray",
    "tensorflow",
    "keras",
    "onnxruntime",
    "opencv-python-headless",
    "numpy",
    "pyarrow",
)


def packages() -> list[str]:
    """Every installed package as ``name==version``: the lock of what was at work."""
    return sorted({f"{package.name}=={package.version}" for package in metadata.distributions()})


def versions() -> dict[str, str]:
    """Package name -> installed version, and Python's own."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
