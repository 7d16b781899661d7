"""BN groups: complete, replayable, mixed; and statistics that are what they claim to be."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery.errors import DataError
from tinyrefinery.labels.batch_norm import (
    GroupPlan,
    check_mixed,
    has_batch_norm,
    recalibrate,
    use_batch_statistics,
)
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.options.labels import Refining


def test_groups_cover_every_row_and_fill_the_tail_from_the_head():
    rows = np.arange(100, 203)
    plan = GroupPlan(rows, group=10, seed=3)
    groups = plan.groups(2)
    assert groups.shape == (11, 10)
    assert set(groups.ravel()) == set(rows)
    flat = groups.ravel()
    np.testing.assert_array_equal(flat[103:], flat[:7])
    np.testing.assert_array_equal(plan.group_of(flat[:103], 2), np.arange(103) // 10)
    assert not np.array_equal(groups, plan.groups(3))
    np.testing.assert_array_equal(groups, GroupPlan(rows, group=10, seed=3).groups(2))


def test_whole_groups_are_recognized():
    plan = GroupPlan(np.arange(40), group=10, seed=0)
    order = plan.groups(0).ravel()
    assert plan.is_whole(order[:10], 0)
    assert plan.is_whole(order[10:30], 0)
    assert not plan.is_whole(order[5:15], 0)
    assert not plan.is_whole(order[:8], 0)
    assert not plan.is_whole(order[:10][::-1], 0)
    assert not plan.is_whole(order[:10], 1)


def test_groups_that_ruin_labels_are_refused():
    even = np.full(10, 0.1)
    check_mixed(np.arange(32), np.arange(32) % 2, even)
    with pytest.raises(DataError, match="all 8 crops are of image row 5"):
        check_mixed(np.full(8, 5), np.zeros(8, int), even)
    with pytest.raises(DataError, match="all 64 crops are of class 3"):
        check_mixed(np.arange(64), np.full(64, 3), even)
    # 98 % of the images are of class 0, so a group of one class is nothing special.
    check_mixed(np.arange(64), np.zeros(64, int), np.array([0.98, 0.02]))
    with pytest.raises(DataError, match="at least 2 crops"):
        GroupPlan(np.arange(10), group=1, seed=0)


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    net[1].running_mean.fill_(3.0)
    return net.eval()


def test_batch_statistics_are_those_of_the_batch():
    net, images = network(), torch.randn(8, 1, 6, 6)
    maps = net[0](images)
    mean, var = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False)
    expected = (maps - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    use_batch_statistics(net)
    torch.testing.assert_close(net(images), expected.flatten(1))
    assert not net.training


def test_calibration_is_the_mean_over_batches():
    net = network()
    batches = [torch.randn(8, 1, 6, 6) + i for i in range(3)]
    recalibrate(net, batches)
    means = [net[0](images).mean((0, 2, 3)) for images in batches]
    torch.testing.assert_close(net[1].running_mean, torch.stack(means).mean(0))
    assert not any(module.training for module in net.modules())


def test_has_batch_norm():
    assert has_batch_norm(network())
    assert not has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.GroupNorm(1, 2)))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_refiner_is_calibrated_in_the_precision_it_labels_in(bf16):
    images = torch.randn(16, 1, 6, 6) * 2 + 1
    refiner = Refiner([network()], Refining(batch_norm="calibrated"), bf16=bf16)
    refiner.calibrate(lambda: [SimpleNamespace(images=images, at={})])
    maps = network()[0](images)
    torch.testing.assert_close(
        refiner.networks[0][1].running_mean, maps.mean((0, 2, 3)), atol=0.02, rtol=0
    )
    assert refiner(images).shape[0] == 16
