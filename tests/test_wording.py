"""Numbers of things in messages read as English."""

from hypothesis import given
from hypothesis import strategies as st

from mnist_batch.wording import counted


@given(st.integers(0, 10_000_000))
def test_a_noun_is_in_the_plural_unless_there_is_one(number: int) -> None:
    assert counted(number, "scan") == (f"{number:,} scan" if number == 1 else f"{number:,} scans")
