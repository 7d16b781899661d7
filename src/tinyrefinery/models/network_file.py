"""A trained network in one file: safetensors, with all that is needed to build it in the header."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinyrefinery.errors import CheckpointError, RefineryError
from tinyrefinery.models import create
from tinyrefinery.models.headed_file import read_header, write_headed
from tinyrefinery.models.weights import put_weights, read_safetensors

_ENTRY = "tinyrefinery"
_NOT_OURS = (
    "has weights, but doesn't say of which network; it was not written by Tiny Refinery. Name the "
    "model in the recipe and give this file as its weights"
)


@dataclass(frozen=True)
class NetworkInfo:
    """What the header tells about a network."""

    name: str
    """Architecture, as `models.create` takes it."""
    kwargs: dict[str, Any]
    """Its options."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    size: tuple[int, int]
    """Height, width of the images it was trained with, in pixels."""
    channels: int
    """Of the images: 1 or 3."""
    mean: tuple[float, ...]
    """Subtracted from each channel of images in [0, 1]."""
    std: tuple[float, ...]
    """What each channel is then divided by."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Whatever else was noted, e.g. the stage it comes from."""


def save_network(
    path: str | Path,
    network: nn.Module,
    *,
    name: str,
    kwargs: Mapping[str, Any],
    classes: Sequence[str],
    size: tuple[int, int],
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, buffers and a `NetworkInfo` to `path`, in one step; see there for the rest.

    Equal networks and infos give equal bytes.

    Raises:
        StorageError: when the file can't be written.
        TypeError: when `kwargs` or `extra` can't be written as JSON.
    """
    info = NetworkInfo(
        name=name,
        kwargs=dict(kwargs),
        classes=tuple(classes),
        size=(int(size[0]), int(size[1])),
        channels=channels,
        mean=tuple(float(value) for value in mean),
        std=tuple(float(value) for value in std),
        extra=dict(extra or {}),
    )
    write_headed(Path(path), network, _ENTRY, asdict(info))


def read_info(path: str | Path) -> NetworkInfo:
    """The header alone, without building the network.

    Raises:
        CheckpointError: when the file is missing, truncated, of another kind or not ours.
    """
    return read_header(Path(path), _ENTRY, _info, _NOT_OURS)


def _info(known: dict[str, Any]) -> NetworkInfo:
    for key in ("classes", "size", "mean", "std"):
        known[key] = tuple(known[key])
    return NetworkInfo(**known)


def load_network(path: str | Path) -> tuple[nn.Module, NetworkInfo]:
    """The network of a file, on the CPU and in evaluation mode, and what is known about it.

    torch's random generator is left as it was.

    Raises:
        CheckpointError: when the file is missing, truncated, of another kind, names an architecture
            that isn't known, or has tensors that don't fit it.
    """
    info = read_info(path)
    weights = read_safetensors(Path(path))
    options = {key: value for key, value in info.kwargs.items() if key != "pretrained"}
    try:
        with torch.random.fork_rng(devices=[]):
            network = create(
                info.name, len(info.classes), size=info.size, channels=info.channels, **options
            )
    except RefineryError as error:
        raise CheckpointError(f"{path}: its network can't be built: {error}") from error
    put_weights(network, weights, len(info.classes), path)
    return network.eval(), info
