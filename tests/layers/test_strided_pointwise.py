"""The convolution of narrow shortcuts: the same function, and its gradient stays in its memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from tinyrefinery.layers.strided_pointwise import StridedPointwise

# Damaged memory is noticed when it is freed, which MALLOC_CHECK_ makes certain with glibc.
TRAIN = """
import torch
from tinyrefinery.models import create
torch.manual_seed(0)
network = create("resnet8", 10, size=64, stem="small", width=0.25).train()
network = network.to(memory_format=torch.channels_last)
for _ in range(10):
    images = torch.rand(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    network(images).logsumexp(1).sum().backward()
    junk = [torch.rand(n) for n in range(1000, 60000, 3777)]
"""


def test_narrow_networks_train_without_a_crash():
    environment = os.environ | {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("channels", [4, 16])
@pytest.mark.parametrize("side", [7, 8])
def test_function_and_gradient(channels, side):
    torch.manual_seed(0)
    layer = StridedPointwise(channels, 6).train()
    images = torch.randn(2, channels, side, side, requires_grad=True)
    upstream = torch.randn(2, 6, -(-side // 2), -(-side // 2))
    out = layer(images)
    out.backward(upstream)
    x, g = images.detach().double().numpy(), upstream.double().numpy()
    w, b = (p.detach().double().numpy() for p in (layer.weight[:, :, 0, 0], layer.bias))
    expected = np.einsum("oc,bchw->bohw", w, x[:, :, ::2, ::2]) + b[None, :, None, None]
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(layer.eval()(images).detach().numpy(), expected, atol=1e-5)
    of_images = np.zeros_like(x)
    of_images[:, :, ::2, ::2] = np.einsum("oc,bohw->bchw", w, g)
    np.testing.assert_allclose(images.grad.numpy(), of_images, atol=1e-5)
    of_weights = np.einsum("bohw,bchw->oc", g, x[:, :, ::2, ::2])
    np.testing.assert_allclose(layer.weight.grad[:, :, 0, 0].numpy(), of_weights, atol=1e-4)
