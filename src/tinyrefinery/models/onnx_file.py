"""A network as an ONNX file, run by ONNX Runtime on the CPU: what ships, float or quantized.

Such a file has one float input, normalized images (N, C, H, W), and first an output (N, K). Where
it was made by a tool that knows more, its metadata has an entry `tinyrefinery`: the header of our
network files as JSON, see `NetworkInfo`.
"""

import json
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

ENDING = ".onnx"
ENTRY = "tinyrefinery"
"""Of the metadata."""
_CHUNK = 1 << 20


class OnnxNetwork(nn.Module):
    """Normalized images (B, C, h, w) -> logits (B, K). It has no weights that torch knows of."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Args:
            path: of the file.

        Raises:
            CheckpointError: when it can't be read, has another input, or onnxruntime is missing.
        """
        super().__init__()
        self.path = path
        self._session = _open(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] not in (1, 3) or inputs[0].type != "tensor(float)":
            raise CheckpointError(
                f"{path}: expected one float input (N, 1 or 3, H, W), found "
                f"{[(each.type, each.shape) for each in inputs]}"
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        self.channels = int(shape[1])
        self.size: tuple[int, int] | None = None
        """Height, width of its images in pixels; None: any."""
        if isinstance(shape[2], int) and isinstance(shape[3], int):
            self.size = shape[2], shape[3]
        self.batch: int | None = shape[0] if isinstance(shape[0], int) else None
        """How many images it takes at once; None: any number."""
        last = outputs[0].shape[-1] if outputs[0].shape else None
        self.outputs: int | None = last if isinstance(last, int) else None
        """Number of outputs; None: not written in the file."""

    @cached_property
    def told(self) -> Mapping[str, Any]:
        """What its metadata says of classes, size, channels, mean and std; empty: nothing.

        Raises:
            CheckpointError: when the entry is there and is damaged.
        """
        text = self._session.get_modelmeta().custom_metadata_map.get(ENTRY)
        if text is None:
            return {}
        try:
            content = json.loads(text)
            return dict(content.items())
        except (ValueError, AttributeError) as error:
            raise CheckpointError(
                f"{self.path}: its metadata '{ENTRY}' is damaged ({error}); export it again"
            ) from error

    @cached_property
    def gives_probabilities(self) -> bool:
        """Whether its outputs are distributions; else they are logits.

        Asked once, of images that show nothing, so that it can't change from batch to batch.
        """
        size = self.size or (64, 64)  # our choice: many halvings fit
        probe = np.random.default_rng(0).standard_normal((8, self.channels, *size))
        probe[0], probe[1] = 0, 1
        said = self.run(probe.astype(np.float32))
        # 8 bits a probability: each is off by half a step at most.
        slack = min(1e-3 + said.shape[1] / 512, 0.25)
        return bool((said >= 0).all() and (np.abs(said.sum(axis=1) - 1) < slack).all())

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs (B, K) float32 as the file gives them.

        Args:
            images: (B, C, h, w) float32; a batch of fixed size is filled up.

        Raises:
            CheckpointError: when the file can't compute them, or they have another shape.
        """
        step = self.batch or max(len(images), 1)
        found = [self._run(images[at : at + step]) for at in range(0, max(len(images), 1), step)]
        return np.concatenate(found)

    def _run(self, images: np.ndarray) -> np.ndarray:
        missing = self.batch - len(images) if self.batch else 0
        filling = np.zeros((missing, *images.shape[1:]), np.float32)
        try:
            said = self._session.run([self._output], {self._input: np.r_[images, filling]})[0]
        except Exception as error:  # onnxruntime's own exceptions share no base with a name
            raise CheckpointError(
                f"{self.path}: can't be run on images of {images.shape[1:]} ({error})"
            ) from error
        if said.ndim != 2 or len(said) != len(images) + missing:
            raise CheckpointError(
                f"{self.path}: gives an output of shape {said.shape} for {len(images) + missing} "
                "images; expected (N, classes) first"
            )
        if not np.isfinite(said).all():
            raise CheckpointError(
                f"{self.path}: gives numbers that aren't finite; does it get what it expects?"
            )
        return np.asarray(said[: len(images)], np.float32)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) float32; logarithms where the file gives probabilities."""
        said = torch.from_numpy(self.run(images.detach().float().cpu().numpy()))
        if self.gives_probabilities:
            said = said.clamp(min=torch.finfo(torch.float32).tiny).log()
        return said.to(images.device)


def _open(path: Path) -> Any:
    """A session of ONNX Runtime, on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise CheckpointError(
            f"{path}: ONNX files need onnxruntime: pip install 'tinyrefinery[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3  # its warnings are about graphs, not about what is asked here
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base with a name
        raise CheckpointError(f"{path}: is no readable ONNX file ({error})") from error


def _threads() -> int:
    """As torch is told; 0: as many as there are cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() else 0


def onnx_digest(path: Path) -> str:
    """SHA-256 (hex) of a file and of the files beside it that hold its weights.

    Raises:
        CheckpointError: when it can't be read.
    """
    try:
        content = path.read_bytes()
        state = sha256(content)
        if b"location" in content:  # of weights outside, as protobuf spells it
            for each in sorted(path.parent.iterdir()):
                if each != path and each.is_file() and each.name.encode() in content:
                    _update(state, each)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
    return state.hexdigest()


def _update(state: Any, path: Path) -> None:
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            state.update(part)
