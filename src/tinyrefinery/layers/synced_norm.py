"""Batch normalization over the crops of all processes, so that their number does not matter.

PyTorch's `SyncBatchNorm` works on accelerators only. This one works on every device: mean and
variance of a channel are those of the whole batch, in two passes, and gradients pass through both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def process_count() -> int:
    """How many processes train together, this one included."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Add up, without a change of `values`."""
        total = values.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Add up: every process's output depends on this process's input."""
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


class _Synced(_BatchNorm):
    """The forward pass of `synchronized`; its state is that of the layer it was."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...), whose B is this process's share of a batch."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        axes = [0, *range(2, input.dim())]
        shape = (1, -1, *(1,) * (input.dim() - 2))
        values = input if input.dtype == torch.float64 else input.float()
        count = values.new_tensor(values.numel() // values.shape[1])
        distributed.all_reduce(count)
        mean = _sum(values.sum(axes)) / count  # (C,)
        centered = values - mean.view(shape)
        variance = _sum(centered.square().sum(axes)) / count  # (C,)
        out = centered * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        self._observe(mean.detach(), variance.detach(), count)
        # timm's layers also apply an activation.
        for name in ("drop", "act"):
            if (after := getattr(self, name, None)) is not None:
                out = after(out)
        return out.to(input.dtype)

    @torch.no_grad()
    def _observe(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, as PyTorch does, by the unbiased variance."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if share is None:  # the mean over all batches
                share = 1 / float(self.num_batches_tracked)
        assert share is not None
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        unbiased = variance * count / (count - 1).clamp_min(1)
        self.running_var.lerp_(unbiased.to(self.running_var), share)


def _sum(values: Tensor) -> Tensor:
    result = _SumOverProcesses.apply(values)
    assert isinstance(result, Tensor)
    return result


@contextmanager
def synchronized(network: nn.Module) -> Iterator[None]:
    """Within it, batch normalization of a network in training is over all processes.

    Layers keep their parameters, statistics and names. Nothing changes where one process trains.

    Args:
        network: whose layers of a type derived from PyTorch's `_BatchNorm` change, in place.
    """
    if process_count() == 1:
        yield
        return
    changed = [each for each in network.modules() if isinstance(each, _BatchNorm)]
    before = [type(each) for each in changed]
    for layer, kind in zip(changed, before, strict=True):
        layer.__class__ = type(f"Synced{kind.__name__}", (_Synced, kind), {})
    try:
        yield
    finally:
        for layer, kind in zip(changed, before, strict=True):
            layer.__class__ = kind
