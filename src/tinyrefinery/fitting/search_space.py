"""The networks that `fit` may choose from: for each family and size, the widest that fits.

Nothing is trained here. The cost of a candidate is foretold from its operations, and is never below
that of its int8 file (`device.foretell`), so what is kept fits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.device.excess import excesses
from tinyrefinery.device.foretell import NotForetoldError, foretell_within
from tinyrefinery.models import create
from tinyrefinery.options.budget import Budget

WIDTHS = (
    *(0.25, 0.3, 0.35, 0.42, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95),
    *(1.0, 1.1, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0),
)
"""Tried for every family, as multiples of its own widths."""
MEAN, STD = 128 / 255, 0.25
"""Of every channel: one gray that is a whole pixel, and about the spread of photos. So the scale of
an artifact's input stands for the normalization, and no second map of the image is needed."""


_GROUP = 8
"""Binary filters are packed in groups: with fewer, some of a group are empty."""


@dataclass(frozen=True)
class Family:
    """Networks that differ in their width only."""

    name: str
    """For people, and in the names of folders."""
    model: str
    """A name of `models`."""
    kwargs: Mapping[str, Any]
    """Options besides the width."""
    base: float = 1.0
    """`width` of the architecture where it is 1 here."""
    smallest: int = 0
    """Least side of its images in pixels."""

    def options(self, width: float) -> dict[str, Any]:
        """Options of the architecture at a width."""
        if stages := self.kwargs.get("widths"):
            scaled = [_GROUP * max(1, round(each * width / _GROUP)) for each in stages]
            return {**self.kwargs, "widths": scaled}
        scaled = self.base * width
        return {**self.kwargs, "width": round(scaled) if self.model == "ds_cnn" else scaled}


FAMILIES = (
    Family("resnet8", "resnet8", {"stem": "small"}),
    Family("resnet8-half", "resnet8", {"stem": "half"}, smallest=48),
    Family("resnet8-early", "resnet8", {"stem": "imagenet"}, smallest=48),
    Family("tiny1", "mobilenet_tiny", {"stem": "imagenet", "depth": 1}, smallest=48),
    Family("tiny2", "mobilenet_tiny", {"stem": "imagenet", "depth": 2}, smallest=48),
    Family("tiny3", "mobilenet_tiny", {"stem": "imagenet", "depth": 3}, smallest=48),
    Family("tiny2-fine", "mobilenet_tiny", {"stem": "small", "depth": 2}),
    Family("ds_cnn", "ds_cnn", {"stem": "imagenet", "blocks": 5, "halvings": 3}, 64),
    Family("mobilenet_v1", "mobilenet_v1_025", {"stem": "imagenet"}, 0.25, smallest=64),
    Family("mobilenet_v1-fine", "mobilenet_v1_025", {"stem": "small"}, 0.25),
    Family("skipblocknet", "skipblocknet_xs", {"stem": "imagenet"}, 0.5, smallest=96),
)


@dataclass(frozen=True)
class Candidate:
    """A network that fits."""

    family: str
    model: str
    kwargs: dict[str, Any] = field(hash=False)
    size: tuple[int, int]
    """Height and width of its images in pixels."""
    cost: DeviceCost = field(hash=False)
    """At most this."""

    @property
    def name(self) -> str:
        """For people, and of its folder."""
        height, width = self.size
        size = f"{height}" if height == width else f"{height}x{width}"
        stages = self.kwargs.get("widths") or [self.kwargs["width"]]
        return f"{self.family}-w{'x'.join(f'{each:g}' for each in stages)}-{size}"


@dataclass(frozen=True)
class Rejected:
    """A family at a size of which no width fits."""

    family: str
    size: tuple[int, int]
    reason: str
    times: float = 0.0
    """Its narrowest network, as a multiple of the limit that it exceeds most; 0: not known."""


Cost = Callable[[Family, float, tuple[int, int]], DeviceCost]
"""What a family costs at a width and size."""


def foretold(classes: Sequence[str], channels: int, limits: Budget) -> Cost:
    """Costs of networks with these classes for a budget, without making their weights."""
    normalization = (MEAN,) * channels, (STD,) * channels

    def cost(family: Family, width: float, size: tuple[int, int]) -> DeviceCost:
        """At most what the int8 file costs."""
        with torch.device("meta"):
            options = family.options(width)
            network = create(family.model, len(classes), size=size, channels=channels, **options)
        return foretell_within(limits, network, size, channels, classes, normalization)

    return cost


def feasible(
    sizes: Sequence[tuple[int, int]],
    limits: Budget,
    cost: Cost,
    families: Sequence[Family] = FAMILIES,
) -> tuple[list[Candidate], list[Rejected]]:
    """Of each family and size, the widest network that fits, and what does not fit at all.

    Args:
        sizes: heights and widths in pixels.
        limits: the budget.
        cost: of a network, at most.
        families: to choose from.
    """
    kept, rejected = list[Candidate](), list[Rejected]()
    for family in families:
        for size in sizes:
            if min(size) < family.smallest:
                continue
            found = _widest(family, size, limits, cost)
            if isinstance(found, Candidate):
                kept.append(found)
            else:
                rejected.append(found)
    return kept, rejected


def _widest(
    family: Family, size: tuple[int, int], limits: Budget, cost: Cost
) -> Candidate | Rejected:
    """By bisection, as the cost rises with the width. The narrowest is tried first."""
    low, high = -1, len(WIDTHS)  # the widest that fits is known to lie in [low, high)
    best: DeviceCost | None = None
    reason, times = "", 0.0
    while high - low > 1:
        middle = 0 if low < 0 else (low + high) // 2
        try:
            found = cost(family, WIDTHS[middle], size)
        except NotForetoldError as error:
            return Rejected(family.name, size, str(error))
        above = excesses(limits, found)
        if above:
            high, reason = middle, f"at width {WIDTHS[middle]:g}, {'; '.join(map(str, above))}"
            times = max(each.cost / each.limit for each in above)
        else:
            low, best = middle, found
    if best is None:
        return Rejected(family.name, size, reason, times)
    return Candidate(family.name, family.model, family.options(WIDTHS[low]), size, best)


def in_turn(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """The candidates in an order in which any first few are of many families.

    Within a family, those with most multiply-accumulates come first: more work on the same budget.
    """
    by_family: dict[str, list[Candidate]] = {}
    for each in sorted(candidates, key=lambda each: -each.cost.macs):
        by_family.setdefault(each.family, []).append(each)
    lines = sorted(by_family.values(), key=lambda line: -line[0].cost.macs)
    for place in range(max(map(len, lines), default=0)):
        for line in lines:
            if place < len(line):
                yield line[place]
