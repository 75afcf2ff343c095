"""Train a Keras digit model across Ray workers and save it as a model bundle."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mnist_batch.models import LADDER, PRECISIONS

from . import session

DESCRIPTION = """\
Train a Keras digit model across Ray workers and save it as a model bundle.

  python -m jobs.train --model hidden --workers 2 --epochs 5 --out models/hidden

Models: linear, hidden, deep, dropout and cnn, from one dense layer to a convolutional net; scanned, a deeper one that
learns from digits as scanners see them and from what is no digit; strided, another net for the same; ensemble, three
of those averaged.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, train, save the bundle; returns the exit code."""
    arguments = session.parser("jobs.train", DESCRIPTION)
    arguments.add_argument("--model", choices=LADDER, default="hidden", help="which model of the ladder")
    arguments.add_argument(
        "--out", required=True, metavar="FOLDER", help="where the bundle goes; one that is there is replaced"
    )
    arguments.add_argument(
        "--data",
        metavar="FOLDER",
        help="labelled scans, each in a folder 0 to 9; the embedded MNIST if left out",
    )
    arguments.add_argument(
        "--epochs", type=int, metavar="N", help="times through the digits; the model's own if left out"
    )
    arguments.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="digits a step, over all workers; the model's own if left out",
    )
    arguments.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the same seed and workers give the same weights"
    )
    arguments.add_argument(
        "--workers", type=int, default=2, metavar="N", help="Ray workers, each with its share of the digits"
    )
    arguments.add_argument(
        "--cpus-per-worker", type=int, default=1, metavar="N", help="CPUs and threads of each worker"
    )
    arguments.add_argument(
        "--gpus-per-worker", type=float, default=0, metavar="N", help="GPUs of each worker, such as 1"
    )
    arguments.add_argument(
        "--max-failures",
        type=int,
        default=2,
        metavar="N",
        help="times that training goes on after a worker died",
    )
    arguments.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="what layers compute in; in bfloat16 convolutions learn twice as fast where the processor has AMX",
    )
    session.add_address(arguments)
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch import locations, training  # after parsing: --help need not wait

        architecture = LADDER[given.model]
        recipe = training.Recipe(
            model=given.model,
            epochs=architecture.epochs if given.epochs is None else given.epochs,
            batch_size=architecture.batch_size if given.batch_size is None else given.batch_size,
            workers=given.workers,
            seed=given.seed,
            precision=given.precision,
        )
        session.connect(given.address)
        bundle = training.train(
            recipe,
            given.out,
            data=given.data,
            cpus_per_worker=given.cpus_per_worker,
            gpus_per_worker=given.gpus_per_worker,
            max_failures=given.max_failures,
        )
        accuracy = bundle.info["test"]["accuracy"]
        print(f"{given.model}: MNIST test accuracy {100 * accuracy:.2f} %, bundle at {bundle.location}")
        return {
            "model": locations.absolute(given.out),
            "digest": bundle.digest,
            "test_accuracy": accuracy,
            "validation_accuracy": bundle.info["validation"]["accuracy"],
        }

    return session.run(work)


if __name__ == "__main__":
    sys.exit(main())
