"""Spread a long listing over tasks of the cluster."""

from collections.abc import Callable
from concurrent.futures import Future

import ray

from mnist_batch.intake import listing
from mnist_batch.intake.selecting import Selection


def by_tasks(connect: Callable[[], object]) -> listing.Ask:
    """Return a function that makes a cluster task list folders; ``connect`` runs first and must connect to Ray."""
    listed = ray.remote(listing.list_some)

    def ask(folders: list[listing.Folder], selection: Selection) -> "Future[listing.Listed]":
        connect()
        answer: Future[listing.Listed] = listed.remote(folders, selection).future()
        return answer

    return ask
