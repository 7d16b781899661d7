"""The first layers of a network, for photographs or for small images."""

from typing import Literal

from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm

Stem = Literal["auto", "imagenet", "small"]
"""`imagenet`: as published for 224 pixels. `small`: keeps resolution. `auto`: by image size."""

SMALL_BELOW = 96  # pixels; our choice: below it the last map of an ImageNet stem is less than 3x3


def is_small(stem: str, size: tuple[int, int]) -> bool:
    """Whether images of `size` (height, width in pixels) get the small-image stem.

    `auto` uses it if the shorter side is below 96 pixels.

    Raises:
        RecipeError: if the stem is unknown.
    """
    if stem not in ("auto", "imagenet", "small"):
        raise RecipeError(f"no stem is named '{stem}'. Known: auto, imagenet, small.")
    return min(size) < SMALL_BELOW if stem == "auto" else stem == "small"


def residual_stem(channels: int, width: int, *, small: bool) -> nn.Sequential:
    """The stem of residual networks, from `channels` to `width` channels.

    Small: a 3x3 convolution of stride 1, which keeps the resolution (He et al. 2016, section 4.2).
    Else: a 7x7 convolution of stride 2 and a 3x3 max-pool of stride 2, which leave a quarter of the
    resolution (Table 1).
    """
    if small:
        return conv_norm(channels, width)
    stem = conv_norm(channels, width, kernel=7, stride=2)
    stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    return stem


Variant = Literal["published", "zoo"]
"""`published`: as in the network's paper. `zoo`: as in the CIFAR-100 zoo, pytorch-cifar100."""


def is_zoo(variant: str, stem: str) -> bool:
    """Whether `variant` is the zoo's, which has a stem for small images only.

    Raises:
        RecipeError: if the variant is unknown, or the zoo's is combined with stem `imagenet`.
    """
    if variant not in ("published", "zoo"):
        raise RecipeError(f"no variant is named '{variant}'. Known: published, zoo.")
    if variant == "zoo" and stem == "imagenet":
        raise RecipeError("variant 'zoo' has no stem 'imagenet': use stem 'small' or 'auto'")
    return variant == "zoo"


def add_biases(network: nn.Module) -> None:
    """Add a zero bias to each convolution that has none, in place.

    The zoo's networks have these biases. They have no effect before a normalization.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            module.bias = nn.Parameter(module.weight.new_zeros(module.out_channels))
