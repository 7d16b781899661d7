"""Convolution, batch normalization, then optional pooling and activation, in this order."""

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

    Pooling comes before the ReLU, as in the Label Refinery code. The two commute, and ReLU then
    processes fewer numbers.

    Args:
        channels: input channels.
        width: output channels.
        kernel: side of the square filter in pixels.
        stride: stride of the convolution.
        padding: zero padding in pixels; default `kernel // 2`.
        bias: add a bias to the convolution. It has no effect before the normalization, but some
            published networks have it.
        pool: side and stride of a max-pool after the normalization; 1 for none.
        activation: True for a ReLU, False for none, or another activation, e.g. `nn.Hardswish`.
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
    """Depthwise convolution, batch normalization and activation, with unchanged channels.

    Args:
        channels: input and output channels.
        kernel: side of the square filter in pixels.
        stride: stride of the convolution.
        activation: e.g. `nn.Hardswish` instead of a ReLU.
    """
    block = nn.Sequential()
    block.add_module("conv", DepthwiseConv2d(channels, kernel=kernel, stride=stride))
    block.add_module("norm", nn.BatchNorm2d(channels))
    block.add_module("relu" if activation is nn.ReLU else "activation", activation(inplace=True))
    return block
