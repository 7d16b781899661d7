"""That what training records finds labels known to be wrong."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.recipe_files import write_tiny
from tinyrefinery import builders
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.evaluation.suspects import find_suspects
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe_run import Job
from tinyrefinery.run import run

STAGE = """
    model: {name: street_cnn, kwargs: {widths: [8, 16, 32]}}
    optimizer: {name: adamw, lr: 3.0e-3}
    schedule: {name: cosine}
    epochs: 15
    batch_size: 32
    evaluate_every: 15
"""
TEXT = f"""
title: wrong labels
data:
  source: {{name: street_numbers, train: 600, validation: 100, test: 0, digits: 1, width: 32,
    clutter: 0, noise: 0.02, wrong_labels: 0.15}}
  train_crop: {{name: inception, size: 16, area: [0.6, 1.0]}}
  flip: 0.0
  workers: 0
stages:
  - id: plain{STAGE}
  - id: refined
    labels: {{name: refined, by: plain}}{STAGE}
engine: {{threads: 1}}
chain: {{collapse: null}}
"""
SEEDS = 5


def found(tmp_path, seed):
    """By stage, the dynamics and which labels are wrong."""
    tmp_path.mkdir(exist_ok=True)
    recipe = load_recipe(write_tiny(tmp_path, TEXT), [f"seed={seed}", f"data.source.seed={seed}"])
    data = builders.dataset(recipe.data)
    run([Job(recipe)], tmp_path / "run", data=data)
    true = data.manifest.column("true_label")
    for place in sorted((tmp_path / "run" / "stages").iterdir()):
        dynamics = load_dynamics(place / "dynamics.parquet")
        wrong = dynamics["label"].to_numpy() != true[dynamics["row"].to_numpy()]
        yield json.loads((place / "stage.json").read_text())["id"], dynamics, wrong


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
