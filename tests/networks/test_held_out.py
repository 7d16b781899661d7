"""An image that a network was trained or chosen on never counts as held out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.data_tests.session import run_tests
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.execution.execute import run
from tinyrefinery.models.network_file import load_network, save_network
from tinyrefinery.networks.network_data import open_network_data
from tinyrefinery.networks.opening import open_network, open_networks
from tinyrefinery.networks.recipe_data import measured_on
from tinyrefinery.networks.reevaluation import reevaluate
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.runs import seen_sketch
from tinyrefinery.runs.plan import Job
from tinyrefinery.runs.run_folder import open_run
from tinyrefinery.runs.seen_sketch import sketch_facts
from tinyrefinery.variance.measure_variances import measure

RECIPE = """
title: labels drawn at random
data:
  source: {{name: folder, root: {root}, validation: 0.2, test: 0.2}}
  train_crop: {{name: center, size: 16}}
  eval_crop: {{name: center, size: 16, resize: 16}}
  flip: 0.0
  workers: 0
stages:
  - id: plain
    model: {{name: street_cnn, kwargs: {{widths: [16, 32]}}}}
    optimizer: {{name: adamw, lr: 0.01}}
    schedule: {{name: constant}}
    epochs: 25
    batch_size: 24
engine: {{device: cpu, threads: 1}}
chain: {{collapse: null}}
"""


def draw(folder: Path, count: int, seed: int) -> None:
    """Pictures of noise: their labels can be memorized, and nothing else helps."""
    random = np.random.default_rng(seed)
    for number in range(count):
        place = folder / f"class{random.integers(3)}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{seed}-{number}.png")


@pytest.fixture(scope="module")
def memorized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that memorized random labels of 240 pictures; `photos` lies beside it."""
    folder = tmp_path_factory.mktemp("memorized")
    draw(folder / "photos", 240, 0)
    (folder / "recipe.yaml").write_text(RECIPE.format(root=folder / "photos"))
    run([Job(load_recipe(folder / "recipe.yaml"))], folder / "run")
    return folder / "run"


