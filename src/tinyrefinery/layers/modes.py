"""The modes that modules are in, training or evaluation, set aside for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module is in its own again, also frozen ones among others.

    Nothing is drawn, and no running statistics change.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def pass_shapes(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Output of `network` for a batch of `shape`, as tensors on the meta device (shapes only).

    Runs in evaluation mode, so that one image is enough for batch normalization; hooks run.
    Neither the network nor any random generator is changed.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    with evaluating(network), torch.no_grad():
        return functional_call(network, empty, torch.empty(shape, device="meta"))
