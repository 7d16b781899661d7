"""What to export a network to, and what came of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrefinery.deploy.export.artifact_facts import INSIDE
from tinyrefinery.deploy.export.parity import MAX_DROP, Parity
from tinyrefinery.deploy.export.sample_images import CALIBRATE
from tinyrefinery.options.budget import Budget

if TYPE_CHECKING:
    from tinyrefinery.deploy.export.layer_effects import LayerEffect

TARGETS: dict[str, str] = {"onnx": ".onnx", "litert": ".tflite"}
"""Formats, and how the names of their files end."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export a network to, and how."""

    targets: tuple[str, ...] = ("onnx",)
    """Of `TARGETS`."""
    int8: bool = False
    """Whether to quantize; else artifacts are float."""
    out: Path = Path("exports")
    """Folder for the artifacts."""
    preprocessing: str = INSIDE
    """`INSIDE`, or `METADATA` to leave normalization to the caller."""
    max_drop: float = MAX_DROP
    """Allowed drop of int8 accuracy in percentage points."""
    calibrate: int = CALIBRATE
    """Most calibration images."""
    budget: Budget = field(default_factory=Budget)
    """Most that the LiteRT artifact may cost. Where it has no limit, an int8 artifact has that of
    the recipe."""
    explain: bool = False
    """Whether to list what int8 costs each layer."""
    keep_float: int = 0
    """Layers to keep in float where int8 is not proven to keep the accuracy; 0: none."""
    fine_tune: int = 0
    """Epochs of fine-tuning where int8 is not proven to keep the accuracy; 0: none."""


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

    @property
    def passed(self) -> bool:
        """Whether it is proven to predict what the network predicts, and within the budget."""
        return self.parity.verdict == "PASS" and not self.excess

    @property
    def written(self) -> bool:
        """Whether the artifact was written."""
        return self.parity.verdict != "FAIL" and not self.excess
