"""A trained network in one safetensors file. Its header has all that is needed to rebuild it."""

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
    "has weights but no network description, so it was not written by Tiny Refinery. Name the "
    "model in the recipe and use this file for its weights."
)


@dataclass(frozen=True)
class NetworkInfo:
    """The header: description of a network and its inputs."""

    name: str
    """Architecture, for `models.create`."""
    kwargs: dict[str, Any]
    """Options of the architecture."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    size: tuple[int, int]
    """Height, width of the training images in pixels."""
    channels: int
    """Of the images: 1 or 3."""
    mean: tuple[float, ...]
    """Subtracted from each channel of images in [0, 1]."""
    std: tuple[float, ...]
    """Each channel is then divided by it."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further facts, e.g. the stage that trained the network."""


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
    """Write weights, buffers and a `NetworkInfo` to `path`, atomically.

    The other arguments are the fields of `NetworkInfo`. Equal contents give equal bytes.

    Raises:
        StorageError: if the file is not writable.
        TypeError: if `kwargs` or `extra` are not JSON-serializable.
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
    """Read the header only, without building the network.

    Raises:
        CheckpointError: if the file is missing, truncated or not written by Tiny Refinery.
    """
    return read_header(Path(path), _ENTRY, _info, _NOT_OURS)


def _info(facts: dict[str, Any]) -> NetworkInfo:
    for key in ("classes", "size", "mean", "std"):
        facts[key] = tuple(facts[key])
    return NetworkInfo(**facts)


def load_network(path: str | Path) -> tuple[nn.Module, NetworkInfo]:
    """Load a network, on the CPU and in evaluation mode, and its description.

    Doesn't change the state of torch's random generator.

    Raises:
        CheckpointError: if the file is missing, truncated or not written by Tiny Refinery, names an
            unknown architecture, or has tensors that don't fit it.
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
