"""`generations: k` stands for k stages."""

from tinyrefinery.recipe.load import load_recipe


def test_a_refined_stage_repeats_with_its_own_label_options(good):
    recipe = load_recipe(
        good,
        [
            "stages.alexnet.generations=3",
            "stages.alexnet.labels={name: refined, by: resnet50, level: image, hard: true}",
            "stages.alexnet.loss={name: l2}",
        ],
    )
    last = recipe.generations[2:]
    assert [stage.id for stage in recipe.generations] == [
        *("resnet50", "alexnet", "alexnet_2", "alexnet_3")
    ]
    assert [stage.labels.by for stage in last] == [("alexnet",), ("alexnet_2",)]
    assert all(stage.labels.level == "image" and stage.labels.hard for stage in last)
    assert all(stage.loss.name == "l2" and stage.generations == 1 for stage in last)


def test_a_plain_stage_is_refined_by_its_like(good):
    recipe = load_recipe(good, ["stages.resnet50.generations=2"])
    first, second = recipe.generations[:2]
    assert (first.labels.name, first.loss.name) == ("ground_truth", "cross_entropy")
    assert (second.labels.by, second.labels.level) == (("resnet50",), "crop")
    assert second.loss.name == "kl"


def test_later_stages_may_name_any_generation(good):
    overrides = ["stages.resnet50.generations=2", "stages.alexnet.labels.by=resnet50_2"]
    assert load_recipe(good, overrides).stages[1].labels.by == ("resnet50_2",)


def test_only_the_first_generation_maps_other_classes(good):
    mapped = "{name: refined, by: 'timm:resnet18', classes: {plate: cat, 1: dog}, least_mass: 0.2}"
    changes = ["stages.alexnet.generations=2", f"stages.alexnet.labels={mapped}"]
    first, second = load_recipe(good, changes).generations[1:]
    assert (first.labels.classes, first.labels.least_mass) == ({"plate": "cat", "1": "dog"}, 0.2)
    assert (second.labels.classes, second.labels.least_mass) == (None, 0.1)
