"""Evaluation mode for a while."""

import pytest
import torch
from torch import nn

from tinyrefinery.layers.modes import evaluation_mode


def test_each_module_gets_its_own_mode_back_also_after_an_error():
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3)))
    network.train()
    network[2].eval()  # frozen
    modes = [module.training for module in network.modules()]
    images = torch.rand(4, 3)
    with evaluation_mode(network):
        assert torch.equal(network(images), network(images))
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == modes
    with pytest.raises(RuntimeError), evaluation_mode(network):
        raise RuntimeError
    assert [module.training for module in network.modules()] == modes
    assert network[1].num_batches_tracked == 0
