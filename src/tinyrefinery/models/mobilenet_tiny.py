"""Inverted residuals for tens of kilobytes (our design, after MobileNet v2 and MCUNet).

The blocks are those of MobileNet v2 (Sandler et al. 2018). As in MCUNet (Lin et al. 2020), the
resolution falls early, because the expanded maps of the first blocks decide how much memory a
network needs.
"""

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm, depthwise_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.inverted_residual import InvertedResidual, divisible
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

_WIDTHS = (16, 24, 48, 96)
"""Channels of the first convolution and of the three stages, at width 1."""


class MobileNetTiny(ImageNetwork):
    """A convolution, a separable one, three stages of inverted residuals, pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths, which are then rounded to multiples of 4.
        depth: inverted residuals in each stage.
        expansion: channels of the depthwise convolutions, as a multiple of a block's input.
        stem: `imagenet` starts with stride 2, so the last map has 1/16 of the resolution; `small`
            with stride 1, so 1/8.
        dropout: share of pooled features set to zero in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        depth: int = 2,
        expansion: float = 4.0,
        stem: Stem = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width <= 0 or depth < 1 or expansion < 1:
            raise RecipeError(
                f"mobilenet_tiny: width must be above 0, depth and expansion at least 1, got "
                f"{width}, {depth} and {expansion}"
            )
        first, *stages = (divisible(full * width, by=4) for full in _WIDTHS)
        self.stem = conv_norm(channels, first, stride=1 if is_small(stem, size) else 2)
        self.blocks = nn.Sequential(
            nn.Sequential(
                depthwise_norm(first, stride=2),
                conv_norm(first, stages[0], kernel=1, activation=False),
            )
        )
        inputs = stages[0]
        for number, outputs in enumerate(stages):
            for place in range(depth):
                block = InvertedResidual(
                    inputs,
                    outputs,
                    expanded=round(inputs * expansion),
                    stride=2 if number and not place else 1,
                )
                self.blocks.append(block)
                inputs = outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last block, (B, C, h, w)."""
        return self.blocks(self.stem(x))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.pool(features).flatten(1)))
