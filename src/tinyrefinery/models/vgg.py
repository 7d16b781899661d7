"""VGG (Simonyan and Zisserman 2015, arXiv 1409.1556, Table 1): stacks of 3x3 convolutions.

As published: no normalization, dropout of one half after both hidden linear layers. With
`batch_norm` each convolution is followed by batch normalization, as in torchvision's `vgg16_bn`.
Parameters have torchvision's names, so its weights can be loaded.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.models.image_network import ImageNetwork

_WIDTHS = (64, 128, 256, 512, 512)  # of the five blocks; a 2x2 max-pool ends each
_HIDDEN = 4096
_GRID = 7  # side of the last feature map at 224 pixels


class VGG(ImageNetwork):
    """Five blocks of 3x3 convolutions and three linear layers.

    The first linear layer needs a grid of fixed size: that of the last feature map for images of
    `size`, but at most 7x7. Average pooling brings the maps to this grid, so images of other sizes
    work too. At 224 pixels it is exactly the published network. At 32 the grid is 1x1, as usual for
    CIFAR.

    Args:
        depths: convolutions in each of the five blocks.
        classes: K.
        size: height, width of the images in pixels.
        channels: 1 or 3.
        width: multiplies all widths, also of the hidden linear layers.
        batch_norm: normalize after each convolution.
        dropout: share of hidden units set to zero in training; one half as published.
    """

    def __init__(
        self,
        depths: Sequence[int],
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        widths, hidden = [round(w * width) for w in _WIDTHS], round(_HIDDEN * width)
        if widths[0] < 1:
            raise RecipeError(f"vgg: width {width} leaves no channels")
        self.features = nn.Sequential()
        for depth, outputs in zip(depths, widths, strict=True):
            for _ in range(depth):
                self.features.extend(_convolution(channels, outputs, batch_norm))
                channels = outputs
            # Round up, so that no map vanishes. No difference at multiples of 32 pixels.
            self.features.append(nn.MaxPool2d(2, ceil_mode=True))
        grid = tuple(min(-(-side // 32), _GRID) for side in size)
        self.avgpool = nn.AdaptiveAvgPool2d(grid)
        self.classifier = nn.Sequential(
            *_hidden(channels * grid[0] * grid[1], hidden, dropout),
            *_hidden(hidden, hidden, dropout),
            nn.Linear(hidden, classes),
        )
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last block and its max-pool, (B, C, h, w)."""
        return self.features(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.classifier(self.avgpool(features).flatten(1))


# Positional arguments of a partial are not options: a recipe can't set `depths`.
vgg16 = partial(VGG, (2, 2, 3, 3, 3))
"""Configuration D: 138.358 million parameters at 1,000 classes, 15.47 billion MACs at 224."""
vgg19 = partial(VGG, (2, 2, 4, 4, 4))
"""Configuration E: 143.667 million parameters at 1,000 classes, 19.63 billion MACs at 224."""


def _convolution(channels: int, width: int, batch_norm: bool) -> list[nn.Module]:
    norm = [nn.BatchNorm2d(width)] if batch_norm else []
    return [nn.Conv2d(channels, width, 3, padding=1), *norm, nn.ReLU(inplace=True)]


def _hidden(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]
