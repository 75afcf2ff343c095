"""Work in a thread of its own, which is waited for here and raises here what it raises."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress

from mnist_batch import runs, stores
from mnist_batch.errors import Stalled, StorageError


def watch(run: runs.Run, work: Callable[[], None], timeout_seconds: float) -> None:
    """Do the work, but raise Stalled once nothing has come of it for so many seconds (``Run.milestones``).

    Ray Data waits for ever for actors that find no free CPU, and starts one that dies again without end. The work
    is left to its own thread then, and ends with the process.
    """
    done = Future[object]()
    threading.Thread(target=_do, args=(work, done), daemon=True).start()
    seen, since = run.milestones(), time.monotonic()
    while not wait([done], min(1, timeout_seconds)).done:
        with suppress(StorageError):  # a store that does not answer: the work itself says so when it has waited enough
            with stores.patience(0):
                reached = run.milestones()
            if seen != (seen := reached):
                since = time.monotonic()
        if time.monotonic() - since > timeout_seconds:
            raise Stalled(
                f"run {run.run_id}: nothing came of it for {timeout_seconds:g} seconds (--no-progress-timeout). "
                "Look whether other jobs hold the cluster's CPUs, then give the same command again: what is done "
                "is kept"
            )
    done.result()


@contextmanager
def beside(work: Callable[[], object], after_seconds: float) -> Iterator[None]:
    """Have the work done beside a context that lasts so long; wait for it at the end, unless that is an interrupt."""
    over, done, interrupted = threading.Event(), Future[object](), False

    def do() -> None:
        over.wait(after_seconds)
        if not done.set_running_or_notify_cancel():
            return
        _do(work, done)
        threading.Event().wait()  # the processes of a Ray end with the thread that started them

    threading.Thread(target=do, daemon=True).start()
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        interrupted = True
        raise
    finally:
        begun = not done.cancel()
        over.set()
        if begun and not interrupted:
            wait([done])
    if begun:
        done.result()


def _do(work: Callable[[], object], done: Future[object]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised again, where it is waited for
        done.set_exception(error)
