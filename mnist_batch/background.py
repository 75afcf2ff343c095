"""Work in the background of other work."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager


@contextmanager
def in_background(work: Callable[[], object], after_seconds: float) -> Iterator[None]:
    """Run ``work`` in a thread if the block takes longer than ``after_seconds``; wait for it when the block ends.

    An exception from ``work`` is raised at the end of the block. An interrupt of the block is raised at once.
    """
    over, done, interrupted = threading.Event(), Future[object](), False

    def do() -> None:
        over.wait(after_seconds)
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again at the end of the block
            done.set_exception(error)
        threading.Event().wait()  # keep the thread: the processes of a Ray end with the thread that started them

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
