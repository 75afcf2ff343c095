"""What you submit: ``python -m jobs.score`` and the others, each a module; installed, ``mnist-batch score``."""
