"""What an export made of one target."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrefinery.deploy.export.parity import Parity

if TYPE_CHECKING:
    from tinyrefinery.deploy.export.layer_effects import LayerEffect


@dataclass(frozen=True)
class Exported:
    """One artifact, written or refused."""

    path: Path
    """Its file; it does not exist if `parity` failed."""
    record: dict[str, Any] = field(repr=False)
    """What its record holds."""
    parity: Parity
    layers: tuple["LayerEffect", ...] = field(default=(), repr=False)
    """What int8 costs each layer, the most expensive one first; empty unless it was asked for."""
    excess: tuple[str, ...] = ()
    """What is above the budget, for people."""
    rejected: tuple[str, ...] = ()
    """Options that were tried and made no better artifact, e.g. `--fine-tune`."""

    @property
    def passed(self) -> bool:
        """Whether it is proven to predict what the network predicts, and within the budget."""
        return self.parity.verdict == "PASS" and not self.excess

    @property
    def written(self) -> bool:
        """Whether the artifact was written."""
        return self.parity.verdict != "FAIL" and not self.excess
