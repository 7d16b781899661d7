"""Numbers as people read them."""

import pytest

from tinyrefinery.pages.numbers import four_digits, gain_points, kilo, nats, percent, signed
from tinyrefinery.statistics.paired import Gain, Spread


def test_spreads():
    assert percent(Spread(0.8126, 0.0044, 3)) == "81.3 ± 0.4"
    assert percent(Spread(-0.01, None, 1)) == "−1.0"
    assert nats(Spread(0.812, 0.01, 3)) == "0.81 ± 0.01"
    assert percent(None) == "–"


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7"), (78_666, "78.7k"), (62_396_000, "62.4M"), (4.1e9, "4.1G"), (None, "–")],
)
def test_counts(count, text):
    assert kilo(count) == text


def test_gains():
    assert gain_points(Gain(0.019, 0.01, 3, 0.008, 0.03, 0.95)) == "+1.9 [+0.8, +3.0]"
    assert gain_points(Gain(-0.003, None, 1, None, None, 0.95)) == "−0.3"
    assert gain_points(None) == "–"
    assert signed(0.0) == "+0.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (16631.7, "16,630"),
        (-16631.7, "-16,630"),
        (9999.4, "9999"),
        (1234567, "1,235,000"),
        (23.4997, "23.5"),
        (0.0597993, "0.0598"),
        (0, "0"),
        (float("nan"), "nan"),
    ],
)
def test_four_digits_without_an_exponent(value, text):
    assert four_digits(value) == text
