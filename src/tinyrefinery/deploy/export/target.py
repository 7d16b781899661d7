"""What every target is written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tinyrefinery.deploy.export.real_images import LabeledPixels
from tinyrefinery.networks.network import Network


@dataclass(frozen=True)
class Sources:
    """A network, the facts that travel with it, and real images."""

    network: Network
    module: nn.Module = field(repr=False)
    """Loaded, on the CPU, in evaluation mode."""
    facts: Mapping[str, Any]
    inside: bool
    """Whether pre-processing is inside the artefact."""
    calibration: LabeledPixels | None
    """Training images; None unless int8 is wanted."""
    measured: LabeledPixels
    """Images that parity is measured on, which may choose between ways to calibrate."""

    def example(self, *, channels_last: bool, dtype: torch.dtype) -> Tensor:
        """A batch of two images of the input's shape: zeros."""
        info = self.network.info
        height, width = info.size
        shape = (height, width, info.channels) if channels_last else (info.channels, height, width)
        return torch.zeros(2, *shape, dtype=dtype)
