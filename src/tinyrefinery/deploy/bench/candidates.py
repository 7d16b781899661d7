"""Which networks are meant: the finished ones of a run, that of a file, or new ones by name."""

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
from tinyrefinery.models.network_file import load_network
from tinyrefinery.runs.folder import open_run

CLASSES = 1000
"""Of networks that are built by name: ImageNet's."""
SIZE = 224
"""Pixels of a side, for networks that are built by name."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".onnx")


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

    Args:
        names: run folders, network files, and names that `models.create` takes.
        size: pixels of a side; None: what a network was trained with, 224 for those by name.

    Raises:
        DataError: when there is no such run or file, or a run has no finished network.
        CheckpointError: when a file is no network.
        RecipeError: when there is no model of a name.
    """
    return [each for name in names for each in _named(name, size)]


def _named(name: str, size: int | None) -> list[Candidate]:
    path = Path(name)
    if path.is_dir():
        return _of_run(path, size)
    if path.is_file():
        return [_of_file(path.name, path, size)]
    if not name.startswith("timm:") and ("/" in name or path.suffix in SUFFIXES):
        raise DataError(f"{name}: there is no such run folder or network file")
    return [by_name(name, size or SIZE)]


def _of_run(path: Path, size: int | None) -> list[Candidate]:
    """One network of each stage, of the lowest seed: weights don't change what a pass takes."""
    stages = {}
    for stage in sorted(open_run(path).stages, key=lambda each: each.seed, reverse=True):
        stages[stage.rows, stage.stage] = stage
    if not stages:
        raise DataError(f"{path}: no stage of this run is finished")
    chosen = list(reversed(stages.values()))
    return [_of_file(f"{s.row} {s.stage}".strip(), s.file, size) for s in chosen]


def _of_file(name: str, path: Path, size: int | None) -> Candidate:
    network, info = load_network(path)
    return Candidate(name, network, info.channels, (size, size) if size else info.size)


def by_name(name: str, size: int, *, label: str | None = None, **options: Any) -> Candidate:
    """A new network with random weights and 1,000 classes.

    Its batch-normalization statistics are measured once on noise: by those it is built with,
    numbers would shrink from layer to layer until they are denormal, which is slow.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = create(name, CLASSES, size=size, **options)
        if has_batch_norm(network):
            recalibrate(network, [torch.randn(4, 3, size, size)])
    return Candidate(label or name, network.eval(), 3, (size, size))
