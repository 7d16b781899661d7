"""The first layers of a network, for photographs or for small images."""

from typing import Literal

from torch import nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm

Stem = Literal["auto", "imagenet", "small"]
"""`imagenet`: as published for 224 pixels. `small`: keeps resolution. `auto`: by image size."""

SMALL_BELOW = 96  # our choice: below it an ImageNet stem leaves less than a 3x3 map in the end


def is_small(stem: str, size: tuple[int, int]) -> bool:
    """Whether images of `size` (height, width in pixels) get the small-image stem.

    `auto` takes it when the shorter side is below 96 pixels.

    Raises:
        RecipeError: when the stem is none of the three.
    """
    if stem not in ("auto", "imagenet", "small"):
        raise RecipeError(f"no stem is named '{stem}'. Known: auto, imagenet, small.")
    return min(size) < SMALL_BELOW if stem == "auto" else stem == "small"


def residual_stem(channels: int, width: int, *, small: bool) -> nn.Sequential:
    """The stem of residual networks, from `channels` to `width` channels.

    Small: a 3x3 convolution of stride 1, so that the resolution stays (He et al. 2016, section
    4.2). Else: a 7x7 convolution of stride 2 and a 3x3 max-pool of stride 2, so that a quarter of
    the resolution is left (Table 1).
    """
    if small:
        return conv_norm(channels, width)
    stem = conv_norm(channels, width, kernel=7, stride=2)
    stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    return stem
