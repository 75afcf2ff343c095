"""JSON that people write: what is wrong with a value is said with its file and place, the rule and the value."""

import difflib
import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mnist_batch.errors import InputError

LONGEST_SHOWN = 80  # characters of a value in a message
LONGEST_NAME = 100
_PARTS = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|"(?:[^"\\]|\\.)*"|(?P<brace>[{}])|(?P<number>-?(?:Infinity|NaN|\d[\d.eE+-]*))'
)


@dataclass(frozen=True)
class Value:
    """A JSON value, the file that it is from, and its place there, such as ``fields[3].cells[2]``.

    Its methods return what it has to be, or raise InputError. ``of`` is the name of what the place belongs to.
    """

    said: Any
    file: str
    place: str = ""
    of: str = ""

    def wrong(self, expected: str, instead: str | None = None, remedy: str = "") -> InputError:
        """The error that something else was expected here; ``instead`` is what is here, the value if left out."""
        found = f"expected {expected}, got {shown(self.said) if instead is None else instead}"
        return self.refused(f"{found}; {remedy}" if remedy else found)

    def refused(self, sentence: str) -> InputError:
        """The error that what is here breaks a rule, which the sentence names."""
        place = self.place + (f' (of "{self.of}")' if self.of else "")
        return InputError(f"{self.file}: {place}: {sentence}" if place else f"{self.file}: {sentence}")

    def members(self, needed: Collection[str], optional: Collection[str] = ()) -> dict[str, "Value"]:
        """The values of an object by their keys: all that are needed, and no others but the optional ones."""
        members = self.any_members()
        known = [*needed, *optional]
        for key, value in members.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                raise value.refused(
                    f"unknown key {shown(key)}; "
                    + (f"is it meant to be {near[0]!r}?" if near else f"the keys here are {', '.join(known)}")
                )
        for key in needed:
            if key not in members:
                raise self.refused(f"{key!r} is missing; the keys that are needed here are {', '.join(needed)}")
        return members

    def any_members(self) -> dict[str, "Value"]:
        """The values of an object by their keys, whatever these are."""
        if not isinstance(self.said, dict):
            raise self.wrong("an object, {...}")
        stem = f"{self.place}." if self.place else ""
        return {key: Value(value, self.file, stem + key, self.of) for key, value in self.said.items()}

    def items(self, what: str, least: int = 1, most: int | None = None) -> list["Value"]:
        """The values of a list; ``what`` says in the plural what they are."""
        if not isinstance(self.said, list):
            raise self.wrong(f"a list of {what}, [...]")
        number = len(self.said)
        if not number and least == 1 and most != 1:
            raise self.wrong(f"a list of {what} that is not empty")
        if number < least or (most is not None and number > most):
            expected = (
                f"{least:,}" if least == most else f"at least {least:,}" if number < least else f"at most {most:,}"
            )
            raise self.wrong(f"{expected} {what}", f"{number:,}: {shown(self.said)}")
        return [Value(value, self.file, f"{self.place}[{at}]", self.of) for at, value in enumerate(self.said)]

    def text(self, expected: str = "a text in double quotes") -> str:
        """A text that can be written as UTF-8, without control characters or blanks at its ends, and not empty."""
        if not isinstance(self.said, str):
            raise self.wrong(expected)
        if not self.said.strip():
            raise self.wrong(f"{expected} that is not empty")
        if self.said != self.said.strip() or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", self.said):
            raise self.wrong(f"{expected} without control characters and without blanks at its ends")
        return self.said

    def name(self) -> str:
        """A text of at most 100 characters."""
        name = self.text()
        if len(name) > LONGEST_NAME:
            raise self.wrong(f"at most {LONGEST_NAME} characters", f"{len(name):,}: {shown(name)}")
        return name

    def one_of(self, known: Collection[str], what: str) -> str:
        """One of the texts that are known; ``what`` says what they are."""
        if not isinstance(self.said, str) or self.said not in known:
            near = difflib.get_close_matches(self.said, known, 1) if isinstance(self.said, str) else []
            raise self.wrong(f"{what}: {', '.join(known)}", remedy=f"is it meant to be {near[0]!r}?" if near else "")
        return self.said

    def yes_or_no(self) -> bool:
        """True or false."""
        if not isinstance(self.said, bool):
            raise self.wrong("true or false, without quotes")
        return self.said

    def number(self, least: float, most: float) -> float:
        """A number from ``least`` to ``most``."""
        if isinstance(self.said, bool) or not isinstance(self.said, int | float) or not least <= self.said <= most:
            raise self.wrong(f"a number from {least:,g} to {most:,g}")
        return float(self.said)

    def whole(self, least: int, most: int, because: str = "") -> int:
        """A whole number from ``least`` to ``most``; ``because`` says why it has these bounds."""
        whole = isinstance(self.said, int) or (isinstance(self.said, float) and self.said.is_integer())
        if isinstance(self.said, bool) or not whole or not least <= self.said <= most:
            expected = f"a whole number from {least:,} to {most:,}" if most > least else f"{least:,}"
            raise self.wrong(expected, remedy=because)
        return int(self.said)


def shown(said: Any) -> str:
    """A JSON value as a message shows it: on one line, and cut off where it is long."""
    text = json.dumps(said, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def read(content: bytes, file: str) -> Value:
    """The value that a JSON file holds; ``file`` names it in messages.

    Raises InputError for anything but JSON in UTF-8, and for a key that an object has twice.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{file}: expected a text in UTF-8, got UTF-16; save it as UTF-8")
    try:  # Editors of Windows begin a file with a byte order mark, which is no mistake of the user.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start:,} is not UTF-8; save it as UTF-8") from None

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            at, doubled = _doubled_key(text)
            raise InputError(
                f"{file}{_line(text, at)}: the key {shown(doubled)} stands twice in one object; remove one of the two"
            )
        return members

    def number(said: str) -> float:
        if not math.isfinite(value := float(said)):
            place = _line(text, _number(text, said))
            raise InputError(
                f"{file}{place}: {said[:LONGEST_SHOWN]} is no number that can be used; write a finite number"
            )
        return value

    def whole(said: str) -> int:
        try:
            return int(said)
        except ValueError:  # Python reads at most 4,300 digits
            place = _line(text, _number(text, said))
            raise InputError(
                f"{file}{place}: a number has thousands of digits; write a number that can be meant"
            ) from None

    try:
        said = json.loads(text, object_pairs_hook=once, parse_float=number, parse_int=whole, parse_constant=number)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise InputError(f"{file}: lists or objects lie too deep in each other") from None
    return Value(said, file)


def _line(text: str, at: int) -> str:
    """A place in a text, as messages name it."""
    return f", line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _number(text: str, said: str) -> int:
    """Where a number stands first in a JSON text."""
    return next(part.start() for part in _PARTS.finditer(text) if (part["number"] or "").startswith(said))


def _doubled_key(text: str) -> tuple[int, str]:
    """The first key of a JSON text that stands in its object already, and where."""
    objects: list[set[str]] = []
    for part in _PARTS.finditer(text):
        if part["brace"] == "{":
            objects.append(set())
        elif part["brace"]:
            objects.pop()
        elif part["key"]:
            key = json.loads(part["key"])
            if key in objects[-1]:
                return part.start(), key
            objects[-1].add(key)
    raise AssertionError("no key stands twice")
