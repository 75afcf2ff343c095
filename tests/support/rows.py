"""Rows as hypothesis makes them: a label, an answer and its confidence, each of which may be missing or at a limit."""

from hypothesis import strategies as st

from mnist_batch.schemas.tables import NO_DIGIT

Row = tuple[int | None, int | None, float]
DIGIT = st.none() | st.integers(0, 9)
LABEL = DIGIT | st.just(NO_DIGIT)
SURE = st.sampled_from([0.125, 0.2, 0.5, 0.9, 0.99, 0.9995, 1.0]) | st.floats(0.125, 1, width=32)
