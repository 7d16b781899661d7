"""Stages that are trained in 8 bits."""

import pytest
import torch

from tests.execution.test_transfer import moved
from tests.recipe_files import TINY, write_tiny
from tests.running import go, stage_folder
from tinyrefinery import builders
from tinyrefinery.errors import RecipeError
from tinyrefinery.models.network_file import load_network
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.keys import _stage_facts, stage_keys

ROUNDED = """
  - id: rounded
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: plain}
    optimizer: {name: sgd, lr: 0.01}
    schedule: {name: cosine}
    epochs: 2
    batch_size: 16
    int8: true
    init_from: plain
"""


def test_a_stage_in_8_bits_keeps_weights_that_are_not_rounded(tmp_path):
    text = TINY.replace("engine:", ROUNDED.strip("\n") + "\nengine:")
    chain = go(tmp_path, text=text, overrides=["stages.refined=null"])
    network, start = chain["rounded"].network, stage_folder(tmp_path / "run", "plain")
    changed = moved(network, start / "model.safetensors")
    assert "fc.weight" in changed
    assert not {name for name in changed if "running" in name or "batches" in name}
    weights = network.state_dict()["fc.weight"]
    steps = weights / weights.abs().amax(dim=1, keepdim=True) * 127
    assert (steps - steps.round()).abs().max() > 0.1
    kept = load_network(stage_folder(tmp_path / "run", "rounded") / "model.safetensors")[0]
    assert torch.equal(kept.state_dict()["fc.weight"], weights)


def test_8_bits_need_weights_to_start_from_and_a_loss_of_logits(tmp_path):
    for lines, message in (
        (["stages.plain.int8=true"], "needs weights to start from"),
        (
            [f"stages.refined.{v}" for v in ("int8=true", "init_from=plain", "loss={name: bias}")],
            "set another loss",
        ),
    ):
        with pytest.raises(RecipeError, match=rf"int8: .*{message}"):
            load_recipe(write_tiny(tmp_path), lines)


def test_8_bits_are_part_of_the_key_and_others_keep_theirs(tmp_path):
    recipe = load_recipe(write_tiny(tmp_path))
    data = builders.dataset(recipe.data)
    raw = recipe.stages[0].model_copy(update={"int8": True, "init_from": None})
    changed = recipe.model_copy(update={"stages": (raw, recipe.stages[1])})
    assert stage_keys(recipe, data)["plain"] != stage_keys(changed, data)["plain"]
    assert "int8" not in _stage_facts(recipe.stages[0], data)
