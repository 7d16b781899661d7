"""Residual networks (He et al. 2016), version 1.5: the 3x3 convolution has the stride.

As in the Label Refinery code: a bias in the last layer, no zero-initialized normalization.
Parameters have torchvision's names, so its weights can be loaded.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.initialize import initialize
from tinyrefinery.layers.relu import relu
from tinyrefinery.layers.stem import Stem, is_small
from tinyrefinery.models.image_network import ImageNetwork


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (Figure 5, left)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, width, h / stride, w / stride)."""
        branch = relu(self.bn1(self.conv1(x)), inplace=True)
        return relu(self.bn2(self.conv2(branch)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1 to `width` channels, 3x3, 1x1 to 4 `width`, with a shortcut (Figure 5, right)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _projection(channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, 4 width, h / stride, w / stride)."""
        branch = relu(self.bn1(self.conv1(x)), inplace=True)
        branch = relu(self.bn2(self.conv2(branch)), inplace=True)
        return relu(self.bn3(self.conv3(branch)) + self.downsample(x), inplace=True)


class ResNet(ImageNetwork):
    """Stem, four stages of residual blocks, average pooling, linear layer.

    Args:
        block: the kind of block.
        depths: blocks in each of the four stages.
        classes: K.
        size: height, width of the images in pixels; decides only the `auto` stem.
        channels: 1 or 3.
        width: multiplies all widths.
        stem: `imagenet` is 7x7 with stride 2 and a 3x3 max-pool with stride 2; `small` is 3x3 with
            stride 1 and no pool, as usual for CIFAR.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        classes: int,
        *,
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        stem: Stem = "auto",
    ) -> None:
        super().__init__()
        base = round(64 * width)
        if base < 1:
            raise RecipeError(f"resnet: width {width} leaves no channels")
        small = is_small(stem, size)
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(channels, base, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        outputs = base * block.expansion
        self.layer1 = _stage(block, base, base, depths[0], stride=1)
        self.layer2 = _stage(block, outputs, 2 * base, depths[1], stride=2)
        self.layer3 = _stage(block, 2 * outputs, 4 * base, depths[2], stride=2)
        self.layer4 = _stage(block, 4 * outputs, 8 * base, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * outputs, classes)
        initialize(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Output of the last stage, (B, C, h, w)."""
        x = self.maxpool(relu(self.bn1(self.conv1(x)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from feature maps."""
        return self.fc(self.avgpool(features).flatten(1))


# Positional arguments of a partial are not options: a recipe can't set `block` and `depths`.
resnet18 = partial(ResNet, BasicBlock, (2, 2, 2, 2))
"""11.690 million parameters at 1,000 classes, 1.814 billion multiply-accumulates at 224."""
resnet34 = partial(ResNet, BasicBlock, (3, 4, 6, 3))
"""21.798 million parameters at 1,000 classes, 3.664 billion multiply-accumulates at 224."""
resnet50 = partial(ResNet, Bottleneck, (3, 4, 6, 3))
"""25.557 million parameters at 1,000 classes, 4.089 billion multiply-accumulates at 224."""


def _projection(channels: int, width: int, stride: int) -> nn.Sequential:
    """Shortcut: empty if the shape is unchanged, else a normalized 1x1 convolution (option B)."""
    if stride == 1 and channels == width:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, depth: int, stride: int
) -> nn.Sequential:
    inner = width * block.expansion
    first = block(channels, width, stride)
    return nn.Sequential(first, *(block(inner, width, 1) for _ in range(depth - 1)))
