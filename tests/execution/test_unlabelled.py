"""Pictures without labels join the training of stages with refined labels, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.recipe_files import write_tiny
from tests.running import go, stage_folder, weights
from tinyrefinery import builders
from tinyrefinery.cli.main import app
from tinyrefinery.data.unlabelled import with_unlabelled
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.labels.policy import GivenLabels
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.opening import open_network
from tinyrefinery.recipe.load import load_recipe

FOLDER = """
title: pictures with and without labels
data:
  source: {name: folder, root: ROOT/pictures, validation: 0.25, test: 0.25}
  train_crop: {name: inception, size: 16, area: [0.5, 1.0]}
  workers: 0
stages:
  - id: plain
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: constant}
    epochs: 2
    batch_size: 8
  - id: refined
    model: {name: street_cnn, kwargs: {widths: [4, 8]}}
    labels: {name: refined, by: plain}
    optimizer: {name: sgd, lr: 0.05}
    schedule: {name: constant}
    epochs: 3
    batch_size: 8
engine: {threads: 1}
chain: {collapse: null}
"""


def picture(path, seed, size=20):
    draws = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    small = draws.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize((size, size), Image.Resampling.NEAREST).save(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """48 pictures of two classes, and a folder with 10 more in no class."""
    root = tmp_path_factory.mktemp("home")
    for number in range(48):
        picture(root / "pictures" / "ab"[number % 2] / f"{number}.png", number)
    for number in range(10):
        picture(root / "more" / "deep" / f"{number}.png", 100 + number, size=24)
    return root


@pytest.fixture
def text(home):
    return FOLDER.replace("ROOT", str(home))


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    text = FOLDER.replace("ROOT", str(home))
    with_more = [f"data.unlabelled={home / 'more'}"]
    return folder, go(folder, "run", with_more, text)


def test_only_the_refined_stage_learns_from_them(finished, text):
    folder, _ = finished
    go(folder, "without", (), text)
    assert weights(folder / "run", "plain") == weights(folder / "without", "plain")
    assert weights(folder / "run", "refined") != weights(folder / "without", "refined")
    # The network with given labels is the same one, so it need not be trained again.
    names = [{p.name for p in (folder / f / "stages").iterdir()} for f in ("run", "without")]
    shared = {name for name in names[0] & names[1]}
    assert [name.split("-")[0] for name in shared] == ["plain"]


def test_nothing_is_measured_on_them(finished):
    folder, _ = finished
    for stage in ("plain", "refined"):
        place = stage_folder(folder / "run", stage)
        measured = json.loads((place / "evaluation.json").read_text())
        counts = {split: measured[split]["n"] for split in ("train", "validation", "test")}
        assert counts == {"train": 26, "validation": 10, "test": 12}  # 48 with labels
        dynamics = load_dynamics(place / "dynamics.parquet")
        assert dynamics.num_rows == 26
        assert max(dynamics["visits"].to_pylist()) == (2 if stage == "plain" else 3)


def test_live_and_stored_labels_are_the_same(finished, home, text):
    folder, _ = finished
    stored = [f"data.unlabelled={home / 'more'}", "stages.refined.labels.store={form: float32}"]
    go(folder, "stored", stored, text)
    assert weights(folder / "run", "refined") == weights(folder / "stored", "refined")
    go(folder, "image", [*stored[:1], "stages.refined.labels.level=image"], text)
    assert weights(folder / "run", "refined") != weights(folder / "image", "refined")


def test_they_count_as_trained_on_later(finished, home):
    folder, _ = finished
    network = open_network(folder / "run", stage="refined")
    recipe = load_recipe(folder / "run" / "recipe.yaml")
    own = held_out(builders.dataset(recipe.data).manifest, [network], own=True)
    assert not [note for note in own.notes if "changed" in note]
    picture(home / "later" / "a" / "seen.png", 103, size=24)
    picture(home / "later" / "b" / "new.png", 999)
    part = recipe.data.source.model_copy(
        update={"root": str(home / "later"), "validation": 0.0, "test": 0.0}
    )
    later = builders.dataset(recipe.data.model_copy(update={"source": part}))
    held = held_out(later.manifest, [network], own=False)
    splits = dict(zip(held.manifest.column("path"), held.manifest.column("split"), strict=True))
    assert {path.rsplit("/", 1)[-1]: split for path, split in splits.items()} == {
        "seen.png": "train",
        "new.png": "test",
    }


def test_copies_and_broken_pictures_are_left_out(home, text, tmp_path):
    recipe = load_recipe(write_tiny(tmp_path, text))
    data = builders.dataset(recipe.data)
    more = tmp_path / "more"
    for place, split in enumerate(("train", "validation", "test")):
        row = data.manifest.rows(split)[0]
        content = Path(data.manifest.column("path")[row]).read_bytes()
        (more / split).mkdir(parents=True)
        (more / split / f"{place}.png").write_bytes(content)
    picture(more / "new.png", 500)
    picture(more / "new again.png", 500)
    (more / "broken.png").write_bytes(b"no picture")
    joined = with_unlabelled(data, more, near_copies=False)
    rows = joined.manifest.rows("unlabelled")
    assert [joined.manifest.column("path")[row].rsplit("/", 1)[-1] for row in rows] == [
        "new again.png"
    ]
    assert (joined.manifest.labels[rows] == -1).all()
    assert len(joined.images) == len(joined.manifest) == 49
    new = joined.problems[len(data.problems) :]
    assert sorted(problem.where.rsplit("/", 1)[-1] for problem in new) == [
        "0.png",
        "1.png",
        "2.png",
        "broken.png",
        "new.png",
    ]
    assert [p for p in new if "test split" in p.what and "test/2.png" in p.where]


def test_near_copies_of_held_out_images_are_left_out(tmp_path):
    root = tmp_path / "pictures"
    draws = np.random.default_rng(0)
    for number in range(24):
        smooth = draws.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(smooth).resize((64, 64), Image.Resampling.BICUBIC)
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    text = FOLDER.replace("ROOT", str(tmp_path))
    data = builders.dataset(load_recipe(write_tiny(tmp_path, text)).data)
    more = tmp_path / "more"
    more.mkdir()
    for split in ("train", "test"):
        row = data.manifest.rows(split)[0]
        Image.open(data.manifest.column("path")[row]).save(more / f"{split}.jpg", quality=90)
    joined = with_unlabelled(data, more)
    rows = joined.manifest.rows("unlabelled")
    assert [joined.manifest.column("path")[row].rsplit("/", 1)[-1] for row in rows] == ["train.jpg"]
    assert "near copy" in joined.problems[-1].what


def test_given_labels_of_pictures_without_any_are_even(home, text, tmp_path):
    recipe = load_recipe(write_tiny(tmp_path, text))
    data = with_unlabelled(builders.dataset(recipe.data), home / "more", near_copies=False)
    view = builders.eval_view(recipe, data, torch.device("cpu"))
    rows = np.concatenate([data.manifest.rows("train")[:2], data.manifest.rows("unlabelled")[:2]])
    targets = GivenLabels(2, data.manifest)(view.render(rows, 0))
    assert targets[2:].tolist() == [[0.5, 0.5]] * 2
    assert targets[:2].argmax(1).tolist() == data.manifest.labels[rows[:2]].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stages.refined=null", "data.unlabelled: pictures without labels need a refiner"),
        ("stages.refined.labels.level=category", "labels.level: labels of a category need given"),
    ],
)
def test_recipes_that_make_no_sense(home, text, tmp_path, change, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_tiny(tmp_path, text), [f"data.unlabelled={home / 'more'}", change])


def test_folders_that_hold_nothing(text, tmp_path):
    data = builders.dataset(load_recipe(write_tiny(tmp_path, text)).data)
    with pytest.raises(DataError, match="there is no such folder"):
        with_unlabelled(data, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no pictures"):
        with_unlabelled(data, tmp_path / "empty")
    (tmp_path / "empty" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of its 1 pictures can be used"):
        with_unlabelled(data, tmp_path / "empty")


def test_a_recipe_without_them_reads_as_before(text, tmp_path):
    recipe = load_recipe(write_tiny(tmp_path, text))
    assert "unlabelled" not in recipe.data.model_dump()
    assert "classes" not in recipe.stages[1].labels.model_dump()


def test_the_command_names_the_folder(home, text, tmp_path):
    recipe = write_tiny(tmp_path, text)
    arguments = ["run", str(recipe), "--runs", str(tmp_path), "--unlabelled"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "data.unlabelled" in result.output
    assert "there is no such folder" in " ".join(result.output.split())
    result = CliRunner().invoke(app, [*arguments, str(home / "more"), "stages.refined=null"])
    assert result.exit_code == 2
    assert "need a refiner" in " ".join(result.output.split())


def test_kept_pixels_stay_those_of_their_images(home, text, tmp_path):
    root = tmp_path / "pictures"
    for number in range(24):  # of several sizes, so that they are kept as they are decoded
        picture(root / "ab"[number % 2] / f"{number}.png", number, size=20 + number % 3)
    data = builders.dataset(
        load_recipe(write_tiny(tmp_path, text), [f"data.source.root={root}"]).data
    )
    before = [data.images.pixels(row) for row in range(len(data.images))]
    joined = with_unlabelled(data, home / "more", near_copies=False)
    after = [joined.images.pixels(row) for row in range(len(joined.images))]
    assert all((one == other).all() for one, other in zip(before, after, strict=False))
    fresh = with_unlabelled(data, home / "more", near_copies=False)
    for row, pixels in enumerate(after):
        assert (fresh.images.pixels(row) == pixels).all()
        path = joined.manifest.column("path")[row]
        assert (np.asarray(Image.open(path).convert("RGB")) == pixels).all()


def test_what_is_passed_over_is_listed_and_a_link_to_the_folder_is_followed(home, text, tmp_path):
    data = builders.dataset(load_recipe(write_tiny(tmp_path, text)).data)
    more = tmp_path / "more"
    picture(more / "new.png", 500)
    (more / "IMG_1.HEIC").write_bytes(b"x")
    (tmp_path / "link").symlink_to(more)
    joined = with_unlabelled(data, tmp_path / "link", near_copies=False)
    assert len(joined.manifest.rows("unlabelled")) == 1
    assert "1 .heic" in joined.problems[-1].what
    (more / "new.png").unlink()
    with pytest.raises(DataError, match=r"has no pictures.*1 \.heic"):
        with_unlabelled(data, more)
