"""Batches: the same crops with any number of threads, in any order, alone or together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.pictures import picture, write
from tests.data.scenes import stripes
from tinyrefinery.data.batches import View, load, load_many, shuffled, split_batches
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Augment, Center, Color, Inception, Pad

CROP = Inception(size=12)
COLOR = Color(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
AUGMENT = Augment(flip=0.5, rotate=5, color=COLOR)


def digest(batches):
    return [(b.rows.tolist(), b.images.double().sum().item(), b.labels.tolist()) for b in batches]


def test_equal_with_any_number_of_workers():
    view = View(stripes(channels=3), CROP, seed=1, augment=AUGMENT)
    plan = split_batches(shuffled(np.arange(120), 1, 0), 32, drop_last=False)
    alone = list(load(view, plan, 0))
    for workers in (1, 4):
        for ours, theirs in zip(alone, load(view, plan, 0, workers=workers), strict=True):
            assert torch.equal(ours.images, theirs.images)
            assert torch.equal(ours.labels, theirs.labels)
            np.testing.assert_array_equal(ours.rows, theirs.rows)


def test_a_crop_does_not_depend_on_its_batch():
    view = View(stripes(), CROP, seed=1, augment=AUGMENT)
    together = view.render(np.arange(50), 3).images
    for row in (0, 7, 49):
        torch.testing.assert_close(view.render(np.array([row]), 3).images[0], together[row])


def test_epochs_and_seeds_give_other_crops():
    data, rows = stripes(), np.arange(50)
    base = View(data, CROP, seed=1, augment=AUGMENT).render(rows, 0).images
    assert not torch.equal(base, View(data, CROP, seed=1, augment=AUGMENT).render(rows, 1).images)
    assert not torch.equal(base, View(data, CROP, seed=2, augment=AUGMENT).render(rows, 0).images)


def test_going_on_in_the_middle_gives_the_rest():
    view = View(stripes(), CROP, augment=AUGMENT)
    plan = split_batches(shuffled(np.arange(120), 0, 5), 16, drop_last=True)
    whole = digest(load(view, plan, 5))
    assert digest(load(view, plan[3:], 5, workers=1)) == whole[3:]


def photographs(folder, n=10):
    """JPEG files of two classes and several sizes, decoded on demand."""
    for i in range(n):
        content = picture(i, 40 + i, 70 - 3 * i, "jpeg", quality=90)
        write(folder / "ab"[i % 2] / f"{i}.jpg", content)
    return open_data("folder", root=folder, resident="never", validation=0.0)


@pytest.mark.parametrize("kind", [Inception, Pad, Center])
@pytest.mark.parametrize("resident", [True, False])
def test_crops_of_several_epochs_are_those_of_each_epoch(kind, resident, tmp_path: Path):
    data = stripes(channels=3) if resident else photographs(tmp_path)
    view = View(data, kind(size=12), seed=3, augment=AUGMENT)
    rows = np.array([4, 0, 7, 7])
    together = view.render_many(rows, [5, 2, 3])
    for epoch, batch in zip([5, 2, 3], together, strict=True):
        alone = view.render(rows, epoch)
        assert batch.epoch == epoch
        assert torch.equal(batch.images, alone.images)
        assert torch.equal(batch.labels, alone.labels)
        np.testing.assert_array_equal(batch.crops.boxes, alone.crops.boxes)


def test_several_epochs_decode_each_image_once(tmp_path: Path, monkeypatch):
    data, decoded = photographs(tmp_path), []
    pixels = data.images.pixels
    monkeypatch.setattr(data.images, "pixels", lambda row: decoded.append(row) or pixels(row))
    for _ in load_many(
        View(data, CROP, augment=AUGMENT), [np.array([3, 1]), np.array([2])], [0, 1, 2]
    ):
        pass
    assert decoded == [3, 1, 2]


def test_several_epochs_are_equal_with_any_number_of_workers(tmp_path: Path):
    view = View(photographs(tmp_path), CROP, seed=1, augment=AUGMENT)
    plan = split_batches(np.arange(10), 3, drop_last=False)
    one_by_one = [[view.render(rows, epoch) for epoch in (7, 8)] for rows in plan]
    for workers in (0, 1, 3):
        found = list(load_many(view, plan, [7, 8], workers=workers))
        for ours, theirs in zip(found, one_by_one, strict=True):
            assert digest(ours) == digest(theirs)
            assert all(torch.equal(a.images, b.images) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photograph_that_broke_is_named(workers, tmp_path: Path):
    data = photographs(tmp_path)
    path = Path(data.images.blobs.paths[int(data.images.rows[6])])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{path.name}: image 6 changed.*damaged or truncated"):
        list(load_many(View(data, CROP, augment=AUGMENT), [np.arange(10)], [0, 1], workers=workers))


def test_ragged_tail():
    rows = np.arange(10)
    assert [len(b) for b in split_batches(rows, 4, drop_last=False)] == [4, 4, 2]
    assert [len(b) for b in split_batches(rows, 4, drop_last=True)] == [4, 4]
    assert [len(b) for b in split_batches(rows, 64, drop_last=True)] == [10]


def test_order_is_a_permutation_that_changes_each_epoch():
    rows = np.array([3, 14, 15, 92, 65])
    orders = [tuple(shuffled(rows, 0, epoch)) for epoch in range(10)]
    assert all(sorted(order) == sorted(rows) for order in orders)
    assert len(set(orders)) > 5


def test_a_broken_image_in_a_thread_is_the_callers_error():
    class Broken:
        channels = 1
        sizes = np.tile([16, 16], (120, 1))

        def __len__(self):
            return 120

        def pixels(self, row):
            raise OSError(f"image {row} is gone")

    data = stripes()
    view = View(type(data)("broken", data.manifest, Broken()), CROP, augment=AUGMENT)
    for workers in (0, 2):
        with pytest.raises(OSError, match="image 0 is gone"):
            list(load(view, [np.arange(4)], 0, workers=workers))
