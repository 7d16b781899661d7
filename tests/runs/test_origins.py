"""What a network's training images were, its own and those of networks behind it."""

import pytest

from tests.recipe_files import TINY, write_tiny
from tests.running import go, stage_folder
from tinyrefinery import builders
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs.run_folder import open_run, open_stage

THIRD = """
  - id: third
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: refined}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: constant}
    epochs: 1
    batch_size: 16
engine:"""
OTHER = ["data.source.seed=7", "stages.refined=null", "stages.plain.epochs=1"]


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The stage of a run on other images."""
    folder = tmp_path_factory.mktemp("other")
    go(folder, overrides=OTHER)
    return open_stage(stage_folder(folder / "run", "plain"))


def ids(folder, *splits):
    """Identities of the images of some splits, from the data set itself."""
    recipe = load_recipe(folder / "recipe.yaml")
    manifest = builders.dataset(recipe.data).manifest
    return {id for split in splits for id in manifest.column("id")[manifest.rows(split)]}


def stages_of(folder):
    return {stage.stage: stage for stage in open_run(folder).stages}


def test_a_network_has_seen_its_training_and_validation_images(other):
    folder = other.run_folder
    assert other.seen() == ids(folder, "train", "validation")
    assert (other.outside, other.unknown_origin) == ((), ())
    images = other.images()
    assert images.column_names == ["id", "path", "label", "split"]
    assert set(images.column("id").to_pylist()) == ids(folder, "train", "validation", "test")
    assert set(images.column("label").to_pylist()) <= set(map(str, range(10)))


def test_images_of_a_refiner_from_another_run_count_down_the_chain(other, tmp_path):
    text = TINY.replace("engine:", THIRD.strip("\n"), 1)
    by = f"stages.refined.labels.by=file:{other.network}"
    go(tmp_path, overrides=[by, "stages.refined.epochs=1", "stages.plain.epochs=1"], text=text)
    stages = stages_of(tmp_path / "run")
    own = ids(tmp_path / "run", "train", "validation")
    assert not own & other.seen()
    assert stages["plain"].seen() == own
    for name in ("refined", "third"):
        assert stages[name].seen() == own | other.seen()
        assert stages[name].outside == (f"file:{other.network}",)
        assert stages[name].unknown_origin == ()


def test_a_file_that_lies_in_no_run_is_of_unknown_origin(other, tmp_path):
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes(other.network.read_bytes())
    start = f"stages.plain.init_from=file:{lone}"
    go(tmp_path, overrides=[start, "stages.plain.epochs=1", "stages.refined.epochs=1"])
    for stage in stages_of(tmp_path / "run").values():
        assert stage.unknown_origin == (f"file:{lone}",)
        assert stage.seen() == ids(tmp_path / "run", "train", "validation")


def test_an_unknown_origin_is_handed_on_to_the_next_run(other, tmp_path):
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes(other.network.read_bytes())
    once = ["stages.refined=null", "stages.plain.epochs=1"]
    go(tmp_path, "first", [*once, f"stages.plain.init_from=file:{lone}"])
    first = stages_of(tmp_path / "first")["plain"]
    go(tmp_path, "second", [*once, f"stages.plain.init_from=file:{first.network}", "seed=1"])
    second = stages_of(tmp_path / "second")["plain"]
    assert second.outside == (f"file:{first.network}",)
    assert second.unknown_origin == (f"file:{lone}",)


def test_what_was_noted_stays_when_the_other_run_is_damaged_later(other, tmp_path):
    go(tmp_path, "first", OTHER)
    first = stages_of(tmp_path / "first")["plain"]
    both = [f"stages.refined.labels.by=file:{first.network}", "stages.refined.epochs=1"]
    go(tmp_path, "second", both)
    before = stages_of(tmp_path / "second")["refined"]
    seen = before.seen()
    (first.folder / "stage.json").unlink()
    go(tmp_path, "second", both)
    again = stages_of(tmp_path / "second")["refined"]
    assert (again.seen(), again.unknown_origin) == (seen, ())


def test_missing_images_are_an_error_and_the_same_command_writes_them_anew(tmp_path):
    once = ["stages.refined=null", "stages.plain.epochs=1"]
    go(tmp_path, overrides=once)
    stage = stages_of(tmp_path / "run")["plain"]
    seen = stage.seen()
    (file,) = (tmp_path / "run" / "images").iterdir()
    assert file.stem == stage.data[:16]
    file.write_bytes(b"half")
    with pytest.raises(DataError, match=r"images/.*has been changed.*the run again"):
        stage.seen()
    file.unlink()
    with pytest.raises(DataError, match=r"images/.*can't be read.*the run again"):
        stage.images()
    go(tmp_path, overrides=once)
    assert stage.seen() == seen


def test_pretrained_weights_of_timm_are_of_unknown_origin(tmp_path):
    from tinyrefinery.runs.origins import find_origin
    from tinyrefinery.runs.plan import Job, make_plan

    model = "stages.plain.model={name: 'timm:resnet18', kwargs: {pretrained: true}}"
    recipe = load_recipe(write_tiny(tmp_path), [model])
    plan = make_plan([Job(recipe)], [builders.dataset(recipe.data)], tmp_path)
    assert [step.outside for step in plan.steps] == [("timm:resnet18",)] * 2
    assert find_origin(["timm:resnet18"], ["x"]).unknown == ("timm:resnet18",)
