#!/usr/bin/env bash
# A table in Polars has a checksum (UInt64, what hash() gives) and a number (Int64). One is subtracted from the other, and the
# table is written as Parquet. A good guess: the difference is Int64, or Float64 as in NumPy, and any program reads the file; if a
# column were of a kind that a reader lacks, its other columns could still be read, as Parquet keeps columns apart.
#
# What happens: Polars makes the difference an Int128 and writes it without a word. pyarrow, and pandas with it, cannot open that
# file: not for the other columns, and not even for the number of its rows. DuckDB, which has integers of 128 bits, reads the
# column as a BLOB. Added to a plain number instead of a column, the same checksums stay within 64 bits. Whoever hands files on
# has to cast: .cast(pl.Int64), or to Decimal(38, 0), which all of them read.
# Seen on 2026-11-29 with polars 2.1.0, pyarrow 26.0.1, duckdb 2.0.0, pandas 3.1.1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.0 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import pandas
import polars as pl
import pyarrow
import pyarrow.parquet as pq

print("polars", pl.__version__, "pyarrow", pyarrow.__version__, "duckdb", duckdb.__version__, "pandas", pandas.__version__)
table = pl.DataFrame({"scan": ["a.png", "b.png"], "checksum": [7, 2**63], "size": [3, 9]},
                     schema={"scan": pl.String, "checksum": pl.UInt64, "size": pl.Int64})  # fmt: skip
table = table.with_columns(away=pl.col("checksum") - pl.col("size"), more=pl.col("checksum") + 1)
print(table.schema)
table.write_parquet("table.parquet")
table.with_columns(pl.col("away").cast(pl.Decimal(38, 0))).write_parquet("cast.parquet")


def told(ask):
    try:
        return ask()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


asked = {
    "pyarrow, the column scan": lambda file: pq.read_table(file, columns=["scan"])["scan"].to_pylist(),
    "pyarrow, the number of rows": lambda file: pq.read_metadata(file).num_rows,
    "pandas, the column scan": lambda file: pandas.read_parquet(file, columns=["scan"])["scan"].tolist(),
    "DuckDB, the type of away": lambda file: duckdb.sql(f"select typeof(away) from '{file}' limit 1").fetchall()[0][0],
    "Polars, away": lambda file: [int(value) for value in pl.read_parquet(file)["away"]],
}
answers = {file: [told(lambda: ask(file)) for ask in asked.values()] for file in ("table.parquet", "cast.parquet")}
for file, all_told in answers.items():
    print(file)
    for name, answer in zip(asked, all_told):
        print(f"    {name}: {answer}")
values = [4, 2**63 - 9]
refused = "ArrowNotImplementedError: Integers with more than 64 bits not implemented"
as_seen = [
    table.schema["away"] == pl.Int128 and table.schema["more"] == pl.UInt64,
    [str(answer).strip() for answer in answers["table.parquet"][:3]] == [refused] * 3,
    answers["table.parquet"][3:] == ["BLOB", values],
    answers["cast.parquet"] == [["a.png", "b.png"], 2, ["a.png", "b.png"], "DECIMAL(38,0)", values],
]
sys.exit(0 if all(as_seen) else f"this has changed: {as_seen}")
PYTHON
