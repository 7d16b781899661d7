"""Losses by name. Each maps logits and targets to one number for the batch.

Their options have no defaults here: `options.losses` declares them, with meaning and range.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from tinyrefinery.losses.bias import BiasLoss
from tinyrefinery.losses.cross_entropy import cross_entropy, focal
from tinyrefinery.losses.distillation import dist, dkd, standardized_kl
from tinyrefinery.losses.refinery import kl, l2
from tinyrefinery.losses.targets import Targets


class Loss(Protocol):
    """How far a batch of outputs is from its targets; works with any label policy.

    A loss whose attribute `needs_features` is true gets the features. One that keeps something from
    batch to batch is an `nn.Module` with buffers, which are part of the training's checkpoint; with
    several processes it makes them agree itself.
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
    "dist": dist,
    "dkd": dkd,
    "focal": focal,
    "kl": kl,
    "l2": l2,
    "standardized_kl": standardized_kl,
}
"""Functions of a batch, and classes, of which each training has an object."""


class Options(Protocol):
    """A part of `options.losses`: which loss, and its options."""

    @property
    def name(self) -> str:
        """A key of `LOSSES`."""
        ...

    @property
    def options(self) -> dict[str, Any]:
        """What the function of that name takes besides the batch."""
        ...


def build(part: Options) -> Loss:
    """The loss with its options set, e.g. `build(Focal(gamma=1))`."""
    loss = LOSSES[part.name]
    return loss(**part.options) if isinstance(loss, type) else partial(loss, **part.options)
