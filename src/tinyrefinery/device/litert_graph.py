"""Tensors and operators of a LiteRT file, as far as its cost depends on them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinyrefinery.errors import CheckpointError, RefineryError
from tinyrefinery.models.litert_file import read_litert

_T = TypeVar("_T")
PLACES = b"OfflineMemoryAllocation"
"""Name of the metadata in which LiteRT for Microcontrollers reads places of activations: version,
subgraph and number of tensors, then bytes from the start of the head for each tensor, int32."""
_BITS = {
    **{"FLOAT32": 32, "FLOAT16": 16, "INT32": 32, "UINT8": 8, "INT64": 64, "BOOL": 8},
    **{"INT16": 16, "INT8": 8, "FLOAT64": 64, "UINT64": 64, "UINT32": 32, "UINT16": 16},
    **{"INT4": 4, "COMPLEX64": 64, "BFLOAT16": 16},
}


@dataclass(frozen=True)
class TensorFacts:
    """A tensor."""

    shape: tuple[int, ...]
    bytes: int
    is_constant: bool
    """Whether its values are in the file; else it needs memory."""

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator."""

    kind: str
    """E.g. `CONV_2D`."""
    inputs: tuple[int, ...]
    """Tensors by number; an input that is left out is not listed."""
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The first subgraph of a file."""

    tensors: tuple[TensorFacts, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    """In the order in which they run."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    places: Mapping[int, int] = field(default_factory=dict, repr=False)
    """Where the file places activations in the head of the arena: bytes from its start, by tensor.
    """


def read_graph(path: Path) -> Graph:
    """The graph of a LiteRT file.

    Raises:
        CheckpointError: if it can't be read, has several subgraphs, or ai-edge-litert is missing.
    """
    return read_model(path, _graph)


def read_model(path: Path, read: Callable[[Any, Any], _T]) -> _T:
    """What a reader makes of the model in a LiteRT file with one subgraph.

    Args:
        path: the file.
        read: called with the model, an object of the schema's Python classes, and the schema. Any
            error of its own means that the file is damaged, except a `RefineryError`.

    Raises:
        CheckpointError: if it can't be read, has several subgraphs, or ai-edge-litert is missing.
    """
    content = read_litert(path)
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise CheckpointError(
            f"{path}: LiteRT files need ai-edge-litert: pip install 'tinyrefinery[litert]'"
        ) from error
    schema: Any = schema_py_generated
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        if len(model.subgraphs) != 1:
            raise CheckpointError(
                f"{path}: has {len(model.subgraphs)} subgraphs. Files with one are read"
            )
        return read(model, schema)
    except RefineryError:
        raise
    except Exception as error:  # a damaged file makes the parser raise anything
        raise CheckpointError(
            f"{path}: is damaged ({error!r}). Export it again or restore a copy"
        ) from error


def operator_names(model: Any, schema: Any) -> list[str]:
    """Names of a model's operator codes, e.g. `CONV_2D`."""
    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    return [
        kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
        for code in model.operatorCodes
    ]


def _graph(model: Any, schema: Any) -> Graph:
    types = {number: name for name, number in vars(schema.TensorType).items()}
    codes = operator_names(model, schema)
    part = model.subgraphs[0]
    operators = tuple(
        Operator(codes[op.opcodeIndex], _numbers(op.inputs), _numbers(op.outputs))
        for op in part.operators
    )
    tensors = tuple(_tensor(tensor, model.buffers, types) for tensor in part.tensors)
    ends = _numbers(part.inputs), _numbers(part.outputs)
    return Graph(tensors, operators, *ends, _places(model))


def _places(model: Any) -> dict[int, int]:
    """Where the file places activations; the planner chooses a place for those at -1."""
    for entry in model.metadata or ():
        if entry.name == PLACES:
            numbers = np.asarray(model.buffers[entry.buffer].data, np.uint8).view("<i4")
            return {n: int(place) for n, place in enumerate(numbers[3:]) if place >= 0}
    return {}


def _numbers(tensors: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in (() if tensors is None else tensors) if number >= 0)


def _tensor(tensor: Any, buffers: Any, types: dict[int, str]) -> TensorFacts:
    shape = tuple(int(side) for side in (() if tensor.shape is None else tensor.shape))
    buffer = buffers[tensor.buffer]
    # Buffer 0 is always empty. Large constants may lie behind the FlatBuffer, at an offset.
    is_constant = tensor.buffer > 0 and (
        buffer.offset > 0 or (buffer.data is not None and len(buffer.data) > 0)
    )
    bits = _BITS.get(types.get(tensor.type, ""), 64)
    return TensorFacts(shape, -(-math.prod(shape) * bits // 8), is_constant)
