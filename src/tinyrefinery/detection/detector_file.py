"""A trained detector in one file: safetensors, with what is needed to build it in the header."""

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
    """What the header tells about a detector."""

    backbone: str
    """Architecture, as `models.create` takes it."""
    kwargs: dict[str, Any]
    """Its options."""
    built_for: tuple[int, int]
    """Height and width in pixels that the backbone was built for; they decide its stem."""
    classes: tuple[str, ...]
    """Names; the logits have the background before them."""
    spec: DetectorSpec
    mean: tuple[float, ...]
    """Subtracted from each channel of images in [0, 1]."""
    std: tuple[float, ...]
    """What each channel is then divided by."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Whatever else was noted, e.g. the seed."""

    def build(self) -> Detector:
        """A detector with random weights."""
        backbone = create(self.backbone, len(self.classes), size=self.built_for, **self.kwargs)
        return Detector(backbone, len(self.classes), self.spec)


def save_detector(path: Path, network: nn.Module, info: DetectorInfo) -> None:
    """Write weights, buffers and header in one step; equal detectors give equal bytes.

    Raises:
        StorageError: when the file can't be written.
    """
    write_headed(path, network, _ENTRY, vars(info) | {"spec": info.spec.model_dump(mode="json")})


def read_detector_info(path: Path) -> DetectorInfo:
    """The header alone.

    Raises:
        CheckpointError: when the file is missing, truncated or no detector of ours.
    """
    return read_header(path, _ENTRY, _info, "is no detector that `tinyrefinery detect train` wrote")


def _info(known: dict[str, Any]) -> DetectorInfo:
    for key in ("classes", "built_for", "mean", "std"):
        known[key] = tuple(known[key])
    return DetectorInfo(spec=DetectorSpec(**known.pop("spec")), **known)


def load_detector(path: Path) -> tuple[Detector, DetectorInfo]:
    """The detector of a file, on the CPU and in evaluation mode, and what is known about it.

    Raises:
        CheckpointError: when the file is missing, truncated, or has tensors that don't fit.
    """
    info = read_detector_info(path)
    weights = read_safetensors(path)
    try:
        with torch.random.fork_rng(devices=[]):
            detector = info.build()
    except RefineryError as error:
        raise CheckpointError(f"{path}: its detector can't be built: {error}") from error
    detector.load_state_dict(check_weights(detector, weights, len(info.classes), path))
    return detector.eval(), info
