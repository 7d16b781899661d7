"""Layers whose weights training keeps in a set, or pulls towards one."""

import torch
from torch import Tensor, nn


class Constrained(nn.Module):
    """A layer that changes its weights after each step of the optimizer, or adds to the loss."""

    def constrain(self) -> None:
        """Bring the weights back to where they must be, in place."""

    def penalty(self) -> Tensor | None:
        """What is added to the loss, a scalar; None: nothing."""
        return None


def constrain(network: nn.Module) -> None:
    """Bring the weights of all constrained layers back to where they must be, in place."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, Constrained):
                layer.constrain()


def penalties(network: nn.Module) -> Tensor | None:
    """The sum of what layers add to the loss, a scalar; None if none of them adds anything."""
    found = [
        each
        for layer in network.modules()
        if isinstance(layer, Constrained) and (each := layer.penalty()) is not None
    ]
    return torch.stack(found).sum() if found else None
