"""A network as it is deployed: pixels in, probabilities out, exact rewrites inside."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinyrefinery.models.network_file import NetworkInfo


class Deployable(nn.Module):
    """Images -> probabilities (B, K).

    With pre-processing inside, the images are pixels in 0 to 255, of any number type. Otherwise
    they are normalized float images.
    """

    def __init__(
        self, network: nn.Module, info: NetworkInfo, *, inside: bool, channels_last: bool
    ) -> None:
        """Wrap a copy of a network.

        Args:
            network: images (B, C, h, w) -> logits (B, K); it is not changed.
            info: its normalization.
            inside: whether pixels are normalized inside.
            channels_last: whether images come as (B, h, w, C) instead of (B, C, h, w).
        """
        super().__init__()
        self.network = rewritten(copy.deepcopy(network).cpu().eval())
        self.scale: Tensor
        self.shift: Tensor
        self.inside, self.channels_last = inside, channels_last
        mean, std = _column(info.mean), _column(info.std)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of a batch."""
        if self.channels_last:
            images = images.permute(0, 3, 1, 2)  # (B, h, w, C) -> (B, C, h, w)
        if self.inside:
            images = images.float() * self.scale + self.shift
        return torch.softmax(self.network(images), dim=1)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).float().view(1, -1, 1, 1)


class _HardSigmoid(nn.Module):
    """`nn.Hardsigmoid` by ReLU6, which microcontrollers have."""

    def forward(self, x: Tensor) -> Tensor:
        """The same values as `nn.Hardsigmoid`."""
        return nn.functional.relu6(x + 3) / 6


class _HardSwish(nn.Module):
    """`nn.Hardswish` by ReLU6."""

    def forward(self, x: Tensor) -> Tensor:
        """The same values as `nn.Hardswish`."""
        return x * (nn.functional.relu6(x + 3) / 6)


_REWRITES: tuple[tuple[str, type[nn.Module]], ...] = (
    ("Hardsigmoid", _HardSigmoid),
    ("HardSigmoid", _HardSigmoid),  # of timm
    ("Hardswish", _HardSwish),
    ("HardSwish", _HardSwish),
)


def rewritten(network: nn.Module) -> nn.Module:
    """Replace, in place, layers that targets lack by others with the same values."""
    replacements = dict(_REWRITES)
    for name, child in network.named_children():
        replacement = replacements.get(type(child).__name__)
        if replacement is None:
            rewritten(child)
        else:
            setattr(network, name, replacement())
    return network
