"""What a network costs: parameters and multiply-accumulates."""

import math

from torch import Tensor, nn

from tinyrefinery.layers.modes import pass_shapes

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
    """Weights and biases; running statistics don't count, and a shared tensor counts once."""
    return sum(parameter.numel() for parameter in network.parameters())


def frozen_parameters(network: nn.Module) -> int:
    """Those of them that are not trained."""
    return sum(each.numel() for each in network.parameters() if not each.requires_grad)


def macs(
    network: nn.Module, channels: int, size: tuple[int, int], *, elementwise: bool = False
) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image.

    The plain count of the literature: neither biases, normalization, activations, pooling nor the
    products inside attention are counted. Nothing is computed: only shapes pass through.

    Args:
        network: any; it is left as it was.
        channels: of the image.
        size: height, width of the image in pixels.
        elementwise: also count one for each number out of batch normalization, ReLU, ReLU6, hard
            swish and hard sigmoid. The counts that arXiv 2107.11170 prints of its four
            SkipblockNets are of this kind; those of other networks beside them are plain.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * _products(module)

    kinds = (*_CONVOLUTIONS, nn.Linear, *(_ELEMENTWISE if elementwise else ()))
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        pass_shapes(network, (1, channels, *size))
    finally:
        for handle in handles:
            handle.remove()
    return total


def _products(layer: nn.Module) -> int:
    """Products for one output number."""
    if isinstance(layer, _ELEMENTWISE):
        return 1
    if isinstance(layer, nn.Linear):
        return layer.in_features
    assert isinstance(layer, _CONVOLUTIONS)
    return layer.in_channels // layer.groups * math.prod(layer.kernel_size)
