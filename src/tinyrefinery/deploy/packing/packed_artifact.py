"""The packed artifact of an export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tinyrefinery.deploy.packing.packed_lowering import UnpackableError, pack_network
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.models.packed_file import PIXELS
from tinyrefinery.packed.packed_format import write_packed


def make_packed(
    network: nn.Module, info: NetworkInfo, facts: dict[str, Any], path: Path, *, pixels: bool
) -> None:
    """Write the packed file of a network.

    Args:
        network: in evaluation mode; it is not changed.
        info: its facts.
        facts: the metadata.
        path: file to write.
        pixels: whether it takes pixels and normalizes them itself.

    Raises:
        DataError: if the network can't be packed.
    """
    metadata = json.dumps({**facts, PIXELS: pixels}, sort_keys=True)
    normalization = (info.mean, info.std) if pixels else None
    try:
        program = pack_network(
            network, info.size, info.channels, metadata, normalization=normalization
        )
    except UnpackableError as error:
        raise DataError(f"{facts['network']}: can't be packed: {error}") from error
    write_atomic(path, write_packed(program))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) float32."""
    shifted = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
