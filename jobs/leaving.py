"""What a job's process becomes to end its Ray, where threads may still be at work: ``cluster.leave`` runs this file.

Ray's threads end the whole process, with an exit code of their own, once Ray's other processes are gone. Here are none.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

TRIES, EVERY_SECONDS = 200, 0.05


def descendants() -> list[int]:
    """The processes that this one has begun and all of theirs, also those that have ended and were not waited for."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat") as file:  # it has ended since
            parents.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
    found = [os.getpid()]
    for process in found:
        found += parents.get(process, [])
    return found[1:]


def end(code: int, folder: str, session: str, logs: str) -> None:
    """Kill all processes below this one, keep the session's logs where ``logs`` says, remove the folder, exit."""
    for _ in range(TRIES):
        if not (there := descendants()):
            break
        for process in there:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        with suppress(OSError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(EVERY_SECONDS)  # until the kernel has ended them
    if logs:
        with suppress(OSError):
            os.chmod(f"{folder}/{session}/logs", 0o700)  # what is beside it nobody else could enter either
            os.rename(f"{folder}/{session}/logs", logs)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


if __name__ == "__main__":
    end(int(sys.argv[1]), *sys.argv[2:])
