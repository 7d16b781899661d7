"""The network of `bireal_small` with lookup convolutions (LCNN, arXiv 1611.06473).

It has the shortcuts, activations and transitions of `bireal_small`, so that dense, binary and
lookup layers can be compared in one network.
"""

from collections.abc import Sequence

from torch import nn

from tinyrefinery.layers.lookup import THRESHOLD, lookup_in_place_of
from tinyrefinery.layers.stem import Stem
from tinyrefinery.models.bireal_small import BirealSmall


def bireal_small_lcnn(
    classes: int,
    *,
    size: tuple[int, int],
    channels: int = 3,
    widths: Sequence[int] = (64, 128, 256),
    depth: int = 3,
    stem: Stem = "auto",
    words: int = 32,
    sparsity: float = 0.0,
    threshold: float = THRESHOLD,
    revive: bool = False,
) -> nn.Module:
    """`bireal_small` with float inputs, whose 3x3 convolutions but the first look filters up.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        widths: channels of the stages.
        depth: lookup convolutions in each stage.
        stem: `small` keeps the resolution, `imagenet` halves it first.
        words: vectors in the dictionary of each layer. Layers that it would not make smaller stay
            dense.
        sparsity: weight of the penalty on the coefficients; the paper names no value.
        threshold: coefficients within it, over sqrt(9 words), are 0.
        revive: let coefficients that became 0 move again.
    """
    network = BirealSmall(
        classes,
        size=size,
        channels=channels,
        widths=widths,
        depth=depth,
        stem=stem,
        weights="float",
        activations="float",
    )
    return lookup_in_place_of(network, words, sparsity=sparsity, threshold=threshold, revive=revive)
