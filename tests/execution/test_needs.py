"""What a table needs before it starts: networks, hours by measured steps, data and disk."""

import time

import pytest
import torch

from tests.recipe_files import write_tiny
from tinyrefinery.execution import needs
from tinyrefinery.execution.source_needs import box_source_needs, source_needs
from tinyrefinery.options.sources import Folder, Torchvision
from tinyrefinery.recipe.detection import Voc
from tinyrefinery.recipe.load import load_recipe


@pytest.fixture
def recipe(tmp_path):
    write_tiny(tmp_path)
    return load_recipe(tmp_path / "tiny.yaml")


@pytest.fixture
def clock(monkeypatch):
    """Steps take a second per crop to train and a tenth to label; nothing is timed."""
    calls = []

    def timed(does, recipe, model, clock):
        calls.append((does, model.name))
        return {"train": 1.0, "label": 0.1}[does]

    monkeypatch.setattr(needs, "_timed", timed)
    return calls


def test_stages_that_rows_share_count_once(recipe, clock):
    hard = recipe.stages[1].labels.model_copy(update={"hard": True})
    other = recipe.model_copy(
        update={"stages": (recipe.stages[0], recipe.stages[1].model_copy(update={"labels": hard}))}
    )
    assert [stage.id for stage in recipe.stages[:2]] == ["plain", "refined"]
    two = recipe.model_copy(update={"stages": recipe.stages[:2]})
    assert len(needs.network_needs([two, two], {})) == 2
    assert len(needs.network_needs([two, other], {})) == 3
    assert len(needs.network_needs([two, two.model_copy(update={"seed": 1})], {})) == 4


def test_time_is_that_of_steps_and_labels(recipe, clock):
    plain, refined = needs.network_needs(
        [recipe.model_copy(update={"stages": recipe.stages[:2]})], {}
    )
    images = recipe.data.source.train
    epochs = [stage.epochs for stage in recipe.stages[:2]]
    assert plain.seconds == pytest.approx(epochs[0] * images)
    assert refined.seconds == pytest.approx(epochs[1] * images * 1.1)
    assert plain.bytes == 4 * plain.parameters > 0


def test_a_step_is_timed_by_core_seconds():
    slow = 0.001

    def step(images):
        end = time.process_time() + slow * len(images)
        while time.process_time() < end:
            pass

    before = torch.get_num_threads()
    found = needs.quick_seconds(step, (1, 2, 2), torch.device("cpu"))
    assert torch.get_num_threads() == before
    assert slow <= found < 2 * slow


def test_published_sets_are_known_before_they_are_there(tmp_path):
    part = Torchvision(name="imagenet", root=str(tmp_path / "none"), validation=0.01)
    found = source_needs(part)
    assert (found.images, found.is_there) == (round(1_281_167 * 0.99), False)
    assert found.bytes == 147_897_477_120 + 6_744_924_160
    limited = Torchvision(name="cifar10", root=str(tmp_path), train_limit=5000)
    assert source_needs(limited).images == 5000
    lists = {"train": "VOC2012/trainval", "test": "VOC2007/test"}
    voc = box_source_needs(Voc(root=str(tmp_path / "none"), splits=lists, validation=0.02))
    assert (voc.images, voc.is_there) == (round(11_540 * 0.98), False)
    assert voc.bytes == 1_999_639_040 + 451_020_800


def test_a_folder_is_counted_where_it_is_there(tmp_path):
    missing = source_needs(Folder(root=str(tmp_path / "none")))
    assert (missing.images, missing.bytes, missing.is_there) == (None, None, False)
    for number in range(10):
        path = tmp_path / "train" / "cat" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    found = source_needs(Folder(root=str(tmp_path), validation=0.1, test=0.1))
    assert (found.images, found.bytes, found.is_there) == (8, 40, True)
