"""Layers of the operators that compute: convolutions, pools, sums, products, lookups."""

import math

import numpy as np

from tinyrefinery.deploy.integer.fixed_point import (
    high_product,
    multiplier_of,
)
from tinyrefinery.deploy.integer.graph_view import GraphView
from tinyrefinery.deploy.integer.layers import (
    Convolution,
    Layer,
    Lookup,
    Mean,
    Pool,
    Product,
    Range,
    Sum,
    Window,
)
from tinyrefinery.deploy.integer.quantized_graph import QuantizedOperator, QuantizedTensor
from tinyrefinery.deploy.integer.tables import table_of

_SAME, _NONE, _RELU, _RELU_N1, _RELU6 = 0, 0, 1, 2, 3
_LEAST_DEPTHWISE = 4
"""Channels that a depthwise layer computes at a time. Fewer become groups of a convolution."""
_BOUND = 2**31
"""Numbers of 32 bits end below it."""
_SUM_SHIFT = 20
"""Bits by which the inputs of a sum are shifted to the left."""


def range_of(view: GraphView, operator: QuantizedOperator, activation: int = _NONE) -> Range:
    """Offset and limits of an operator's output, with its fused activation."""
    output = view.quantized(operator, operator.outputs[0])
    low, high = (0, 255) if output.dtype == "UINT8" else (-128, 127)

    def whole(value: float) -> int:
        steps = float(np.float32(value) / output.scale)
        return output.zero + int(math.copysign(math.floor(abs(steps) + 0.5), steps))

    limits = {_NONE: (low, high), _RELU: (whole(0), high)}
    limits |= {_RELU_N1: (whole(-1), whole(1)), _RELU6: (whole(0), whole(6))}
    if activation not in limits:
        raise view.refusal(operator, f"its activation is number {activation}")
    least, most = limits[activation]
    return Range(output.zero, max(low, least), min(high, most))


