"""Which networks are benchmarked: those of runs and files, or new ones by the name of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinyrefinery.deploy.export.verification import open_artifact
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation import cost
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate
from tinyrefinery.models import create
from tinyrefinery.models.runtime_network import RuntimeNetwork
from tinyrefinery.networks.opening import LITERT, RUNTIME_FILES, SUFFIXES, TIMM, open_networks

CLASSES = 1000
"""Of networks that are built by name: ImageNet's."""
SIZE = 224
"""Pixels of a side, for networks that are built by name."""
BACKENDS_OF_FILES = {"onnx": "onnxruntime", "litert": "litert", "packed": "packed"}
"""By the kind of a file."""


@dataclass(frozen=True)
class Candidate:
    """A network to be timed."""

    name: str
    network: nn.Module
    channels: int
    size: tuple[int, int]
    """Height, width in pixels."""
    runtime: str = ""
    """Of an ONNX or LiteRT file, whose only backend it is; "": PyTorch runs the network."""

    @property
    def parameters(self) -> int | None:
        """Weights and biases; None: those of a file are not counted."""
        return None if self.runtime else cost.parameters(self.network)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one image, by the plain count; None for an ONNX file."""
        if isinstance(self.network, RuntimeNetwork):
            is_litert = self.network.path.suffix.lower() == LITERT
            return device_cost(self.network.path).macs if is_litert else None
        return cost.macs(self.network, self.channels, self.size)


def candidates(names: Sequence[str], size: int | None = None, threads: int = 1) -> list[Candidate]:
    """The networks that names stand for, in evaluation mode.

    Of a run, one network per stage, that of the lowest seed: weights don't change the time.

    Args:
        names: run folders, network files, ONNX or LiteRT files, and names that `models.create`
            takes.
        size: pixels of a side; None: what a network was trained with, 224 for those by name. ONNX
            and LiteRT files keep their own.
        threads: of the runtimes of ONNX and LiteRT files.

    Raises:
        DataError: when there is no such run or file, or a run has no finished network.
        CheckpointError: when a file is not a network.
        RecipeError: when there is no model of a name.
    """
    return [candidate for name in names for candidate in _named(name, size, threads)]


def _named(name: str, size: int | None, threads: int) -> list[Candidate]:
    path = Path(name)
    is_place = path.exists() or "/" in name or path.suffix in SUFFIXES
    if name.startswith(TIMM) or not is_place:
        return [by_name(name, size or SIZE)]
    if path.suffix.lower() in RUNTIME_FILES and path.exists():
        return [_of_file(path, size, threads)]
    return [
        Candidate(
            f"{n.stage.row} {n.stage.stage}".strip() if path.is_dir() and n.stage else path.name,
            n.load(),
            n.channels,
            (size, size) if size else n.info.size,
        )
        for n in open_networks([name])
    ]


def _of_file(path: Path, size: int | None, threads: int) -> Candidate:
    """An ONNX or LiteRT file, run by its own runtime."""
    network = open_artifact(path, threads)
    side = size or SIZE
    taken = network.size or (side, side)
    if size is not None and taken != (size, size):
        raise DataError(
            f"{path.name}: takes images of {taken[0]}x{taken[1]} pixels, not {size}x{size}. Leave "
            "--size and --smoke out"
        )
    runtime = BACKENDS_OF_FILES[RUNTIME_FILES[path.suffix.lower()]]
    return Candidate(path.name, network, network.channels, taken, runtime)


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
