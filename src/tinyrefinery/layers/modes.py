"""Run a network in evaluation mode for a while, or on shapes only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, then restore the mode of each module, frozen ones included.

    In between, dropout is off and running statistics don't change.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def output_shapes(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Output of `network` for a batch of `shape`, as tensors on the meta device (shapes only).

    Runs in evaluation mode, so batch normalization accepts a single image. Forward hooks run.
    Changes neither the network nor any random generator.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    with evaluation_mode(network), torch.no_grad():
        return functional_call(network, empty, torch.empty(shape, device="meta"))
