"""The Python interface on a small data set."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinyrefinery as tr
from tests.data.pictures import picture, write
from tests.data.scenes import stripes
from tests.recipe_files import write_tiny
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.runs.run_folder import open_run

SMALL = {"name": "street_cnn", "kwargs": {"widths": [4, 8]}}


def test_refine_hands_labels_on(tmp_path):
    data = stripes()
    chain = tr.refine(
        data, [SMALL, SMALL], epochs=2, batch_size=16, flip=0.0, folder=tmp_path / "run"
    )
    assert [each.id for each in chain.generations] == ["street_cnn", "street_cnn_g2"]
    assert chain[-1].refined_by == ("street_cnn",)
    assert 0 <= chain[-1].evaluation["test"]["top1"] <= 1
    again = tr.refine(
        data, [SMALL, SMALL], epochs=2, batch_size=16, flip=0.0, folder=tmp_path / "run"
    )
    assert len(again) == 2


def test_refine_tells_what_is_wrong(tmp_path):
    with pytest.raises(RecipeError, match=r"labels.*tempreature.*did you mean 'temperature'"):
        tr.refine(stripes(), [SMALL, SMALL], labels={"tempreature": 2}, folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: tr.refine("photos/", ["resnet8"]), r"open_data\('folder', root='photos/'\)"),
        (lambda data: tr.refine(None, ["resnet8"]), "refine: data is None, not a dataset"),
        (lambda data: tr.fine_tune("photos/", "n.safetensors"), "fine_tune: data is of type str"),
        (lambda data: tr.refine(data, "resnet8"), r"models is 'resnet8'. Give a list"),
        (lambda data: tr.refine(data, None), "models is None. Give a list"),
        (lambda data: tr.refine(data, [{}]), r"models\[0\] is \{\}. Give a name"),
        (lambda data: tr.train("starter/cifar10", seeds=0), "seeds is 0.*at least 1"),
        (lambda data: tr.train("starter/cifar10", data="photos/"), "train: data is of type str"),
        (lambda data: tr.train(None), "train: recipe is None"),
        (lambda data: tr.open_data("folder", root=None), "root: should be a valid string"),
        (lambda data: tr.train("starter/cifar10", seeds="2"), "seeds is '2'.*at least 1"),
        (lambda data: tr.train("starter/cifar10", seeds=1.5), "seeds is 1.5.*at least 1"),
        (lambda data: tr.refine(data, ["resnet8"], labels="hard"), "labels is 'hard'. Give a map"),
        (
            lambda data: tr.refine(data, ["resnet8"], labels={"hard": True, "lvl": 1}, store="s"),
            r"labels\['hard'\], labels\['lvl'\], store have no effect with one model",
        ),
        (lambda data: tr.refine(data, ["resnet8"], store="s"), "refine: store has no effect with"),
        (
            lambda data: tr.refine(data, ["resnet8"] * 2, labels={"store": "a"}, store="b"),
            "store is given twice",
        ),
        (lambda data: tr.refine(data, ["resnet8"], folder=5), "folder is of type int"),
        (lambda data: tr.open_data(None), r"None is not the name of a source. Write open_data\("),
        (lambda data: tr.open_data({"name": "folder"}), "is not the name of a source"),
        (lambda data: tr.fit(None), "fit: pictures is None"),
        (lambda data: tr.predict("x", None), "predict: pictures is None. Give files, folders"),
        (lambda data: tr.predict("x", "y", classes=["a"]), "at least two names"),
        (lambda data: tr.predict("x", "y", classes="ab"), "at least two names"),
        (lambda data: tr.predict("x", "y", size=-3), "size is -3. Give pixels, at least 1"),
    ],
)
def test_wrong_arguments_get_one_message(call, message):
    data = tr.open_data("street_numbers", train=12, validation=4, test=4, digits=1)
    with pytest.raises(tr.RefineryError, match=message):
        call(data)


def test_a_folder_is_not_a_network_file(tmp_path):
    with pytest.raises(tr.RefineryError, match="is a folder"):
        tr.load_network(tmp_path)


def test_fine_tune_takes_a_network_file(tmp_path):
    def of(run):
        (found,) = (tmp_path / run).glob("stages/*/model.safetensors")
        return found

    common = {"epochs": 1, "batch_size": 16, "flip": 0.0}
    tr.refine(stripes(), [SMALL], **common, folder=tmp_path / "first")
    chain = tr.fine_tune(stripes(), of("first"), freeze=1, **common, folder=tmp_path / "second")
    ours, theirs = chain[-1].network.state_dict(), tr.load_network(of("first"))[0].state_dict()
    same = {name for name in ours if ours[name].equal(theirs[name])}
    assert same == {name for name in ours if name.startswith("stages.0.")}
    with pytest.raises(RecipeError, match="no part 'stem' with weights"):
        tr.fine_tune(stripes(), of("first"), freeze=["stem"], folder=tmp_path / "third")


def test_fine_tune_takes_a_run_folder(tmp_path):
    common = {"epochs": 1, "batch_size": 16, "flip": 0.0}
    tr.refine(stripes(), [SMALL], **common, folder=tmp_path / "first")
    tr.fine_tune(stripes(), tmp_path / "first", **common, folder=tmp_path / "second")
    (stage,) = open_run(tmp_path / "second").stages
    (first,) = open_run(tmp_path / "first").stages
    assert stage.outside == (f"file:{first.network}",)
    with pytest.raises(DataError, match="can't be fine-tuned"):
        tr.fine_tune(stripes(), "timm:resnet18", **common, folder=tmp_path / "third")


def test_train_takes_a_file(tmp_path):
    recipe = write_tiny(tmp_path)
    chains = tr.train(recipe, ["stages.refined.epochs=1"], seeds=2, folder=tmp_path / "run")
    assert len(chains) == 2
    assert [each.id for each in chains[0].generations] == ["plain", "refined"]


def test_every_public_name_is_there():
    for name in tr.__all__:
        assert getattr(tr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tr.nothing  # noqa: B018


def test_type_checkers_see_the_same_names():
    """The imports for type checkers name what `_HOME` loads, from the same modules."""
    block = next(
        node for node in ast.parse(Path(tr.__file__).read_text()).body if isinstance(node, ast.If)
    )
    imported = {
        each.asname or each.name: f"{node.module}:{each.name}"
        for node in block.body
        for each in node.names
    }
    assert imported == tr._HOME
    assert tr.__all__ == sorted(imported)


def test_importing_costs_no_torch():
    code = "import tinyrefinery, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_refine_has_the_defaults_of_the_starter_recipe(tmp_path, monkeypatch):
    from tinyrefinery import api
    from tinyrefinery.recipe.load import load_recipe
    from tinyrefinery.recipe.shipped import locate

    trained = []
    monkeypatch.setattr(api, "train", lambda recipe, **_: trained.append(recipe) or [None])
    tr.refine(stripes(), ["resnet8", "resnet8"])
    (ours,), starter = trained, load_recipe(locate("starter/folder"))
    plain = starter.generations[0]
    for stage in ours.generations:
        for name in ("optimizer", "schedule", "epochs", "batch_size"):
            assert getattr(stage, name) == getattr(plain, name), name
    assert ours.data.train_crop.area == starter.data.train_crop.area == (0.35, 1.0)
    assert ours.data.flip == starter.data.flip
    tr.refine(stripes(), ["resnet8"], epochs=2, lr=0.3, area=(0.08, 1), batch_size=16)
    changed = trained[1].generations[0]
    assert (changed.epochs, changed.optimizer.lr, changed.batch_size) == (2, 0.3, 16)
    assert changed.schedule.warmup == 0.2
    assert trained[1].data.train_crop.area == (0.08, 1.0)


@pytest.mark.parametrize(
    ("validation", "remedy"),
    [(0.1, "too few training images to split it off: collect"), (0, "set data.source.validation")],
)
def test_a_missing_validation_split_names_its_reason(tmp_path, validation, remedy):
    for number, name in enumerate("ab"):
        write(tmp_path / "photos" / name / "0.png", picture(number))
    data = tr.open_data("folder", root=tmp_path / "photos", validation=validation)
    with pytest.raises(DataError, match=f"the validation split is empty; a chain .* {remedy}"):
        tr.refine(data, [SMALL], folder=tmp_path / "run")
