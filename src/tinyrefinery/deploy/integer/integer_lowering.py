"""Plan an int8 LiteRT file: each operator becomes layers of whole numbers, or is refused by name.

What only changes a shape costs nothing. Padding before a convolution becomes part of it. The
rounding of every scale is that of LiteRT for Microcontrollers, so the integers are its integers.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinyrefinery.deploy.integer import moving
from tinyrefinery.deploy.integer.arithmetic import (
    convolution,
    dense,
    lookup,
    mean,
    pool,
    product,
    requantized_sum,
)
from tinyrefinery.deploy.integer.fixed_point import softmax_exponentials
from tinyrefinery.deploy.integer.graph_view import GraphView
from tinyrefinery.deploy.integer.layers import Layer, Plan, Probabilities, Softmax, Values
from tinyrefinery.deploy.integer.quantized_graph import QuantizedOperator, read_quantized
from tinyrefinery.errors import DataError

_INT8 = {"UINT8": "uint8", "INT8": "int8"}
_CLASSES = 511
"""Most outputs of an int8 softmax: sums of more may need more bits than it has."""
_ALIASES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_MAKERS: dict[str, Callable[[GraphView, QuantizedOperator], list[Layer]]] = {
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": convolution,
    "FULLY_CONNECTED": dense,
    "AVERAGE_POOL_2D": pool,
    "MAX_POOL_2D": pool,
    "MEAN": mean,
    "ADD": requantized_sum,
    "MUL": product,
    "QUANTIZE": lookup,
    "RELU": lookup,
    "RELU6": lookup,
    "LOGISTIC": lookup,
    "HARD_SWISH": lookup,
    "PAD": moving.pad,
    "PADV2": moving.pad,
    "CONCATENATION": moving.concatenation,
    "SPLIT": moving.split,
    "SLICE": moving.part,
    "STRIDED_SLICE": moving.part,
    "TRANSPOSE": moving.transpose,
    "GATHER": moving.gather,
}
OPERATORS = (*_MAKERS, *_ALIASES, "SOFTMAX", "DEQUANTIZE")
"""Operators that can be planned."""


def plan_network(path: Path) -> Plan:
    """The plan of an int8 LiteRT file.

    Raises:
        CheckpointError: if the file is missing or damaged.
        DataError: if it has several inputs or outputs, or an operator that can't be planned.
    """
    graph = read_quantized(path)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise DataError(
            f"{graph.name}: has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs. "
            "C sources are written of networks with one of each"
        )
    view = GraphView(graph)
    view.refuse_unknown(OPERATORS)
    layers: list[Layer] = []
    for operator in view.operators:
        if operator.kind in _ALIASES:
            view.same_bytes(operator.outputs[0], operator.inputs[0])
        elif operator.kind == "DEQUANTIZE":
            layers += _real_values(view, operator)
        elif operator.kind == "SOFTMAX":
            layers += _softmax(view, operator)
        else:
            layers += _MAKERS[operator.kind](view, operator)
    return _plan(view, layers)


def _real_values(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """The file's own outputs become float32. Elsewhere only a softmax may read real values."""
    source, target = operator.inputs[0], operator.outputs[0]
    view.quantized(operator, source)
    if target not in view.graph.outputs:
        readers = view.readers(target)
        if any(each.kind != "SOFTMAX" for each in readers):
            kinds = ", ".join(sorted({each.kind for each in readers}))
            raise view.refusal(
                operator, f"{kinds} computes in float32. Export it without --keep-float"
            )
        view.real[target] = source
        return []
    tensor = view.tensors[source]
    return [Values((view.root(source),), target, _size(view, source), tensor.zero, tensor.scale)]


def _softmax(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    source, target = operator.inputs[0], operator.outputs[0]
    beta, logits = float(operator.options.beta), view.real.get(source, source)
    tensor = view.quantized(operator, logits)
    size = tensor.shape[-1]
    if math.prod(tensor.shape) != size or tensor.dtype != "INT8":
        raise view.refusal(operator, "it has several rows, or uint8 inputs")
    inputs = (view.root(logits),)
    if source not in view.real:
        if size > _CLASSES:
            raise view.refusal(operator, f"it has {size} outputs, more than {_CLASSES}")
        table = softmax_exponentials(float(tensor.scale), beta)
        return [Softmax(inputs, target, size, table)]
    if target not in view.graph.outputs:
        raise view.refusal(operator, "it computes in float32 before the end of the network")
    steps = np.exp(-np.arange(256) * float(tensor.scale) * beta)
    return [Probabilities(inputs, target, size, steps.astype(np.float32))]


def _plan(view: GraphView, layers: list[Layer]) -> Plan:
    graph, tensors = view.graph, view.tensors
    start, end = graph.inputs[0], view.root(graph.outputs[0])
    first, last = tensors[start], tensors[graph.outputs[0]]
    if first.dtype not in _INT8 or last.dtype not in (*_INT8, "FLOAT32") or not layers:
        raise DataError(
            f"{graph.name}: takes {first.dtype} and gives {last.dtype}. C sources are written of "
            "int8 networks: export it with --int8"
        )
    kept = {each.output for each in layers} | {n for each in layers for n in each.inputs}
    constants = {n: tensors[n].values for n in kept if tensors[n].values is not None}
    return Plan(
        name=graph.name,
        input=start,
        input_shape=view.image(start),
        input_type=_INT8[first.dtype],
        input_scale=float(first.scale) if first.is_quantized else 1.0,
        input_zero=first.zero if first.is_quantized else 0,
        output=end,
        output_type=_INT8.get(last.dtype, "float32"),
        output_scale=float(last.scale) if last.is_quantized else 1.0,
        output_zero=last.zero if last.is_quantized else 0,
        outputs=math.prod(last.shape),
        layers=tuple(layers),
        bytes={n: _size(view, n) for n in kept if n not in constants},
        constants={n: values.ravel() for n, values in constants.items() if values is not None},
    )


def _size(view: GraphView, number: int) -> int:
    tensor = view.tensors[number]
    return math.prod(tensor.shape) * (4 if tensor.dtype == "FLOAT32" else 1)
