"""ShuffleNet v2 (Ma et al. 2018, Table 5): torchvision's, or that of the CIFAR-100 zoo.

The Bias Loss paper uses the networks of the zoo (pytorch-cifar100). This one has biases in all
convolutions, no ReLU after the first one, and units of stride 2 that have as many inner channels as
input channels.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.models.shufflenetv2 import InvertedResidual
from torchvision.models.shufflenetv2 import ShuffleNetV2 as TorchvisionShuffleNetV2

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.conv_norm import conv_norm
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, Variant, add_biases, is_small, is_zoo
from tinyrefinery.models.image_network import ImageNetwork

# Table 5: width -> channels of stages 2 to 4 and of the last convolution.
_WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


class ShuffleNetV2(ImageNetwork):
    """A convolution, three stages of units that shuffle channels, a convolution, linear layer.

    With stem `imagenet`, weights have torchvision's names and shapes.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: .5, 1, 1.5 or 2.
        stem: `imagenet` starts with stride 2 and a max-pool, so the last map has 1/32 of the
            resolution; `small` with stride 1 and no pool, so 1/8.
        variant: `published`, or `zoo`, which has the small stem only.
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
        variant: Variant = "published",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width not in _WIDTHS:
            raise RecipeError(f"shufflenet_v2: width must be one of {[*_WIDTHS]}, got {width}")
        zoo = is_zoo(variant, stem)
        small = zoo or is_small(stem, size)
        unit = _zoo_unit if zoo else InvertedResidual
        base = TorchvisionShuffleNetV2(
            [4, 8, 4], [24, *_WIDTHS[width]], classes, inverted_residual=unit
        )
        self.conv1 = nn.Sequential(
            *conv_norm(channels, 24, stride=1 if small else 2, activation=not zoo).children()
        )
        self.maxpool = nn.Identity() if small else base.maxpool
        self.stage2, self.stage3, self.stage4 = base.stage2, base.stage3, base.stage4
        self.conv5 = base.conv5
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(base.fc.in_features, classes)
        if zoo:
            add_biases(self)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last convolution, (B, C, h, w)."""
        x = self.maxpool(self.conv1(x))
        return self.conv5(self.stage4(self.stage3(self.stage2(x))))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.dropout(features.mean((2, 3))))


shufflenet_v2_100 = partial(ShuffleNetV2, width=1.0)
"""2.279 million parameters at 1,000 classes, 146 million multiply-accumulates at 224."""
shufflenet_v2_050 = partial(ShuffleNetV2, width=0.5)
"""1.367 million parameters, 41 million multiply-accumulates."""


def _zoo_unit(channels: int, width: int, stride: int) -> InvertedResidual:
    """A unit of the zoo: with stride 2 it has `channels` inner channels."""
    unit = InvertedResidual(channels, width, stride)
    if stride > 1:
        unit.branch2 = nn.Sequential(
            *conv_norm(channels, channels, kernel=1).children(),
            InvertedResidual.depthwise_conv(channels, channels, 3, stride, padding=1),
            nn.BatchNorm2d(channels),
            *conv_norm(channels, width // 2, kernel=1).children(),
        )
    return unit
