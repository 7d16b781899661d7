"""Artifacts of one target that may be written: the best one is."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyrefinery.deploy.export.artifact_facts import KeptLayers
from tinyrefinery.deploy.export.parity import Parity
from tinyrefinery.networks.network import Network


@dataclass(frozen=True)
class Candidate:
    """An artifact that may be written."""

    network: Network
    """What it was made from: the network, or one fine-tuned for int8."""
    graph: Path
    """Its float graph."""
    made: Path
    """The artifact's file."""
    method: str
    """How it was calibrated; "" for float."""
    parity: Parity
    checked: tuple[np.ndarray, np.ndarray]
    """Its inputs of the check and its probabilities."""
    loss: tuple[float, float]
    """Upper end of the drop's interval, and divergence: the smallest is the best."""
    kept: KeptLayers = field(default_factory=KeptLayers)


def better(best: Candidate, other: Candidate, option: str, rejected: list[str]) -> Candidate:
    """The better one of two; an option that made no better one is added to `rejected`."""
    if other.loss < best.loss:
        return other
    rejected.append(option)
    return best
