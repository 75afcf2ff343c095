"""Ends a job's Ray: ``cluster.leave`` replaces the job's process by this file if its threads may still be working.

Ray's threads end the whole process with an exit code of their own once Ray's other processes are gone. This file has no
such threads.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

TRIES, EVERY_SECONDS = 200, 0.05


def descendants() -> list[int]:
    """All processes below this one, including those that have ended and were not waited for."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat") as file:  # the process may have ended since
            children.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
    tree = [os.getpid()]
    for process in tree:
        tree += children.get(process, [])
    return tree[1:]


def end(code: int, folder: str, session: str, logs: str) -> None:
    """Kill all processes below this one, move the session's logs to ``logs`` if given, delete the folder, and exit."""
    for _ in range(TRIES):
        if not (processes := descendants()):
            break
        for process in processes:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        with suppress(OSError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(EVERY_SECONDS)  # give the kernel time to end them
    if logs:
        with suppress(OSError):
            os.chmod(f"{folder}/{session}/logs", 0o700)  # the session's folder was closed to other users as well
            os.rename(f"{folder}/{session}/logs", logs)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


if __name__ == "__main__":
    end(int(sys.argv[1]), *sys.argv[2:])
