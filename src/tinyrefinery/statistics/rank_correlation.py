"""Rank correlation: how well one quantity predicts the order of another."""

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from tinyrefinery.random import generator
from tinyrefinery.statistics.ranks import midranks

MOST_ORDERS = 9999  # with up to 7 pairs the test uses all orders, beyond that this many random ones
ROUNDING = 1e-9  # orders with equal rho differ in the last bits


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho with the p value of a permutation test."""

    rho: float
    """-1 to 1; ties get their mean rank."""
    p: float
    """Two-sided: share of all orders with an |rho| at least as large."""
    n: int


def rank_correlation(a: np.ndarray, b: np.ndarray) -> RankCorrelation | None:
    """Spearman's rank correlation with its permutation test.

    Args:
        a: (n,) numbers.
        b: (n,) numbers in the same order.

    Returns:
        None if there is nothing to order: fewer than three pairs, or all values equal.

    Raises:
        ValueError: if lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values must have equal lengths, not {len(a)} and {len(b)}")
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    ranks_a, ranks_b = _standardized_ranks(a), _standardized_ranks(b)
    rho = float(ranks_a @ ranks_b)
    # (orders, n) @ (n,): rho of every reordering of `a`
    at_least_as_large = np.abs(ranks_a[_orders(len(a))] @ ranks_b) >= abs(rho) - ROUNDING
    return RankCorrelation(rho, float(at_least_as_large.mean()), len(a))


def _orders(n: int) -> np.ndarray:
    """Orders of n items, (orders, n), the original first: all of them or, if too many, a sample."""
    if factorial(n) <= MOST_ORDERS:
        return np.array(list(permutations(range(n))))
    random = generator(0, "rank correlation")
    return np.array([np.arange(n), *(random.permutation(n) for _ in range(MOST_ORDERS))])


def _standardized_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks with mean zero and norm one, so that rho is a dot product."""
    ranks = midranks(values) - (len(values) + 1) / 2
    return ranks / np.linalg.norm(ranks)
