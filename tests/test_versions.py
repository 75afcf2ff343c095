"""The versions that a run writes down are those at work."""

import platform
import re

import mnist_batch
from mnist_batch import versions
from tests.support import ROOT


def test_versions_are_those_at_work() -> None:
    """The environment is made of the lock file, which names a version of each, or one for each Python."""
    locked = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    locked += [("python", platform.python_version()), ("mnist-batch", mnist_batch.__version__)]
    found = versions.versions()
    assert set(found) == {"python", *versions.PACKAGES}
    assert set(found.items()) <= set(locked)
