"""Weights and activations rounded to 8 bits in training, as int8 artifacts compute with them.

Rounding passes gradients on unchanged, and values outside the range get none (Jacob et al. 2018,
arXiv 1712.05877).
"""

import torch
from torch import Tensor, nn

_LEAST_AVERAGE = 0.01
"""Share of a batch in the running range, from the hundredth batch on; the same for all before."""
_TINY = 1e-8


class RoundedWeights(nn.Module):
    """Weights (O, ...) in int8: symmetric, one scale per output channel.

    A factor per output channel changes the scale and not the integers. So the weights before batch
    normalization are rounded to the same integers as those that it is folded into.
    """

    def forward(self, weights: Tensor) -> Tensor:
        """Weights of any shape (O, ...) -> the same shape, -127 to 127 steps of each channel."""
        largest = weights.detach().abs().flatten(1).amax(dim=1)  # (O, ...) -> (O,)
        scales = (largest / 127).clamp_min(_TINY)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weights, scales, zeros, 0, -127, 127)


class RoundedActivations(nn.Module):
    """Activations in int8: one scale and one zero point, of a running range that contains 0."""

    low: Tensor
    high: Tensor
    batches: Tensor

    def __init__(self) -> None:
        """Start without a range: the first batch sets it."""
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        """Values of any shape -> the same shape, in 255 steps of the range."""
        if self.training:
            self._observe(values.detach())
        scale = ((self.high - self.low) / 255).clamp_min(_TINY)
        zero = (-128 - self.low / scale).round().clamp(-128, 127).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, -128, 127)

    def _observe(self, values: Tensor) -> None:
        """Move the range towards the extremes of a batch."""
        self.batches += 1
        share = (1 / self.batches).clamp_min(_LEAST_AVERAGE)
        low, high = values.aminmax()
        self.low += share * (low.clamp_max(0) - self.low)
        self.high += share * (high.clamp_min(0) - self.high)
