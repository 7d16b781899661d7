"""A network that ships: its file, how it was proven, and how good it is."""

from dataclasses import dataclass, field
from pathlib import Path

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.shipping import Shipped
from tinyrefinery.networks.network import Network


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What `fit` and `demo` have in common."""

    folder: Path
    """Where its page is written."""
    look: Look
    limits: dict[str, int]
    network: Network = field(repr=False)
    """In float, as it was trained."""
    architecture: str
    """The network in one line: architecture, size of its images."""
    epochs: int
    """Of its training."""
    shipped: Shipped
    notes: tuple[str, ...]
    data: Dataset = field(repr=False)
    """The pictures."""
    name: str
    """Of the pictures."""

    @property
    def longest(self) -> int:
        """Epochs of the network with all the time that it could use. Those of a recipe are set."""
        return self.epochs

    @property
    def artifact(self) -> Path:
        """The file for the device."""
        return self.shipped.exported.path
