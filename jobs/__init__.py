"""What you submit: ``python -m jobs.score`` and the others, each a module; installed, ``mnist-batch score``."""

import sys

if sys.argv[0] == "-m":  # so it is while ``python -m jobs.NAME`` looks for the job; no other process does more here
    from . import starting

    starting.obey_interrupts()
