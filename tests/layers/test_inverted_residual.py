"""Inverted residuals and skip blocks against torchvision's block and plain operations."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models._utils import _make_divisible
from torchvision.models.mobilenetv3 import InvertedResidual as Reference
from torchvision.models.mobilenetv3 import InvertedResidualConfig

from tinyrefinery.layers.inverted_residual import InvertedResidual, SkipBlock, divisible


@pytest.mark.parametrize("channels", [0.4, 1, 4, 7.9, 11, 12, 16.5, 36, 55.2, 74, 92.0, 1472.5])
@pytest.mark.parametrize("by", [4, 8])
def test_divisible_is_tensorflows(channels: float, by: int) -> None:
    assert divisible(channels, by) == _make_divisible(channels, by)


@pytest.mark.parametrize("swish", [False, True])
@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize(
    ("channels", "width", "stride", "kernel"), [(8, 8, 1, 3), (8, 16, 1, 5), (8, 8, 2, 5)]
)
def test_equals_torchvisions(
    channels: int, width: int, stride: int, kernel: int, squeeze: bool, swish: bool
) -> None:
    torch.manual_seed(1)
    kind = "HS" if swish else "RE"
    config = InvertedResidualConfig(channels, kernel, 24, width, squeeze, kind, stride, 1, 1.0)
    reference = Reference(config, nn.BatchNorm2d)
    ours = InvertedResidual(
        channels,
        width,
        expanded=24,
        kernel=kernel,
        stride=stride,
        squeeze=squeeze,
        activation=nn.Hardswish if swish else nn.ReLU,
    )
    tensors = reference.state_dict().values()  # the same layers in the same order
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)))
    x = torch.randn(3, channels, 9, 6)
    torch.testing.assert_close(ours(x), reference(x))  # in training mode
    torch.testing.assert_close(ours.eval()(x), reference.eval()(x))


def test_the_expanding_convolution_is_there_even_at_factor_one() -> None:
    """Torchvision leaves it out; the SkipblockNet code has it in the first block."""
    kernels = [m.kernel_size for m in InvertedResidual(8, 8, expanded=8).modules() if conv(m)]
    assert kernels == [(1, 1), (3, 3), (1, 1)]


def conv(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def test_a_skip_block_pools_to_the_size_it_is_added_to() -> None:
    torch.manual_seed(1)
    block = SkipBlock(8, 12, expanded=20, kernel=5).eval()
    early, late = torch.randn(2, 8, 24, 16), torch.randn(2, 12, 6, 4)
    first, second, third = (m for m in block.modules() if conv(m))
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    pooled = F.avg_pool2d(early, 4)
    inner = F.relu(norms[0](F.conv2d(pooled, first.weight)))
    inner = F.relu(norms[1](F.conv2d(inner, second.weight, padding=2, groups=20)))
    expected = late + norms[2](F.conv2d(inner, third.weight))
    torch.testing.assert_close(block(early, late), expected)


@pytest.mark.parametrize(
    ("early", "late"), [((25, 17), (7, 5)), ((5, 5), (5, 5)), ((3, 2), (1, 1))]
)
def test_a_skip_block_takes_any_sizes(early: tuple[int, int], late: tuple[int, int]) -> None:
    block = SkipBlock(4, 6, expanded=8)
    assert block(torch.randn(2, 4, *early), torch.randn(2, 6, *late)).shape == (2, 6, *late)


def test_a_skip_block_never_adds_its_own_input() -> None:
    """Its input is of another place of the network, even where shapes agree."""
    block = SkipBlock(4, 4, expanded=8).eval()
    nn.init.zeros_(block.block.project.norm.weight)
    early, late = torch.randn(1, 4, 5, 5), torch.randn(1, 4, 5, 5)
    assert torch.equal(block(early, late), late)
