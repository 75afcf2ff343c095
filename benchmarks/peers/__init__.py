"""The same work as the jobs without them: what benchmarks.scoring and benchmarks.training compare with.

Each is a program of its own. Those that score are called with a folder of scans, a bundle and a folder to write to,
read the digits as jobs.score does, by the same normalisation and weights, and leave Parquet files with the columns
``path`` and ``digit``; ``plain_keras`` trains as jobs.train does, and leaves the model and its history.
"""
