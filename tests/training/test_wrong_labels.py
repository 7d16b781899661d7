"""That what training records finds labels known to be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tinyrefinery import builders
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.evaluation.likely_label_errors import find_suspects
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

RECIPE = Path(__file__).parents[2] / "benchmarks" / "wrong_labels.yaml"
SMALL = (
    *("data.source.train=600", "data.source.validation=100", "data.source.wrong_labels=0.15"),
    *("data.source.clutter=0", "data.source.noise=0.02"),
    *("data.train_crop.size=16", "data.train_crop.area=[0.6, 1.0]"),
    *(
        f"stages.{stage}.{change}"
        for stage in ("plain", "refined")
        for change in ("optimizer.lr=3.0e-3", "epochs=15", "batch_size=32", "evaluate_every=15")
    ),
)
SEEDS = 5


def found(tmp_path, seed):
    """By stage, the dynamics and which labels are wrong."""
    tmp_path.mkdir(exist_ok=True)
    recipe = load_recipe(RECIPE, [*SMALL, f"seed={seed}", f"data.source.seed={seed}"])
    data = builders.dataset(recipe.data)
    run([Job(recipe)], tmp_path / "run", data=data)
    true = data.manifest.column("true_label")
    for place in sorted((tmp_path / "run" / "stages").iterdir()):
        dynamics = load_dynamics(place / "dynamics.parquet")
        wrong = dynamics["label"].to_numpy() != true[dynamics["row"].to_numpy()]
        yield json.loads((place / "stage.json").read_text())["stage"], dynamics, wrong


def precisions(tmp_path, seed):
    """Average precision over chance (the share of wrong labels) of each measure."""
    ratios = {}
    for stage, dynamics, wrong in found(tmp_path, seed):
        scores = {"aum": -dynamics["aum"].to_numpy()}
        if stage == "refined":
            scores["disagreement"] = dynamics["disagreement"].to_numpy()
            scores["given_probability"] = -dynamics["given_probability"].to_numpy()
        for name, score in scores.items():
            ratios[f"{stage} {name}"] = average_precision_score(wrong, score) / wrong.mean()
        worst = find_suspects(dynamics)[:20]
        ratios[f"{stage} suspects"] = wrong[worst].mean() / wrong.mean()
    return ratios


def test_wrong_labels_are_found(tmp_path):
    ratios = precisions(tmp_path, 0)
    assert len(ratios) == 6
    for name, ratio in ratios.items():
        assert ratio > 2, f"{name}: {ratio:.2f} times chance"


@pytest.mark.slow
def test_wrong_labels_are_found_with_every_seed(tmp_path):
    every = [precisions(tmp_path / str(seed), seed) for seed in range(SEEDS)]
    for name in every[0]:
        ratios = np.array([each[name] for each in every])
        assert ratios.mean() - 2 * ratios.std(ddof=1) > 1.5, f"{name}: {ratios.round(2)}"
