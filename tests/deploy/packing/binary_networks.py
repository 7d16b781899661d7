"""Binary and lookup networks with values as after training: every bound and slope matters."""

import torch
from torch import nn

from tinyrefinery.models import create


def lookup_network(name: str, size: int, seed: int = 0, **options) -> nn.Module:
    """A network in evaluation mode with about 8 % of its lookup coefficients."""
    return binary_network(name, size, seed, threshold=2.5, **options)


def binary_network(name: str, size: int, seed: int = 0, **options) -> nn.Module:
    """A network in evaluation mode: random normalizations, some scales negative, statistics."""
    torch.manual_seed(seed)
    network = create(name, 10, size=size, **options)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, -1, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -0.5, 0.5)
    network.train()
    with torch.no_grad():
        for _ in range(8):
            network(torch.randn(8, 3, size, size))
    return network.eval()
