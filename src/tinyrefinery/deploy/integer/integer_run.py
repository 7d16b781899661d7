"""Compute a planned network by NumPy, bit for bit what its C source computes."""

from collections.abc import Callable

import numpy as np

from tinyrefinery.deploy.integer.fixed_point import (
    high_product,
    reciprocal,
    rescaled,
    shifted_right,
)
from tinyrefinery.deploy.integer.layers import (
    Choice,
    Convolution,
    Frame,
    Layer,
    Lookup,
    Mean,
    Plan,
    Pool,
    Probabilities,
    Product,
    Range,
    Rows,
    Shape,
    Softmax,
    Sum,
    Transpose,
    Values,
    Window,
)

_AT_ONCE = 32
"""Images at a time."""
Tensors = dict[int, np.ndarray]
"""(n, bytes) of each tensor, flat."""


def run_plan(plan: Plan, images: np.ndarray) -> np.ndarray:
    """Outputs (n, outputs) of a network, of its output type.

    Args:
        plan: the network.
        images: (n, H, W, C) of its input type.
    """
    parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
    return np.concatenate([_run(plan, part) for part in parts])


def real_outputs(plan: Plan, outputs: np.ndarray) -> np.ndarray:
    """What the outputs of a network stand for, float32."""
    if plan.output_type == "float32":
        return outputs
    scale = np.float32(plan.output_scale)
    return (outputs.astype(np.float32) - np.float32(plan.output_zero)) * scale


def _run(plan: Plan, images: np.ndarray) -> np.ndarray:
    n = len(images)
    first = np.ascontiguousarray(images.reshape(n, -1)).view(np.int8)  # by bits
    tensors: Tensors = {plan.input: first}
    tensors |= {number: values[None] for number, values in plan.constants.items()}
    for layer in plan.layers:
        _RUNNERS[type(layer)](layer, tensors)
    found = tensors[plan.output]
    return found.view(np.uint8) if plan.output_type == "uint8" else found


def _ranged(values: np.ndarray, limits: Range) -> np.ndarray:
    return np.clip(values + limits.zero, limits.low, limits.high).astype(np.int8)


def _image(tensors: Tensors, number: int, shape: Shape) -> np.ndarray:
    """(n, H, W, C) int64."""
    return tensors[number].reshape(-1, *shape).astype(np.int64)


def _windows(image: np.ndarray, result: Shape, window: Window, value: int) -> np.ndarray:
    """(n, H, W, C, height, width): every window of an image, with a value around the image."""
    sides = []
    for side in range(2):
        length = (window.height, window.width)[side]
        needed = (result[side] - 1) * window.stride[side] + (length - 1) * window.dilation[side] + 1
        before = window.padding[side]
        sides.append((before, max(0, needed - before - image.shape[1 + side])))
    padded = np.pad(image, ((0, 0), *sides, (0, 0)), constant_values=value)
    spans = tuple(
        (length - 1) * step + 1
        for length, step in zip((window.height, window.width), window.dilation, strict=True)
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, (1, 2))
    views = views[:, :: window.stride[0], :: window.stride[1]]
    views = views[:, : result[0], : result[1]]
    return views[..., :: window.dilation[0], :: window.dilation[1]]


def _convolution(layer: Convolution, tensors: Tensors) -> None:
    image = _image(tensors, layer.inputs[0], layer.image)
    views = _windows(image, layer.result, layer.window, layer.input_zero) - layer.input_zero
    # Products of doubles are exact here: sums stay below 2**31, far below 2**53.
    values, weights = views.astype(np.float64), layer.weights.astype(np.float64)
    if layer.is_depthwise:
        sums = np.einsum("nhwcyx,yxc->nhwc", values, weights)
    else:
        n, height, width = values.shape[:3]
        size = layer.image[2] // layer.groups
        values = values.reshape(n, height, width, layer.groups, size, *values.shape[4:])
        split = weights.reshape(layer.groups, -1, *weights.shape[1:])
        sums = np.stack(
            [
                np.tensordot(values[:, :, :, g], split[g], ((4, 5, 3), (1, 2, 3)))
                for g in range(layer.groups)
            ],
            axis=3,
        )
    sums = sums.reshape(len(sums), *layer.result).astype(np.int64) + layer.bias
    results = _ranged(rescaled(sums, layer.multiplier, layer.shift), layer.range)
    tensors[layer.output] = results.reshape(len(results), -1)


def _pool(layer: Pool, tensors: Tensors) -> None:
    image = _image(tensors, layer.inputs[0], layer.image)
    if not layer.is_average:
        values = _windows(image, layer.result, layer.window, -128).max(axis=(4, 5))
    else:
        counts = _windows(np.ones_like(image[:1]), layer.result, layer.window, 0).sum(axis=(4, 5))
        sums = _windows(image, layer.result, layer.window, 0).sum(axis=(4, 5))
        values = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
    values = np.clip(values, layer.range.low, layer.range.high).astype(np.int8)
    tensors[layer.output] = values.reshape(len(values), -1)


