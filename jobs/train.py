"""Train a Keras digit model across Ray workers and save it as a model bundle."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mnist_batch.learning.recipe import Recipe, Settings
from mnist_batch.models.ladder import FINE_TUNED_EPOCHS, LADDER, PRECISIONS

from . import session

DESCRIPTION = """\
Train a Keras digit model across Ray workers and save it as a model bundle.

  python -m jobs.train --model hidden --workers 2 --epochs 5 --out models/hidden
  python -m jobs.train --data my-scans --from shipped --out models/mine

Models: linear, hidden, deep, dropout and cnn, from one dense layer to a convolutional net; scanned, a deeper
one for scans, which also refuses what is no digit; strided, another net for the same; ensemble, the average
of two scanned and one strided.
Put your own scans (--data) into folders named 0 to 9. A sixth of them is held out to measure the accuracy.
With --from, training starts from a bundle that knows digits already, and some hundred scans are enough.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, train, save the bundle; returns the exit code."""
    given = _parser().parse_args(argv)

    def work() -> Mapping[str, Any]:
        # After parsing: --help need not wait for Ray.
        from mnist_batch import training
        from mnist_batch.learning import fine_tuning, model_json

        start = None if given.start is None else fine_tuning.open_start(given.start)
        chosen = {name: getattr(given, name) for name in Recipe.__dataclass_fields__}
        recipe = Recipe.completed(chosen, start.model if start else None)
        settings = Settings(**{name: getattr(given, name) for name in Settings.__dataclass_fields__})
        bundle = training.train(
            recipe,
            given.out,
            data=given.data,
            start=start,
            connect=partial(session.connect, given.address),
            settings=settings,
        )
        print(model_json.text(bundle.facts))
        print(f"bundle: {bundle.location}")
        return {"model": bundle.location, "digest": bundle.digest, **model_json.summary(bundle.facts)}

    return session.run(work)


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.train", DESCRIPTION)
    arguments.add_argument(
        "--model",
        choices=LADDER,
        help=f"which model of the ladder; {Recipe.model} if left out, and with --from the bundle's",
    )
    arguments.add_argument(
        "--out", required=True, metavar="FOLDER", help="where the bundle goes; a bundle that is there is replaced"
    )
    arguments.add_argument(
        "--data",
        metavar="FOLDER",
        help="your own scans, each in a folder named by its digit; the embedded MNIST if left out",
    )
    arguments.add_argument(
        "--from",
        dest="start",
        metavar="BUNDLE",
        help="fine-tune: start from the weights of this model bundle, a path or URI, or the word shipped for the one "
        "that comes with the package; needs --data",
    )
    arguments.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"passes over the digits; the model's own number if left out, with --from {FINE_TUNED_EPOCHS}",
    )
    arguments.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="digits a step, over all workers; the model's own if left out",
    )
    arguments.add_argument(
        "--seed",
        type=int,
        default=Recipe.seed,
        metavar="N",
        help="the same seed and number of workers give the same weights",
    )
    arguments.add_argument(
        "--workers",
        type=int,
        default=Recipe.workers,
        metavar="N",
        help="Ray workers, each with its share of the digits",
    )
    arguments.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=Recipe.precision,
        help="what layers compute in; in bfloat16 convolutions train twice as fast where the processor has AMX",
    )
    arguments.add_argument(
        "--cpus-per-worker",
        type=int,
        default=Settings.cpus_per_worker,
        metavar="N",
        help="CPUs and threads of each worker",
    )
    arguments.add_argument(
        "--gpus-per-worker",
        type=float,
        default=Settings.gpus_per_worker,
        metavar="N",
        help="GPUs of each worker, such as 1",
    )
    arguments.add_argument(
        "--max-failures",
        type=int,
        default=Settings.max_failures,
        metavar="N",
        help="how many dead workers are replaced before training gives up",
    )
    session.add_address(arguments)
    return arguments


if __name__ == "__main__":
    session.leave(main)
