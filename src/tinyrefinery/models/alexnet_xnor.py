"""AlexNet with binary layers (XNOR-Net, arXiv 1603.05279, sections 3.2 and 4).

The widths of `AlexNet`. All layers but the first and the last are binary, and each pool is behind
a convolution, since the maximum of signs would lose most of what they tell. 62.388 million
parameters at 1,000 classes, 58.237 million of them binary.
"""

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.binary import Activations
from tinyrefinery.layers.quantized_weights import Weights
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork
from tinyrefinery.models.xnor_blocks import Kinds, start

_GRID = 6  # side of the last feature map at 224 pixels
_MIN_SIDE = 63  # pixels; the ImageNet stem and three pools reduce shorter sides to nothing


class AlexNetXnor(ImageNetwork):
    """Five convolutions and three linear layers, binary but for the first and the last.

    The first linear layer has a grid of fixed size, as in `AlexNet`.

    Args:
        classes: K.
        size: height, width of the images in pixels.
        channels: 1 or 3.
        stem: `imagenet` starts with a 11x11 convolution of stride 4; `small` with 5x5 and stride 1
            (our choice), so the last map has 1/8 of the resolution.
        weights: of the binary layers: binary, float, ternary or int4.
        activations: inputs of these layers: binary or float. Binary weights with float inputs make
            a Binary-Weight-Network, which has ReLUs.
        input_scale: multiply by the scale K of the inputs, which the authors' code leaves out.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        stem: Stem = "auto",
        weights: Weights = "binary",
        activations: Activations = "binary",
        input_scale: bool = False,
    ) -> None:
        super().__init__()
        small = is_small(stem, size)
        if not small and min(size) < _MIN_SIDE:
            raise RecipeError(
                f"alexnet_xnor: stem 'imagenet' needs images of at least {_MIN_SIDE} pixels a "
                f"side, not {size[0]}x{size[1]}: use stem 'small' or 'auto'"
            )
        kinds = Kinds(weights, activations, input_scale)
        kernel, stride = (5, 1) if small else (11, 4)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 96, kernel, stride, padding=2, bias=False),
            nn.BatchNorm2d(96),
            nn.ReLU(inplace=True),
            _pool(small),
        )
        self.convolutions = nn.Sequential(
            nn.Sequential(kinds.conv(96, 256, kernel=5), _pool(small)),
            kinds.conv(256, 384),
            kinds.conv(384, 384),
            nn.Sequential(kinds.conv(384, 256), _pool(small)),
        )
        grid = tuple(min(_side(pixels, small), _GRID) for pixels in size)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.hidden = nn.Sequential(
            kinds.linear(256 * grid[0] * grid[1], 4096, nn.BatchNorm2d(256)),
            kinds.linear(4096, 4096, nn.BatchNorm1d(4096)),
        )
        self.last_norm = nn.BatchNorm1d(4096)
        self.fc = nn.Linear(4096, classes)
        start(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the fifth convolution and its max-pool, (B, 256, h, w)."""
        return self.convolutions(self.stem(x))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        hidden = self.last_norm(self.hidden(self.pool(features)))
        return self.fc(hidden.relu())


def _pool(small: bool) -> nn.MaxPool2d:
    """3x3 with stride 2; with the small stem padded, so that each halves the resolution."""
    return nn.MaxPool2d(3, stride=2, padding=1 if small else 0)


def _side(pixels: int, small: bool) -> int:
    """Side of the last feature map."""
    if small:
        for _ in range(3):
            pixels = (pixels - 1) // 2 + 1
        return pixels
    side = (pixels - 7) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side
