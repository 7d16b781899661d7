"""Cost of a network: parameters and multiply-accumulates."""

import math
from collections.abc import Callable

from torch import Tensor, nn

from tinyrefinery.layers.binary import Quantized
from tinyrefinery.layers.lookup import LookupConv2d
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


def costs_of(network: nn.Module, channels: int, size: tuple[int, int]) -> dict[str, int]:
    """Parameters and multiply-accumulates, and how many of these are of bits if any are."""
    found = {"parameters": parameters(network), "macs": macs(network, channels, size)}
    of_bits = binary_macs(network, channels, size)
    return found | ({"binary_macs": of_bits} if of_bits else {})


def binary_macs(network: nn.Module, channels: int, size: tuple[int, int]) -> int:
    """Those of the multiply-accumulates whose weights and inputs are both binary; see `macs`."""
    by_layer = macs_by_layer(network, channels, size)
    layers = dict(network.named_modules())
    return sum(
        count
        for name, count in by_layer.items()
        if isinstance(layer := layers[name], Quantized) and layer.is_binary
    )


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
    return sum(macs_by_layer(network, channels, size, elementwise=elementwise).values())


def macs_by_layer(
    network: nn.Module, channels: int, size: tuple[int, int], *, elementwise: bool = False
) -> dict[str, int]:
    """Multiply-accumulates for one image, by the name of the layer; see `macs`.

    Of a lookup convolution: those of the dictionary, and of the coefficients that are not 0.
    """
    found: dict[str, int] = {}
    handles = []
    for name, layer in network.named_modules():
        products = _counter(layer, elementwise)
        if products is not None:

            def count(
                _: nn.Module,
                inputs: tuple[Tensor, ...],
                output: Tensor,
                name: str = name,
                products: _Counter = products,
            ) -> None:
                """Add what one call of a layer takes."""
                found[name] = found.get(name, 0) + products(inputs[0], output)

            handles.append(layer.register_forward_hook(count))
    try:
        output_shapes(network, (1, channels, *size))
    finally:
        for handle in handles:
            handle.remove()
    return found


_Counter = Callable[[Tensor, Tensor], int]
"""Input and output of a layer -> products."""


def _counter(layer: nn.Module, elementwise: bool) -> _Counter | None:
    """How the products of a layer are counted; None: they are not."""
    if isinstance(layer, LookupConv2d):
        kept, words = kept_coefficients(layer), layer.dictionary.numel()
        width = len(layer.coefficients)
        return lambda maps, out: words * maps.shape[2] * maps.shape[3] + kept * out.numel() // width
    kinds = (*_CONVOLUTIONS, nn.Linear, *(_ELEMENTWISE if elementwise else ()))
    if not isinstance(layer, kinds):
        return None
    products = _products(layer)
    return lambda maps, out: out.numel() * products


def kept_coefficients(layer: LookupConv2d) -> int:
    """Coefficients of a lookup convolution that are not 0; without values, all of them."""
    if layer.coefficients.is_meta:
        return layer.coefficients.numel()
    return int(layer.is_kept.sum())


def _products(layer: nn.Module) -> int:
    """Products per output number."""
    if isinstance(layer, _ELEMENTWISE):
        return 1
    if isinstance(layer, nn.Linear):
        return layer.in_features
    assert isinstance(layer, _CONVOLUTIONS)
    return layer.in_channels // layer.groups * math.prod(layer.kernel_size)
