"""Convolution, batch normalization, then optionally pooling and activation, in this order."""

from collections.abc import Callable

from torch import nn

from tinyrefinery.layers.depthwise import DepthwiseConv2d


def conv_norm(
    channels: int,
    width: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    padding: int | None = None,
    bias: bool = False,
    pool: int = 1,
    activation: bool | Callable[..., nn.Module] = True,
) -> nn.Sequential:
    """Block from (B, channels, h, w) to (B, width, h', w').

    Pooling stands before the ReLU, as in the Label Refinery code: the two commute, and ReLU is then
    computed on fewer numbers.

    Args:
        channels: channels in.
        width: channels out.
        kernel: side of the square filter.
        stride: step of the convolution.
        padding: pixels of zeros around; `kernel // 2` when not given.
        bias: a bias before the normalization has no effect on the function; some published
            networks have one.
        pool: side and step of a max-pool after the normalization; 1 for none.
        activation: whether a ReLU ends the block, or what else does, e.g. `nn.Hardswish`.
    """
    padding = kernel // 2 if padding is None else padding
    block = nn.Sequential()
    block.add_module(
        "conv", nn.Conv2d(channels, width, kernel, stride=stride, padding=padding, bias=bias)
    )
    block.add_module("norm", nn.BatchNorm2d(width))
    if pool > 1:
        block.add_module("pool", nn.MaxPool2d(pool))
    if activation:
        kind = nn.ReLU if activation is True else activation
        block.add_module("relu" if kind is nn.ReLU else "activation", kind(inplace=True))
    return block


def depthwise_norm(
    channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    activation: Callable[..., nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Depthwise convolution, batch normalization and ReLU; the number of channels stays.

    Args:
        channels: in and out.
        kernel: side of the square filter.
        stride: step of the convolution.
        activation: what ends the block instead of a ReLU, e.g. `nn.Hardswish`.
    """
    block = nn.Sequential()
    block.add_module("conv", DepthwiseConv2d(channels, kernel=kernel, stride=stride))
    block.add_module("norm", nn.BatchNorm2d(channels))
    block.add_module("relu" if activation is nn.ReLU else "activation", activation(inplace=True))
    return block
