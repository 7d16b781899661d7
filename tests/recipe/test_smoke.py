"""What `--smoke` makes of a recipe."""

from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.smoke import REFINER, changes, smoke


def test_a_smoke_recipe_is_small_and_needs_no_files(good):
    recipe = load_recipe(
        good,
        [
            "data.source={name: imagenet, root: /data}",
            "data.train_crop={name: pad, size: 224}",
            "data.eval_crop={name: center, size: 224, resize: 256}",
            "stages.alexnet.labels.by=['file:a', resnet50, 'timm:b']",
            "stages.alexnet.labels.bn_group=64",
            "stages.alexnet.model={name: alexnet, kwargs: {stem: imagenet}, weights: w}",
            "stages.alexnet.schedule={name: cosine, warmup: 5}",
            "stages.resnet50.model={name: 'timm:resnet18', kwargs: {pretrained: true}}",
            "stages.resnet50.init_from=file:w",
            "engine={device: cuda, devices: 8, precision: bf16, compile: true}",
        ],
    )
    small = smoke(recipe)
    source = small.data.source
    assert (source.name, source.train, source.validation, source.test) == (
        *("street_numbers", 64, 32, 32),
    )
    assert (source.height, source.width, source.channels, source.digits) == (32, 32, 3, 1)
    assert small.data.train_crop.size == small.data.eval_crop.size == (32, 32)
    assert small.data.eval_crop.resize == 37
    begun, stand_in, resnet, alexnet = small.stages
    assert stand_in.id == REFINER
    assert alexnet.labels.by == (REFINER, "resnet50")
    assert alexnet.labels.bn_group == 16
    assert alexnet.model.kwargs == {}
    assert alexnet.model.weights is None
    assert (begun.id, begun.model) == (resnet.init_from, resnet.model)
    assert resnet.model.name == "timm:resnet18"
    assert resnet.model.kwargs == {"pretrained": False}
    assert all(stage.epochs == 1 and stage.batch_size <= 16 for stage in small.stages)
    assert alexnet.schedule.warmup == 0.5
    assert (small.engine.device, small.engine.devices, small.engine.precision) == ("cpu", 1, "32")
    assert small.chain.collapse is None


def test_a_taxonomy_of_street_numbers_is_none(good):
    labels = "stages.alexnet.labels={name: taxonomy, wordnet: nowhere.zip}"
    assert smoke(load_recipe(good, [labels])).stages[1].labels.name == "label_smoothing"


def test_what_is_small_stays(good):
    recipe = load_recipe(good, ["data.train_crop.size=28", "stages.alexnet.batch_size=8"])
    small = smoke(recipe)
    assert small.data.train_crop.size == (28, 28)
    assert small.stages[1].batch_size == 8
    assert [stage.id for stage in small.stages] == ["resnet50", "alexnet"]
    assert smoke(small) == small


def test_changes_are_told(good):
    recipe = load_recipe(good)
    assert changes(recipe, recipe) == []
    told = changes(recipe, smoke(recipe))
    assert "stages.alexnet.epochs: 200 -> 1" in told
    assert "data.source.train: 6000 -> 64" in told
    assert "chain.collapse: {below_refiner: 0.25, near_chance: 0.1} -> null" in told
    assert not any("lr" in line for line in told)
