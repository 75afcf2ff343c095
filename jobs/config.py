"""A file of settings, in TOML, in place of flags: the same names, without the dashes in front."""

import argparse
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_batch.errors import InputError
from mnist_batch.store import locations

TABLES = ("input", "gates", "limits", "cluster")  # keys may be grouped in these; a group has no meaning of its own
WORDS = {"labels": ("none", "parent")}  # values that are no paths, though those of their key are


def read(location: str, parser: argparse.ArgumentParser, paths: Collection[str]) -> dict[str, Any]:
    """The settings of a file as the attributes that ``parser`` would give its flags.

    The values of the keys ``paths`` are paths: one that is relative begins at the folder of the file. Raises
    InputError, naming the key and what it means, for one that is not known or has a value of the wrong type.
    """
    file = f"--config {location}"
    try:
        said = tomllib.loads(Path(location).read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise InputError(f"{file}: is not TOML ({error})") from None
    actions = [action for action in parser._actions if action.dest not in ("help", "version", "config")]
    known = {_key(action): action for action in actions}
    folder, found = os.path.dirname(os.path.abspath(location)), dict[str, Any]()
    for name, key, given in _items(said):
        if key not in known:
            raise InputError(f"{file}: there is no key {name}; there are {', '.join(sorted(known))}")
        value = _typed(f"{file}: {name}", known[key], given)
        if key in paths:
            each = [_beside(folder, key, path) for path in (value if isinstance(value, list) else [value])]
            value = each if isinstance(value, list) else each[0]
        if known[key].dest in found:
            raise InputError(f"{file}: {key} is given twice; keep one")
        found[known[key].dest] = value
    return found


def _items(said: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The name of each key as the file has it, the key and its value."""
    for name, value in said.items():
        if name in TABLES and isinstance(value, dict):
            yield from ((f"{name}.{key}", key, each) for key, each in value.items())
        else:
            yield name, name, value


def _key(action: argparse.Action) -> str:
    return action.option_strings[-1].removeprefix("--") if action.option_strings else str(action.metavar).lower()


def _typed(where: str, action: argparse.Action, value: object) -> Any:
    several = action.nargs == "*" or isinstance(action, argparse._AppendAction)
    kind = bool if action.nargs == 0 else action.type if action.type in (int, float) else str
    each = value if several and isinstance(value, list) else [value]
    allowed = (int, float) if kind is float else (kind,)
    for one in each:
        if not isinstance(one, allowed) or (isinstance(one, bool) and kind is not bool):
            what = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}[kind]
            listed = f"{what}, or a list of such" if several else what
            raise InputError(f"{where} is {value!r}; it has to be {listed}: {action.help}")
        if isinstance(one, str) and not one.strip():
            raise InputError(f"{where} is empty: {action.help}")
        if action.choices and one not in action.choices:
            raise InputError(f"{where} is {value!r}; choose from {', '.join(action.choices)}: {action.help}")
    if callable(action.type) and kind is str and action.type is not str:
        try:
            return action.type(str(value))
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{where}: {error}") from None
    return each if several else float(value) if kind is float and isinstance(value, int) else value


def _beside(folder: str, key: str, path: str) -> str:
    return path if path in WORDS.get(key, ()) else locations.below(folder, path)
