"""The binary networks that `fit --to packed` may choose from, and what they cost as packed files.

Weights and inputs of their layers are bits, but the maps between them are 32-bit floats: so memory
limits the resolution more than flash does, and `imagenet` stems, which halve it first, take small
images too.
"""

from collections.abc import Sequence

import torch

from tinyrefinery.deploy.costs.packed_foretelling import foretell_packed
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.fitting.search_space import MEAN, STD, Cost, Family
from tinyrefinery.models import create

MODEL = "bireal_small"
_WIDTHS = (32, 64, 128)
_STEMS = {"fine": "small", "early": "imagenet"}
_SMALLEST = {"small": 16, "imagenet": 32}
"""Least sides in pixels: the last stage then has at least 2x2 pixels."""

PACKED_FAMILIES = tuple(
    Family(
        f"bireal{depth}-{name}",
        MODEL,
        {"stem": stem, "depth": depth, "widths": _WIDTHS},
        smallest=_SMALLEST[stem],
    )
    for name, stem in _STEMS.items()
    for depth in (1, 2, 3)
)


def foretold_packed(classes: Sequence[str], channels: int) -> Cost:
    """Costs of binary networks with these classes, without making their weights."""
    normalization = (MEAN,) * channels, (STD,) * channels

    def cost(family: Family, width: float, size: tuple[int, int]) -> DeviceCost:
        """At most what the packed file costs."""
        with torch.device("meta"):
            options = family.options(width)
            network = create(family.model, len(classes), size=size, channels=channels, **options)
        return foretell_packed(network.eval(), size, channels, classes, normalization)

    return cost
