"""Convolutions and linear layers with binary weights and inputs (XNOR-Net, arXiv 1603.05279).

A layer computes

    out = scale * conv(sign(x), sign(W)) * K + bias

with one scale per filter, the mean of |W|, zero padding after the sign, and sign(0) = 1. K is left
out unless `input_scale` is set, as in the authors' code. It is the mean of |x| over the channels,
averaged over the window of each output, padding included as 0 (equation 11).

The gradient is that of this formula, where `sign` passes gradients on where its input is within
`clip` (`quantized_weights.sign`). Neither the scale nor K is taken as a constant. So with
G = dL/dout * K, of a filter with n weights

    dL/dW = scale * 1[|W| <= clip] * corr(G, sign(x))
            + sign(W) / n * sum(G * conv(sign(x), sign(W)))

where the sum is over images and places of the filter. The convolution sums integers, so its result
is exact in 32 bits, and a packed layer gives the same bits.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.constraints import Constrained
from tinyrefinery.layers.quantized_weights import BITS, Weights, quantized, sign

Activations = Literal["float", "binary"]
"""Inputs of a layer: as they are, or their signs."""


class Quantized(Constrained):
    """What the layers of this module share: which weights and inputs they compute with."""

    weight: Tensor
    weights: Weights
    activations: Activations
    clip: float
    centered: bool

    @property
    def is_binary(self) -> bool:
        """Whether its products are of bits: binary weights with binary inputs."""
        return self.weights == "binary" and self.activations == "binary"

    @property
    def weight_bits(self) -> int:
        """Bits of a stored weight."""
        return BITS[self.weights]

    def levels(self) -> tuple[Tensor, Tensor | None]:
        """Levels (O, ...) and scales (O,) of the weights; see `quantized`."""
        return quantized(self.weight, self.weights, self.clip)

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring binary and ternary weights back to where training keeps them, in place.

        Centered ones: subtract the mean over the input channels, for each filter and place. Then
        clip to -clip to clip. Both as in the authors' code.
        """
        if self.weights not in ("binary", "ternary"):
            return
        if self.centered:
            self.weight.sub_(self.weight.mean(dim=1, keepdim=True))
        self.weight.clamp_(-self.clip, self.clip)

    def _setup(self, weights: str, activations: str, clip: float, centered: bool) -> None:
        if weights not in BITS:
            raise RecipeError(f"weights is one of {', '.join(BITS)}, not {weights!r}")
        if activations not in ("float", "binary"):
            raise RecipeError(f"activations is float or binary, not {activations!r}")
        if not clip > 0:
            raise RecipeError(f"clip must be above 0, not {clip}")
        self.weights, self.activations = weights, activations  # type: ignore[assignment]
        self.clip, self.centered = clip, centered

    def _inputs(self, values: Tensor) -> Tensor:
        return sign(values, self.clip) if self.activations == "binary" else values

    def extra_repr(self) -> str:
        """Kinds of weights and inputs."""
        return f"{super().extra_repr()}, weights={self.weights}, activations={self.activations}"


def has_binary_layers(network: nn.Module) -> bool:
    """Whether a layer of a network has binary weights and binary inputs."""
    return any(isinstance(layer, Quantized) and layer.is_binary for layer in network.modules())


class BinaryConv2d(Quantized, nn.Conv2d):
    """Convolution with binary weights and inputs, by default; see the module's formula.

    With `activations="float"` it is the convolution of a Binary-Weight-Network: the inputs are
    used as they are. With `weights="float"`, only the inputs are binary. Its parameters have the
    names and shapes of `nn.Conv2d`, so weights pass from one kind to another.

    Args:
        channels: C, input channels.
        width: O, output channels.
        kernel: side of the square filter in pixels.
        stride: of the convolution.
        padding: zeros around the signs, in pixels; default `kernel // 2`.
        bias: add a bias.
        weights: kind of weights.
        activations: kind of inputs.
        input_scale: multiply by K; needs binary inputs.
        clip: largest magnitude whose sign gets a gradient; weights are clipped to it.
        centered: keep the mean of the weights over the input channels at 0.

    Raises:
        RecipeError: if a kind is unknown, or options contradict each other.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = False,
        weights: Weights = "binary",
        activations: Activations = "binary",
        input_scale: bool = False,
        clip: float = 1.0,
        centered: bool = False,
    ) -> None:
        padding = kernel // 2 if padding is None else padding
        super().__init__(channels, width, kernel, stride=stride, padding=padding, bias=bias)
        self._setup(weights, activations, clip, centered)
        if input_scale and activations != "binary":
            raise RecipeError("input_scale needs activations binary: leave it out")
        self.input_scale = input_scale

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, h, w) to (B, O, h', w')."""
        levels, scale = self.levels()
        out = self._conv_forward(self._inputs(input), levels, None)
        if self.input_scale:
            out = out * self.window_means(input)
        if scale is not None:
            out = out * scale.view(1, -1, 1, 1)
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)

    def window_means(self, values: Tensor) -> Tensor:
        """K, the scale of the inputs: (B, C, h, w) -> (B, 1, h', w')."""
        size = values.abs().mean(dim=1, keepdim=True)
        kernel, stride = self.kernel_size, self.stride
        padding = self.padding
        assert not isinstance(padding, str)
        return F.avg_pool2d(size, kernel, stride, padding, count_include_pad=True)  # type: ignore[arg-type]


class BinaryLinear(Quantized, nn.Linear):
    """Linear layer with binary weights and inputs, by default: scale * sign(x) sign(W) + bias.

    Args:
        inputs: C.
        outputs: O.
        bias: add a bias.
        weights: kind of weights.
        activations: kind of inputs.
        clip: largest magnitude whose sign gets a gradient; weights are clipped to it.
        centered: keep the mean of each output's weights at 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool = False,
        weights: Weights = "binary",
        activations: Activations = "binary",
        clip: float = 1.0,
        centered: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self._setup(weights, activations, clip, centered)

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., C) to (..., O)."""
        levels, scale = self.levels()
        out = F.linear(self._inputs(input), levels)
        if scale is not None:
            out = out * scale
        return out if self.bias is None else out + self.bias


def undecayed(network: nn.Module) -> frozenset[str]:
    """Names of the weights that no decay may fall on: only their signs count.

    Decay would pull binary and ternary weights towards 0, where each step flips their signs. Their
    scale, the mean magnitude, has no other use.
    """
    return frozenset(
        f"{name}.weight" if name else "weight"
        for name, layer in network.named_modules()
        if isinstance(layer, Quantized) and layer.weights in ("binary", "ternary")
    )
