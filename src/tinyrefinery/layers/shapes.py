"""What a network makes of a shape, found without computing anything."""

from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from tinyrefinery.layers.modes import evaluating


def pass_shapes(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Output of `network` for a batch of `shape`, as tensors on the meta device (shapes only).

    Runs in evaluation mode, so that one image is enough for batch normalization; hooks run.
    Neither the network nor any random generator is changed.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    with evaluating(network), torch.no_grad():
        return functional_call(network, empty, torch.empty(shape, device="meta"))
