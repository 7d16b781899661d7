"""What XNOR networks have in common: their options, and the order norm, sign, layer (section 3.2).

Normalization comes first, so that each channel has as many positive as negative values where it is
binarized. In a packed network it becomes a threshold per channel.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from tinyrefinery.layers.binary import Activations, BinaryConv2d, BinaryLinear
from tinyrefinery.layers.constraints import constrain
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.quantized_weights import Weights


@dataclass(frozen=True)
class Kinds:
    """The kinds of weights and inputs of a network's binary layers."""

    weights: Weights = "binary"
    activations: Activations = "binary"
    input_scale: bool = False

    def conv(self, channels: int, width: int, **options: Any) -> nn.Sequential:
        """Normalize, binarize and convolve (B, channels, h, w) to (B, width, h', w').

        Where inputs stay float, a ReLU takes the place of the sign.
        """
        convolution = BinaryConv2d(
            channels,
            width,
            weights=self.weights,
            activations=self.activations,
            input_scale=self.input_scale,
            centered=True,
            **options,
        )
        return self._behind(nn.BatchNorm2d(channels), convolution)

    def linear(self, inputs: int, outputs: int, norm: nn.Module) -> nn.Sequential:
        """Normalize, flatten, binarize and map (B, ...) of `inputs` numbers to (B, outputs)."""
        layer = BinaryLinear(
            inputs, outputs, weights=self.weights, activations=self.activations, centered=True
        )
        return self._behind(norm, layer)

    def _behind(self, norm: nn.Module, layer: nn.Module) -> nn.Sequential:
        block = nn.Sequential()
        block.add_module("norm", norm)
        if self.activations == "float":
            block.add_module("relu", nn.ReLU(inplace=True))
        if isinstance(layer, nn.Linear):
            block.add_module("flatten", nn.Flatten())
        block.add_module("conv" if isinstance(layer, nn.Conv2d) else "linear", layer)
        return block


def start(network: nn.Module) -> None:
    """Initialize the weights in place, and bring them to where training keeps them."""
    initialize(network)
    constrain(network)
