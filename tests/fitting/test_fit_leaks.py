"""Test pictures that a named refiner was trained on do not count for its student."""

import shutil
from types import SimpleNamespace

import pytest

from tests.networks.runs import CLASSES, write_photos, write_run
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.execution.execute import run
from tinyrefinery.fitting import shipping
from tinyrefinery.fitting.choose_refiner import check_refiner, make_refiner
from tinyrefinery.fitting.trials import without_test
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.document import parse
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.plan import Job

STUDENT = """
title: student
data:
  source: {{name: folder, root: {root}, channels: 1}}
  train_crop: {{name: inception, size: 16}}
  workers: 0
stages:
  - id: network
    model: {{name: street_cnn, kwargs: {{widths: [4, 8]}}}}
    labels: {{name: refined, by: "{by}"}}
    optimizer: {{name: sgd, lr: 0.05}}
    schedule: {{name: cosine}}
    epochs: 1
    batch_size: 16
engine: {{device: cpu, threads: 1, precision: "32"}}
"""


def class_folders(photos, split, root, n):
    """The first pictures of a split, as class folders."""
    data = open_data("folder", root=str(photos), channels=1, validation=0)
    for row in data.manifest.rows(split)[:n]:
        place = root / CLASSES[data.manifest.labels[row]]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(data.manifest.column("path")[row], place)
    return root


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def test_test_pictures_behind_the_refiner_are_left_out(photos, tmp_path, monkeypatch):
    seen = class_folders(photos, "test", tmp_path / "seen", 60)
    refiner = write_run(tmp_path / "refiner", seen)
    data = open_data("folder", root=str(photos), channels=1)
    check_refiner(str(refiner), None, data)  # some test pictures are left
    by = open_network(str(refiner)).source
    recipe = check(parse(STUDENT.format(root=photos, by=by)), Recipe, source="test")
    run([Job(recipe)], tmp_path / "network", data=data)
    network = open_network(tmp_path / "network")
    made = SimpleNamespace(written=True, path=network.file)
    monkeypatch.setattr(shipping, "export_network", lambda *_, **__: [made])
    monkeypatch.setattr(shipping, "verify", lambda _: SimpleNamespace(n=1))
    monkeypatch.setattr(shipping, "write_card", lambda *_: None)
    monkeypatch.setattr(shipping, "card_facts", lambda *_, **__: None)
    found = shipping.ship(network, data, shipping.ONNX, Budget(), tmp_path / "artifacts", print)
    assert len(data.manifest.rows("test")) == 180
    assert len(found.predictions) == 120
    assert "60 images of the test split count as train" in " ".join(found.notes)


def test_a_refiner_that_saw_everything_is_refused(photos, tmp_path):
    seen = class_folders(photos, "test", tmp_path / "seen", 60)
    rest = class_folders(photos, "test", tmp_path / "rest", 60)
    refiner = write_run(tmp_path / "refiner", seen)
    data = open_data("folder", root=str(rest), channels=1, test=0.2, near_copies="apart")
    made = make_refiner(
        str(refiner),
        None,
        plan=SimpleNamespace(look=SimpleNamespace(train=40)),
        data=without_test(data),
        folder=tmp_path,
        seconds=1,
        say=print,
        decide=lambda name, make: make(),
    )
    assert made.seen
    assert made.epoch > 0
    with pytest.raises(DataError, match=r"was trained or chosen on all .* test pictures"):
        check_refiner(str(refiner), None, data)
