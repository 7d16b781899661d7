"""The C text of each layer: its constants, its description and its call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyrefinery.deploy.c_source.c_text import c_numbers
from tinyrefinery.deploy.integer.layers import (
    Choice,
    Convolution,
    Frame,
    Layer,
    Lookup,
    Mean,
    Pool,
    Probabilities,
    Product,
    Rows,
    Shape,
    Softmax,
    Sum,
    Transpose,
    Values,
    Window,
)

Fields = Mapping[str, int | str | tuple[int, ...]]
_C_TYPES = {"int8": "int8_t", "int32": "int32_t", "float32": "float"}


@dataclass(frozen=True)
class LayerText:
    """What a layer is in C."""

    kernels: tuple[str, ...]
    """Files of `kernels/` in the order in which they are needed."""
    constants: str = field(repr=False)
    """Definitions."""
    function: str
    arguments: tuple[str, ...]
    """Before the pointers."""


def layer_text(layer: Layer, number: int) -> LayerText:
    """The C text of a layer.

    Args:
        layer: the layer.
        number: its place, for names.
    """
    return _WRITERS[type(layer)](layer, number)


def array_text(name: str, values: np.ndarray) -> str:
    """The definition of a constant array of int8, int32 or float32."""
    kind = _C_TYPES[values.dtype.name]
    return f"static const {kind} {name}[{values.size}] = {{\n{c_numbers(values)}\n}};\n"


def _described(
    name: str,
    number: int,
    kernels: tuple[str, ...],
    values: Fields,
    arrays: Mapping[str, np.ndarray],
) -> LayerText:
    """A layer with a description of the type `NAME_layer`."""
    texts = [array_text(f"{key}_{number}", array) for key, array in arrays.items()]
    named = {key: f"{key}_{number}" for key in arrays} | dict(values)
    lines = ",\n".join(f"    .{key} = {_value(value)}" for key, value in named.items())
    texts.append(f"static const {name}_layer layer_{number} = {{\n{lines}}};\n")
    return LayerText((*kernels, name), "\n".join(texts), name, (f"&layer_{number}",))


def _value(value: int | str | tuple[int, ...]) -> str:
    return f"{{{', '.join(map(str, value))}}}" if isinstance(value, tuple) else str(value)


def _image(image: Shape) -> Fields:
    return dict(zip(("height", "width", "channels"), image, strict=True))


def _window(window: Window) -> Fields:
    return {
        "window_height": window.height,
        "window_width": window.width,
        "stride_down": window.stride[0],
        "stride_right": window.stride[1],
        "above": window.padding[0],
        "left": window.padding[1],
    }


def _convolution(layer: Convolution, number: int) -> LayerText:
    window, result = layer.window, layer.result
    values = {
        **_image(layer.image),
        **{"result_height": result[0], "result_width": result[1]},
        **_window(window),
        **{"dilation_down": window.dilation[0], "dilation_right": window.dilation[1]},
        "input_zero": layer.input_zero,
        **{"zero": layer.range.zero, "low": layer.range.low, "high": layer.range.high},
    }
    bias = layer.bias
    if not layer.is_depthwise:
        # A window outside of the image holds the zero point, so its products are constant.
        bias = bias - layer.input_zero * layer.weights.astype(np.int64).sum(axis=(1, 2, 3))
        values |= {"filters": result[2] // layer.groups, "groups": layer.groups}
    arrays = {
        "weights": layer.weights.astype(np.int8),
        "bias": bias.astype(np.int32),
        "multiplier": layer.multiplier.astype(np.int32),
        "shift": layer.shift.astype(np.int8),
    }
    name = "depthwise" if layer.is_depthwise else "convolution"
    return _described(name, number, ("rescale", "limited"), values, arrays)


def _pool(layer: Pool, number: int) -> LayerText:
    values = {
        **_image(layer.image),
        **{"result_height": layer.result[0], "result_width": layer.result[1]},
        **_window(layer.window),
        **{"is_average": int(layer.is_average), "low": layer.range.low, "high": layer.range.high},
    }
    return _described("pool", number, ("limited",), values, {})


def _mean(layer: Mean, number: int) -> LayerText:
    outer, count, inner = layer.shape
    values = {
        **{"outer": outer, "count": count, "inner": inner, "input_zero": layer.input_zero},
        **{"multiplier": layer.multiplier, "shift": layer.shift},
        **{"zero": layer.range.zero, "low": layer.range.low, "high": layer.range.high},
    }
    return _described("mean", number, ("rescale", "limited"), values, {})


def _operands(layer: Sum | Product) -> Fields:
    return {
        **{"size": layer.size, "size_one": layer.sizes[0], "size_other": layer.sizes[1]},
        **{"zero_one": layer.zeros[0], "zero_other": layer.zeros[1]},
        **{"zero": layer.range.zero, "low": layer.range.low, "high": layer.range.high},
    }


def _sum(layer: Sum, number: int) -> LayerText:
    values = {**_operands(layer), "multipliers": layer.multipliers, "shifts": layer.shifts}
    return _described("sum", number, ("rescale", "limited"), values, {})


def _product(layer: Product, number: int) -> LayerText:
    values = {**_operands(layer), "multiplier": layer.multiplier, "shift": layer.shift}
    return _described("product", number, ("rescale", "limited"), values, {})


def _frame(layer: Frame, number: int) -> LayerText:
    height, width, channels = layer.result
    above, left, before = layer.offset
    values = {
        **_image(layer.image),
        **{"result_width": width, "result_channels": channels},
        **{"size": height * width * channels, "value": layer.value},
        **{"above": above, "left": left, "before": before},
    }
    return _described("frame", number, (), values, {})


def _rows(layer: Rows, number: int) -> LayerText:
    values = {
        **{"count": layer.count, "length": layer.length},
        **{"first": layer.source[0], "step": layer.source[1]},
        **{"place": layer.target[0], "whole": layer.target[1]},
    }
    return _described("rows", number, (), values, {})


def _choice(layer: Choice, number: int) -> LayerText:
    parts = len(layer.places)
    values = {"count": layer.count, "step": layer.step, "length": layer.length, "parts": parts}
    return _described("choice", number, (), values, {"places": layer.places})


def _transpose(layer: Transpose, number: int) -> LayerText:
    values = {"sides": layer.shape, "strides": layer.strides}
    return _described("transpose", number, (), values, {})


def _table(name: str, number: int, table: np.ndarray, size: int) -> LayerText:
    text = array_text(f"table_{number}", table)
    return LayerText((name,), text, name, (f"table_{number}", str(size)))


def _lookup(layer: Lookup, number: int) -> LayerText:
    return _table("lookup", number, layer.table, layer.size)


def _softmax(layer: Softmax, number: int) -> LayerText:
    return _table("softmax", number, layer.exponentials.astype(np.int32), layer.size)


def _probabilities(layer: Probabilities, number: int) -> LayerText:
    return _table("probabilities", number, layer.exponentials, layer.size)


def _values(layer: Values, number: int) -> LayerText:
    scale = f"{float(layer.scale):#.9g}F"
    return LayerText(("values",), "", "values", (scale, str(layer.zero), str(layer.size)))


_WRITERS: dict[type[Layer], Callable[..., LayerText]] = {
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
