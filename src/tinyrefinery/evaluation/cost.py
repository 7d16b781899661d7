"""Cost of a network: parameters and multiply-accumulates."""

import math

from torch import Tensor, nn

from tinyrefinery.layers.modes import output_shapes

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ELEMENTWISE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.ReLU,
    nn.ReLU6,
    nn.Hardswish,
    nn.Hardsigmoid,
)


def parameters(network: nn.Module) -> int:
    """Number of weights and biases, without running statistics. Shared tensors count once."""
    return sum(parameter.numel() for parameter in network.parameters())


def frozen_parameters(network: nn.Module) -> int:
    """Number of weights and biases that are not trained."""
    return sum(p.numel() for p in network.parameters() if not p.requires_grad)


def macs(
    network: nn.Module, channels: int, size: tuple[int, int], *, elementwise: bool = False
) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image.

    The usual count of the literature, without biases, normalization, activations, pooling and the
    products inside attention. Propagates shapes only and computes no values.

    Args:
        network: any network; it is not changed.
        channels: of the image.
        size: height, width of the image in pixels.
        elementwise: also count one per output number of batch normalization, ReLU, ReLU6, hard
            swish and hard sigmoid. arXiv 2107.11170 counts its four SkipblockNets this way, but
            not the other networks in its tables.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * _products(module)

    kinds = (*_CONVOLUTIONS, nn.Linear, *(_ELEMENTWISE if elementwise else ()))
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        output_shapes(network, (1, channels, *size))
    finally:
        for handle in handles:
            handle.remove()
    return total


def _products(layer: nn.Module) -> int:
    """Products per output number."""
    if isinstance(layer, _ELEMENTWISE):
        return 1
    if isinstance(layer, nn.Linear):
        return layer.in_features
    assert isinstance(layer, _CONVOLUTIONS)
    return layer.in_channels // layer.groups * math.prod(layer.kernel_size)
