"""A network in an ONNX file, float or quantized, run by ONNX Runtime on the CPU.

The file has one float input, normalized images (N, C, H, W). Its first output is (N, K). Its
metadata may have an entry `tinyrefinery`: the fields of `NetworkInfo` as JSON.
"""

import os
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError
from tinyrefinery.reading.json_text import parse_json_object

ENTRY = "tinyrefinery"
"""Name of the entry in the metadata."""
_CHUNK = 1 << 20


class OnnxNetwork(nn.Module):
    """Normalized images (B, C, h, w) -> logits (B, K). It has no torch parameters."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            CheckpointError: if it is not readable, has another input, or onnxruntime is missing.
        """
        super().__init__()
        self.path = path
        self._session = _open(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] not in (1, 3) or inputs[0].type != "tensor(float)":
            raise CheckpointError(
                f"{path}: expected one float input (N, 1 or 3, H, W), found "
                f"{[(node.type, node.shape) for node in inputs]}"
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        self.channels = int(shape[1])
        self.size: tuple[int, int] | None = None
        """Height, width of the images in pixels; None: any."""
        if isinstance(shape[2], int) and isinstance(shape[3], int):
            self.size = shape[2], shape[3]
        self.batch: int | None = shape[0] if isinstance(shape[0], int) else None
        """Fixed batch size; None: any."""
        last = outputs[0].shape[-1] if outputs[0].shape else None
        self.outputs: int | None = last if isinstance(last, int) else None
        """Number of outputs; None if the file doesn't fix it."""

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Classes, size, channels, mean and std from the file's metadata; empty if it has none.

        Raises:
            CheckpointError: if the entry is damaged.
        """
        text = self._session.get_modelmeta().custom_metadata_map.get(ENTRY)
        if text is None:
            return {}
        where = f"{self.path}: its metadata entry '{ENTRY}'"
        return parse_json_object(text, where, "Export it again.", CheckpointError)

    @cached_property
    def gives_probabilities(self) -> bool:
        """Whether the outputs are probabilities; else they are logits.

        Measured once, on random images, so that it can't change from batch to batch.
        """
        size = self.size or (64, 64)  # our choice: can be halved many times
        probe = np.random.default_rng(0).standard_normal((8, self.channels, *size))
        probe[0], probe[1] = 0, 1
        outputs = self.run(probe.astype(np.float32))
        # With 8 bits per probability, each is wrong by at most half a step.
        tolerance = min(1e-3 + outputs.shape[1] / 512, 0.25)
        return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < tolerance).all())

    def run(self, images: np.ndarray) -> np.ndarray:
        """Raw outputs of the file, (B, K) float32.

        Args:
            images: (B, C, h, w) float32. If the batch size is fixed, batches are padded to it.

        Raises:
            CheckpointError: if the file can't run on them, or its output has another shape.
        """
        step = self.batch or max(len(images), 1)
        starts = range(0, max(len(images), 1), step)
        return np.concatenate([self._run(images[start : start + step]) for start in starts])

    def _run(self, images: np.ndarray) -> np.ndarray:
        missing = self.batch - len(images) if self.batch else 0
        padding = np.zeros((missing, *images.shape[1:]), np.float32)
        try:
            outputs = self._session.run([self._output], {self._input: np.r_[images, padding]})[0]
        except Exception as error:  # onnxruntime's exceptions have no common public base
            raise CheckpointError(
                f"{self.path}: can't run on images of shape {images.shape[1:]} ({error})"
            ) from error
        if outputs.ndim != 2 or len(outputs) != len(images) + missing:
            raise CheckpointError(
                f"{self.path}: its first output has shape {outputs.shape} for "
                f"{len(images) + missing} images; expected (N, classes)"
            )
        if not np.isfinite(outputs).all():
            raise CheckpointError(
                f"{self.path}: its outputs aren't finite. Check that mean and std of the input are "
                "those that it was trained with."
            )
        return np.asarray(outputs[: len(images)], np.float32)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) float32; logarithms if the file outputs probabilities."""
        outputs = torch.from_numpy(self.run(images.detach().float().cpu().numpy()))
        if self.gives_probabilities:
            outputs = outputs.clamp(min=torch.finfo(torch.float32).tiny).log()
        return outputs.to(images.device)


def _open(path: Path) -> Any:
    """Start a session of ONNX Runtime on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise CheckpointError(
            f"{path}: ONNX files need onnxruntime: pip install 'tinyrefinery[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3  # no warnings: they are about the graph only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common public base
        raise CheckpointError(f"{path}: is not a readable ONNX file ({error})") from error


def _threads() -> int:
    """Number of threads, set as for torch; 0: one per core."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() else 0


def onnx_digest(path: Path) -> str:
    """SHA-256 (hex) of a file and of its external weight files in the same folder.

    Raises:
        CheckpointError: if a file is not readable.
    """
    try:
        content = path.read_bytes()
        digest = sha256(content)
        if b"location" in content:  # protobuf's key for external weights
            for sibling in sorted(path.parent.iterdir()):
                if sibling != path and sibling.is_file() and sibling.name.encode() in content:
                    _update(digest, sibling)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _update(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
