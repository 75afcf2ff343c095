"""What an interrupt does before a job has begun: for a second it imports what it needs, and ends as it would later."""

import json
import os
import signal
from contextlib import suppress
from typing import NoReturn


def obey_interrupts() -> None:
    """Until ``session.run`` takes over, SIGINT and SIGTERM end this process with the exit code and line of a job."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)


def _end(number: int, _: object) -> NoReturn:
    line = json.dumps({"status": "interrupted", "exit_code": 128 + number})
    with suppress(OSError):  # nobody reads it
        os.write(1, f"{line}\n".encode())
    os._exit(128 + number)  # nothing was begun, and an exception would be shown as a fault of what is being imported
