"""Functions of one number of 8 bits, as tables of all 256 results."""

import math

import numpy as np

from tinyrefinery.deploy.integer.fixed_point import (
    exp_of_negative,
    high_product,
    inverse_of_one_plus,
    multiplier_of,
    rescaled,
    shifted_right,
)
from tinyrefinery.deploy.integer.layers import Range
from tinyrefinery.deploy.integer.quantized_graph import QuantizedTensor

_HALF_WORD = 2**15


def table_of(
    kind: str, source: QuantizedTensor, target: QuantizedTensor, limits: Range
) -> np.ndarray:
    """Results of an operator for every input, (256,) int8 by the input's bits.

    Args:
        kind: `QUANTIZE`, `RELU`, `RELU6`, `LOGISTIC` or `HARD_SWISH`.
        source: the input.
        target: the output.
        limits: of the output.
    """
    values = np.arange(256, dtype=np.uint8)
    numbers = (values if source.dtype == "UINT8" else values.view(np.int8)).astype(np.int64)
    numbers -= source.zero
    if kind == "LOGISTIC":
        results = np.array([logistic(int(n), float(source.scale)) for n in numbers])
    elif kind == "HARD_SWISH":
        results = limits.zero + np.array(
            [hard_swish(int(n), source.scale, target.scale) for n in numbers]
        )
    else:
        multiplier, shift = multiplier_of(float(source.scale) / float(target.scale))
        results = limits.zero + rescaled(numbers, multiplier, shift)
    return np.clip(results, limits.low, limits.high).astype(np.uint8).view(np.int8)


def logistic(number: int, scale: float) -> int:
    """1 / (1 + exp(-x)) of x = number x scale, in steps of 1/256, less 128."""
    multiplier, shift = multiplier_of(scale * 2**27)
    radius = math.floor(15 * 2**27 / 2**shift)
    if abs(number) >= radius:
        return 127 if number > 0 else -128
    high = high_product(number << max(shift, 0), multiplier)
    value = shifted_right(high, max(-shift, 0))
    if value == 0:
        result = 2**30
    else:
        result = inverse_of_one_plus(exp_of_negative(-abs(value), 4))
        result = result if value > 0 else 2**31 - 1 - result
    return min(shifted_right(result, 23) - 128, 127)


def hard_swish(number: int, scale: np.float32, result_scale: np.float32) -> int:
    """X relu6(x + 3) / 6 of x = number x scale, in steps of the result's scale, in 16 bits.

    Source: the definition of hard-swish for 8 bits in LiteRT's reference kernels.
    """
    fine = np.float32(1 / 128) * scale
    multiplier, exponent = _short_multiplier(float(fine / result_scale))
    gate_multiplier, gate_exponent = _short_multiplier(float(fine / np.float32(3 / 32768)))
    shifted = number * 128
    value = _short_product(shifted, multiplier)
    # The gate relu6(x + 3) / 6 from 0 to 1. Its last shift may saturate, where the gate is open.
    gate = _saturated(shifted << max(gate_exponent - 1, 0))
    gate = _short_product(gate, gate_multiplier)
    if gate_exponent > 0:
        gate = _saturated(gate << 1)
    gate = (shifted_right(gate, max(-gate_exponent, 0)) + _HALF_WORD) >> 1
    product = abs(gate * value) // _HALF_WORD  # towards zero
    return shifted_right(product if gate * value >= 0 else -product, -exponent)


def _short_multiplier(factor: float) -> tuple[int, int]:
    """A factor with 15 bits, and its shift."""
    multiplier, shift = multiplier_of(factor)
    return min((multiplier + _HALF_WORD) >> 16, _HALF_WORD - 1), shift


def _short_product(one: int, other: int) -> int:
    """The upper 16 bits of twice a product, rounded half up."""
    return (one * other + 2**14) >> 15


def _saturated(value: int) -> int:
    return min(max(value, -_HALF_WORD), _HALF_WORD - 1)
