"""A long listing, spread over the tasks of a cluster."""

from collections.abc import Callable
from concurrent.futures import Future

import ray

from mnist_batch.intake import listing
from mnist_batch.intake.selecting import Selection


def by_tasks(connect: Callable[[], object]) -> listing.Ask:
    """Has folders listed by tasks of the cluster; ``connect`` is called before each, and must have Ray there."""
    listed = ray.remote(listing.list_some)

    def ask(folders: list[listing.Folder], selection: Selection) -> "Future[listing.Listed]":
        connect()
        answer: Future[listing.Listed] = listed.remote(folders, selection).future()
        return answer

    return ask
