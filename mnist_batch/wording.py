"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless it is 1: 1 scan, 2,000 scans."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
