"""How many actors read and classify, and the share of a CPU each takes."""

from mnist_batch.errors import InputError

# Two actors on two CPUs have to leave room for the task that writes a part, or Ray Data waits for ever.
CPUS_PER_ACTOR = 0.9
CPUS_PER_WRITE = 0.1


def pool_sizes(preprocessors: int | None, classifiers: int | None, cpus: float, shards: int) -> tuple[int, int]:
    """How many actors of each kind, at most one a shard: half of the CPUs each unless given.

    Raises InputError where they would leave no room for the tasks that write.
    """
    half = max(1, int(cpus) // 2)
    chosen = {
        "--preprocessors": preprocessors or half,
        "--classifiers": classifiers or max(half, int(cpus) - half),
    }
    for flag, value in zip(chosen, (preprocessors, classifiers), strict=True):
        if value is not None and value < 1:
            raise InputError(f"{flag} is {value}; it has to be at least 1")
    sizes = [min(value, shards) for value in chosen.values()]
    needed = sum(sizes) * CPUS_PER_ACTOR + CPUS_PER_WRITE
    if needed > cpus:
        raise InputError(
            f"--preprocessors {sizes[0]} and --classifiers {sizes[1]} take {needed:.1f} CPUs with the tasks that "
            f"write, but the cluster has {cpus:g}; lower them, or add CPUs (at least 2)"
        )
    return sizes[0], sizes[1]
