"""Residual networks with binary layers: the XNOR-Net versions of ResNet-18 and ResNet-50.

ResNetXnor-50 of arXiv 1805.02641, Table 2, is "the XNOR-net version of ResNet-50 in which layers
are binary". Neither paper gives its block and no code of it was published. Here each convolution
of `resnet` is normalized first and gets signs, in the order of XNOR-Net, and nothing comes behind
the sum. The first convolution, the last layer and the projections of shortcuts stay float.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.binary import Activations
from tinyrefinery.layers.quantized_weights import Weights
from tinyrefinery.layers.stem import Stem, is_small, residual_stem
from tinyrefinery.models.image_network import ImageNetwork
from tinyrefinery.models.xnor_blocks import Kinds, start


class XnorBlock(nn.Module):
    """Binary convolutions in a row, with a shortcut around them.

    Args:
        channels: input channels.
        width: channels of the inner maps.
        stride: of the (first) 3x3 convolution.
        kinds: of weights and inputs.
        deep: three convolutions, 1x1, 3x3 and 1x1 to 4 `width`; else two 3x3.
    """

    def __init__(self, channels: int, width: int, stride: int, kinds: Kinds, *, deep: bool) -> None:
        super().__init__()
        outputs = 4 * width if deep else width
        if deep:
            self.branch = nn.Sequential(
                kinds.conv(channels, width, kernel=1),
                kinds.conv(width, width, stride=stride),
                kinds.conv(width, outputs, kernel=1),
            )
        else:
            self.branch = nn.Sequential(
                kinds.conv(channels, width, stride=stride), kinds.conv(width, width)
            )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != outputs:
            projection = nn.Conv2d(channels, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, outputs, h / stride, w / stride)."""
        return self.branch(x) + self.shortcut(x)


class ResNetXnor(ImageNetwork):
    """Stem, four stages of binary residual blocks, average pooling, linear layer.

    Args:
        deep: three convolutions per block, as in ResNet-50; else two.
        depths: blocks in each of the four stages.
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths.
        stem: as of `ResNet`.
        weights: of the binary layers: binary, float, ternary or int4.
        activations: inputs of these layers: binary, or float, which come through a ReLU.
        input_scale: multiply by the scale K of the inputs, which the authors' code leaves out.
    """

    def __init__(
        self,
        deep: bool,
        depths: Sequence[int],
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        stem: Stem = "auto",
        weights: Weights = "binary",
        activations: Activations = "binary",
        input_scale: bool = False,
    ) -> None:
        super().__init__()
        base = round(64 * width)
        if base < 1:
            raise RecipeError(f"resnet_xnor: width {width} leaves no channels")
        kinds = Kinds(weights, activations, input_scale)
        self.stem = residual_stem(channels, base, small=is_small(stem, size))
        inputs, stages = base, []
        for number, depth in enumerate(depths):
            blocks, inner = [], base * 2**number
            for place in range(depth):
                stride = 2 if number and not place else 1
                blocks.append(XnorBlock(inputs, inner, stride, kinds, deep=deep))
                inputs = 4 * inner if deep else inner
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.last_norm = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)
        start(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last stage, normalized and through a ReLU, (B, C, h, w)."""
        return self.relu(self.last_norm(self.stages(self.stem(x))))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.pool(features).flatten(1))


# Positional arguments of a partial are not options: a recipe can't set `deep` and `depths`.
resnet18_xnor = partial(ResNetXnor, False, (2, 2, 2, 2))
"""11.690 million parameters at 1,000 classes, 10.985 million of them binary."""
resnet50_xnor = partial(ResNetXnor, True, (3, 4, 6, 3))
"""ResNetXnor-50: 25.557 million parameters at 1,000 classes, 20.677 million of them binary."""
