"""Fields of dataclasses that say what they mean, as the columns of the tables do; the jobs make flags of them."""

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
    """A field of a dataclass with its ``default`` and its ``description``, for users who meet it as a flag.

    ``left_out`` says in words what holds if it is left out; a default that is a number or a text says that itself.
    ``metavar`` is the placeholder for its value in the help, and the name of an argument that is ``positional``.
    ``choices`` are all the values it may have.
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
    """The flag of a field of that name: ``--scan-timeout`` of ``scan_timeout_seconds``."""
    return "--" + name.removesuffix("_seconds").replace("_", "-")
