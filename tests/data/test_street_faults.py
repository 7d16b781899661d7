"""Planted faults: as many as asked for, where asked for, and nothing else changed."""

import numpy as np
import pytest

from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError

SIZES = {"train": 600, "validation": 100, "test": 200, "digits": 1, "width": 32}


def opened(**faults):
    return open_data("street_numbers", **SIZES, **faults)


def light(data):
    return data.images.array.float().mean((1, 2, 3)).numpy()


def test_nothing_is_wrong_by_default():
    assert opened().manifest.digest == opened(copies=0.0, rare_class=None).manifest.digest


def test_the_first_class_is_dark_in_training_and_all_are_in_the_test():
    plain, dark = opened(), opened(dark_class=0.5)
    changed = light(dark) < 0.5 * light(plain)
    same = light(dark) == light(plain)
    assert (changed | same).all()
    manifest = dark.manifest
    train, test = manifest.rows("train"), manifest.rows("test")
    assert set(manifest.labels[train][changed[train]]) == {0}
    share = changed[train][manifest.labels[train] == 0].mean()
    assert share == pytest.approx(0.5, abs=0.2)
    assert changed[test].mean() == pytest.approx(0.5, abs=0.12)
    assert len(set(manifest.labels[test][changed[test]])) == 10
    assert (manifest.labels == plain.manifest.labels).all()
    boxes = np.tile([0.0, 0.0, 32.0, 32.0], (5, 1))
    assert (dark.truth(np.arange(5), boxes) == plain.truth(np.arange(5), boxes)).all()


def test_copies_stand_in_training_with_their_label_and_truth():
    data = opened(copies=0.25)
    manifest = data.manifest
    train, test = manifest.rows("train"), manifest.rows("test")
    pixels = data.images.array.float().flatten(1).numpy()
    assert len(train) == 600
    distance = np.abs(pixels[train[-50:], None] - pixels[test][None]).mean(2)
    nearest = test[distance.argmin(1)]
    assert (distance.min(1)[::2] == 0).all()
    assert ((distance.min(1)[1::2] > 0) & (distance.min(1)[1::2] < 15)).all()
    assert (manifest.labels[train[-50:]] == manifest.labels[nearest]).all()
    ids = manifest.column("id")
    assert (ids[train[-50:]] == ids[nearest]).sum() == 25
    boxes = np.tile([0.0, 4.0, 20.0, 16.0], (50, 1))
    assert (data.truth(train[-50:], boxes) == data.truth(nearest, boxes)).all()
    whole = opened()
    assert (ids[train[:-50]] == whole.manifest.column("id")[train[:-50]]).all()


def test_the_rare_class_keeps_so_many():
    data = opened(rare_class=7, wrong_labels=0.1)
    train = data.manifest.rows("train")
    counts = np.bincount(data.manifest.labels[train], minlength=10)
    assert counts[9] == 7
    assert counts[:9].min() > 40
    assert len(data.images) == len(data.manifest)
    assert (data.manifest.labels[data.manifest.rows("test")] == 9).sum() == 20


def test_all_faults_together_are_repeatable():
    faults = {"wrong_labels": 0.1, "dark_class": 0.4, "copies": 0.1, "rare_class": 9}
    one, two = opened(**faults), opened(**faults)
    assert one.manifest.digest == two.manifest.digest
    assert opened(seed=1, **faults).manifest.digest != one.manifest.digest


@pytest.mark.parametrize(
    "fault", [{"dark_class": 1.5}, {"copies": -0.1}, {"rare_class": 0}, {"copies": 2}]
)
def test_faults_out_of_range_are_refused(fault):
    name = next(iter(fault))
    with pytest.raises(DataError, match=name):
        opened(**fault)


def test_copies_of_no_test_split_are_none():
    data = open_data("street_numbers", **(SIZES | {"test": 0}), copies=0.5)
    assert len(data.manifest.rows("train")) == 600


def test_a_list_leaves_scenes_out(tmp_path):
    whole = opened(copies=0.25)
    file = tmp_path / "leaks.txt"
    paths = whole.manifest.column("path")
    file.write_text(f"# copies\n{paths[3]}\n{paths[599]}\n")
    less = opened(copies=0.25, exclude=str(file))
    assert less.manifest.column("path").tolist() == np.delete(paths, [3, 599]).tolist()
    assert [each.kind for each in less.problems] == ["excluded"]
    assert (less.images.array[3] == whole.images.array[4]).all()
    file.write_text("\n".join(paths[:600]))
    with pytest.raises(DataError, match="leaves no training scene"):
        opened(copies=0.25, exclude=str(file))
    with pytest.raises(DataError, match="can't be read"):
        opened(exclude=str(tmp_path / "nothing.txt"))
