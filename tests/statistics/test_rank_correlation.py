"""Rank correlation against SciPy's, and its test against all orders gone through."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from tinyrefinery.statistics.rank_correlation import rank_correlation


@pytest.mark.parametrize("ties", [False, True])
def test_against_scipy_and_all_orders(ties):
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=6), draw.normal(size=6)
    if ties:
        a, b = np.round(a), np.round(2 * b)
    found = rank_correlation(a, b)
    assert found.n == 6
    assert found.rho == pytest.approx(spearmanr(a, b).statistic)
    others = [abs(spearmanr(a[list(order)], b).statistic) for order in permutations(range(6))]
    assert found.p == pytest.approx(np.mean(np.array(others) >= abs(found.rho) - 1e-9))


def test_perfect_order_and_its_reverse():
    a = np.arange(7.0)
    assert rank_correlation(a, a**3).rho == pytest.approx(1)
    turned = rank_correlation(a, -a)
    assert turned.rho == pytest.approx(-1)
    assert turned.p == pytest.approx(2 / 5040)


def test_many_pairs_are_drawn_and_repeatable():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=40), draw.normal(size=40)
    assert rank_correlation(a, b) == rank_correlation(a, b)
    assert 0 < rank_correlation(a, b).p <= 1


def test_nothing_to_order():
    assert rank_correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    with pytest.raises(ValueError, match="equal lengths"):
        rank_correlation(np.ones(3), np.ones(4))
