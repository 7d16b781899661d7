"""A refiner gets each crop at its own size: the same part of the image, whatever the student's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as tv

from tests.data.scenes import stripes
from tests.labels.policies import refined_labels
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.refiner import Refiner, renormalize
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.labels.store.identity import facts_of, key
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.crops import Augment, Center, Inception, Pad
from tinyrefinery.options.labels import Refining
from tinyrefinery.options.training import Jitter
from tinyrefinery.training.jitter import CropJitter, moved

OWN = (20, 24)
DATA = stripes(channels=3, size=40)
CROPS = {
    "inception": Inception(size=12),
    "pad": Pad(size=40, padding=6),
    "whole": Center(size=12),
    "margin": Center(size=12, resize=15),
}
VIEW = View(DATA, CROPS["inception"], seed=3, augment=Augment(flip=0.5))
ROWS = DATA.manifest.rows("train")
EXACT = choose("float32", 3)


class Encoded:
    """The same images, one by one as photographs come."""

    channels = 3

    def __init__(self, images):
        self.array, self.sizes = images.array, images.sizes

    def __len__(self):
        return len(self.array)

    def pixels(self, row):
        """One image, (H, W, C)."""
        return self.array[row].permute(1, 2, 0).numpy()


class OneSize(nn.Module):
    """A network that takes one size only, and shows which pixels it got."""

    def __init__(self, size=OWN, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.head = nn.Linear(3 * size[0] * size[1], 3)

    def forward(self, images):
        return self.head(images.flatten(1))


def own_refiner(size=OWN, **options):
    return Refiner([OneSize()], Refining(**{"batch_norm": "running", **options}), sizes=[size])


def by_torchvision(batch, view, size):
    """Crops of a batch at another size, by torchvision in float."""
    source = view.dataset.images.sizes[batch.rows].astype(float)
    found = []
    for i, row in enumerate(batch.rows):
        image = view.dataset.images.array[row].float()
        top, left, height, width = np.rint(batch.crops.source_boxes(source)[i]).astype(int).tolist()
        part = tv.crop(image, top, left, height, width)  # black outside the image
        part = tv.resize(part, list(size), antialias=True)
        found.append(part.flip(2) if batch.crops.flip[i] else part)
    mean, std = (torch.tensor(values)[:, None, None] for values in (view.mean, view.std))
    return (torch.stack(found) / 255 - mean) / std


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("name", CROPS)
def test_the_same_crop_at_another_size(name, encoded):
    data = replace(DATA, images=Encoded(DATA.images)) if encoded else DATA
    view = View(data, CROPS[name], seed=3, augment=Augment(flip=0.5), sizes=(OWN, (6, 6)))
    batch = view.render(ROWS[:8], 1)
    plain = replace(view, sizes=()).render(ROWS[:8], 1)
    assert torch.equal(batch.images, plain.images)
    reference = View(DATA, CROPS[name], seed=3, augment=Augment(flip=0.5))
    for size, images in batch.at.items():
        # In normalized units; a gray level is about 0.017. Rounding to uint8 costs up to half one.
        error = (images - by_torchvision(batch, reference, size)).abs()
        assert error.max() < (0.03 if encoded else 0.005)


@pytest.mark.parametrize("name", CROPS)
def test_a_crop_does_not_depend_on_its_batch(name):
    view = View(DATA, CROPS[name], seed=3, sizes=(OWN,))
    together = view.render(ROWS, 2)
    for start in range(0, 20, 5):
        part = view.render(ROWS[start : start + 5], 2)
        assert torch.equal(part.at[OWN], together.at[OWN][start : start + 5])


def test_labels_are_those_of_the_crop_at_the_refiners_size():
    refiner = own_refiner()
    view = replace(VIEW, sizes=refiner.sizes)
    batch = view.render(ROWS[:16], 0)
    expected = OneSize()(by_torchvision(batch, VIEW, OWN)).softmax(dim=1)
    policy = refined_labels(refiner, view, ROWS, bn_group=16)
    torch.testing.assert_close(policy(batch), expected, atol=2e-3, rtol=0)


def test_a_batch_without_that_size_is_completed():
    labels = CropLabels(own_refiner(), VIEW, ROWS, group=16)
    plain, full = VIEW.render(ROWS[:16], 4), labels.view.render(ROWS[:16], 4)
    assert plain.at == {}
    assert torch.equal(labels.of_group(plain), labels.of_group(full))


@pytest.mark.parametrize("level", ["crop", "image", "category"])
def test_every_level(level):
    policy = refined_labels(
        own_refiner(), VIEW, ROWS, bn_group=16, level=level, image_view=View(DATA, CROPS["whole"])
    )
    targets = policy(VIEW.render(ROWS[:16], 0))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(16))


def test_an_ensemble_of_two_sizes_and_normalizations():
    wanted = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    networks = [OneSize((12, 12), seed=1), OneSize(seed=2)]
    refiner = Refiner(
        networks,
        Refining(batch_norm="running"),
        prepare=[
            None,
            lambda images: renormalize(images, given=(VIEW.mean, VIEW.std), wanted=wanted),
        ],
        sizes=[None, OWN],
    )
    batch = replace(VIEW, sizes=refiner.sizes).render(ROWS[:16], 0)
    large = by_torchvision(batch, replace(VIEW, mean=wanted[0], std=wanted[1]), OWN)
    expected = (networks[0](batch.images).softmax(1) + networks[1](large).softmax(1)) / 2
    torch.testing.assert_close(refiner(batch.images, batch.at), expected, atol=2e-3, rtol=0)


def test_stored_labels_are_the_live_ones_to_the_last_bit(tmp_path):
    stored = StoredLabels(CropLabels(own_refiner(), VIEW, ROWS, group=16), tmp_path, EXACT)
    live = refined_labels(own_refiner(), VIEW, ROWS, bn_group=16)
    sized = replace(VIEW, sizes=(OWN,))
    for epoch in (0, 3):
        for rows in split_batches(shuffled(ROWS, VIEW.seed, epoch), 16, drop_last=False):
            # From the store no crop is rendered for the refiner.
            given = stored(VIEW.render(rows, epoch))
            assert torch.equal(given, live(sized.render(rows, epoch)))


def test_the_size_is_part_of_a_labels_identity():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    keys = set()
    for size in (None, OWN, (6, 6)):
        refiner = Refiner([network], Refining(batch_norm="running"), sizes=[size])
        keys.add(key(facts_of(CropLabels(refiner, VIEW, ROWS, group=16), EXACT)))
    assert len(keys) == 3


def test_calibration_is_at_the_refiners_size():
    network = nn.Sequential(nn.BatchNorm2d(3), OneSize())
    refiner = Refiner([network], Refining(batch_norm="calibrated"), sizes=[OWN])
    batch = replace(VIEW, sizes=(OWN,)).render(ROWS, 0)
    refiner.calibrate(lambda: [batch])
    expected = batch.at[OWN].mean((0, 2, 3))
    torch.testing.assert_close(refiner.networks[0][0].running_mean, expected)


def test_jittered_crops_move_at_both_sizes():
    policy = refined_labels(own_refiner(), VIEW, ROWS, bn_group=16)
    batch = policy.view.render(ROWS[:16], 0)
    student = OneSize((12, 12), seed=5)
    jitter = CropJitter(Jitter(step=5.0), policy)
    images, targets = jitter(batch.images, policy(batch), student, batch.at)
    change = images[16:] - batch.images[: len(images) - 16]
    assert change.abs().max() > 0
    large = batch.at[OWN] + tv.resize(change, list(OWN), antialias=True)
    expected = OneSize()(large).softmax(dim=1)
    torch.testing.assert_close(targets[16:], expected, atol=1e-4, rtol=0)


def test_unchanged_crops_keep_their_pixels_at_the_other_size():
    batch = replace(VIEW, sizes=(OWN,)).render(ROWS[:4], 0)
    assert torch.equal(moved(batch.at, batch.images, batch.images)[OWN], batch.at[OWN])
