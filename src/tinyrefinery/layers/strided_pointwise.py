"""A 1x1 convolution of stride 2 that is safe to train on CPUs."""

from torch import Tensor, nn
from torch.nn import functional as F

_FEW = 16
"""Input channels below which the gradient is computed in another way: numbers of an AVX-512
vector. Our choice; crashes were seen up to 8."""


class StridedPointwise(nn.Conv2d):
    """Maps (B, channels, h, w) to (B, width, h', w'), h' being h / 2 rounded up, with a bias.

    In PyTorch 2.14 on CPUs with AVX-512, the gradient of such a convolution writes beyond its
    memory where channels are last and few: oneDNN's `brgconv_strided`, e.g. 4 to 8 channels of
    64x64. The process then dies at any later time. So in training, few channels are subsampled
    first, and the convolution has stride 1. This is the same sum of the same numbers.

    Args:
        channels: input channels.
        width: output channels.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 1, stride=2)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, h, w)."""
        if self.training and self.in_channels < _FEW and input.device.type == "cpu":
            return F.conv2d(input[..., ::2, ::2], self.weight, self.bias)
        return super().forward(input)
