"""The versions of the software, which bundles and runs record."""

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
    """Every installed package as ``name==version``, sorted."""
    return sorted({f"{package.name}=={package.version}" for package in metadata.distributions()})


def versions() -> dict[str, str]:
    """The installed versions of ``PACKAGES`` and of Python, by name."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
