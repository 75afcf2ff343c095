"""Tables that users give, a manifest or labels, as CSV or Parquet: read in batches, checked row by row."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds

from mnist_batch import locations
from mnist_batch.errors import InputError

BATCH = 50_000  # rows


def read(
    argument: str, location: str, needed: Sequence[str], others: Sequence[str] = ()
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The number of its first row, from 1, and the rows of each batch: the columns ``needed`` and ``others`` it has.

    Raises InputError, naming ``argument``, where the file cannot be read, has no row or lacks a column.
    """
    filesystem, path = locations.resolve(location)
    csv = ds.CsvFileFormat(convert_options=pyarrow.csv.ConvertOptions(column_types={"scan": pa.string()}))
    row = 1
    try:
        given = ds.dataset(
            path, filesystem=filesystem, format=csv if path.endswith(".csv") else "parquet", partitioning=None
        )
        for name in needed:
            if name not in given.schema.names:
                raise InputError(f"{argument} {location}: needs a column {name!r}; it has {given.schema.names}")
        columns = [name for name in [*needed, *others] if name in given.schema.names]
        for batch in given.to_batches(columns=columns, batch_size=BATCH):
            if len(batch):
                yield row, batch
            row += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{argument} {location}: not a readable CSV or Parquet file ({error})") from None
    if row == 1:
        raise InputError(f"{argument} {location}: has no row; leave the argument out, or see who made the file")


def texts(where: str, first: int, rows: pa.RecordBatch, name: str) -> list[str]:
    """A column of texts. Raises InputError, with ``where`` and the row, for one that is empty or no text."""
    values: list[str] = rows[name].to_pylist()
    for row, value in enumerate(values, start=first):
        if not isinstance(value, str) or not value:
            raise InputError(f"{where}, row {row}: {name} is {value!r}; it has to be a text")
    return values


def digits(where: str, first: int, rows: pa.RecordBatch) -> list[int | None]:
    """The column ``label``. Raises InputError, with ``where`` and the row, for one that is not 0 to 9."""
    values = rows["label"].to_pylist()
    for row, value in enumerate(values, start=first):
        # pandas writes an integer column with gaps as 3.0
        if value is not None and not re.fullmatch(r"[0-9](\.0)?", str(value)):
            raise InputError(f"{where}, row {row}: label is {value!r}; it has to be 0 to 9")
    return [None if value is None else int(float(value)) for value in values]
