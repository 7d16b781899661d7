"""Fixed point: definitions by exact fractions, functions by those of the math library."""

import math
from fractions import Fraction

import numpy as np
import pytest

from tinyrefinery.deploy.integer.fixed_point import (
    exp_of_negative,
    inverse_of_one_plus,
    multiplier_of,
    reciprocal,
    rescaled,
    softmax_exponentials,
)


@pytest.mark.parametrize("factor", [0.0, 2.0**-40, 0.3, 0.5, 0.999999999999, 1.0, 1.7, 300.0])
def test_a_factor_has_31_bits(factor):
    multiplier, shift = multiplier_of(factor)
    assert multiplier == 0 or 2**30 <= multiplier < 2**31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(factor, rel=2**-31, abs=2**-32)


def _rounded(value: Fraction) -> int:
    """Half away from zero."""
    size = math.floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def test_products_are_rounded_twice():
    draws = np.random.default_rng(0)
    values = draws.integers(-(2**22), 2**22, 3000)
    values[:600] = draws.integers(-3, 4, 600) << 8  # many halves
    for factor in (2.0**-9, 1 / 3, 0.0007, 1.5, 6.25):
        multiplier, shift = multiplier_of(factor)
        found = rescaled(values, multiplier, shift)
        for value, result in zip(values.tolist(), found.tolist(), strict=True):
            shifted = value * 2 ** max(shift, 0)
            high = math.floor(Fraction(shifted * multiplier, 2**31) + Fraction(1, 2))
            assert result == _rounded(Fraction(high, 2 ** max(-shift, 0)))


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_exponentials(integer_bits):
    unit = 2 ** (31 - integer_bits)
    for x in (0.0, 1e-6, 0.1, 0.25, 0.9, 1.0, 3.3, 7.77, 15.5):
        found = exp_of_negative(-round(x * unit), integer_bits) / 2**31
        assert found == pytest.approx(math.exp(-x), abs=3e-7)


def test_inverses():
    for x in (1, 1.3, 1.999, 2, 77.7, 500):
        number = round(x * 2**19)
        inverse, exponent = reciprocal(number)
        assert inverse / 2**31 / 2**exponent == pytest.approx(2**19 / number, rel=1e-8)
    assert inverse_of_one_plus(0) == 2**31 - 1
    assert inverse_of_one_plus(2**31 - 1) / 2**31 == pytest.approx(0.5, abs=1e-8)


def test_the_table_of_a_softmax():
    table = softmax_exponentials(0.13, 1.0) / 2**31
    assert np.abs(table - np.exp(-0.13 * np.arange(256))).max() < 3e-7
    assert softmax_exponentials(2.0, 1.0)[16:].max() == 0
