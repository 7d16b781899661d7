"""AlexNet as trained by the Label Refinery authors (their code, models/alexnet.py).

The widths of Krizhevsky et al. (2012) without groups, local response normalization and dropout,
but with batch normalization after each convolution and hidden linear layer, and 2x2 pools.
The last layer has no bias. At 224 pixels and 1,000 classes: 62.396 million parameters, 1.135
billion multiply-accumulates.
"""

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

_GRID = 6  # side of the last feature map at 224 pixels
_MIN_SIDE = 35  # pixels; the ImageNet stem and three pools reduce shorter sides to nothing


class AlexNet(ImageNetwork):
    """Five convolutions and three linear layers.

    The first linear layer needs a grid of fixed size: that of the last feature map for images of
    `size`, but at most 6x6. Average pooling brings the maps to this grid, so images of other sizes
    work too. At 224 pixels it is exactly the published network.

    Args:
        classes: K.
        size: height, width of the images in pixels.
        channels: 1 or 3.
        stem: `imagenet` starts with a 11x11 convolution of stride 4; `small` with 5x5 and stride 1
            (our choice), so the last map has 1/8 of the resolution.
    """

    def __init__(
        self, classes: int, *, size: tuple[int, int], channels: int = 3, stem: Stem = "auto"
    ) -> None:
        super().__init__()
        small = is_small(stem, size)
        if not small and min(size) < _MIN_SIDE:
            raise RecipeError(
                f"alexnet: stem 'imagenet' needs images of at least {_MIN_SIDE} pixels a side, not "
                f"{size[0]}x{size[1]}: use stem 'small' or 'auto'"
            )
        kernel, stride = (5, 1) if small else (11, 4)
        self.convolutions = nn.Sequential(
            conv_norm(channels, 96, kernel=kernel, stride=stride, padding=2, bias=True, pool=2),
            conv_norm(96, 256, kernel=5, bias=True, pool=2),
            conv_norm(256, 384, bias=True),
            conv_norm(384, 384, bias=True),
            conv_norm(384, 256, bias=True, pool=2),
        )
        grid = tuple(min(_side(pixels, small), _GRID) for pixels in size)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.hidden = nn.Sequential(
            *_linear_norm(256 * grid[0] * grid[1], 4096), *_linear_norm(4096, 4096)
        )
        self.fc = nn.Linear(4096, classes, bias=False)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the fifth convolution and its max-pool, (B, 256, h, w)."""
        return self.convolutions(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.hidden(self.pool(features).flatten(1)))


def _side(pixels: int, small: bool) -> int:
    """Side of the last feature map."""
    after_first = pixels if small else (pixels - 7) // 4 + 1
    return after_first // 8


def _linear_norm(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
