"""Rules across the fields of a form, such as ``total = a + b``: parsed, and asked whether numbers keep them.

    rule       = sum ("=" | "!=" | "<" | "<=" | ">" | ">=") sum
    sum        = ["-"] product (("+" | "-") product)*
    product    = factor ("*" factor)*
    factor     = whole number | name | "(" sum ")"

A name that is not made of letters, digits and underscores alone, or of digits only, stands in quotes.
"""

import difflib
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import reduce

from mnist_batch.errors import InputError
from mnist_batch.wording import counted

LONGEST = 1_000  # characters of a rule
DEEPEST = 20  # parentheses in each other
MOST_DIGITS = 100  # of a whole number in a rule
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(r"""(?P<number>[0-9]+)\b|(?P<name>\w+)|(?P<quoted>"[^"]+"|'[^']+')|(?P<sign><=|>=|!=|[-+*()<>=])""")
_EQUAL_BY_CHANCE, _ORDERED_BY_CHANCE = 0.1, 0.5

Values = Mapping[str, int | None]


@dataclass(frozen=True)
class Rule:
    """A rule as it stands in the form, and the names of the fields in it, each once and in their order."""

    text: str
    names: tuple[str, ...]
    comparison: str
    left: "_Sum"
    right: "_Sum"

    def holds(self, values: Values, empty: Collection[str] = ()) -> bool | None:
        """Whether numbers keep the rule; None where it says nothing, because one of them is not known.

        ``values`` are the numbers by the names of their fields, None where one is not known. A field in ``empty``
        counts as 0 among several summands; alone on its side of the rule it is not known.
        """
        left, right = self.left.of(values, empty), self.right.of(values, empty)
        return None if left is None or right is None else _COMPARISONS[self.comparison](left, right)

    @property
    def by_chance(self) -> float:
        """How often a wrong number is taken to keep the rule.

        Of equal numbers one digit follows from the others: a wrong digit is that one in 1 of 10 cases.
        """
        return _EQUAL_BY_CHANCE if self.comparison == "=" else _ORDERED_BY_CHANCE


@dataclass(frozen=True)
class _Product:
    """A sign times factors: whole numbers, names and sums in parentheses."""

    sign: int
    factors: "tuple[int | str | _Sum, ...]"

    def of(self, values: Values, empty: Collection[str], alone: bool) -> int | None:
        found = [self._factor(factor, values, empty, alone) for factor in self.factors]
        known = [factor for factor in found if factor is not None]
        return reduce(operator.mul, known, self.sign) if len(known) == len(found) else None

    @staticmethod
    def _factor(factor: "int | str | _Sum", values: Values, empty: Collection[str], alone: bool) -> int | None:
        if isinstance(factor, _Sum):
            return factor.of(values, empty)
        if isinstance(factor, int):
            return factor
        return (None if alone else 0) if factor in empty else values[factor]


@dataclass(frozen=True)
class _Sum:
    products: tuple[_Product, ...]

    def of(self, values: Values, empty: Collection[str]) -> int | None:
        found = [product.of(values, empty, len(self.products) == 1) for product in self.products]
        known = [product for product in found if product is not None]
        return sum(known) if len(known) == len(found) else None


def parse(text: str, names: Collection[str]) -> Rule:
    """The rule that a text says of the fields with these names.

    Raises InputError, which names the place in the text by its character, counted from 1, and what to do.
    """
    if len(text) > LONGEST:
        raise InputError(f"expected a rule of at most {counted(LONGEST, 'character')}, got {len(text):,}; split it")
    return _Parser(text, names).rule()


class _Parser:
    """Reads the tokens of a text one after the other; ``said`` is the one at hand, empty at the end."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text, self.names = text, names
        self.found: dict[str, None] = {}
        self.at, self.depth = 0, 0
        self.kind, self.said, self.next = "", "", 0
        self.advance()

    def advance(self) -> None:
        """Go to the next token."""
        self.at = self.next + len(self.text[self.next :]) - len(self.text[self.next :].lstrip())
        match = _TOKEN.match(self.text, self.at)
        if match is None and self.at < len(self.text):
            self.said = self.text[self.at]
            raise self.wrong("a field, a whole number, + - * ( ) or a comparison")
        self.kind, self.said = (match.lastgroup or "", match[0]) if match else ("end", "")
        self.next = match.end() if match else len(self.text)

    def wrong(self, expected: str) -> InputError:
        """The error that something else was expected at this place."""
        got = f"got {self.said!r}" if self.said else "got the end"
        example = "a rule is two sides and a comparison, as in total = a + b"
        return InputError(f"{self.text!r}, character {self.at + 1}: expected {expected}, {got}; {example}")

    def rule(self) -> Rule:
        left = self.sum()
        comparison = self.said
        if comparison not in _COMPARISONS:
            raise self.wrong(f"one of {' '.join(_COMPARISONS)}")
        self.advance()
        right = self.sum()
        if self.kind != "end":
            raise self.wrong("the end" if self.said in _COMPARISONS else "+, -, * or the end")
        if not self.found:
            raise InputError(f"{self.text!r} names no field; a rule is about one field or several")
        return Rule(self.text, tuple(self.found), comparison, left, right)

    def sum(self) -> _Sum:
        products = []
        sign = "+"
        if self.said == "-":
            sign = self.taken()
        while True:
            products.append(self.product(-1 if sign == "-" else 1))
            if self.said not in ("+", "-"):
                return _Sum(tuple(products))
            sign = self.taken()

    def product(self, sign: int) -> _Product:
        factors = [self.factor()]
        while self.said == "*":
            self.advance()
            factors.append(self.factor())
        return _Product(sign, tuple(factors))

    def factor(self) -> int | str | _Sum:
        if self.said == "(":
            return self.in_parentheses()
        if self.kind not in ("number", "name", "quoted"):
            raise self.wrong("a field or a whole number")
        if self.kind == "number":
            if len(self.said) > MOST_DIGITS:
                raise self.wrong(f"a whole number of at most {MOST_DIGITS} digits")
            return int(self.taken())
        name = self.said[1:-1] if self.kind == "quoted" else self.said
        if name not in self.names:
            raise self.unknown(name)
        self.found[name] = None
        self.advance()
        return name

    def in_parentheses(self) -> _Sum:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(f"at most {DEEPEST} parentheses in each other")
        self.advance()
        inner = self.sum()
        if self.said != ")":
            raise self.wrong("+, -, * or )")
        self.advance()
        self.depth -= 1
        return inner

    def taken(self) -> str:
        said = self.said
        self.advance()
        return said

    def unknown(self, name: str) -> InputError:
        near = difflib.get_close_matches(name, self.names, 1)
        split = [each for each in self.names if name in re.split(r"\W+", each)]
        remedy = (
            f"is it meant to be {near[0]!r}?"
            if near
            else f'{split[0]!r} has to stand in quotes: "{split[0]}"'
            if split
            else f"the fields are {', '.join(list(self.names)[:10])}"
        )
        return InputError(f"{self.text!r}, character {self.at + 1}: there is no field {name!r}; {remedy}")
