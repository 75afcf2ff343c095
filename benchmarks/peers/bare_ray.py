"""What Ray Data takes for nothing: its import, its start, an actor of each of two kinds, its end."""

import logging

import pyarrow as pa
import ray
import ray.data


class First:
    """Gives back what it is given, as the first of two kinds of actors."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        return batch


class Second(First):
    """The other kind."""


def main() -> None:
    """One row through both actors."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"row": 0}])
    for kind in (First, Second):
        rows = rows.map_batches(kind, compute=ray.data.ActorPoolStrategy(size=1), batch_format="pyarrow")
    rows.materialize()


if __name__ == "__main__":
    main()
