"""A trained detector in one file: safetensors, with a header that is needed to build it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinyrefinery.detection.detector import Detector
from tinyrefinery.errors import CheckpointError, RefineryError
from tinyrefinery.models import create
from tinyrefinery.models.headed_file import read_header, write_headed
from tinyrefinery.models.weights import check_weights, read_safetensors
from tinyrefinery.recipe.detection import DetectorSpec

_ENTRY = "tinyrefinery_detector"


@dataclass(frozen=True)
class DetectorInfo:
    """The header of a detector's file."""

    backbone: str
    """Architecture, as `models.create` takes it."""
    kwargs: dict[str, Any]
    """Options of the architecture."""
    built_for: tuple[int, int]
    """Height and width in pixels that the backbone was built for. They determine its stem."""
    classes: tuple[str, ...]
    """Class names. In the logits, the background is before them."""
    spec: DetectorSpec
    mean: tuple[float, ...]
    """Subtracted from each channel of images in [0, 1]."""
    std: tuple[float, ...]
    """Divides each channel after that."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further facts, e.g. the seed."""

    def build(self) -> Detector:
        """Build the detector with random weights."""
        backbone = create(self.backbone, len(self.classes), size=self.built_for, **self.kwargs)
        return Detector(backbone, len(self.classes), self.spec)


def save_detector(path: Path, network: nn.Module, info: DetectorInfo) -> None:
    """Write weights, buffers and header in one step. Equal detectors give equal bytes.

    Raises:
        StorageError: when the file is not writable.
    """
    write_headed(path, network, _ENTRY, vars(info) | {"spec": info.spec.model_dump(mode="json")})


def read_detector_info(path: Path) -> DetectorInfo:
    """Read only the header.

    Raises:
        CheckpointError: when the file is missing, truncated or not a detector of this tool.
    """
    return read_header(
        path, _ENTRY, _info, "was not written by `tinyrefinery detect train`: give a detector"
    )


def _info(content: dict[str, Any]) -> DetectorInfo:
    for key in ("classes", "built_for", "mean", "std"):
        content[key] = tuple(content[key])
    return DetectorInfo(spec=DetectorSpec(**content.pop("spec")), **content)


def load_detector(path: Path) -> tuple[Detector, DetectorInfo]:
    """Load a detector on the CPU, in evaluation mode, and its header.

    Raises:
        CheckpointError: when the file is missing, truncated, or has tensors that don't fit.
    """
    info = read_detector_info(path)
    weights = read_safetensors(path)
    try:
        with torch.random.fork_rng(devices=[]):
            detector = info.build()
    except RefineryError as error:
        raise CheckpointError(f"{path}: can't build the detector: {error}") from error
    detector.load_state_dict(check_weights(detector, weights, len(info.classes), path))
    return detector.eval(), info
