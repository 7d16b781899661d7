"""A network in an ONNX file, float or quantized, run by ONNX Runtime on the CPU.

Its metadata may have an entry `tinyrefinery`: the fields of `NetworkInfo` as JSON.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.runtime_network import (
    ENTRY,
    ImageInput,
    RuntimeNetwork,
    runtime_threads,
)

_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
_CHUNK = 1 << 20


class OnnxNetwork(RuntimeNetwork):
    """Normalized images (B, C, h, w) -> logits (B, K), by ONNX Runtime."""

    def __init__(
        self,
        path: Path,
        normalization: tuple[Sequence[float], Sequence[float]] | None = None,
        threads: int | None = None,
    ) -> None:
        """Open a file.

        Args:
            path: the file.
            normalization: mean and std of the images that it will be given; None: images in [0, 1].
            threads: of the runtime; None: as for torch.

        Raises:
            CheckpointError: if it is not readable, has another input, or onnxruntime is missing.
        """
        self._session = _open(path, runtime_threads() if threads is None else threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        sizes = tuple(side if isinstance(side, int) else None for side in shape)
        is_image = len(sizes) == 4 and (sizes[1] in (1, 3) or sizes[3] in (1, 3))
        if not is_image or inputs[0].type not in _TYPES:
            raise CheckpointError(
                f"{path}: expected one float, uint8 or int8 input of images, (N, 1 or 3, H, W) or "
                f"(N, H, W, 1 or 3), found {[(node.type, node.shape) for node in inputs]}"
            )
        self._output = outputs[0].name
        last = outputs[0].shape[-1] if outputs[0].shape else None
        image = ImageInput(inputs[0].name, np.dtype(_TYPES[inputs[0].type]), sizes)
        super().__init__(path, image, last if isinstance(last, int) else None, normalization)

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file, and of the files of weights that belong to it."""
        return onnx_digest(self.path)

    def read_entry(self) -> str | None:
        """The JSON of our entry in the file's metadata; None if it has none."""
        return self._session.get_modelmeta().custom_metadata_map.get(ENTRY)

    def infer(self, encoded: np.ndarray) -> np.ndarray:
        """Outputs (B, K) float32 for what the file takes."""
        return self._session.run([self._output], {self.input.name: encoded})[0]


def _open(path: Path, threads: int) -> Any:
    """Start a session of ONNX Runtime on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise CheckpointError(
            f"{path}: ONNX files need onnxruntime: pip install 'tinyrefinery[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # no warnings: they are about the graph only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common public base
        raise CheckpointError(f"{path}: is not a readable ONNX file ({error})") from error


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
