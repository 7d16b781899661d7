"""Tables 1 to 7 of Label Refinery: the paper's settings, and the same grid at every scale."""

import pytest

from tinyrefinery.cli.deep import build_networks
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import shipped_folder
from tinyrefinery.recipe.table import at_scale, load_table, table_rows

FOLDER = shipped_folder() / "label_refinery"
TABLES = {number: FOLDER / f"table{number}.yaml" for number in range(1, 8)}
SCALES = ("street", "cifar10", "imagenette", "tiny_imagenet")


def stages(recipe):
    """What a row trains, in order: id, what labels it, and how."""
    return [(s.id, s.labels.model_dump(exclude={"bn_group"}), s.loss) for s in recipe.stages]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("number", TABLES)
def test_a_scale_is_the_same_grid(number, scale):
    """The same rows train the same stages, labeled the same way, by the same loss."""
    path = TABLES[number]
    table = load_table(path)
    full = dict(table_rows(table, path, ["seed=0"]))
    small = dict(table_rows(at_scale(table, scale, path), path, ["seed=0"]))
    assert {row: stages(recipe) for row, recipe in small.items()} == {
        row: stages(recipe) for row, recipe in full.items() if row in small
    }
    assert full.keys() - small.keys() == table.scales[scale].without.keys()


@pytest.mark.parametrize("scale", SCALES)
def test_the_networks_of_a_scale_can_be_built(scale):
    assert build_networks([load_recipe(FOLDER / f"{scale}.yaml")], scale)


@pytest.mark.parametrize("scale", SCALES)
def test_rows_differ_in_labels_loss_or_network_alone(scale):
    """At a scale a plain network and the same one refined have all else in common."""
    of = {stage.id: stage for stage in load_recipe(FOLDER / f"{scale}.yaml").generations}
    for name in (n for n in of if n.endswith("_refined")):
        plain = of[name.removesuffix("_refined")]
        differs = {"id": name, "labels": of[name].labels, "loss": of[name].loss}
        assert plain.model_copy(update=differs) == of[name]


def test_imagenet_follows_the_paper_and_the_authors_code():
    recipe = load_recipe(FOLDER / "imagenet.yaml")
    crop = recipe.data.train_crop
    assert (crop.name, crop.size, crop.area) == ("inception", (224, 224), (0.08, 1.0))
    assert crop.aspect == pytest.approx((3 / 4, 4 / 3), abs=1e-4)
    assert (recipe.data.eval_crop.resize, recipe.data.flip) == (256, 0.5)
    further = [each for each in recipe.generations if each.init_from is not None]
    assert {each.id.rpartition("_")[2] for each in further} == {"jittered", "longer"}
    for stage in (each for each in recipe.generations if each.init_from is None):
        assert (stage.epochs, stage.schedule.at, stage.schedule.factor) == (200, (140, 170), 0.1)
        assert (stage.optimizer.name, stage.optimizer.momentum) == ("sgd", 0.9)
        assert not stage.optimizer.nesterov
        mobile = stage.id.startswith("mobilenet")
        assert stage.batch_size == (512 if mobile else 256)
        if stage.labels.name == "refined":
            # Four GPUs share a batch in the authors' code.
            assert stage.labels.bn_group == stage.batch_size // 4
    plain = (s for s in recipe.generations if s.init_from is None)
    assert {s.id: s.optimizer.lr for s in plain} == {
        s.id: 0.01 if s.model.name == "alexnet" else 0.1
        for s in recipe.generations
        if s.init_from is None
    }
    assert [s.id for s in recipe.generations if s.optimizer.weight_decay] == [
        *("resnet50", "resnet50_refined")
    ]
