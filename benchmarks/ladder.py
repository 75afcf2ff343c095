"""The accuracy of every model of the ladder on the MNIST test set, beside what its tutorial published.

    python -m benchmarks.ladder --seeds 1 2 3

Trains each model with each seed on two Ray workers, as jobs.train does, and prints the table of the README.
Results are kept in --results, a line of JSON a net; what is there already is not repeated. The members of an ensemble
are models of the ladder with a seed each, and count as such; --bundle takes them from a bundle that is trained.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks import json_lines
from jobs import session
from mnist_batch.learning.recipe import Recipe
from mnist_batch.models.ladder import LADDER
from mnist_batch.schemas.bundle_facts import BundleFacts

# Model, epochs, published test accuracies in per cent.
ROWS = (
    ("linear", 5, (92.41, 92.48, 92.57)),
    ("hidden", 5, (97.59, 97.70, 97.16)),
    ("hidden", 10, (97.79,)),
    ("deep", 10, (97.10,)),
    ("dropout", 10, (98.11,)),
    ("cnn", LADDER["cnn"].epochs, ()),
    ("scanned", LADDER["scanned"].epochs, ()),
    ("strided", LADDER["strided"].epochs, ()),
    ("ensemble", LADDER["ensemble"].epochs, ()),
)
OURS = {"cnn": 99.4, "scanned": 99.6, "strided": 99.6, "ensemble": 99.75}  # aimed at where nothing is published
TEST_DIGITS = 10_000


def main() -> None:
    """Train what is missing, then print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments.add_argument("--models", nargs="+", choices=LADDER, default=list(LADDER))
    arguments.add_argument("--results", type=Path, default=Path("benchmarks/ladder.jsonl"))
    arguments.add_argument("--bundle", type=Path, metavar="FOLDER", help="note the results of this one first")
    given = arguments.parse_args()
    if given.bundle:
        keep(given.results, results_of(json.loads((given.bundle / "model.json").read_text()), given.bundle))
    done = read(given.results)
    for model, epochs, _ in ROWS:
        for seed in given.seeds:
            if model in given.models and (model, epochs, seed) not in done:
                keep(given.results, measure(model, epochs, seed))
    print(table(read(given.results)))


def read(file: Path) -> dict[tuple[str, int, int], dict[str, float]]:
    """What has been measured: (model, epochs, seed) -> result."""
    return {(line["model"], line["epochs"], line["seed"]): line for line in json_lines.read(file)}


def keep(file: Path, results: list[dict[str, object]]) -> None:
    """Add results that the file has not yet."""
    done = read(file)
    for result in results:
        if (result["model"], result["epochs"], result["seed"]) not in done:
            json_lines.add(file, result)


def measure(model: str, epochs: int, seed: int) -> list[dict[str, object]]:
    """One training of its own, on two workers of one thread each."""
    session.connect(None)
    from mnist_batch import training

    precision = "bfloat16" if LADDER[model].augmented else "float32"
    chosen = {"model": model, "epochs": epochs, "workers": 2, "seed": seed, "precision": precision}
    recipe = Recipe.completed(chosen)
    with tempfile.TemporaryDirectory() as folder:
        results = results_of(training.train(recipe, f"{folder}/{model}").facts, Path(folder, model))
    print(json.dumps(results), flush=True)
    return results


def results_of(facts: BundleFacts, folder: Path) -> list[dict[str, object]]:
    """A line for a bundle, and one for each net of an ensemble, from its ``model.json`` and ``history.json``."""
    history = json.loads((folder / "history.json").read_text())
    recipe, test = facts.training, facts.test
    assert recipe is not None

    def result(model: str, seed: int, parameters: int, accuracy: float) -> dict[str, object]:
        seconds = mean(line["seconds"] for line in history if model == facts.architecture or line["seed"] == seed)
        shared = {"epochs": recipe.epochs, "seconds_an_epoch": round(seconds, 2)}
        return {"model": model, "seed": seed, "parameters": parameters, "test_accuracy": accuracy, **shared}

    whole = result(facts.architecture, recipe.seed, facts.parameters or 0, test.accuracy)
    if len(recipe.seeds) == 1:
        return [whole]
    members = zip(recipe.members, recipe.seeds, test.members, strict=True)
    return [whole, *(result(name, seed, parameters(name), own) for name, seed, own in members)]


def parameters(model: str) -> int:
    """How many weights a model of the ladder has."""
    return int(LADDER[model].build().count_params())


def table(done: dict[tuple[str, int, int], dict[str, float]]) -> str:
    """Markdown: mean and range over the seeds beside the published figures, and whether the mean reaches them."""
    lines = [
        "| model | epochs | parameters | test accuracy, mean of seeds | range | published | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, epochs, published in ROWS:
        runs = [result for (name, times, _), result in done.items() if (name, times) == (model, epochs)]
        if not runs:
            continue
        found = [100 * run["test_accuracy"] for run in runs]
        target = mean(published) if published else OURS[model]
        # Two standard errors of a share on 10,000 test digits.
        noise = 200 * ((target / 100) * (1 - target / 100) / TEST_DIGITS) ** 0.5
        figures = ", ".join(f"{figure:.2f}" for figure in published) or f"ours: at least {OURS[model]:g}"
        lines.append(
            f"| `{model}` | {epochs} | {int(runs[0]['parameters']):,} | **{mean(found):.2f}** ({len(found)}) "
            f"| {min(found):.2f} to {max(found):.2f} | {figures} "
            f"| {'yes' if mean(found) >= target - noise else 'no'} (within ±{noise:.2f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
