"""MobileNet v1 (Howard et al. 2017, Table 1): depthwise separable convolutions.

ReLU is unbounded as in the paper. TensorFlow's and Keras' versions clip it at 6.
"""

from functools import partial

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm, depthwise_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork

# Table 1: output channels and stride of each separable convolution. The table prints stride 2 for
# the last one, but its map stays 7x7, so the stride is 1.
_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


class MobileNetV1(ImageNetwork):
    """A convolution, 13 depthwise separable convolutions, average pooling, linear layer.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths; the paper has 1, .75, .5 and .25.
        stem: `imagenet` starts with stride 2, so the last map has 1/32 of the resolution; `small`
            with stride 1, so 1/16, as usual for CIFAR.
        dropout: share of pooled features set to zero in training; none in the paper.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        stem: Stem = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width <= 0:
            raise RecipeError(f"mobilenet_v1: width must be above 0, got {width}")
        inputs = _scaled(32, width)
        self.stem = conv_norm(channels, inputs, stride=1 if is_small(stem, size) else 2)
        self.blocks = nn.Sequential()
        for full, stride in _BLOCKS:
            outputs = _scaled(full, width)
            self.blocks.append(
                nn.Sequential(
                    depthwise_norm(inputs, stride=stride), conv_norm(inputs, outputs, kernel=1)
                )
            )
            inputs = outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last separable convolution, (B, C, h, w)."""
        return self.blocks(self.stem(x))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(self.pool(features).flatten(1)))


mobilenet_v1_100 = partial(MobileNetV1, width=1.0)
"""4.232 million parameters at 1,000 classes, 569 million multiply-accumulates at 224."""
mobilenet_v1_075 = partial(MobileNetV1, width=0.75)
"""2.586 million parameters, 325 million multiply-accumulates."""
mobilenet_v1_050 = partial(MobileNetV1, width=0.5)
"""1.332 million parameters, 149 million multiply-accumulates."""
mobilenet_v1_025 = partial(MobileNetV1, width=0.25)
"""0.470 million parameters, 41 million multiply-accumulates."""


def _scaled(channels: int, width: float) -> int:
    return max(8, round(channels * width))