def _mean(layer: Mean, tensors: Tensors) -> None:
    image = _image(tensors, layer.inputs[0], layer.shape)
    sums = (image - layer.input_zero).sum(axis=2)
    values = rescaled(sums.reshape(len(sums), -1), layer.multiplier, layer.shift)
    tensors[layer.output] = _ranged(values, layer.range)


def _operands(layer: Sum | Product, tensors: Tensors) -> list[np.ndarray]:
    operands = []
    for number, size, zero in zip(layer.inputs, layer.sizes, layer.zeros, strict=True):
        values = tensors[number].astype(np.int64) - zero
        operands.append(np.tile(values, layer.size // size))
    return operands


def _sum(layer: Sum, tensors: Tensors) -> None:
    *factors, last = zip(layer.multipliers, layer.shifts, strict=True)
    scaled = [
        rescaled(values << 20, *factor)
        for values, factor in zip(_operands(layer, tensors), factors, strict=True)
    ]
    tensors[layer.output] = _ranged(rescaled(scaled[0] + scaled[1], *last), layer.range)


def _product(layer: Product, tensors: Tensors) -> None:
    one, other = _operands(layer, tensors)
    values = rescaled(one * other, layer.multiplier, layer.shift)
    tensors[layer.output] = _ranged(values, layer.range)


def _lookup(layer: Lookup, tensors: Tensors) -> None:
    tensors[layer.output] = layer.table[tensors[layer.inputs[0]].view(np.uint8)]


def _frame(layer: Frame, tensors: Tensors) -> None:
    image = tensors[layer.inputs[0]].reshape(-1, *layer.image)
    sides = [
        (before, result - before - size)
        for before, result, size in zip(layer.offset, layer.result, layer.image, strict=True)
    ]
    padded = np.pad(image, ((0, 0), *sides), constant_values=layer.value)
    tensors[layer.output] = padded.reshape(len(padded), -1)


def _rows(layer: Rows, tensors: Tensors) -> None:
    source = tensors[layer.inputs[0]]
    target = tensors.get(layer.output)
    (first, step), (place, whole) = layer.source, layer.target
    if target is None:
        target = np.zeros((len(source), layer.count * whole), np.int8)
    for row in range(layer.count):
        start, end = first + row * step, place + row * whole
        target[:, end : end + layer.length] = source[:, start : start + layer.length]
    tensors[layer.output] = target


def _choice(layer: Choice, tensors: Tensors) -> None:
    image = tensors[layer.inputs[0]].reshape(-1, layer.count, layer.step)
    places = layer.places[:, None] + np.arange(layer.length)
    tensors[layer.output] = image[:, :, places.ravel()].reshape(len(image), -1)


def _transpose(layer: Transpose, tensors: Tensors) -> None:
    places = sum(
        np.arange(side).reshape([-1 if n == axis else 1 for n in range(4)]) * stride
        for axis, (side, stride) in enumerate(zip(layer.shape, layer.strides, strict=True))
    )
    tensors[layer.output] = tensors[layer.inputs[0]][:, np.ravel(places)]


def _softmax(layer: Softmax, tensors: Tensors) -> None:
    logits = tensors[layer.inputs[0]].astype(np.int64)
    steps = layer.exponentials[logits.max(axis=1, keepdims=True) - logits]
    totals = ((steps + 2**11) >> 12).sum(axis=1)
    results = np.empty_like(logits)
    for row, total in enumerate(totals):
        scale, exponent = reciprocal(int(total))
        shares = (high_product(int(step), scale) for step in steps[row])
        results[row] = [min(shifted_right(share, exponent + 23) - 128, 127) for share in shares]
    tensors[layer.output] = results.astype(np.int8)


def _probabilities(layer: Probabilities, tensors: Tensors) -> None:
    logits = tensors[layer.inputs[0]].astype(np.int64)
    steps = layer.exponentials[logits.max(axis=1, keepdims=True) - logits]
    totals = np.zeros(len(steps), np.float32)
    for column in steps.T:  # in the order of the C loop
        totals += column
    tensors[layer.output] = steps / totals[:, None]


def _values(layer: Values, tensors: Tensors) -> None:
    numbers = tensors[layer.inputs[0]].astype(np.float32) - np.float32(layer.zero)
    tensors[layer.output] = numbers * layer.scale


_RUNNERS: dict[type[Layer], Callable[..., None]] = {
    Convolution: _convolution,
    Pool: _pool,
    Mean: _mean,
    Sum: _sum,
    Product: _product,
    Lookup: _lookup,
    Frame: _frame,
    Rows: _rows,
    Choice: _choice,
    Transpose: _transpose,
    Softmax: _softmax,
    Probabilities: _probabilities,
    Values: _values,
}
