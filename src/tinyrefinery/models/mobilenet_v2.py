"""MobileNet v2 (Sandler et al. 2018, Table 2): torchvision's, or that of the CIFAR-100 zoo.

The Bias Loss paper uses the networks of the zoo (pytorch-cifar100). This one has biases in all
convolutions, a first convolution of 1x1 with a padding of one pixel, an expanding convolution also
in the first block, and stride 1 in the block of 160 channels.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.mobilenetv2 import MobileNetV2 as TorchvisionMobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.stem import Stem, Variant, add_biases, is_small, is_zoo
from tinyrefinery.models.image_network import ImageNetwork

# Expansion, channels, repeats, stride. As Table 2, except the stride of the sixth row.
_ZOO_BLOCKS = [
    *([1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2]),
    *([6, 96, 3, 1], [6, 160, 3, 1], [6, 320, 1, 1]),
]


class MobileNetV2(ImageNetwork):
    """A convolution, 17 inverted residual blocks, a convolution, pooling, linear layer.

    With stem `imagenet`, weights have torchvision's names and shapes.

    Args:
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths; below 1 it leaves the last one unchanged.
        stem: `imagenet` starts with stride 2, so the last map has 1/32 of the resolution; `small`
            with stride 1, so 1/16.
        variant: `published`, or `zoo`, which has its own stem and ends at 1/8.
        dropout: share of pooled features set to zero in training; .2 in torchvision.
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
        if width <= 0:
            raise RecipeError(f"mobilenet_v2: width must be above 0, got {width}")
        zoo = is_zoo(variant, stem)
        small = zoo or is_small(stem, size)
        base = TorchvisionMobileNetV2(classes, width, _ZOO_BLOCKS if zoo else None)
        first, *blocks = base.features
        assert isinstance(first, nn.Sequential)
        convolution = first[0]
        assert isinstance(convolution, nn.Conv2d)
        outputs = convolution.out_channels
        kernel, stride = 1 if zoo else 3, 1 if small else 2
        first[0] = nn.Conv2d(channels, outputs, kernel, stride, padding=1, bias=False)
        if zoo:
            _add_expansion(blocks[0], outputs)
        self.features = nn.Sequential(first, *blocks)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(base.last_channel, classes))
        if zoo:
            add_biases(self)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last convolution, (B, C, h, w)."""
        return self.features(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.classifier(features.mean((2, 3)))


mobilenet_v2_100 = partial(MobileNetV2, width=1.0)
"""3.505 million parameters at 1,000 classes, 301 million multiply-accumulates at 224."""
mobilenet_v2_075 = partial(MobileNetV2, width=0.75)
"""2.636 million parameters, 209 million multiply-accumulates."""


def _add_expansion(block: nn.Module, channels: int) -> None:
    """Add the expanding 1x1 convolution that torchvision leaves out at expansion 1, in place."""
    assert isinstance(block, InvertedResidual)
    expansion = Conv2dNormActivation(channels, channels, kernel_size=1, activation_layer=nn.ReLU6)
    block.conv = nn.Sequential(expansion, *block.conv)
