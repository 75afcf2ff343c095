"""Pools of actors fit the cluster, or are refused with what to change."""

from math import inf, nan
from typing import Any

import pytest

from mnist_batch.errors import InputError
from mnist_batch.pipeline.pools import Pools


@pytest.mark.parametrize(
    ("given", "resources", "shards", "sizes"),
    [
        (Pools(), {"CPU": 2}, 100, (1, 1)),
        (Pools(), {"CPU": 3}, 100, (1, 2)),
        (Pools(), {"CPU": 16}, 100, (8, 8)),
        (Pools(), {"CPU": 16}, 3, (3, 3)),
        (Pools(3), {"CPU": 8}, 100, (3, 4)),
        (Pools(1, 7), {"CPU": 8}, 100, (1, 7)),
        (Pools(gpus_per_classifier=1), {"CPU": 16, "GPU": 2}, 100, (8, 2)),
        (Pools(gpus_per_classifier=0.5), {"CPU": 16, "GPU": 2}, 100, (8, 4)),
        (Pools(gpus_per_classifier=0.1), {"CPU": 4, "GPU": 2}, 100, (2, 2)),
    ],
)
def test_pools_fit_the_cluster(given: Pools, resources: dict[str, float], shards: int, sizes: tuple[int, int]) -> None:
    found = given.fitted(resources, shards)
    assert (found.preprocessors, found.classifiers) == sizes
    assert sum(sizes) <= resources["CPU"]
    assert sizes[1] * found.gpus_per_classifier <= resources.get("GPU", 0)


@pytest.mark.parametrize(
    ("given", "resources", "message"),
    [
        ({}, {"CPU": 1}, "the cluster has 1"),
        ({}, {}, "the cluster has 0"),
        ({"preprocessors": 2, "classifiers": 1}, {"CPU": 2}, "--preprocessors 2 and --classifiers 1 take a CPU each"),
        ({"preprocessors": 0}, {"CPU": 4}, "--preprocessors is 0"),
        ({"classifiers": -1}, {"CPU": 4}, "--classifiers is -1"),
        ({"gpus_per_classifier": -1}, {"CPU": 4}, "--gpus-per-classifier is -1"),
        ({"gpus_per_classifier": nan}, {"CPU": 4}, "--gpus-per-classifier is nan"),
        ({"gpus_per_classifier": inf}, {"CPU": 4}, "--gpus-per-classifier is inf"),
        ({"gpus_per_classifier": 1.5}, {"CPU": 4}, "--gpus-per-classifier is 1.5; .* whole GPUs"),
        ({"gpus_per_classifier": 1}, {"CPU": 4}, "--classifiers 1 with --gpus-per-classifier 1 take 1 GPUs, but .* 0"),
        ({"classifiers": 3, "gpus_per_classifier": 0.5}, {"CPU": 8, "GPU": 1}, "take 1.5 GPUs, but the cluster has 1"),
    ],
)
def test_pools_that_do_not_fit_are_refused(given: dict[str, Any], resources: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pools(**given).fitted(resources, 100)
