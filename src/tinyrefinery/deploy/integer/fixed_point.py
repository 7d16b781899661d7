"""Fixed-point arithmetic of int8 networks, as the quantization specification of LiteRT defines it.

A real factor is a whole number of 31 bits and a power of two. Products are rounded twice: first to
the upper 32 of their 64 bits, half up, then by the shift, half away from zero. That is the default
of LiteRT for Microcontrollers. Sources: LiteRT's 8-bit quantization specification; Jacob et al.,
Quantization and Training of Neural Networks, 2018 (arXiv:1712.05877), section 2.2 and appendix B.
"""

import math
from typing import Any, TypeVar

import numpy as np

Whole = TypeVar("Whole", int, np.ndarray)
"""An int, or an int64 array."""
LARGEST = 2**31 - 1
_EXPONENTIALS = (
    (-2, 1672461947),  # exp(-1/4) x 2**31
    (-1, 1302514674),  # exp(-1/2)
    (0, 790015084),  # exp(-1)
    (1, 290630308),  # exp(-2)
    (2, 39332535),  # exp(-4)
    (3, 720401),  # exp(-8)
    (4, 242),  # exp(-16)
)


def multiplier_of(factor: float) -> tuple[int, int]:
    """A factor as (multiplier, shift): multiplier x 2**(shift - 31).

    The multiplier is 0, or from 2**30 to 2**31 - 1. A factor below about 2**-32 becomes 0.
    """
    if factor == 0:
        return 0, 0
    share, shift = math.frexp(factor)
    multiplier = math.floor(share * 2**31 + 0.5)  # exact: a double has 53 bits
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def high_product(one: Whole, other: Whole | int) -> Whole:
    """The upper 32 bits of twice the product of two numbers, rounded half up."""
    product: Any = one * other
    return (product + 2**30) >> 31


def shifted_right(value: int, shift: int) -> int:
    """Divided by 2**shift, rounded half away from zero."""
    return value if shift == 0 else (value + 2 ** (shift - 1) - (value < 0)) >> shift


def rescaled(
    values: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> np.ndarray:
    """Whole numbers times factors, rounded twice.

    Args:
        values: int64, of at most 31 bits after a shift to the left.
        multiplier: of `multiplier_of`; broadcast.
        shift: the same.
    """
    factors, shifts = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    high = high_product(values << left, factors)
    half = np.where(right > 0, (1 << right) >> 1, 0) - ((high < 0) & (right > 0))
    return (high + half) >> right


def exp_of_negative(value: int, integer_bits: int) -> int:
    """exp(x) of x <= 0 with 31 fractional bits.

    Args:
        value: x with `31 - integer_bits` fractional bits.
        integer_bits: 4 or 5.
    """
    if value == 0:
        return LARGEST
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    inner = (value & (quarter - 1)) - quarter  # from -1/4 to 0
    result = _exp_near_zero(inner << integer_bits)
    rest = inner - value
    for exponent, factor in _EXPONENTIALS:
        if exponent < integer_bits and rest & (1 << (fraction + exponent)):
            result = high_product(result, factor)
    return result


def _exp_near_zero(value: int) -> int:
    """exp(x) of x from -1/4 to 0, by Taylor's series around -1/8, all with 31 fractional bits."""
    at_center, third = 1895147668, 715827883  # exp(-1/8) and 1/3
    x = value + 2**28
    x2 = high_product(x, x)
    x3, x4 = high_product(x2, x), high_product(x2, x2)
    terms = shifted_right(high_product(shifted_right(x4, 2) + x3, third) + x2, 1)
    return at_center + high_product(at_center, x + terms)


def softmax_exponentials(scale: float, beta: float) -> np.ndarray:
    """exp(-beta x scale x d) for d from 0 to 255, with 31 fractional bits; 0 where it is too small.

    Args:
        scale: of the logits.
        beta: factor of the logits.
    """
    multiplier, shift = multiplier_of(min(beta * scale * 2**26, float(LARGEST)))
    radius = math.floor(31 * 2**26 / 2**shift)
    differences = [
        high_product(-d << shift, multiplier) if d <= radius else None for d in range(256)
    ]
    values = [0 if d is None else exp_of_negative(d, 5) for d in differences]
    return np.array(values, np.int64)


def reciprocal(total: int) -> tuple[int, int]:
    """1 / x of x >= 1 with 19 fractional bits: a number with 31 fractional bits, and its exponent.

    Returns:
        The inverse of x scaled to [1, 2), and the power of two by which x was divided.
    """
    headroom = 32 - total.bit_length()
    return inverse_of_one_plus((total << headroom) - 2**31), 12 - headroom


def inverse_of_one_plus(value: int) -> int:
    """1 / (1 + x) of x from 0 to 1, both with 31 fractional bits, by Newton's method."""
    half = (value + LARGEST + 1) // 2  # (1 + x) / 2
    inverse = 1515870810 + high_product(half, -1010580540)  # 48/17 - 32/17 h, 29 fractional bits
    for _ in range(3):
        inverse += high_product(inverse, 2**29 - high_product(half, inverse)) << 2
    return min(inverse << 1, LARGEST)
