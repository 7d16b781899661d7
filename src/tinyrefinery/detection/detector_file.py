"""A trained detector in one file: safetensors, with what is needed to build it in the header."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from tinyrefinery.detection.detector import Detector, DetectorSpec
from tinyrefinery.errors import CheckpointError, RefineryError
from tinyrefinery.files import write_atomic
from tinyrefinery.models import create
from tinyrefinery.models.weights import check_weights, read_safetensors

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
    tensors = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, tensor in network.state_dict().items()
    }
    header = json.dumps({"format": 1, **asdict(info)}, sort_keys=True)
    write_atomic(path, save(tensors, {_ENTRY: header}))


def read_detector_info(path: Path) -> DetectorInfo:
    """The header alone.

    Raises:
        CheckpointError: when the file is missing, truncated or no detector of ours.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_ENTRY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: is truncated or no safetensors file ({error})") from error
    if header is None:
        raise CheckpointError(f"{path}: is no detector that `tinyrefinery detect train` wrote")
    try:
        known = json.loads(header)
        if known.pop("format") != 1:
            raise CheckpointError(f"{path}: was written by a newer Tiny Refinery; update it")
        for key in ("classes", "built_for", "mean", "std"):
            known[key] = tuple(known[key])
        spec: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in known.pop("spec").items()
        }
        return DetectorInfo(spec=DetectorSpec(**spec), **known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error!r})") from error


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
