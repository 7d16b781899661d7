"""Darknet-19 (Redmon and Farhadi 2017, arXiv 1612.08242, Table 6; the authors' darknet19.cfg).

3x3 convolutions, with 1x1 convolutions between them that halve the channels, batch normalization
and leaky ReLU of slope .1. The classifier is a 1x1 convolution, followed by average pooling.
"""

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

# Table 6: channels of each block's 3x3 convolutions and their number. Between them are 1x1
# convolutions with half the channels.
_BLOCKS = ((32, 1), (64, 1), (128, 2), (256, 2), (512, 3), (1024, 3))
_SLOPE = 0.1  # darknet's `leaky`


class Darknet19(ImageNetwork):
    """18 convolutions, five max-pools and a 1x1 convolution as classifier.

    20.842 million parameters at 1,000 classes, 2.79 billion multiply-accumulates at 224 (published:
    5.58 billion operations).

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths.
        stem: `imagenet` has a max-pool after the first convolution, so the last map has 1/32 of the
            resolution; `small` leaves it out (our choice), so 1/16.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        stem: Stem = "auto",
    ) -> None:
        super().__init__()
        if round(_BLOCKS[0][0] * width) < 1:
            raise RecipeError(f"darknet19: width {width} leaves no channels")
        small = is_small(stem, size)
        self.convolutions = nn.Sequential()
        for number, (full, depth) in enumerate(_BLOCKS):
            if number > small:
                # Round up, so that no map vanishes. No difference at multiples of 32 pixels.
                self.convolutions.append(nn.MaxPool2d(2, ceil_mode=True))
            outputs, inner = round(full * width), max(1, round(full * width / 2))
            for index in range(depth):
                if index:
                    self.convolutions.append(_convolution(channels, inner, kernel=1))
                    channels = inner
                self.convolutions.append(_convolution(channels, outputs, kernel=3))
                channels = outputs
        self.classifier = nn.Conv2d(channels, classes, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the 18th convolution, (B, C, h, w)."""
        return self.convolutions(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.pool(self.classifier(features)).flatten(1)


def _convolution(channels: int, width: int, *, kernel: int) -> nn.Sequential:
    block = nn.Sequential()
    block.add_module("conv", nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False))
    block.add_module("norm", nn.BatchNorm2d(width))
    block.add_module("leaky", nn.LeakyReLU(_SLOPE, inplace=True))
    return block