@pytest.fixture
def grown(memorized: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The run and its pictures, to which 30 were added after training."""
    shutil.copytree(memorized.parent / "photos", tmp_path / "photos")
    shutil.copytree(memorized, tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    old, new = str(memorized.parent / "photos"), str(tmp_path / "photos")
    recipe.write_text(recipe.read_text().replace(old, new))
    (tmp_path / "run" / "digests.json").unlink()  # the recipe is changed on purpose
    draw(tmp_path / "photos", 30, 1)
    return tmp_path / "run", tmp_path / "photos"


def splits_of(folder: Path) -> dict[str, set[str]]:
    """Identities by split, as the run recorded them when it was trained."""
    table = open_run(folder).stages[0].images()
    found: dict[str, set[str]] = {}
    for image, split in zip(*(table.column(n).to_pylist() for n in ("id", "split")), strict=True):
        found.setdefault(split, set()).add(image)
    return found


def trained_top1(folder: Path) -> tuple[int, float]:
    evaluation = open_run(folder).stages[0].evaluation
    assert evaluation["train"]["top1"] > 0.9  # it did memorize, so a leak would show
    return evaluation["test"]["n"], evaluation["test"]["top1"]


OVERRIDES = {
    "the recipe's own crop": "data.eval_crop.resize=16",
    "the same folder": "data.source.root={photos}",
    "no overlay": "data.source.overlay=null",
    "nothing excluded": "data.source.exclude=null",
    "not strict": "data.source.strict=false",
    "no validation": "data.source.validation=0",
    "another split": "data.source.seed=7",
}


@pytest.mark.parametrize("override", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_overrides_do_not_turn_training_images_into_test_images(memorized, override):
    n, top1 = trained_top1(memorized)
    (result,) = reevaluate(
        memorized, [override.format(photos=memorized.parent / "photos")]
    ).values()
    assert (result["test"]["n"], result["test"]["top1"]) == (n, top1)
    assert result["train"]["n"] + result["validation"]["n"] + n == 240


def test_a_file_of_data_tests_that_names_the_same_folder(memorized, tmp_path):
    n, top1 = trained_top1(memorized)
    file = tmp_path / "data_tests.yaml"
    photos = memorized.parent / "photos"
    for data in ("", f"data: {photos}\n", f"data: {{name: folder, root: {photos}, seed: 3}}\n"):
        file.write_text(f"{data}tests: {{all: {{at_least: 0.9}}}}")
        (result,) = run_tests(file, open_network(memorized)).results
        assert (result.measured.n, result.measured.value) == (n, pytest.approx(top1))
        assert result.verdict != "PASS"


def test_the_command_reports_what_is_left_out(memorized, tmp_path, caplog):
    file = tmp_path / "data_tests.yaml"
    file.write_text(f"data: {memorized.parent / 'photos'}\ntests: {{all: {{at_least: 0.9}}}}")
    done = CliRunner().invoke(app, ["test", str(memorized), str(file)])
    assert done.exit_code == 1
    notes = open_network_data([open_network(memorized)], _named(memorized)).notes
    known = splits_of(memorized)
    used = len(known["train"]) + len(known["validation"])
    assert any(f"{used} of 240 images were trained or chosen on" in note for note in notes)


def _named(folder: Path):
    return load_recipe(folder / "recipe.yaml").data.source


def test_variances_and_python_follow_the_same_rule(memorized):
    known = splits_of(memorized)
    (plain,) = measure([memorized], ["data.source.validation=0"])
    ids = plain.data.manifest.column("id")[plain.rows]
    assert set(ids) == known["test"]
    (measured,) = measured_on(open_networks([memorized]), ["data.source.seed=5"])
    manifest = measured.dataset.manifest
    assert {split: set(manifest.column("id")[rows]) for split, rows in measured.splits.items()} == (
        known
    )


def test_new_pictures_are_new_and_the_run_keeps_its_split(grown, tmp_path):
    folder, photos = grown
    known = splits_of(folder)
    data = open_network_data([open_network(folder)])
    manifest = data.manifest
    for split, ids in known.items():
        assert set(manifest.column("id")[manifest.rows(split)]) == ids
    assert len(manifest.rows("new")) == 30
    assert any("30 new images" in note for note in data.notes)
    file = tmp_path / "data_tests.yaml"
    file.write_text("tests: {all: {at_least: 0, split: new}, old: {at_least: 0}}")
    counts = [result.measured.n for result in run_tests(file, open_network(folder)).results]
    assert counts == [30, len(known["test"])]
    file.write_text(f"data: {photos}\ntests: {{all: {{at_least: 0}}}}")
    (result,) = run_tests(file, open_network(folder)).results
    assert result.measured.n == 30 + len(known["test"])  # none was seen in training


def test_pictures_that_are_gone_or_have_another_label_are_reported(grown):
    folder, photos = grown
    first, second = sorted(photos.glob("class0/0-*.png"))[:2]
    first.unlink()
    second.rename(photos / "class1" / second.name)
    notes = " ".join(open_network_data([open_network(folder)]).notes)
    assert "1 image gone" in notes
    assert "1 image with another label" in notes


def test_copies_across_splits_are_trained_on_and_no_change_of_the_data(memorized, tmp_path):
    """The embedded source plants them, some with a wrong label."""
    source = {"name": "street_numbers", "train": 200, "validation": 40, "test": 100, "digits": 1}
    source |= {"width": 32, "wrong_labels": 0.5, "copies": 0.2}
    changes = [f"data.source={json.dumps(source)}", "stages.plain.epochs=1"]
    recipe = load_recipe(memorized.parent / "recipe.yaml", changes)
    run([Job(recipe)], tmp_path / "copies")
    (stage,) = open_run(tmp_path / "copies").stages
    table = stage.images()
    ids, splits = (np.array(table.column(name).to_pylist()) for name in ("id", "split"))
    copied = np.isin(ids[splits == "test"], ids[splits != "test"])
    assert 0 < copied.sum() < 100
    assert stage.evaluation["test"]["n"] == (~copied).sum()
    data = open_network_data([open_network(tmp_path / "copies")])
    assert len(data.manifest.rows("test")) == (~copied).sum()
    assert not any("changed since training" in note for note in data.notes)


def test_images_behind_a_refiner_from_another_run_are_not_held_out(memorized, tmp_path):
    """The refiner's run trained on all of the images, so its student's test split is empty."""
    everything = [
        f"data.source={{name: folder, root: {memorized.parent / 'photos'}, test: 0.0}}",
        "stages.plain.epochs=1",
    ]
    recipe = memorized.parent / "recipe.yaml"
    run([Job(load_recipe(recipe, everything))], tmp_path / "teacher")
    (teacher,) = open_run(tmp_path / "teacher").stages
    labels = f"stages.plain.labels={{name: refined, by: 'file:{teacher.network}'}}"
    student = load_recipe(recipe, [labels, "stages.plain.epochs=1"])
    run([Job(student)], tmp_path / "student")
    data = open_network_data([open_network(tmp_path / "student")])
    assert not len(data.manifest.rows("test"))
    assert any("refiner behind it" in note for note in data.notes)


def test_a_run_does_not_test_on_what_its_outside_refiner_was_trained_on(
    memorized, tmp_path, caplog
):
    recipe = memorized.parent / "recipe.yaml"
    (teacher,) = open_run(memorized).stages
    overrides = [
        f"stages.plain.labels={{name: refined, by: 'file:{teacher.network}'}}",
        "stages.plain.epochs=1",
        "data.source.seed=9",
    ]
    run([Job(load_recipe(recipe, overrides))], tmp_path / "student")
    (student,) = open_run(tmp_path / "student").stages
    unseen = splits_of(tmp_path / "student")["test"] - teacher.seen()
    assert 0 < student.evaluation["test"]["n"] == len(unseen) < 48
    saved = student.predictions("test")
    assert saved is not None
    assert set(Predictions.load(saved).ids) == unseen
    assert "refiner behind it" in caplog.text
    (again,) = reevaluate(tmp_path / "student", ["data.eval_crop.resize=16"]).values()
    assert again["test"] == student.evaluation["test"]


def test_a_run_does_not_test_on_what_a_copied_refiner_was_trained_on(memorized, tmp_path, caplog):
    """A network file away from its run is of unknown origin, but its header lists its images."""
    (teacher,) = open_run(memorized).stages
    copied = Path(shutil.copy(teacher.network, tmp_path / "copied.safetensors"))
    overrides = [
        f"stages.plain.labels={{name: refined, by: 'file:{copied}'}}",
        "stages.plain.epochs=1",
        "data.source.seed=9",
    ]
    run([Job(load_recipe(memorized.parent / "recipe.yaml", overrides))], tmp_path / "student")
    copied.unlink()  # what was noted stays
    (student,) = open_run(tmp_path / "student").stages
    unseen = splits_of(tmp_path / "student")["test"] - teacher.seen()
    assert 0 < student.evaluation["test"]["n"] == len(unseen) < 48
    assert "refiner behind it" in caplog.text
    assert student.unknown_origin == (f"file:{copied}",)  # of other images, nothing is known
    (again,) = reevaluate(tmp_path / "student", ["data.eval_crop.resize=16"]).values()
    assert again["test"] == student.evaluation["test"]
    shipped = shutil.copy(student.network, tmp_path / "shipped.safetensors")
    data = open_network_data([open_network(shipped)], _named(memorized))
    assert set(data.manifest.column("id")[data.manifest.rows("test")]) == unseen


def test_networks_that_are_compared_leave_out_what_any_of_them_used(memorized, tmp_path):
    recipe = memorized.parent / "recipe.yaml"
    run(
        [Job(load_recipe(recipe, ["data.source.seed=9", "stages.plain.epochs=1"]))],
        tmp_path / "other",
    )
    networks = [open_network(memorized), open_network(tmp_path / "other")]
    data = open_network_data(networks)
    test = set(data.manifest.column("id")[data.manifest.rows("test")])
    assert test == splits_of(memorized)["test"] & splits_of(tmp_path / "other")["test"]
    assert 0 < len(test) < len(splits_of(memorized)["test"])


def test_a_network_file_copied_out_of_its_run_keeps_what_it_was_trained_on(memorized, tmp_path):
    (stage,) = open_run(memorized).stages
    file = shutil.copy(stage.network, tmp_path / "shipped.safetensors")
    data = open_network_data([open_network(file)], _named(memorized))
    test = set(data.manifest.column("id")[data.manifest.rows("test")])
    assert test == splits_of(memorized)["test"]
    assert any("192 images of the test split count as train" in note for note in data.notes)


def test_a_network_file_of_unknown_origin_is_reported(memorized, tmp_path):
    (stage,) = open_run(memorized).stages
    network, info = load_network(stage.network)
    file = tmp_path / "foreign.safetensors"
    save_network(file, network, **vars(replace(info, extra={})))
    data = open_network_data([open_network(file)], _named(memorized))
    assert any("no run records which images" in note for note in data.notes)


def test_images_that_a_sample_does_not_cover_count_as_used_where_it_finds_some(
    memorized, tmp_path, monkeypatch
):
    (stage,) = open_run(memorized).stages
    network, info = load_network(stage.network)
    file = tmp_path / "sampled.safetensors"
    ids = sorted(set().union(*(splits_of(memorized)[name] for name in ("train", "validation"))))
    monkeypatch.setattr(seen_sketch, "SIZE", 40)  # of 192: so 40 are kept
    save_network(file, network, **vars(replace(info, extra={"seen": sketch_facts(ids)})))
    data = open_network_data([open_network(file)], _named(memorized))
    test = set(data.manifest.column("id")[data.manifest.rows("test")])
    assert test < splits_of(memorized)["test"]  # about a fifth, which the sample covers
    assert any("so the others count as trained on too" in note for note in data.notes)
