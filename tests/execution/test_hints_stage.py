"""Stages whose students follow the features of their refiner."""

import pytest
from safetensors.torch import load_file
from torch import nn

from tests.recipe_files import TINY, write_tiny
from tests.running import go, stage_folder, weights
from tinyrefinery import builders
from tinyrefinery.builders import FrozenNetwork
from tinyrefinery.errors import RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.image_network import ImageNetwork
from tinyrefinery.recipe.load import dump, load_recipe
from tinyrefinery.runs.keys import stage_keys

WIDER = TINY.replace("widths: [4, 8]}}\n    labels", "widths: [4, 6]}}\n    labels")
HINTS = "stages.refined.hints={weight: 0.5}"


SHORT = ["stages.plain.epochs=1", "stages.refined.epochs=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of two runs: without hints and with them."""
    place = tmp_path_factory.mktemp("hints")
    go(place, "without", SHORT, text=WIDER)
    go(place, "with", [HINTS, *SHORT], text=WIDER)
    return place


def test_hints_change_the_weights_and_not_the_network(folder):
    assert weights(folder / "with", "refined") != weights(folder / "without", "refined")
    assert weights(folder / "with", "plain") == weights(folder / "without", "plain")
    one, other = (
        load_file(stage_folder(folder / name, "refined") / "model.safetensors")
        for name in ("with", "without")
    )
    assert {name: t.shape for name, t in one.items()} == {
        name: t.shape for name, t in other.items()
    }


def test_a_recipe_without_hints_stays_as_it_was(tmp_path):
    path = write_tiny(tmp_path)
    recipe, changed = load_recipe(path), load_recipe(path, [HINTS])
    assert "hints" not in dump(recipe)
    assert "hints" in dump(changed)
    assert load_recipe(path, ["stages.refined.hints=null"]) == recipe
    data = builders.dataset(recipe.data)
    keys, others = stage_keys(recipe, data), stage_keys(changed, data)
    assert keys["plain"] == others["plain"]
    assert keys["refined"] != others["refined"]
    assert builders.describe_labels(changed.stages[1]) == "plain (hints)"


def test_a_refiner_from_a_file_at_its_own_size(folder, tmp_path):
    file = stage_folder(folder / "with", "plain") / "model.safetensors"
    changes = ["stages.plain=null", f"stages.refined.labels.by={file}", *SHORT[1:]]
    changes += ["data.train_crop.size=12", "data.eval_crop.size=12"]
    go(tmp_path, "run", [*changes, "stages.refined.hints={of: pooled}"])
    assert (stage_folder(tmp_path / "run", "refined") / "done.json").exists()


class Column(ImageNetwork):
    """Its features are tokens without a place, as `TimmNetwork` gives them."""

    def forward_features(self, x):
        return x.flatten(2)[..., None]


def test_features_that_can_not_be_compared_are_refused(tmp_path):
    recipe = load_recipe(write_tiny(tmp_path), [HINTS, "stages.refined.labels.by=timm:vit"])
    pooled = load_recipe(
        write_tiny(tmp_path),
        ["stages.refined.hints={of: pooled}", "stages.refined.labels.by=timm:vit"],
    )
    data = builders.dataset(recipe.data)

    def channels(recipe, network):
        frozen = FrozenNetwork(network, (0.5,), (0.5,), data.classes, (20, 20))
        return builders.feature_channels(recipe.stages[1], frozen, data, recipe)

    with pytest.raises(
        RecipeError,
        match=r"refined\.hints\.of: the features of 'timm:vit' are 400 tokens .* pooled",
    ):
        channels(recipe, Column())
    assert channels(pooled, Column()) == (8, 1)
    with pytest.raises(
        RecipeError, match=r"refined\.hints: 'timm:vit' gives no features.*hints: null"
    ):
        channels(recipe, nn.Linear(1, 1))
    assert channels(recipe, create("resnet8", 10, size=(20, 20), channels=1)) == (8, 64)


REFUSED = {
    "labels={name: ground_truth}": r"labels \(ground_truth\) come without a refiner",
    "labels.level=image": "labels of level 'image' are made once a stage",
    "labels.store={}": r"stored labels come without features; write labels\.store: null",
    "labels.by=[plain, file:a.safetensors]": r"2 refiners \(plain, file:a.safetensors\) have no",
    "labels.by=a/b.onnx": "'file:a/b.onnx' gives no features, since PyTorch doesn't run it",
    "labels.by=b.TFLITE": "'file:b.TFLITE' gives no features",
    "labels.by=https://host/v2/models/m/infer": "gives no features",
    "jitter={}": r"jittered crops are labeled without features; write jitter: null",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_has_no_features_is_refused(tmp_path, change):
    more = ["stages.refined.loss={name: kl}"] if "ground_truth" not in change else []
    with pytest.raises(RecipeError, match=rf"stages\.refined\.hints: .*{REFUSED[change]}") as told:
        load_recipe(write_tiny(tmp_path), [HINTS, f"stages.refined.{change}", *more])
    assert str(told.value).endswith(", or hints: null")


def test_8_bits_are_refused(tmp_path):
    changes = [HINTS, "stages.refined.int8=true", "stages.refined.init_from=plain"]
    with pytest.raises(RecipeError, match=r"refined\.hints: rounded networks give no features"):
        load_recipe(write_tiny(tmp_path), changes)


@pytest.mark.parametrize(
    "change", ["hints={weight: -1}", "hints={weight: .inf}", "hints={at: map}"]
)
def test_bad_options(tmp_path, change):
    with pytest.raises(RecipeError, match=r"stages\.refined\.hints"):
        load_recipe(write_tiny(tmp_path), [f"stages.refined.{change}"])