def convolution(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """A convolution, depthwise or not. One with several filters per channel has groups."""
    options, filters = operator.options, view.tensors[operator.inputs[1]]
    source, before = view.framed.get(operator.inputs[0], (operator.inputs[0], None))
    image, result = view.image(source), view.image(operator.outputs[0])
    weights = _weights(view, operator, filters)
    groups = image[2] // weights.shape[3]
    if operator.kind == "DEPTHWISE_CONV_2D":
        groups = image[2]
        if result[2] == image[2] >= _LEAST_DEPTHWISE:
            weights = weights[0]  # height, width, channels
        else:  # (1, height, width, filters) -> one channel per filter
            weights = weights.transpose(3, 1, 2, 0)
    height, width = filters.shape[1:3]
    stride = (options.strideH, options.strideW)
    dilation = (options.dilationHFactor or 1, options.dilationWFactor or 1)
    padding = before
    if padding is None:
        sides = zip(image, result, (height, width), stride, dilation, strict=False)
        padding = tuple(_before(*side) if options.padding == _SAME else 0 for side in sides)
    window = Window(height, width, stride, (padding[0], padding[1]), dilation)
    multiplier, shift = _per_filter(view, operator, source, filters)
    layer = Convolution(
        *((view.root(source),), operator.outputs[0], image, result, window, groups),
        view.quantized(operator, source).zero,
        *(weights, _bias(view, operator, result[2]), multiplier, shift),
        range_of(view, operator, options.fusedActivationFunction),
    )
    return [_bounded(view, operator, layer)]


def dense(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """A dense layer, as a convolution over pixels of one row each."""
    filters = view.tensors[operator.inputs[1]]
    weights = _weights(view, operator, filters)
    outputs, length = weights.shape
    source = view.quantized(operator, operator.inputs[0])
    rows = math.prod(source.shape) // length
    multiplier, shift = _per_filter(view, operator, operator.inputs[0], filters)
    if len(filters.scales) == 1:
        # With one scale, the specification multiplies both scales in float32.
        target = view.tensors[operator.outputs[0]]
        one = multiplier_of(float(source.scale * filters.scale) / float(target.scale))
        multiplier, shift = (np.full(outputs, each, np.int64) for each in one)
    layer = Convolution(
        *((view.root(operator.inputs[0]),), operator.outputs[0]),
        *((rows, 1, length), (rows, 1, outputs), Window(1, 1, (1, 1)), 1, source.zero),
        weights.reshape(outputs, 1, 1, length),
        _bias(view, operator, outputs),
        *(multiplier, shift, range_of(view, operator, operator.options.fusedActivationFunction)),
    )
    return [_bounded(view, operator, layer)]


def _before(size: int, result: int, length: int, stride: int, dilation: int) -> int:
    """Pixels of padding above or left of an image, where both sizes agree with SAME."""
    return max((result - 1) * stride + (length - 1) * dilation + 1 - size, 0) // 2


def _weights(view: GraphView, operator: QuantizedOperator, filters: QuantizedTensor) -> np.ndarray:
    if filters.dtype != "INT8" or filters.values is None:
        raise view.refusal(operator, "its weights are not int8 constants")
    if np.any(filters.zeros != 0):
        raise view.refusal(operator, "its weights have a zero point that is not 0")
    return filters.values


def _bias(view: GraphView, operator: QuantizedOperator, outputs: int) -> np.ndarray:
    number = operator.inputs[2] if len(operator.inputs) > 2 else -1
    if number < 0:
        return np.zeros(outputs, np.int64)
    tensor = view.tensors[number]
    if tensor.dtype != "INT32" or tensor.values is None:
        raise view.refusal(operator, "its bias is not an int32 constant")
    return tensor.values.astype(np.int64).ravel()


def _per_filter(
    view: GraphView, operator: QuantizedOperator, source: int, filters: QuantizedTensor
) -> tuple[np.ndarray, np.ndarray]:
    """(filters,) multipliers and shifts."""
    one = float(view.quantized(operator, source).scale)
    result = view.quantized(operator, operator.outputs[0])
    if not len(filters.scales):
        raise view.refusal(operator, "its weights have no scale")
    scales = np.broadcast_to(filters.scales, (result.shape[-1],))
    factors = [multiplier_of(one * float(scale) / float(result.scale)) for scale in scales]
    multiplier, shift = np.array(factors, np.int64).T
    return multiplier, shift


def _bounded(view: GraphView, operator: QuantizedOperator, layer: Convolution) -> Convolution:
    """The layer, if no image can make its sums overflow."""
    axes = (0, 1) if layer.is_depthwise else (1, 2, 3)
    largest = 255 * np.abs(layer.weights.astype(np.int64)).sum(axis=axes) + np.abs(layer.bias)
    largest <<= np.maximum(layer.shift, 0)
    half = (1 << np.maximum(-layer.shift, 0)) >> 1
    if np.any(np.maximum(largest, high_product(largest, layer.multiplier) + half) >= _BOUND):
        raise view.refusal(operator, "its sums may exceed 32 bits. Calibrate it on other images")
    return layer


def pool(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """An average or a maximum."""
    options = operator.options
    image, result = view.image(operator.inputs[0]), view.image(operator.outputs[0])
    length, stride = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    sides = zip(image, result, length, stride, strict=False)
    padding = tuple(_before(*side, 1) if options.padding == _SAME else 0 for side in sides)
    window = Window(*length, stride, (padding[0], padding[1]))
    limits = range_of(view, operator, options.fusedActivationFunction)
    root = view.root(operator.inputs[0])
    is_average = operator.kind == "AVERAGE_POOL_2D"
    return [Pool((root,), operator.outputs[0], image, result, window, is_average, limits)]


def mean(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """The mean over axes that lie side by side, e.g. height and width."""
    source, target = (
        view.quantized(operator, n) for n in (operator.inputs[0], operator.outputs[0])
    )
    places, shape = view.tensors[operator.inputs[1]].values, source.shape
    axes = [] if places is None else sorted({int(axis) % len(shape) for axis in places.ravel()})
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        raise view.refusal(operator, "its axes are not side by side")
    parts = (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :])
    outer, count, inner = (math.prod(part) for part in parts)
    multiplier, shift = multiplier_of(float(source.scale) / float(target.scale))
    # The division by the count goes into the factor, with as many bits as its shift can hold.
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    factor = ((multiplier << bits) // count, shift - bits)
    root, limits = view.root(operator.inputs[0]), range_of(view, operator)
    return [Mean((root,), operator.outputs[0], (outer, count, inner), source.zero, *factor, limits)]


def _sizes(view: GraphView, operator: QuantizedOperator) -> tuple[tuple[int, int], int]:
    """Sizes of both inputs and of the output, where the inputs repeat along the output."""
    shape = view.tensors[operator.outputs[0]].shape
    sizes = []
    for number in operator.inputs:
        own = view.tensors[number].shape
        while own and own[0] == 1:
            own = own[1:]
        if own != shape[len(shape) - len(own) :]:
            raise view.refusal(
                operator, f"its inputs {list(own)} and {list(shape)} have other shapes"
            )
        sizes.append(math.prod(own))
    return (sizes[0], sizes[1]), math.prod(shape)


def requantized_sum(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """A sum of two tensors of their own scales."""
    one, other = (view.quantized(operator, number) for number in operator.inputs)
    target = view.quantized(operator, operator.outputs[0])
    twice = 2 * float(max(one.scale, other.scale))
    factors = [float(one.scale) / twice, float(other.scale) / twice]
    factors.append(twice / (2**_SUM_SHIFT * float(target.scale)))
    multipliers, shifts = zip(*(multiplier_of(factor) for factor in factors), strict=True)
    if max(shifts) > 0:
        raise view.refusal(operator, "the scales of its inputs and its output are too far apart")
    sizes, size = _sizes(view, operator)
    roots = tuple(map(view.root, operator.inputs))
    limits = range_of(view, operator, operator.options.fusedActivationFunction)
    zeros = (one.zero, other.zero)
    return [Sum(roots, operator.outputs[0], sizes, size, zeros, multipliers, shifts, limits)]


def product(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """A product of two tensors."""
    one, other = (view.quantized(operator, number) for number in operator.inputs)
    target = view.quantized(operator, operator.outputs[0])
    factor = multiplier_of(float(one.scale) * float(other.scale) / float(target.scale))
    if factor[1] > 13:
        raise view.refusal(operator, "its sums may exceed 32 bits. Calibrate it on other images")
    sizes, size = _sizes(view, operator)
    roots = tuple(map(view.root, operator.inputs))
    limits = range_of(view, operator, operator.options.fusedActivationFunction)
    return [
        Product(roots, operator.outputs[0], sizes, size, (one.zero, other.zero), *factor, limits)
    ]


def lookup(view: GraphView, operator: QuantizedOperator) -> list[Layer]:
    """A function of one number, as a table."""
    source, target = (
        view.quantized(operator, n) for n in (operator.inputs[0], operator.outputs[0])
    )
    is_swish = operator.kind == "HARD_SWISH"
    if is_swish and float(source.scale) / 128 / float(target.scale) >= 1:
        raise view.refusal(operator, "the scales of its input and its output are too far apart")
    limits = range_of(view, operator, {"RELU": _RELU, "RELU6": _RELU6}.get(operator.kind, _NONE))
    table = table_of(operator.kind, source, target, limits)
    root = view.root(operator.inputs[0])
    return [Lookup((root,), operator.outputs[0], math.prod(source.shape), table)]
