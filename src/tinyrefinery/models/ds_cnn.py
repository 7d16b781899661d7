"""DS-CNN (Zhang et al. 2017, arXiv 1711.07128): separable convolutions of one width, for images.

The published networks are for keywords in speech, with a first filter of 10x4. MLPerf Tiny's one
has width 64 and four blocks. The first filter is 3x3 here, and the first blocks halve the
resolution, as images are larger than spectrograms.
"""

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm, depthwise_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork


class DSCNN(ImageNetwork):
    """A convolution, depthwise separable convolutions of one width, pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: channels of all maps.
        blocks: separable convolutions.
        halvings: how many of them, from the first, have stride 2.
        stem: `imagenet` starts with stride 2, `small` with stride 1.
        dropout: share of pooled features set to zero in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: int = 64,
        blocks: int = 4,
        halvings: int = 2,
        stem: Stem = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width < 1 or not 0 <= halvings <= blocks or blocks < 1:
            raise RecipeError(
                f"ds_cnn: width {width} and blocks {blocks} must be at least 1, and halvings "
                f"{halvings} from 0 to blocks"
            )
        self.stem = conv_norm(channels, width, stride=1 if is_small(stem, size) else 2)
        self.blocks = nn.Sequential()
        for number in range(blocks):
            stride = 2 if number < halvings else 1
            self.blocks.append(
                nn.Sequential(
                    depthwise_norm(width, stride=stride), conv_norm(width, width, kernel=1)
                )
            )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last separable convolution, (B, C, h, w)."""
        return self.blocks(self.stem(x))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.pool(features).flatten(1)))
