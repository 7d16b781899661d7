"""Residual networks with lookup convolutions (LCNN, arXiv 1611.06473).

As in the paper, the first convolution, the 1x1 convolutions of shortcuts and the last layer stay
dense. All others are trained as lookup convolutions with a dictionary per layer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from tinyrefinery.layers.lookup import THRESHOLD, lookup_in_place_of
from tinyrefinery.layers.stem import Stem
from tinyrefinery.models.resnet import resnet18
from tinyrefinery.models.resnet8 import ResNet8


def resnet_lcnn(
    build: Callable[..., nn.Module],
    classes: int,
    *,
    size: tuple[int, int],
    channels: int = 3,
    width: float = 1.0,
    stem: Stem = "auto",
    words: int = 32,
    sparsity: float = 0.0,
    threshold: float = THRESHOLD,
    revive: bool = False,
) -> nn.Module:
    """A residual network whose 3x3 convolutions look their filters up.

    Args:
        build: the network with dense convolutions.
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths.
        stem: as of the dense network.
        words: vectors in the dictionary of each layer. Layers that it would not make smaller stay
            dense.
        sparsity: weight of the penalty on the coefficients; the paper names no value.
        threshold: coefficients within it, over sqrt(9 words), are 0.
        revive: let coefficients that became 0 move again.
    """
    network = build(classes, size=size, channels=channels, width=width, stem=stem)
    options: dict[str, Any] = {"sparsity": sparsity, "threshold": threshold, "revive": revive}
    return lookup_in_place_of(network, words, **options)


# Positional arguments of a partial are not options: a recipe can't set `build`.
resnet8_lcnn = partial(resnet_lcnn, ResNet8)
resnet18_lcnn = partial(resnet_lcnn, resnet18)
