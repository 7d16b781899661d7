"""Layers with weights that are computed once give the outputs of those they stand for."""

import copy

import pytest
import torch

from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.constant_weights import with_constant_weights
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.models import create


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("bireal_small", {"widths": [16, 32], "depth": 1}),
        ("bireal_small", {"widths": [16, 32], "depth": 1, "weights": "ternary"}),
        ("bireal_small", {"widths": [16, 32], "depth": 1, "weights": "int4"}),
        ("bireal_small", {"widths": [16, 32], "depth": 1, "activations": "float"}),
        ("resnet18_xnor", {"width": 0.125, "input_scale": True}),
        ("alexnet_xnor", {"weights": "float"}),
        ("resnet8_lcnn", {"words": 8, "threshold": 1.0}),
    ],
)
def test_a_network_keeps_its_outputs(name, kwargs):
    torch.manual_seed(0)
    network = create(name, 5, size=16, **kwargs).double().eval()
    plain = with_constant_weights(copy.deepcopy(network))
    assert any(isinstance(m, Quantized | LookupConv2d) for m in network.modules())
    assert not any(isinstance(m, Quantized | LookupConv2d) for m in plain.modules())
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain(images), network(images), atol=1e-12, rtol=1e-12)
