"""Layers of the operators that only move bytes: padding, parts, concatenations, other orders."""

import math

import numpy as np

from tinyrefinery.deploy.integer.graph_view import GraphView
from tinyrefinery.deploy.integer.layers import Choice, Frame, Layer, Rows, Transpose
from tinyrefinery.deploy.integer.quantized_graph import QuantizedOperator, QuantizedTensor

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_VALID = 1


def pad(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """Padding. Where only convolutions read it, they take it over, and no memory is needed."""
    source, target = operator.inputs[0], operator.outputs[0]
    one, other = view.quantized(operator, source), view.quantized(operator, target)
    amounts = _constant(view, operator, operator.inputs[1])
    if amounts.shape != (4, 2) or amounts[0].any() or one.dtype != "INT8":
        raise view.refusal(operator, "it pads something else than an int8 image")
    value = other.zero
    if len(operator.inputs) > 2:
        value = int(_constant(view, operator, operator.inputs[2]).ravel()[0])
    above, left, before = (int(amount) for amount in amounts[1:, 0])
    readers = view.readers(target)
    joins = all(each.kind in _CONVOLUTIONS and each.options.padding == _VALID for each in readers)
    same = (one.scale, one.zero) == (other.scale, other.zero) and value == one.zero
    if joins and same and readers and not amounts[3].any():
        view.framed[target] = (source, (above, left))
        return []
    image, result = view.image(source), view.image(target)
    return [Frame((view.root(source),), target, image, result, (above, left, before), value)]


def concatenation(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """Each input copied to its place."""
    target = operator.outputs[0]
    shape = view.tensors[target].shape
    axis = operator.options.axis % len(shape)
    if operator.options.fusedActivationFunction:
        raise view.refusal(operator, "it has an activation")
    count, whole = math.prod(shape[:axis]), math.prod(shape[axis:])
    layers: list[Layer] = []
    place = 0
    for number in operator.inputs:
        _same_scale(view, operator, number)
        length = math.prod(view.tensors[number].shape[axis:])
        steps = ((0, length), (place, whole))
        layers.append(Rows((view.root(number),), target, count, length, *steps))
        place += length
    return layers


def split(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """Parts of equal size."""
    axis, source = int(_constant(view, operator, operator.inputs[0]).ravel()[0]), operator.inputs[1]
    _same_scale(view, operator, source)
    shape = view.tensors[source].shape
    axis %= len(shape)
    count, whole = math.prod(shape[:axis]), math.prod(shape[axis:])
    layers: list[Layer] = []
    place = 0
    for target in operator.outputs:
        length = math.prod(view.tensors[target].shape[axis:])
        steps = ((place, whole), (0, length))
        layers.append(Rows((view.root(source),), target, count, length, *steps))
        place += length
    return layers


def part(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """A slice along one axis, in steps of 1."""
    source, target = operator.inputs[0], operator.outputs[0]
    _same_scale(view, operator, source)
    shape, result = view.tensors[source].shape, view.tensors[target].shape
    start = _constant(view, operator, operator.inputs[1]).ravel()
    options = operator.options
    if operator.kind == "STRIDED_SLICE":
        steps = _constant(view, operator, operator.inputs[3]).ravel()
        masks = (options.ellipsisMask, options.newAxisMask, options.shrinkAxisMask)
        if any(masks) or np.any(steps != 1):
            raise view.refusal(operator, "it takes steps, or changes the number of axes")
        start = np.array([0 if options.beginMask >> n & 1 else v for n, v in enumerate(start)])
    axes = [n for n, (a, b) in enumerate(zip(shape, result, strict=True)) if a != b]
    if len(axes) > 1:
        raise view.refusal(operator, "it cuts along several axes")
    axis = axes[0] if axes else 0
    inner = math.prod(shape[axis + 1 :])
    first = int(start[axis]) % shape[axis] * inner
    whole, length = shape[axis] * inner, result[axis] * inner
    steps = ((first, whole), (0, length))
    return [Rows((view.root(source),), target, math.prod(shape[:axis]), length, *steps)]


def transpose(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """Another order of axes. Where only axes of length 1 move, the bytes stay as they are."""
    source, target = operator.inputs[0], operator.outputs[0]
    shape = _same_scale(view, operator, source).shape
    order = [int(axis) for axis in _constant(view, operator, operator.inputs[1]).ravel()]
    moved = [axis for axis in order if shape[axis] > 1]
    if moved == sorted(moved):
        view.same_bytes(target, source)
        return []
    groups: list[list[int]] = []
    for axis in moved:  # axes that stay side by side move as one
        between = groups[-1][-1] + 1 if groups else -1
        while groups and between < axis and shape[between] == 1:
            between += 1
        if groups and between == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    if len(groups) > 4:
        raise view.refusal(operator, "it changes the order of more than 4 axes")
    sides = [math.prod(shape[axis] for axis in group) for group in groups]
    strides = [math.prod(shape[group[-1] + 1 :]) for group in groups]
    rest = 4 - len(groups)
    places = ((1,) * rest + tuple(sides), (0,) * rest + tuple(strides))
    return [Transpose((view.root(source),), target, *places)]


def gather(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """Parts of one axis in a constant order."""
    source, target = operator.inputs[0], operator.outputs[0]
    shape = _same_scale(view, operator, source).shape
    places = _constant(view, operator, operator.inputs[1])
    if places.ndim != 1 or operator.options.batchDims:
        raise view.refusal(operator, "its places have several axes")
    axis = operator.options.axis % len(shape)
    if places.min() < 0 or places.max() >= shape[axis]:
        raise view.refusal(operator, f"its places are not on an axis of length {shape[axis]}")
    count, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    sizes = (count, shape[axis] * inner, inner)
    return [Choice((view.root(source),), target, *sizes, places.astype(np.int32) * inner)]


def _same_scale(view: GraphView, operator: QuantizedOperator, number: int) -> QuantizedTensor:
    """An input whose bytes stand for the same values in the output."""
    source, target = view.quantized(operator, number), view.tensors[operator.outputs[0]]
    if (source.scale, source.zeros.tolist()) != (target.scale, target.zeros.tolist()):
        raise view.refusal(operator, "its input and its output have other scales")
    return source


def _constant(view: GraphView, operator: QuantizedOperator, number: int) -> np.ndarray:
    values = view.tensors[number].values
    if values is None:
        raise view.refusal(operator, "its places are computed while it runs")
    return values
