"""Binary and lookup layers with weights that are computed once, as files for other runtimes need.

Converters compute nothing from weights. They write a convolution only where its weights are given.
"""

import torch
from torch import Tensor, nn

from tinyrefinery.layers.binary import BinaryConv2d, BinaryLinear
from tinyrefinery.layers.lookup import LookupConv2d
from tinyrefinery.layers.quantized_weights import sign


def with_constant_weights(network: nn.Module) -> nn.Module:
    """Replace binary and lookup layers by ones that compute the same, in place; for inference."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, BinaryConv2d | BinaryLinear):
                setattr(parent, name, _ConstantLayer(layer))
            elif isinstance(layer, LookupConv2d):
                setattr(parent, name, _two_convolutions(layer))
    return network


class _ConstantLayer(nn.Module):
    """Signs of the inputs where they are binary, a layer with given weights, then the scales.

    With binary inputs the weights are the levels, so that sums stay exact integers. Otherwise the
    scales are part of the weights, and there is nothing behind the layer.
    """

    def __init__(self, layer: BinaryConv2d | BinaryLinear) -> None:
        super().__init__()
        self.signs = layer.activations == "binary"
        self.window_means = (
            layer.window_means if isinstance(layer, BinaryConv2d) and layer.input_scale else None
        )
        with torch.no_grad():
            weights, scale = layer.levels()
            shape = (-1, *[1] * (weights.ndim - 1))
            if scale is not None and not self.signs:
                weights, scale = weights * scale.view(shape), None
        self.inner = _inner(layer, weights)
        per_channel = shape[:3] if weights.ndim == 4 else shape[:1]
        self.scale = None if scale is None else _constant(scale.view(per_channel))
        self.bias = None if layer.bias is None else _constant(layer.bias.view(per_channel))

    def forward(self, values: Tensor) -> Tensor:
        """What the layer computes."""
        out = self.inner(sign(values) if self.signs else values)
        if self.window_means is not None:
            out = out * self.window_means(values)
        if self.scale is not None:
            out = out * self.scale
        return out if self.bias is None else out + self.bias


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=False)


def _inner(layer: BinaryConv2d | BinaryLinear, weights: Tensor) -> nn.Module:
    """A plain layer of the same shape, without a bias."""
    if isinstance(layer, BinaryLinear):
        inner: nn.Module = nn.Linear(layer.in_features, layer.out_features, bias=False)
    else:
        inner = _conv(weights, layer.stride[0], layer.padding)
    inner.weight = _constant(weights)
    return inner


def _conv(weights: Tensor, stride: int, padding: int | tuple[int, ...] | str) -> nn.Conv2d:
    width, channels, *kernel = weights.shape
    side = padding[0] if isinstance(padding, tuple) else padding
    return nn.Conv2d(channels, width, kernel[0], stride, side, bias=False)


def _two_convolutions(layer: LookupConv2d) -> nn.Sequential:
    """The dictionary, then the coefficients."""
    words = _conv(layer.dictionary[:, :, None, None], 1, 0)
    words.weight = _constant(layer.dictionary[:, :, None, None])
    coefficients = _conv(layer.coefficients, layer.stride, layer.padding)
    coefficients.weight = _constant(layer.sparse())
    if layer.bias is not None:
        coefficients.bias = _constant(layer.bias)
    return nn.Sequential(words, coefficients)
