"""Numbers with their nouns, for messages."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless the number is 1: 1 scan, 2,000 scans."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def pixels(number: float) -> str:
    """A length in pixels to three digits, with its unit: 1 pixel, 0.312 pixels."""
    shown = f"{number:.3g}"
    return f"{shown} pixel{'' if shown == '1' else 's'}"


def seconds(number: float) -> str:
    """A time with its unit: 1 second, 0.5 seconds, 20 seconds."""
    return f"{number:g} second{'' if number == 1 else 's'}"


def either(numbers: Sequence[int]) -> str:
    """Numbers as in a sentence that says which there are none of: 7; 0, 1 or 7."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last
