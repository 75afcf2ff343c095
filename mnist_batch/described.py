"""Dataclass fields that carry a description, as the columns of the tables do; the jobs turn them into flags."""

from collections.abc import Sequence
from dataclasses import field
from typing import TypeVar

Value = TypeVar("Value")


def described(
    default: Value,
    description: str,
    *,
    left_out: str | None = None,
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
    positional: bool = False,
) -> Value:
    """A dataclass field with its ``default`` and its ``description``, which users read in the help of its flag.

    ``left_out`` describes the default in words; without it, a number or text describes itself. ``metavar`` stands for
    the value in the help, and is the name of a ``positional`` argument. ``choices`` are the allowed values.
    """
    if left_out is None and isinstance(default, int | float | str) and not isinstance(default, bool):
        left_out = str(default)
    metadata = {
        "description": description,
        "left_out": left_out,
        "metavar": metavar,
        "choices": choices,
        "positional": positional,
    }
    return field(default=default, metadata=metadata)


def flag(name: str) -> str:
    """The flag of a field, by the field's name: ``--scan-timeout`` for ``scan_timeout_seconds``."""
    return "--" + name.removesuffix("_seconds").replace("_", "-")
