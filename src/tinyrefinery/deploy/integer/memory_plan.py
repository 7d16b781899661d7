"""Places of all activations of a network in one block of memory."""

from dataclasses import dataclass, field

from tinyrefinery.deploy.integer.layers import Convolution, Layer, Lookup, Plan, Product, Sum
from tinyrefinery.device.arena import Buffer, peak, place

_IN_PLACE = (Sum, Product, Lookup)
"""Layers that may write number i of their output over number i of an input."""


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything lies."""

    bytes: int
    """Of the block."""
    starts: dict[int, int] = field(repr=False)
    """Of tensors by number. The network's input and output lie elsewhere."""
    scratch: dict[int, int] = field(repr=False)
    """Start of the windows that a layer collects, by the number of the layer."""


def plan_memory(plan: Plan) -> MemoryPlan:
    """Place the activations by the greedy planner that also counts arenas.

    A layer that computes number by number writes over an input that nothing reads later.
    """
    spans = _spans(plan)
    shared = _shared(plan, spans)
    groups: dict[int, Buffer] = {}
    for number, (first, last) in spans.items():
        owner, size = shared[number], plan.bytes[number]
        old = groups.get(owner, Buffer(size, first, last))
        groups[owner] = Buffer(old.bytes, min(old.first, first), max(old.last, last))
    windows = {
        step: Buffer(2 * window_bytes(layer), step, step)
        for step, layer in enumerate(plan.layers)
        if isinstance(layer, Convolution) and layer.needs_patch
    }
    buffers = [*groups.values(), *windows.values()]
    starts = place(buffers)
    of_groups = dict(zip(groups, starts, strict=False))
    return MemoryPlan(
        bytes=peak(buffers),
        starts={number: of_groups[shared[number]] for number in spans},
        scratch=dict(zip(windows, starts[len(groups) :], strict=True)),
    )


def window_bytes(layer: Convolution) -> int:
    """Bytes of one window of a group of channels."""
    window = layer.window
    return window.height * window.width * layer.image[2] // layer.groups


def _spans(plan: Plan) -> dict[int, tuple[int, int]]:
    """The first and the last layer that need each activation between input and output."""
    spans: dict[int, tuple[int, int]] = {}
    outside = {plan.input, plan.output, *plan.constants}
    for step, layer in enumerate(plan.layers):
        for number in (*layer.inputs, layer.output):
            if number not in outside:
                first, _ = spans.get(number, (step, step))
                spans[number] = (first, step)
    return spans


def _shared(plan: Plan, spans: dict[int, tuple[int, int]]) -> dict[int, int]:
    """The activation whose place each one takes: mostly its own."""
    owner = {number: number for number in spans}
    for step, layer in enumerate(plan.layers):
        if isinstance(layer, _IN_PLACE) and layer.output in spans:
            for number in layer.inputs:
                if _is_free(number, layer, plan, spans, step):
                    owner[layer.output] = owner[number]
                    break
    return owner


def _is_free(
    number: int, layer: Layer, plan: Plan, spans: dict[int, tuple[int, int]], step: int
) -> bool:
    return (
        number in spans
        and spans[number][1] == step
        and plan.bytes[number] == plan.bytes[layer.output]
        and layer.inputs.count(number) == 1
    )
