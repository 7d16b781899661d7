"""How well a training finds wrong labels: street numbers, a tenth of whose labels are wrong.

Writes docs/results/wrong_labels.csv: one line a seed, stage and measure.
"""

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score
from timing import quick

from tinyrefinery import builders
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.evaluation.likely_label_errors import find_suspects
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "wrong_labels.csv"
SEEDS, FIRST = 5, 20
RECIPE = Path(__file__).with_suffix(".yaml")
SCORES = {
    "aum": ("aum", -1),
    "forgetting": ("forgetting", 1),
    "disagreement": ("disagreement", 1),
    "given_probability": ("given_probability", -1),
}
"""Measure -> column, and the sign that makes a suspect large."""


def one(folder: Path, seed: int, epochs: int) -> Iterator[tuple[str, str, float]]:
    """Stage, measure and value for one seed of data and training."""
    change = [f"seed={seed}", f"data.source.seed={seed}"]
    for stage in ("plain", "refined"):
        change += [f"stages.{stage}.{k}={epochs}" for k in ("epochs", "evaluate_every")]
    recipe = load_recipe(RECIPE, change)
    data = builders.dataset(recipe.data)
    (chain,) = run([Job(recipe)], folder / "run", data=data)
    true = data.manifest.column("true_label")
    for generation in chain.generations:
        (path,) = folder.glob(f"run/stages/{generation.id}-*/dynamics.parquet")
        dynamics = load_dynamics(path)
        wrong = dynamics["label"].to_numpy() != true[dynamics["row"].to_numpy()]
        listed = wrong[find_suspects(dynamics)]
        yield generation.id, "validation top-1", generation.evaluation["validation"]["top1"]
        yield generation.id, "share of wrong labels", float(wrong.mean())
        for measure, (column, sign) in SCORES.items():
            if generation.id == "refined" or column in ("aum", "forgetting"):
                values = sign * dynamics[column].to_numpy().astype(np.float64)
                yield generation.id, measure, float(average_precision_score(wrong, values))
        yield generation.id, "lines listed", float(len(listed))
        yield generation.id, "wrong ones listed", float(listed.sum() / wrong.sum())
        yield generation.id, f"wrong of the first {FIRST}", float(listed[:FIRST].mean())


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    lines = []
    for seed in range(1, 2 if short else SEEDS + 1):
        with tempfile.TemporaryDirectory() as folder:
            for stage, measure, value in one(Path(folder), seed, 1 if short else 25):
                print(f"seed {seed}  {stage:8} {measure:24} {value:.4g}", flush=True)
                lines.append([seed, stage, measure, f"{value:.6g}"])
    if not short:
        with RESULTS.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([["seed", "stage", "measure", "value"], *lines])


if __name__ == "__main__":
    main()
