"""Binary networks as stages: they learn, in two steps, from stored labels and with every loss."""

import json

import numpy as np
import pytest

from tests.recipe_files import write_tiny
from tests.running import stage_folder
from tinyrefinery.execution.execute import run
from tinyrefinery.layers.binary import BinaryConv2d
from tinyrefinery.networks.opening import open_network
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

# Three digits, to be told apart in a few seconds. Chance is one third.
TWO_STEPS = """
title: binary inputs first, then binary weights
data:
  source: {name: street_numbers, train: 384, validation: 60, test: 60, digits: 1, width: 32}
  train_crop: {name: inception, size: 16, area: [0.8, 1.0]}
  flip: 0.0
  workers: 0
stages:
  - id: inputs
    model: {name: bireal_small, kwargs: {widths: [16, 32], depth: 1, weights: float}}
    optimizer: {name: adam, lr: 0.01, weight_decay: 1.0e-4}
    schedule: {name: cosine}
    epochs: 8
    batch_size: 32
  - id: both
    model: {name: bireal_small, kwargs: {widths: [16, 32], depth: 1}}
    init_from: inputs
    labels: {name: refined, by: inputs, store: {}}
    optimizer: {name: adam, lr: 0.003, weight_decay: 1.0e-4}
    schedule: {name: cosine}
    epochs: 4
    batch_size: 32
engine: {threads: 1}
chain: {collapse: null}
"""


def measured(folder, stage):
    lines = (stage_folder(folder, stage) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("binary")
    return run([Job(load_recipe(write_tiny(folder, TWO_STEPS)))], folder / "run")[0]


def test_both_steps_learn(trained):
    print([r["train_top1"] for s in ("inputs", "both") for r in measured(trained, s)])
    assert 0, trained
