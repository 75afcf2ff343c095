"""Make takes the first Python that will do, or says in a sentence which it needs."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make needs of a checkout."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def write_python(file: Path, says: str, code: int = 0) -> None:
    """A program in the place of Python that says so of its version, and notes what else is asked of it."""
    asked = file.with_name("asked")
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{says}"; exit {code}; }}\necho "$0 $*" >> {asked}; exit 1\n'
    )
    file.chmod(0o755)


def make(checkout: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PATH": path} if path else {})
    environment = {name: value for name, value in environment.items() if name not in ("PYTHON", "MAKEFLAGS")}
    command = [str(shutil.which("make")), *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("Python 3.14.1", "is Python 3.14.1"),
        ("Python 3.10.9", "is Python 3.10.9"),
        ("Python 3.11.9", None),
        ("Python 3.13.0", None),
    ],
)
def test_make_says_in_a_sentence_which_python_it_needs(
    checkout: Path, tmp_path: Path, says: str, told: str | None
) -> None:
    python = tmp_path / "bin/python"
    write_python(python, says)
    done = make(checkout, f"PYTHON={python}", "demo")
    assert done.returncode != 0  # here at the latest where no environment can be made
    assert (tmp_path / "bin/asked").exists() == (told is None)
    if told:
        [sentence, *_] = done.stderr.splitlines()
        assert sentence.startswith("mnist_batch needs Python 3.11, 3.12 or 3.13, ")
        assert told in sentence
        assert "make PYTHON=" in sentence


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3": "3.12.1"}, "python3"),
        ({"python3": "3.10.4", "python3.12": "3.12.1"}, "python3.12"),
        ({"python3": "3.14.0", "python3.13": "3.13.2"}, "python3.13"),
        ({"python3.13": "3.13.2", "python3.11": "3.11.9", "python3.12": "3.12.1"}, "python3.11"),
        ({"python3.11": "", "python3.12": "3.12.1"}, "python3.12"),  # as pyenv's that are not switched on
        ({"python3": "3.10.4"}, None),
        ({}, None),
    ],
)
def test_make_takes_the_first_python_on_the_path_that_will_do(
    checkout: Path, tmp_path: Path, there: Mapping[str, str], taken: str | None
) -> None:
    """With programs of these names and versions; one without a version fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cat"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, version in there.items():
        write_python(folder / name, f"Python {version}" if version else "", code=0 if version else 127)
    planned = make(checkout, "-n", "install", path=str(folder))
    assert planned.returncode == 0, planned.stderr
    done = make(checkout, "install", path=str(folder))
    assert done.returncode != 0
    if taken:
        assert f"{folder / taken} -m venv .venv" in planned.stdout
        assert (folder / "asked").read_text() == f"{folder / taken} -m venv .venv\n"
    else:
        assert not (folder / "asked").exists()
        assert done.stderr.startswith("mnist_batch needs Python 3.11, 3.12 or 3.13, ")
        assert "make PYTHON=" in done.stderr
