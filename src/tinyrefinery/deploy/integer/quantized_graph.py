"""A LiteRT file with everything that its integers depend on: values, scales, operator options."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.device.litert_graph import operator_names, read_model

_TYPES = {"FLOAT32": np.float32, "INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32}
_TYPES |= {"INT64": np.int64, "BOOL": np.bool_, "INT16": np.int16, "FLOAT16": np.float16}


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor: real value = scale x (integer - zero)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """E.g. `INT8`."""
    scales: np.ndarray = field(repr=False)
    """(1,) or (channels,) float32; empty: not quantized."""
    zeros: np.ndarray = field(repr=False)
    """Zero points, int64, as many as scales."""
    values: np.ndarray | None = field(repr=False)
    """Of a constant, in its shape; None: an activation."""

    @property
    def scale(self) -> np.float32:
        """The only scale."""
        return np.float32(self.scales[0])

    @property
    def zero(self) -> int:
        """The only zero point."""
        return int(self.zeros[0])

    @property
    def is_quantized(self) -> bool:
        """Whether it is an int8 or uint8 tensor with one scale."""
        return self.dtype in ("INT8", "UINT8") and len(self.scales) == 1


@dataclass(frozen=True)
class QuantizedOperator:
    """An operator."""

    kind: str
    """E.g. `CONV_2D`."""
    inputs: tuple[int, ...]
    """Tensors by number; -1: left out."""
    outputs: tuple[int, ...]
    options: Any = field(repr=False)
    """The schema's object, or None."""


@dataclass(frozen=True)
class QuantizedGraph:
    """The only subgraph of a file."""

    name: str
    """Of the file, for errors."""
    tensors: tuple[QuantizedTensor, ...] = field(repr=False)
    operators: tuple[QuantizedOperator, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_quantized(path: Path) -> QuantizedGraph:
    """Read a LiteRT file.

    Raises:
        CheckpointError: if it can't be read, is damaged, or ai-edge-litert is missing.
    """
    content = path.read_bytes() if path.is_file() else b""
    return read_model(path, lambda model, schema: _graph(path.name, content, model, schema))


def _graph(name: str, content: bytes, model: Any, schema: Any) -> QuantizedGraph:
    types = {number: text for text, number in vars(schema.TensorType).items()}
    codes = operator_names(model, schema)
    part = model.subgraphs[0]
    return QuantizedGraph(
        name=name,
        tensors=tuple(_tensor(each, content, model.buffers, types) for each in part.tensors),
        operators=tuple(
            QuantizedOperator(
                codes[each.opcodeIndex],
                tuple(int(number) for number in each.inputs),
                tuple(int(number) for number in each.outputs),
                each.builtinOptions,
            )
            for each in part.operators
        ),
        inputs=tuple(int(number) for number in part.inputs),
        outputs=tuple(int(number) for number in part.outputs),
    )


def _tensor(tensor: Any, content: bytes, buffers: Any, types: dict[int, str]) -> QuantizedTensor:
    shape = tuple(int(side) for side in (() if tensor.shape is None else tensor.shape))
    dtype, buffer = types.get(tensor.type, "an unknown type"), buffers[tensor.buffer]
    data = buffer.data
    if buffer.offset:  # large constants may lie behind the FlatBuffer
        data = np.frombuffer(content[buffer.offset : buffer.offset + buffer.size], np.uint8)
    values = None
    if tensor.buffer > 0 and data is not None and len(data) and dtype in _TYPES:
        values = np.asarray(data, np.uint8).view(_TYPES[dtype]).reshape(shape)
    quantization = tensor.quantization
    scales = None if quantization is None else quantization.scale
    zeros = None if quantization is None else quantization.zeroPoint
    scales = np.asarray([] if scales is None else scales, np.float32)
    zeros = np.zeros(len(scales), np.int64) if zeros is None else np.asarray(zeros, np.int64)
    label = (tensor.name or b"").decode("utf-8", "replace") if tensor.name else ""
    return QuantizedTensor(label, shape, dtype, scales, zeros, values)
