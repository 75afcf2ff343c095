"""The labels of the cells of a field, as they follow from the true number in it."""

from mnist_batch.forms.form import Field

NOTHING = -1  # the label of a cell in which no valid digit is written


def cell_labels(field: Field, value: str) -> list[int | None]:
    """The label of each cell of a field with this true number: a digit, or ``NOTHING`` for a cell that is then blank.

    They are None where the number is shorter than the field and may have been written from either side, and where it
    has more digits than the field has cells. An empty value is that of an empty field.
    """
    if len(value) > len(field.cells):
        return [None] * len(field.cells)
    blanks: list[int | None] = [NOTHING] * (len(field.cells) - len(value))
    digits: list[int | None] = [int(digit) for digit in value]
    if blanks and digits and field.digits.written_from == "either":
        return [None] * len(field.cells)
    return blanks + digits if field.digits.written_from == "right" else digits + blanks
