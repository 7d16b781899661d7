"""Which networks are benchmarked: those of runs and files, or new ones by the name of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinyrefinery.errors import DataError
from tinyrefinery.evaluation import cost
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models import create
from tinyrefinery.networks.opening import RUNTIME_FILES, SUFFIXES, TIMM, open_networks

CLASSES = 1000
"""Of networks that are built by name: ImageNet's."""
SIZE = 224
"""Pixels of a side, for networks that are built by name."""


@dataclass(frozen=True)
class Candidate:
    """A network to be timed."""

    name: str
    network: nn.Module
    channels: int
    size: tuple[int, int]
    """Height, width in pixels."""

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return cost.parameters(self.network)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, by the plain count."""
        return cost.macs(self.network, self.channels, self.size)


def candidates(names: Sequence[str], size: int | None = None) -> list[Candidate]:
    """The networks that names stand for, in evaluation mode.

    Of a run, one network per stage, that of the lowest seed: weights don't change the time.

    Args:
        names: run folders, network files, and names that `models.create` takes.
        size: pixels of a side; None: what a network was trained with, 224 for those by name.

    Raises:
        DataError: when there is no such run or file, or a run has no finished network.
        CheckpointError: when a file is not a network.
        RecipeError: when there is no model of a name.
    """
    return [candidate for name in names for candidate in _named(name, size)]


def _named(name: str, size: int | None) -> list[Candidate]:
    path = Path(name)
    is_place = path.exists() or "/" in name or path.suffix in SUFFIXES
    if name.startswith(TIMM) or not is_place:
        return [by_name(name, size or SIZE)]
    if path.suffix.lower() in RUNTIME_FILES and path.exists():
        raise DataError(
            f"{name}: latency times PyTorch networks. For this file: tinyrefinery bench {name}. Or "
            "name the run or network file it was made from: ONNX Runtime is one of the backends"
        )
    return [
        Candidate(
            f"{n.stage.row} {n.stage.stage}".strip() if path.is_dir() and n.stage else path.name,
            n.load(),
            n.channels,
            (size, size) if size else n.info.size,
        )
        for n in open_networks([name])
    ]


def by_name(
    name: str, size: int, *, label: str | None = None, classes: int = CLASSES, **options: Any
) -> Candidate:
    """A new network with random weights.

    Its batch-normalization statistics are measured once on noise: by those it is built with,
    numbers would shrink from layer to layer until they are denormal, which is slow.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = create(name, classes, size=size, **options)
        if has_batch_norm(network):
            recalibrate(network, [torch.randn(4, 3, size, size)])
    return Candidate(label or name, network.eval(), 3, (size, size))
