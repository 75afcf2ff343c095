"""The tree of docs/architecture.md, made of docstrings; ``python -m tests.support.architecture`` writes it."""

import ast
from pathlib import Path

from tests.support import ROOT

PAGE = ROOT / "docs/architecture.md"
MARK = "<!-- tree -->\n"
OTHERS = {
    "tests/": "laws, by room; support/ has what they share, and makes image files of every kind",
    "findings/": "what surprised us in libraries: each script shows it on the library alone",
    "docs/": "what operators, analysts and maintainers look up",
    "cluster.yaml": "a cluster for `ray up`",
    "deploy/": "an image, manifests for KubeRay, a cluster on AWS, a dashboard",
    "requirements.lock": "every package with its version and hashes",
}


def tree() -> str:
    """Every module of jobs, mnist_batch and benchmarks, by folder, with what its docstring says first."""
    lines = [line for folder in ("jobs", "mnist_batch", "benchmarks") for line in _folder(ROOT / folder, "    ")]
    return "\n".join([*lines, *(f"    {name:<22} {said}" for name, said in OTHERS.items())]) + "\n"


def _folder(folder: Path, indent: str) -> list[str]:
    lines = [_line(f"{folder.name}/", _said(folder / "__init__.py"), indent)]
    lines += [
        _line(path.name, _said(path), indent + "  ") for path in sorted(folder.glob("*.py")) if path.stem != "__init__"
    ]
    for room in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += _folder(room, indent + "  ")
    return lines


def _line(name: str, said: str, indent: str) -> str:
    return f"{indent}{name:<{26 - len(indent)}} {said}"


def _said(path: Path) -> str:
    said = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
    assert said, path
    return said


if __name__ == "__main__":
    before, _, after = PAGE.read_text().split(MARK)
    PAGE.write_text(f"{before}{MARK}{tree()}{MARK}{after}")
