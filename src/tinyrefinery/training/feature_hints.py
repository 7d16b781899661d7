"""Hints: a student's features are drawn towards those of the refiner (FitNets, arXiv 1412.6550).

A learned linear projection maps the student's channels to the refiner's. It is trained with the
student and thrown away afterwards. FitNets trains on hints first and on labels afterwards. Here the
two are one sum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from tinyrefinery.data.batches import Batch
from tinyrefinery.losses.hint_distance import hint_distance
from tinyrefinery.losses.targets import Targets
from tinyrefinery.options.training import Hints
from tinyrefinery.shapes import Float


class FeatureHints(nn.Module):
    """The projection, and the term that it adds to the loss."""

    def __init__(self, part: Hints, channels: int, refiner_channels: int, seed: int = 0) -> None:
        """Draw the weights of the projection.

        Args:
            part: the options.
            channels: of the student's last feature maps.
            refiner_channels: of the refiner's.
            seed: of the weights.
        """
        super().__init__()
        self.part = part
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = nn.Conv2d(channels, refiner_channels, 1)

    def forward(
        self, features: Float[Tensor, "B c H W"], hints: Float[Tensor, "B C h w"]
    ) -> Float[Tensor, ""]:
        """The weighted distance of a student's feature maps from a refiner's, a scalar.

        Maps of different sizes are averaged over parts first, to the smaller height and width.
        """
        size = (1, 1)
        if self.part.of == "map":
            size = (
                min(features.shape[2], hints.shape[2]),
                min(features.shape[3], hints.shape[3]),
            )
        own, theirs = (adaptive_avg_pool2d(maps, size) for maps in (features, hints))
        projected = self.projection(own)
        if projected.dtype in (torch.bfloat16, torch.float16):
            projected = projected.float()
        return self.part.weight * hint_distance(projected, theirs.to(projected.dtype))


@dataclass(frozen=True)
class HintedLabels:
    """What a training with hints has besides its label policy."""

    module: FeatureHints
    label: Callable[[Batch], tuple[Targets, Tensor]]
    """Targets of a batch, (B, K), and the refiner's feature maps of its crops, (B, C, h, w)."""
