"""Labels as one array: those of the refiner itself, in the order that was asked for."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.scenes import stripes
from tinyrefinery.data.batches import View
from tinyrefinery.labels.batch_norm import GroupPlan
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.options.crops import Center, Inception
from tinyrefinery.options.labels import Refining
from tinyrefinery.refiners.crop_labeling import hard_labels, labels_of_level, labels_of_streams

DATA = stripes()
ROWS = DATA.manifest.rows("train")[::-1].copy()  # any order
VIEW = View(DATA, Inception(size=12), seed=3, mean=(0.5,), std=(0.2,))
WHOLE = View(DATA, Center(size=12), mean=(0.5,), std=(0.2,))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(600, 3)
    )


def test_labels_of_each_crop_alone():
    refiner = Refiner([network()], Refining(batch_norm="running"))
    found = labels_of_streams(refiner, VIEW, ROWS, streams=2, bn_group=16)
    for stream in range(2):
        expected = refiner(VIEW.render(ROWS, stream).images).numpy()
        np.testing.assert_allclose(found[stream], expected, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_labels_of_planned_groups_and_of_other_bn_groups():
    refiner = Refiner([network()], Refining(batch_norm="batch"))
    found = labels_of_streams(refiner, VIEW, ROWS, streams=1, bn_group=16)[0]
    plan = GroupPlan(ROWS, group=16, seed=VIEW.seed)
    mates = plan.rows_of(2, 0)
    expected = refiner(VIEW.render(mates, 0).images).numpy()
    place = {row: i for i, row in enumerate(ROWS)}
    np.testing.assert_allclose(found[[place[row] for row in mates]], expected, atol=1e-6)
    other = labels_of_streams(refiner, VIEW, ROWS, streams=1, bn_group=16, group_seed=9)[0]
    assert 0.001 < np.abs(found - other).max() < 0.9
    whole = [
        labels_of_streams(refiner, VIEW, ROWS, streams=1, bn_group=999, group_seed=seed)[0]
        for seed in (1, 2)
    ]
    np.testing.assert_allclose(*whole, atol=1e-5)  # one group of all has no other mates


@pytest.mark.parametrize("mode", ["batch", "running"])
def test_levels(mode):
    refiner = Refiner([network()], Refining(batch_norm=mode))
    made = {
        level: labels_of_level(refiner, VIEW, WHOLE, ROWS, level=level, bn_group=32)
        for level in ("crop", "image", "category")
    }
    crops = labels_of_streams(refiner, VIEW, ROWS, streams=1, bn_group=32)[0]
    images = labels_of_streams(refiner, WHOLE, ROWS, streams=1, bn_group=32, group_seed=VIEW.seed)
    np.testing.assert_allclose(made["crop"], crops, atol=1e-6)
    np.testing.assert_allclose(made["image"], images[0], atol=1e-6)
    given = DATA.manifest.labels[ROWS]
    means = np.stack([made["image"][given == c].astype(np.float64).mean(0) for c in range(3)])
    np.testing.assert_allclose(made["category"], means[given], atol=1e-6)


def test_hard_is_the_first_of_equals():
    np.testing.assert_array_equal(
        hard_labels(np.array([[0.4, 0.4, 0.2], [0, 0, 1]])), np.eye(3)[[0, 2]]
    )
