"""The block of MobileNet v3 (Howard et al. 2019, Figure 4): expand, filter, squeeze, project."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation

from tinyrefinery.layers.conv_norm import conv_norm, depthwise_norm


def expand_filter_project(
    channels: int,
    width: int,
    *,
    expanded: int,
    kernel: int = 3,
    stride: int = 1,
    squeeze: bool = False,
    activation: Callable[..., nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """1x1 convolution, depthwise convolution, 1x1 convolution without activation.

    From (B, channels, h, w) to (B, width, h', w'), where h' is h / stride rounded up.

    Args:
        channels: input channels.
        width: output channels.
        expanded: channels of the depthwise convolution.
        kernel: side of the depthwise filter in pixels.
        stride: stride of the depthwise convolution.
        squeeze: add squeeze-and-excitation after it, with a fourth of `expanded` channels, rounded
            to a multiple of 8, and a hard sigmoid.
        activation: after the first two convolutions.
    """
    block = nn.Sequential()
    block.add_module("expand", conv_norm(channels, expanded, kernel=1, activation=activation))
    filtered = depthwise_norm(expanded, kernel=kernel, stride=stride, activation=activation)
    block.add_module("filter", filtered)
    if squeeze:
        inner = divisible(expanded // 4)
        excitation = SqueezeExcitation(expanded, inner, scale_activation=nn.Hardsigmoid)
        block.add_module("squeeze", excitation)
    block.add_module("project", conv_norm(expanded, width, kernel=1, activation=False))
    return block


class InvertedResidual(nn.Module):
    """`expand_filter_project`, plus its input if the shape is unchanged.

    Args:
        channels: input channels.
        width: output channels.
        expanded: channels of the depthwise convolution; the expanding convolution is kept even if
            this equals `channels`.
        kernel: side of the depthwise filter in pixels.
        stride: stride of the depthwise convolution; the sum needs 1, and `channels == width`.
        squeeze: add squeeze-and-excitation.
        activation: after the first two convolutions.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        expanded: int,
        kernel: int = 3,
        stride: int = 1,
        squeeze: bool = False,
        activation: Callable[..., nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.adds = stride == 1 and channels == width
        self.block = expand_filter_project(
            channels,
            width,
            expanded=expanded,
            kernel=kernel,
            stride=stride,
            squeeze=squeeze,
            activation=activation,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, width, h', w')."""
        return x + self.block(x) if self.adds else self.block(x)


def divisible(channels: float, by: int = 8) -> int:
    """Round `channels` to a multiple of `by`: at least `by` and at least 90 % of `channels`.

    MobileNet v2 and v3 round this way (TensorFlow's `make_divisible`).
    """
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest


class SkipBlock(nn.Module):
    """Average-pool early feature maps to the size of late ones, transform them and add them.

    The published code pools to fixed sizes, 28 and 14, so its networks take images of 217 to 224
    pixels only. Here the pooled size is that of the late maps.

    Args:
        channels: C, channels of the early feature maps.
        width: channels of the late ones.
        expanded: channels of the depthwise convolution.
        kernel: side of the depthwise filter in pixels; its stride is 1.
    """

    def __init__(self, channels: int, width: int, *, expanded: int, kernel: int = 3) -> None:
        super().__init__()
        self.block = expand_filter_project(channels, width, expanded=expanded, kernel=kernel)

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        """Add early maps (B, C, h, w) to late maps (B, width, h', w')."""
        size = late.shape[2], late.shape[3]
        return late + self.block(F.adaptive_avg_pool2d(early, size))
