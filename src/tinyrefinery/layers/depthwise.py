"""Depthwise convolution that stays in float32 where bfloat16 would slow it down."""

import torch
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """One filter a channel: maps (B, C, h, w) to (B, C, h', w').

    Inside a CPU autocast region the convolution is computed in float32 and its result is float32;
    the surrounding convolutions still run in bfloat16. On any other device it follows autocast.
    Weights are stored, saved and counted as those of a convolution with `groups == channels`.

    Args:
        channels: C, the same in and out.
        kernel: side of the square filter; the padding keeps the size at stride 1.
        stride: step in both directions.
        bias: whether to add one number a channel.
    """

    # Measured on a CPU with AVX-512 bf16 (torch 2.15, one thread, batch 128 at 32x32, channels
    # last), training MobileNet v1 at width .25, images a CPU-second, best of two rounds: float32
    # 2,412, bf16 autocast 910, autocast with this layer 2,366. MobileNet v2, an earlier run: 325,
    # 216, 529. So it pays the more, the more of the work the other convolutions do.

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
