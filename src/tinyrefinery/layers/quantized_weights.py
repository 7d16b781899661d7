"""Weights with few values: integer levels times one scale per filter, and their gradients.

The gradient is that of plain differentiation, except that `sign` and rounding pass gradients on
unchanged (straight-through). The scale is part of the function: its gradient is never cut off.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

Weights = Literal["float", "binary", "ternary", "int4"]
"""`float`: as they are. `binary`: -1 and 1. `ternary`: -1, 0 and 1. `int4`: -7 to 7."""

_DEAD_ZONE = 0.7
"""Of ternary weights, as a share of their mean magnitude (arXiv 1605.04711, equation 6)."""
_LARGEST = 7
"""Level of 4-bit weights; symmetric, so -8 is not used."""
_TINY = 1e-12


def sign(values: Tensor, clip: float = 1.0) -> Tensor:
    """Signs of values: 1 from 0 on, else -1. So zero counts as positive, as in packed networks.

    Its gradient is that of the output where |value| <= clip, and 0 elsewhere: the straight-through
    estimator of arXiv 1602.02830, equation 4, which XNOR-Net uses.

    Args:
        values: of any shape.
        clip: largest magnitude that gets a gradient.

    Returns:
        The same shape and type.
    """
    if torch.is_grad_enabled() and values.requires_grad:
        return _Sign.apply(values, clip)  # type: ignore[no-any-return]
    return _signs(values)


def quantized(weights: Tensor, kind: Weights, clip: float = 1.0) -> tuple[Tensor, Tensor | None]:
    """Levels and scale of weights, which are used as levels times scale.

    * float: the weights, without a scale.
    * binary: level sign(w), scale the mean of |w|.
    * ternary: level sign(w) where |w| > d, else 0. d is 0.7 times the mean of |w|. Scale: the mean
      of those |w| that are above d. Inside the dead zone, `sign` passes its gradient too.
    * int4: level w / scale, rounded, -7 to 7. Scale: a seventh of the largest |w|, without a
      gradient, and rounding passes gradients on unchanged.

    Means and maxima are over one filter.

    Args:
        weights: (O, ...), one filter per output.
        kind: what they are turned into.
        clip: largest magnitude whose sign gets a gradient.

    Returns:
        Levels of the shape of the weights, and scales (O,), or None for float weights.
    """
    if kind == "float":
        return weights, None
    return _KINDS[kind](weights, clip)


def _binary(weights: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    return sign(weights, clip), weights.abs().flatten(1).mean(dim=1)


def _ternary(weights: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    size = weights.abs().flatten(1)  # (O, ...) -> (O, n)
    is_used = size.detach() > _DEAD_ZONE * size.detach().mean(dim=1, keepdim=True)
    scale = (size * is_used).sum(dim=1) / is_used.sum(dim=1).clamp_min(1)
    levels = sign(weights, clip)
    # Weights in the dead zone get the gradient too. Otherwise they could never leave it.
    dead = levels.detach() * ~is_used.view_as(weights)
    return levels - dead, scale


def _int4(weights: Tensor, _: float) -> tuple[Tensor, Tensor]:
    step = weights.detach().abs().flatten(1).amax(dim=1).clamp_min(_TINY) / _LARGEST
    exact = weights / step.view(-1, *[1] * (weights.ndim - 1))
    # The difference is exactly 0, so levels stay integers.
    rounded = exact.detach().round().clamp(-_LARGEST, _LARGEST)
    return rounded + (exact - exact.detach()), step


_KINDS: dict[str, Callable[[Tensor, float], tuple[Tensor, Tensor]]] = {
    "binary": _binary,
    "ternary": _ternary,
    "int4": _int4,
}

BITS: dict[str, int] = {"float": 32, "binary": 1, "ternary": 2, "int4": 4}
"""Bits of a stored weight of each kind."""


def _signs(values: Tensor) -> Tensor:
    ones = torch.ones((), dtype=values.dtype, device=values.device)
    return torch.where(values >= 0, ones, -ones)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, clip: float) -> Tensor:
        ctx.save_for_backward(values.abs() <= clip)
        return _signs(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (is_inside,) = ctx.saved_tensors
        return gradients[0] * is_inside, None
