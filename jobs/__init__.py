"""What you submit: ``python -m jobs.train``, ``jobs.score``, ``jobs.report`` and ``jobs.demo``."""
