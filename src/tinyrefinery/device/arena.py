"""The memory that LiteRT for Microcontrollers needs to run a graph: its arena.

The arena has a head and a tail. The head holds activations, placed by a greedy planner: the largest
first, each at the lowest place that is free while it is needed. The tail holds what the interpreter
keeps for each tensor and operator. Its sizes depend on the processor, so this counts the most: that
of 64-bit processors, with reference kernels. Optimized kernels may need scratch memory of their
own, which is not counted. Of the reference kernels, that of reductions and of transposed
convolutions is counted.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from tinyrefinery.device.litert_graph import Graph, Operator

ALIGNMENT = 16
"""Bytes; every place in the head is a multiple of it."""
_FIXED, _TENSOR, _OPERATOR, _CHANNEL = 2048, 24, 64 + 160, 8
"""Bytes of the tail: once, per tensor, per operator, and per output channel with its own scale."""
_PLANNING = 96
"""Bytes per buffer that the planner itself needs, in the place of the head."""
_SUM, _AXES = 8, 64
"""Bytes of a reduction's scratch memory: per number of its output, and once."""
_WITH_CHANNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")


@dataclass(frozen=True)
class Buffer:
    """Memory that is needed from one step to another, both included."""

    bytes: int
    first: int
    last: int
    start: int | None = None
    """Its place in the head, where the file states one; None: the planner chooses."""


@dataclass(frozen=True)
class Arena:
    """Bytes of an arena."""

    head: int
    """Activations."""
    tail: int
    """An upper bound of what the interpreter keeps."""

    @property
    def total(self) -> int:
        """Both."""
        return self.head + self.tail


def arena_of(graph: Graph) -> Arena:
    """The arena that a graph needs, as an upper bound. See the module for what is not counted."""
    buffers = buffers_of(graph)
    return Arena(max(peak(buffers), _PLANNING * len(buffers)), _tail(graph))


def activations(graph: Graph) -> dict[int, tuple[int, int]]:
    """The first and the last step that need each activation, by the number of its tensor.

    Inputs are there from step 0. Operator i runs in step i + 1. Outputs stay to the end.
    """
    first: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    for step, operator in enumerate(graph.operators, start=1):
        for number in operator.inputs:
            last[number] = step
        for number in operator.outputs:
            first.setdefault(number, step)
            last[number] = step
    for number in graph.outputs:
        last[number] = len(graph.operators)
    return {
        number: (first[number], last[number])
        for number, tensor in enumerate(graph.tensors)
        if number in first and not tensor.is_constant
    }


def buffers_of(graph: Graph) -> list[Buffer]:
    """Activations, in the order of `activations`, and scratch memory."""
    found = [
        Buffer(graph.tensors[number].bytes, *span, graph.places.get(number))
        for number, span in activations(graph).items()
    ]
    scratch = [
        Buffer(size, step, step)
        for step, operator in enumerate(graph.operators, start=1)
        for size in _scratch(operator, graph)
    ]
    return found + scratch


def peak(buffers: Sequence[Buffer]) -> int:
    """Bytes from the start of the head to the end of its last buffer, by the greedy planner."""
    ends = zip(place(buffers), buffers, strict=True)
    return max((start + aligned(buffer.bytes) for start, buffer in ends), default=0)


def place(buffers: Sequence[Buffer]) -> list[int]:
    """Where each buffer starts, by the greedy planner. Those that have a place keep it."""
    starts, placed = [0] * len(buffers), list[tuple[int, int, Buffer]]()
    # Of buffers of one size, the planner takes the last first.
    order = sorted(reversed(range(len(buffers))), key=lambda n: -aligned(buffers[n].bytes))
    for number in sorted(order, key=lambda n: buffers[n].start is None):
        buffer, size = buffers[number], aligned(buffers[number].bytes)
        start = _lowest(buffer, size, placed) if buffer.start is None else buffer.start
        starts[number] = start
        insort(placed, (start, start + size, buffer), key=lambda place: place[0])
    return starts


def _lowest(buffer: Buffer, size: int, placed: Sequence[tuple[int, int, Buffer]]) -> int:
    """The first gap between what is in memory at the same time, from the lowest place up."""
    start = 0
    for low, high, other in placed:
        if other.last < buffer.first or buffer.last < other.first:
            continue
        if low - start >= size:
            break
        start = max(start, high)
    return start


def aligned(size: int) -> int:
    """A size as the planner counts it, in whole steps of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _scratch(operator: Operator, graph: Graph) -> list[int]:
    """Bytes of each scratch buffer of an operator's reference kernel."""
    output = graph.tensors[operator.outputs[0]] if operator.outputs else None
    if output is not None and operator.kind in _REDUCTIONS:
        return [_SUM * output.numbers, _AXES, _AXES]
    if output is not None and operator.kind == "TRANSPOSE_CONV":
        return [4 * output.numbers]
    return []


def _tail(graph: Graph) -> int:
    channels = 0
    for operator in graph.operators:
        if operator.kind in _WITH_CHANNELS and operator.outputs:
            channels += graph.tensors[operator.outputs[0]].shape[-1]
    tensors, operators = len(graph.tensors), len(graph.operators)
    return _FIXED + _TENSOR * tensors + _OPERATOR * operators + _CHANNEL * channels
