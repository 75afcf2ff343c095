"""Train a Keras digit model across Ray workers and save it as a model bundle."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mnist_batch.models.ladder import FINE_TUNED_EPOCHS, LADDER, PRECISIONS

from . import session

if TYPE_CHECKING:
    from mnist_batch.models.bundle import Bundle

DESCRIPTION = """\
Train a Keras digit model across Ray workers and save it as a model bundle.

  python -m jobs.train --model hidden --workers 2 --epochs 5 --out models/hidden
  python -m jobs.train --data my-scans --from shipped --out models/mine

Models: linear, hidden, deep, dropout and cnn, from one dense layer to a convolutional net; scanned, a deeper one that
learns from digits as scanners see them and from what is no digit; strided, another net for the same; ensemble, three
of those averaged.
Scans of your own (--data) lie in folders named 0 to 9. A sixth of them is held out, and the accuracy told is that on
them. With --from a bundle that knows digits already is fine-tuned, for which some hundred scans are enough.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


DEFAULT_MODEL = "hidden"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, train, save the bundle; returns the exit code."""
    arguments = session.parser("jobs.train", DESCRIPTION)
    arguments.add_argument(
        "--model",
        choices=LADDER,
        help=f"which model of the ladder; {DEFAULT_MODEL} if left out, and with --from the bundle's",
    )
    arguments.add_argument(
        "--out", required=True, metavar="FOLDER", help="where the bundle goes; one that is there is replaced"
    )
    arguments.add_argument(
        "--data",
        metavar="FOLDER",
        help="labelled scans, each in a folder 0 to 9; the embedded MNIST if left out",
    )
    arguments.add_argument(
        "--from",
        dest="start",
        metavar="BUNDLE",
        help="fine-tune: begin with the weights of this model bundle, by path or URI, or of the one that comes with "
        "the package by the word shipped; needs --data",
    )
    arguments.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"times through the digits; the model's own if left out, with --from {FINE_TUNED_EPOCHS}",
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
        from mnist_batch import training
        from mnist_batch.learning import fine_tuning, recipe  # after parsing: --help need not wait

        start = None if given.start is None else fine_tuning.open_start(given.start)
        model = given.model or (start.model if start else DEFAULT_MODEL)
        epochs = FINE_TUNED_EPOCHS if start else LADDER[model].epochs
        chosen = recipe.Recipe(
            model=model,
            epochs=epochs if given.epochs is None else given.epochs,
            batch_size=LADDER[model].batch_size if given.batch_size is None else given.batch_size,
            workers=given.workers,
            seed=given.seed,
            precision=given.precision,
        )
        bundle = training.train(
            chosen,
            given.out,
            data=given.data,
            start=start,
            connect=partial(session.connect, given.address),
            cpus_per_worker=given.cpus_per_worker,
            gpus_per_worker=given.gpus_per_worker,
            max_failures=given.max_failures,
        )
        return told(bundle)

    return session.run(work)


def told(bundle: "Bundle") -> dict[str, Any]:
    """Print what a trained bundle is worth, and return the facts for the last line."""
    from mnist_batch.learning import validating

    info = bundle.info
    test, found = info["test"]["accuracy"], info["validation"]
    facts = {"model": bundle.location, "digest": bundle.digest, "validation_accuracy": found["accuracy"]}
    if "scans" not in info:
        print(f"{info['architecture']}: MNIST test accuracy {100 * test:.2f} %, bundle at {bundle.location}")
        return {**facts, "test_accuracy": test}
    print(validating.text(info))
    print(f"bundle: {bundle.location}")
    facts |= {f"validation_{name}": found[name] for name in ("digits", "correct", "refused", "low", "high")}
    if "before" in found:
        facts["validation_accuracy_before"] = found["before"]["accuracy"]
    return {**facts, "test_accuracy": test}


if __name__ == "__main__":
    session.leave(main)
