"""A network in a LiteRT file (`.tflite`), float or quantized, run by the LiteRT interpreter.

The file may hold a metadata buffer named `tinyrefinery`: the fields of `NetworkInfo` as JSON.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.runtime_network import (
    ENTRY,
    INSIDE,
    ImageInput,
    RuntimeNetwork,
    runtime_threads,
)

_TYPES = (np.float32, np.uint8, np.int8)
_IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every file of this format."""


class LiteRtNetwork(RuntimeNetwork):
    """Normalized images (B, C, h, w) -> logits (B, K), by LiteRT, image by image."""

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
            CheckpointError: if it is not readable, has another input, or ai-edge-litert is missing.
        """
        content = read_litert(path)
        self._interpreter = _open(path, content, runtime_threads() if threads is None else threads)
        inputs = self._interpreter.get_input_details()
        output = self._interpreter.get_output_details()[0]
        shape = tuple(int(side) for side in inputs[0]["shape"]) if len(inputs) == 1 else ()
        is_image = len(shape) == 4 and (shape[1] in (1, 3) or shape[3] in (1, 3))
        if not is_image or inputs[0]["dtype"] not in _TYPES:
            raise CheckpointError(
                f"{path}: expected one float, uint8 or int8 input of images, (N, H, W, 1 or 3), "
                f"found {[(d['dtype'].__name__, list(d['shape'])) for d in inputs]}"
            )
        scale, zero = inputs[0]["quantization"]
        image = ImageInput(
            inputs[0]["name"], np.dtype(inputs[0]["dtype"]), shape, float(scale), int(zero)
        )
        self._input, self._output = inputs[0]["index"], output["index"]
        self._scale, self._zero = output["quantization"]
        self._content = content
        super().__init__(path, image, int(output["shape"][-1]), normalization)
        if image.dtype.kind != "f" and self.metadata.get("preprocessing") == INSIDE:
            self.input = replace(image, holds_pixels=True)

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self._content).hexdigest()

    def read_entry(self) -> bytes | None:
        """The JSON of our entry in the file's metadata; None if it has none."""
        from ai_edge_litert.schema_py_generated import Model

        model = Model.GetRootAs(self._content)
        for number in range(model.MetadataLength()):
            entry = model.Metadata(number)
            if entry is not None and (entry.Name() or b"").decode() == ENTRY:
                buffer = model.Buffers(entry.Buffer())
                return None if buffer is None else bytes(buffer.DataAsNumpy())
        return None

    def infer(self, encoded: np.ndarray) -> np.ndarray:
        """Outputs (B, K) for what the file takes; integers are converted to what they stand for."""
        self._interpreter.set_tensor(self._input, encoded)
        self._interpreter.invoke()
        outputs = self._interpreter.get_tensor(self._output)
        if outputs.dtype.kind == "f" or not self._scale:
            return outputs.astype(np.float32)
        return (outputs.astype(np.float32) - self._zero) * np.float32(self._scale)


def read_litert(path: Path) -> bytes:
    """The bytes of a LiteRT file.

    Raises:
        CheckpointError: if it can't be read, or is of another format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
    if content[4:8] != _IDENTIFIER:
        raise CheckpointError(f"{path}: is not a LiteRT file. Export it again or restore a copy.")
    return content


def _open(path: Path, content: bytes, threads: int) -> Any:
    """Start an interpreter on the CPU."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise CheckpointError(
            f"{path}: LiteRT files need ai-edge-litert: pip install 'tinyrefinery[litert]'"
        ) from error
    try:
        interpreter = Interpreter(model_content=content, num_threads=threads or None)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: is not a readable LiteRT file ({error})") from error
    return interpreter
