"""Losses by name: each maps logits and targets to one number for the batch."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from tinyrefinery.errors import RecipeError
from tinyrefinery.losses.bias import BiasLoss
from tinyrefinery.losses.cross_entropy import cross_entropy, focal
from tinyrefinery.losses.refinery import kl, l2
from tinyrefinery.losses.targets import Targets
from tinyrefinery.names import check_options, look_up


class Loss(Protocol):
    """How far a batch of outputs is from its targets; works with any label policy.

    One that has an attribute `needs_features` which is true is given the features. One that keeps
    something from batch to batch is an `nn.Module` with buffers, which are part of the training's
    saved state; where several processes train, it makes them agree itself.
    """

    def __call__(self, logits: Tensor, targets: Targets, features: Tensor | None = None) -> Tensor:
        """Mean over the batch, a scalar in float32 or better.

        Args:
            logits: (B, K), of any float type.
            targets: (B, K), rows sum to one; a tensor, or sparse, which is never expanded.
            features: (B, C, h, w), the last feature maps before pooling, for losses that need them.
        """
        ...


LOSSES: dict[str, Callable[..., Any]] = {
    "bias": BiasLoss,
    "cross_entropy": cross_entropy,
    "focal": focal,
    "kl": kl,
    "l2": l2,
}
"""Functions, to be called with a batch, and classes, of which a training has an own object."""


def create(name: str, **options: Any) -> Loss:
    """The loss of that name with its options set, e.g. `create("focal", gamma=1)`.

    Raises:
        RecipeError: for a name, an option or a value that isn't known, naming the nearest.
    """
    function = look_up("loss", name, LOSSES)
    check_options("loss", name, function, options, reserved=("logits", "targets", "features"))
    try:  # a wrong value shows now, not in training
        if isinstance(function, type):
            return function(**options)
        loss = partial(function, **options)
        loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    except TypeError as error:
        raise RecipeError(f"loss '{name}' can't work with {options}: {error}") from error
    return loss
