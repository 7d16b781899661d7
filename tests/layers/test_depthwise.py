"""Depthwise convolution in and out of autocast, against a plain convolution in double precision."""

import pytest
import torch
from torch import nn

from tinyrefinery.layers.conv_norm import conv_norm, depthwise_norm
from tinyrefinery.layers.depthwise import DepthwiseConv2d
from tinyrefinery.layers.initialize import initialize

FORMATS = [torch.contiguous_format, torch.channels_last]


def gradients(layer: nn.Module, x: torch.Tensor, autocast: bool) -> tuple[torch.Tensor, ...]:
    """Output, and gradients of its weighted sum by input and parameters."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = layer(x)
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
    return (y, *torch.autograd.grad((y.double() * weight).sum(), [x, *layer.parameters()]))


@pytest.mark.parametrize("memory", FORMATS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_value_and_gradient_under_autocast(
    memory: torch.memory_format, stride: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(6, kernel=5, stride=stride, bias=bias).to(memory_format=memory)
    exact = nn.Conv2d(6, 6, 5, stride=stride, padding=2, groups=6, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(3, 6, 9, 7).to(memory_format=memory)
    expected = gradients(exact, x.double(), autocast=False)
    for autocast in (False, True):
        got = gradients(layer, x, autocast)
        assert all(tensor.dtype == torch.float32 for tensor in got)
        for mine, theirs in zip(got, expected, strict=True):
            # bf16 would be off by 1e-2
            torch.testing.assert_close(mine.double(), theirs, rtol=1e-4, atol=1e-5)


def test_half_precision_input_under_autocast() -> None:
    """What stands before it in the region gives bf16; its gradient must come back as bf16."""
    layer = DepthwiseConv2d(4)
    x = torch.randn(2, 4, 8, 8).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, layer(x.detach().float()))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_other_convolutions_keep_to_bf16() -> None:
    block = nn.Sequential(depthwise_norm(4), conv_norm(4, 8, kernel=1))
    dtypes = {}
    for name, module in block.named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: dtypes.update({name: o.dtype}))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        block(torch.randn(2, 4, 8, 8))
    assert dtypes["0.conv"] == torch.float32
    assert dtypes["1.conv"] == torch.bfloat16


def test_weights_cast_once_need_no_autocast() -> None:
    layer = DepthwiseConv2d(4).bfloat16()
    x = torch.randn(2, 4, 8, 8).bfloat16()
    assert layer(x).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(x), layer(x).float(), rtol=1e-2, atol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_follows_autocast_on_cuda() -> None:
    layer = DepthwiseConv2d(4).cuda()
    x = torch.randn(2, 4, 8, 8, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_initial_scale_keeps_the_signal() -> None:
    """Variance 2 / fan-out, where one input of a depthwise filter reaches k^2 outputs."""
    torch.manual_seed(0)
    dense, depthwise = nn.Conv2d(64, 128, 3), DepthwiseConv2d(4096)
    initialize(nn.Sequential(dense, depthwise))
    assert dense.weight.var().item() == pytest.approx(2 / (128 * 9), rel=0.02)
    assert depthwise.weight.var().item() == pytest.approx(2 / 9, rel=0.02)
    assert dense.bias is not None
    assert not dense.bias.any()
