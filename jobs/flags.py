"""Flags made of the fields of dataclasses, which have their types, defaults and descriptions."""

import argparse
from collections.abc import Sequence
from dataclasses import Field, fields
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from mnist_batch.described import flag


def add(group: argparse._ActionsContainer, kind: Any, *names: str) -> None:
    """Add an argument for each of these fields of the dataclass ``kind``; its help ends with the field's default.

    A bool is a flag without a value, and the flag of a sequence may be given again.
    """
    known, types = {field.name: field for field in fields(kind)}, get_type_hints(kind)
    for name in names:
        # The default is the field's: what is left out is no attribute of the namespace.
        options = {"default": argparse.SUPPRESS, "help": _help(known[name]), **_taking(known[name], types[name])}
        if known[name].metadata["positional"]:
            group.add_argument(_attribute(kind, name), nargs="*", **options)
        else:
            group.add_argument(flag(name), dest=_attribute(kind, name), **options)


def given(namespace: argparse.Namespace, kind: Any) -> dict[str, Any]:
    """The fields of the dataclass ``kind`` that were given as arguments, by name, to be passed as keywords."""
    values = {field.name: _attribute(kind, field.name) for field in fields(kind)}
    return {name: getattr(namespace, attribute) for name, attribute in values.items() if attribute in namespace}


def argument(kind: Any, name: str) -> str:
    """What users call a field of the dataclass ``kind``: its flag, or the name of a positional argument."""
    [metadata] = [field.metadata for field in fields(kind) if field.name == name]
    return str(metadata["metavar"]) if metadata["positional"] else flag(name)


def add_out(group: argparse._ActionsContainer, description: str) -> None:
    """Add ``--out``, which every job that has it leaves out alike."""
    group.add_argument("--out", default="out", metavar="FOLDER", help=description)


def add_run(group: argparse._ActionsContainer) -> None:
    """Add ``--run``, of a job that works on one published run."""
    group.add_argument("--run", required=True, metavar="RUN_ID", help="the run's id, a folder name in OUT/runs")


def add_labels(group: argparse._ActionsContainer) -> None:
    """Add ``--labels`` and what goes with it, of a job that counts a published run by other labels than its own."""
    group.add_argument(
        "--labels",
        metavar="HOW",
        help="labels to use instead of those in the rows: a CSV or Parquet file with columns scan,label, or parent for "
        "the names of folders; none returns to those in the rows; those of the last report if left out",
    )
    group.add_argument(
        "--ignore-unlisted-labels",
        action="store_true",
        help="leave out the labels of scans that the run does not have, and count them",
    )


def _attribute(kind: Any, name: str) -> str:
    # Two dataclasses may have fields of one name.
    return f"{kind.__name__}.{name}"


def _help(field: "Field[Any]") -> str:
    description, left_out = field.metadata["description"], field.metadata["left_out"]
    text = description if left_out is None else f"{description}; {left_out} if left out"
    return text.replace("%", "%%")


def _taking(field: "Field[Any]", annotation: Any) -> dict[str, Any]:
    """What argparse has to know of the values that a field takes."""
    if annotation is bool:
        return {"action": "store_true"}
    [of_each] = [kind for kind in get_args(annotation) or [annotation] if kind is not NoneType]
    choices = field.metadata["choices"]
    metavar = field.metadata["metavar"] or (None if choices else field.name.upper())
    taking = {"type": of_each, "metavar": metavar, "choices": choices}
    several = get_origin(annotation) is Sequence and not field.metadata["positional"]
    return taking | ({"action": "append"} if several else {})
