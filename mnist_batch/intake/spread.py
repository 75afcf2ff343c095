"""Spread a long listing, or the reading of what it lists, over tasks of the cluster."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from mnist_batch.intake import listing


def by_tasks(
    connect: Callable[[], object], work: Callable[..., Any] = listing.list_some
) -> Callable[..., "Future[Any]"]:
    """Return a function that makes a cluster task do ``work``; ``connect`` runs first and must connect to Ray."""

    def ask(*given: Any) -> "Future[Any]":
        import ray

        connect()
        answer: Future[Any] = ray.remote(work).remote(*given).future()
        return answer

    return ask
