"""Run an artefact in its own runtime."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.models import litert_file, onnx_file
from tinyrefinery.networks.opening import LITERT, ONNX

_PACKAGES = {ONNX: "onnxruntime", LITERT: "ai-edge-litert"}
_CHUNK = 64


class Artefact:
    """An ONNX or LiteRT file, open in its runtime."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            DataError: if it is neither an ONNX nor a LiteRT file by its ending.
            CheckpointError: if it can't be opened, or its runtime is missing.
        """
        ending = path.suffix.lower()
        if ending not in _PACKAGES:
            raise DataError(f"{path}: is neither an ONNX (.onnx) nor a LiteRT file (.tflite)")
        of_litert = ending == LITERT
        self._network = (litert_file.LitertNetwork if of_litert else onnx_file.OnnxNetwork)(path)
        self.runtime = f"{_PACKAGES[ending]} {version(_PACKAGES[ending])}"
        """Package and version of the runtime."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Our entry in its metadata."""
        return self._network.metadata

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) float32 of images (N, h, w, C) uint8.

        Pixels are prepared as the metadata's `mean` and `std` tell.
        """
        starts = range(0, len(pixels), _CHUNK)
        parts = (pixels[start : start + _CHUNK] for start in starts)
        return np.concatenate([self._network.run(prepared(part, self.facts)) for part in parts])


def prepared(pixels: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Pixels (N, h, w, C) uint8 as real values (N, C, h, w) float32 of an artefact's input."""
    mean = np.asarray(facts["mean"], np.float64)
    std = np.asarray(facts["std"], np.float64)
    values = ((pixels / 255 - mean) / std).astype(np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
