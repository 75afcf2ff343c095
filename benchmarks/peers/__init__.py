"""The same work as jobs.score without it: what benchmarks.scoring compares with, each a program of its own.

Each is called with a folder of scans, a bundle and a folder to write to, reads the digits as jobs.score does, by the
same normalisation and weights, and leaves Parquet files with the columns ``path`` and ``digit``.
"""
