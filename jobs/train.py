"""Train a Keras digit model across Ray workers and save it as a model bundle."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mnist_batch.learning import recipe
from mnist_batch.learning.recipe import Recipe, Settings

from . import flags, session

DESCRIPTION = """\
Train a Keras digit model across Ray workers and save it as a model bundle.

  python -m jobs.train --model hidden --workers 2 --epochs 5 --out models/hidden
  python -m jobs.train --data my-scans --from shipped --out models/mine
  python -m jobs.train --data mnist --data numbers.parquet --weight 1 --weight 2 --out models/both

Models: linear, hidden, deep, dropout and cnn, from one dense layer to a convolutional net; scanned, a deeper
one for scans, which also refuses what is no digit; strided, another net for the same; quick, a small one;
ensemble, the average of two scanned and one strided, which are asked where quick is not sure.
Put your own scans (--data) into folders named 0 to 9, or into a Parquet file with the columns png (or image),
label and maybe writer and part. A sixth of them is held out to measure the accuracy: of each digit, or of the
writers; or all whose part is calibrate, while those of train are learned from.
With --from, training starts from a bundle that knows digits already, and some hundred scans are enough.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault, 75 another process makes the bundle."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, train, save the bundle; returns the exit code."""
    given = _parser().parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch import training  # after parsing: --help need not wait for Ray
        from mnist_batch.learning import fine_tuning, model_json

        start = None if given.start is None else fine_tuning.open_start(given.start)
        bundle = training.train(
            Recipe.completed(flags.given(given, Recipe), start.model if start else None),
            given.out,
            data=recipe.data_of(given.data or [], given.weight or []),
            start=start,
            connect=partial(session.connect, given.address),
            settings=Settings(**flags.given(given, Settings)),
        )
        print(model_json.text(bundle.facts))
        print(f"bundle: {bundle.location}")
        return {"model": bundle.location, "digest": bundle.digest, **model_json.summary(bundle.facts)}

    return session.run(work)


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.train", DESCRIPTION)
    what = arguments.add_argument_group("what to train, and where to")
    flags.add(what, Recipe, "model")
    what.add_argument(
        "--data",
        action="append",
        metavar="WHERE",
        help="your own scans: a folder of folders named by their digit, or a Parquet file of labelled pictures; or the "
        "word mnist for the embedded MNIST, which it is if left out; may be given again",
    )
    what.add_argument(
        "--weight",
        action="append",
        type=float,
        metavar="N",
        help="how often each digit of a --data is drawn in an epoch, such as 2 or 0.5; give one for each --data, in "
        "their order; 1 if left out",
    )
    what.add_argument(
        "--from",
        dest="start",
        metavar="BUNDLE",
        help="fine-tune: start from the weights of this model bundle, a path or URI, or the word shipped for the one "
        "that comes with the package; needs --data",
    )
    what.add_argument(
        "--out", required=True, metavar="FOLDER", help="where the bundle goes; a bundle that is there is replaced"
    )
    how = arguments.add_argument_group("how; all of it decides the weights")
    flags.add(how, Recipe, "epochs", "batch_size", "seed", "workers", "precision", "hold_out", "only_first")
    where = arguments.add_argument_group("on what")
    session.add_address(where)
    flags.add(where, Settings, "cpus_per_worker", "gpus_per_worker", "max_failures")
    return arguments


if __name__ == "__main__":
    session.leave(main)
