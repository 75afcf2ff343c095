"""The command ``mnist-batch JOB ...``, or ``python -m mnist_batch JOB ...``: runs a job by its name."""

import argparse
import ast
import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

# An installed package contains the jobs; in a checkout they are next to it, as `ray job submit` sends them.
JOBS = "mnist_batch.jobs" if find_spec("mnist_batch.jobs") else "jobs"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job named first with the arguments that follow; returns its exit code."""
    session = import_module(f"{JOBS}.session")
    summaries = _summaries()
    width = max(map(len, summaries))
    lines = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in summaries.items())
    parser = session.parser(None, f"Recognise handwritten digits in batches on a Ray cluster. The jobs:\n\n{lines}")
    parser.epilog = f"{parser.prog} JOB --help shows the arguments of a job."
    parser.add_argument("job", metavar="JOB", choices=summaries, help="the job to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the arguments of the job")
    given = parser.parse_args(argv)
    return int(import_module(f"{JOBS}.{given.job}").main(given.arguments))


def _summaries() -> dict[str, str]:
    """The name of each job and the first line of its docstring, read without importing the job."""
    [folder] = import_module(JOBS).__path__
    names = [module.name for module in pkgutil.iter_modules([folder])]
    modules = {name: ast.parse(Path(folder, f"{name}.py").read_text("utf-8")) for name in names}
    return {
        name: (ast.get_docstring(module) or "").partition("\n")[0]
        for name, module in modules.items()
        if any(isinstance(statement, ast.FunctionDef) and statement.name == "main" for statement in module.body)
    }


def command() -> None:
    """The entry point of the installed command: runs ``main`` and ends the process with its exit code."""
    import_module(f"{JOBS}.starting").obey_interrupts()
    import_module(f"{JOBS}.session").leave(main)


if __name__ == "__main__":
    command()
