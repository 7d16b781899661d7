"""Binary networks as stages: two steps, stored labels, bfloat16, export."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.recipe_files import write_tiny
from tests.running import stage_folder
from tinyrefinery import export
from tinyrefinery.errors import RecipeError
from tinyrefinery.execution.execute import run
from tinyrefinery.layers.binary import Quantized
from tinyrefinery.networks.opening import open_network
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.plan import Job

TWO_STEPS = """
title: binary inputs first, then binary weights
data:
  source: {name: street_numbers, train: 96, validation: 40, test: 40, digits: 1, width: 32}
  train_crop: {name: inception, size: 16, area: [0.8, 1.0]}
  flip: 0.0
  workers: 0
stages:
  - id: inputs
    model: {name: bireal_small, kwargs: {widths: [16, 32], depth: 1, weights: float}}
    optimizer: {name: adam, lr: 0.01}
    schedule: {name: cosine}
    epochs: 2
    batch_size: 16
  - id: both
    model: {name: bireal_small, kwargs: {widths: [16, 32], depth: 1}}
    init_from: inputs
    labels: {name: refined, by: inputs, store: {}}
    optimizer: {name: adam, lr: 1.0e-9}      # so that it ends where it started
    schedule: {name: cosine}
    epochs: 1
    batch_size: 16
  - id: lookup
    model: {name: resnet8_lcnn, kwargs: {words: 8, sparsity: 0.5}}
    labels: {name: refined, by: inputs, store: {}}
    optimizer: {name: adam, lr: 0.01}
    schedule: {name: cosine}
    epochs: 1
    batch_size: 16
engine: {threads: 1, precision: bf16}
chain: {collapse: null}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("binary")
    run([Job(load_recipe(write_tiny(place, TWO_STEPS)))], place / "run")
    return place / "run"


def weights(folder, stage):
    return open_network(stage_folder(folder, stage)).load().state_dict()


def test_the_second_step_starts_from_the_weights_of_the_first(folder):
    first, second = weights(folder, "inputs"), weights(folder, "both")
    names = [name for name in first if name.endswith("conv.weight")]
    assert len(names) > 4
    for name in names:
        torch.testing.assert_close(second[name], first[name], atol=1e-6, rtol=0)
    network = open_network(stage_folder(folder, "both")).load()
    assert [m.is_binary for m in network.modules() if isinstance(m, Quantized)] == [True, True]
    assert list((folder / "labels").glob("*"))


@pytest.mark.parametrize("stage", ["both", "lookup"])
def test_onnx_predicts_what_the_network_predicts(folder, stage, tmp_path):
    (done,) = export(stage_folder(folder, stage), folder=tmp_path)
    assert done.parity.verdict == "PASS"
    constants = [numpy_helper.to_array(each) for each in onnx.load(done.path).graph.initializer]
    binary = [w for w in constants if w.ndim == 4 and set(np.unique(w)) == {-1.0, 1.0}]
    assert [w.shape[0] for w in binary] == ([16, 32] if stage == "both" else [])


def test_other_shapes_and_int8_are_refused(tmp_path):
    path = write_tiny(tmp_path, TWO_STEPS)
    with pytest.raises(RecipeError, match=r"weights of 'inputs'.*don't fit"):
        load_recipe(path, ["stages.both.model.kwargs.depth=2"])
    recipe = load_recipe(path, ["stages.both.int8=true"])
    with pytest.raises(RecipeError, match=r"both\.int8: bireal_small can't be traced"):
        run([Job(recipe)], tmp_path / "run")


def test_the_evaluation_tells_binary_products(folder):
    """3x3 convolutions of 16 channels on 8x8 maps, and of 32 on 4x4."""
    cost = {
        stage: json.loads((stage_folder(folder, stage) / "evaluation.json").read_text())["cost"]
        for stage in ("inputs", "both")
    }
    assert cost["both"]["binary_macs"] == 9 * 16**2 * 8**2 + 9 * 32**2 * 4**2
    assert cost["both"]["macs"] == cost["inputs"]["macs"] > cost["both"]["binary_macs"]
    assert "binary_macs" not in cost["inputs"]
