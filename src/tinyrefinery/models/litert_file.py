"""A network in a LiteRT file (.tflite), float or quantized, run by LiteRT's interpreter on the CPU.

The file has one input, images (1, H, W, C): float32 normalized, uint8 pixels without quantization
parameters, or 8-bit integers that stand for real values `scale * (q - zero_point)`. Its first
output is (1, K). One output stands for the logit of the second of two classes. The file may hold a
metadata entry `tinyrefinery`: the fields of `NetworkInfo` as JSON.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.file_values import logits_of, looks_like_probabilities
from tinyrefinery.reading.json_text import parse_json_object

ENTRY = "tinyrefinery"
"""Name of the entry in the metadata."""
_IDENTIFIER = b"TFL3"
_DTYPES = (np.float32, np.int8, np.uint8)


class LitertNetwork(nn.Module):
    """Normalized images (B, C, h, w) -> logits (B, K). It has no torch parameters."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            CheckpointError: if it is not readable, has another input, or the interpreter is
                missing.
        """
        super().__init__()
        self.path = path
        self._content = _read(path)
        self._interpreter = _open(path, self._content)
        inputs = self._interpreter.get_input_details()
        shape = inputs[0]["shape"].tolist() if len(inputs) == 1 else []
        if len(shape) != 4 or shape[3] not in (1, 3) or inputs[0]["dtype"] not in _DTYPES:
            found = [(d["dtype"].__name__, d["shape"].tolist()) for d in inputs]
            raise CheckpointError(
                f"{path}: expected one input (1, H, W, 1 or 3) of float32, int8 or uint8, found "
                f"{found}"
            )
        self._input, self._output = inputs[0], self._interpreter.get_output_details()[0]
        self.batch, height, width, self.channels = (int(side) for side in shape)
        self.size: tuple[int, int] | None = (height, width)
        """Height, width of the images in pixels."""
        self._columns = int(self._output["shape"][-1])
        self.outputs: int | None = max(self._columns, 2)
        """Number of classes."""
        self.dtype = self._input["dtype"].__name__
        """Type of the input: float32, int8 or uint8."""
        self.quantization: tuple[float, int] | None = _parameters(self._input)
        """Scale and zero point of the input; None where its numbers are the values."""

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Classes, size, channels, mean and std from the file's metadata; empty if it has none.

        Raises:
            CheckpointError: if the entry is damaged.
        """
        return read_metadata(self._content, self.path)

    @property
    def graph_facts(self) -> Mapping[str, Any]:
        """What the file fixes of size and, with an 8-bit input, of normalization.

        An 8-bit input takes the pixels 0 to 255 by their number, or less 128 as int8. Its scale
        and zero point tell which real values they are.
        """
        facts: dict[str, Any] = {"size": self.size}
        if self.dtype != "float32":
            scale, zero = self.quantization or (1.0, 0)
            zero += 128 if self.dtype == "int8" else 0
            facts["mean"] = (zero / 255,) * self.channels
            facts["std"] = (1 / (255 * scale),) * self.channels
        return facts

    @cached_property
    def gives_probabilities(self) -> bool:
        """Whether the outputs are probabilities; else they are logits.

        Measured once, on random images, so that it can't change from batch to batch.
        """
        assert self.size is not None
        pixels = self.dtype != "float32" and (self.quantization or (1.0, 0))[0] >= 0.5
        return self._columns > 1 and looks_like_probabilities(
            self.run, self.channels, self.size, pixels=pixels
        )

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs of the file as real numbers, (B, K) float32.

        Args:
            images: (B, C, h, w) float32, as real values of the input.

        Raises:
            CheckpointError: if the file can't run on them, or its output has another shape.
        """
        if tuple(images.shape[1:]) != (self.channels, *(self.size or ())):
            raise CheckpointError(
                f"{self.path}: takes images of shape {(self.channels, *(self.size or ()))}, not "
                f"{tuple(images.shape[1:])}"
            )
        # (B, C, h, w) -> (B, h, w, C)
        values = self._quantized(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        step = self.batch
        found = [self._run(values[i : i + step]) for i in range(0, len(values), step)]
        outputs = np.concatenate(found) if found else np.zeros((0, self._columns), np.float32)
        if not np.isfinite(outputs).all():
            raise CheckpointError(
                f"{self.path}: its outputs aren't finite. Check that mean and std of the input are "
                "those that it was trained with."
            )
        if self._columns == 1:  # one logit, of the second class
            outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
        return outputs

    def _quantized(self, values: np.ndarray) -> np.ndarray:
        if self.dtype == "float32":
            return values.astype(np.float32)
        scale, zero = self.quantization or (1.0, 0)
        limits = np.iinfo(self._input["dtype"])
        whole = np.rint(values.astype(np.float64) / scale) + zero
        return np.clip(whole, limits.min, limits.max).astype(self._input["dtype"])

    def _run(self, values: np.ndarray) -> np.ndarray:
        missing = self.batch - len(values)
        padded = np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])
        try:
            self._interpreter.set_tensor(self._input["index"], padded)
            self._interpreter.invoke()
            outputs = self._interpreter.get_tensor(self._output["index"])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{self.path}: can't run ({error})") from error
        if outputs.ndim != 2:
            raise CheckpointError(
                f"{self.path}: its first output has shape {outputs.shape}; expected (1, classes)"
            )
        parameters = _parameters(self._output)
        real = outputs.astype(np.float32)
        if parameters is not None:
            real = (real - parameters[1]) * np.float32(parameters[0])
        return real[: len(values)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) float32; logarithms if the file outputs probabilities."""
        outputs = torch.from_numpy(self.run(images.detach().float().cpu().numpy()))
        return logits_of(outputs, probabilities=self.gives_probabilities).to(images.device)


def _parameters(tensor: Mapping[str, Any]) -> tuple[float, int] | None:
    scale, zero = tensor["quantization"]
    return (float(scale), int(zero)) if scale else None


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
    if content[4:8] != _IDENTIFIER:
        raise CheckpointError(f"{path}: is not a LiteRT file, or its beginning is damaged")
    return content


def _open(path: Path, content: bytes) -> Any:
    """An interpreter on the CPU, ready to run."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise CheckpointError(
            f"{path}: LiteRT files need ai-edge-litert: pip install 'tinyrefinery[litert]'"
        ) from error
    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        first = (str(error).splitlines() or ["unknown reason"])[0]
        raise CheckpointError(
            f"{path}: can't be opened: it is cut short, damaged, or has operators that this "
            f"interpreter lacks ({first})"
        ) from error
    return interpreter


def read_metadata(content: bytes, path: Path) -> Mapping[str, Any]:
    """Our entry in the metadata of a LiteRT file; empty if it has none.

    Raises:
        CheckpointError: if the entry is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry is not None and entry.Name() == ENTRY.encode():
            buffer: Any = model.Buffers(entry.Buffer())
            where = f"{path}: its metadata entry '{ENTRY}'"
            return parse_json_object(
                bytes(buffer.DataAsNumpy()), where, "Export it again.", CheckpointError
            )
    return {}
