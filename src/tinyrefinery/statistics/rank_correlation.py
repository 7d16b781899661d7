"""How well one quantity foretells the order of another."""

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from scipy.stats import rankdata

from tinyrefinery.random import generator

MOST_ORDERS = 9999  # up to 7 pairs all orders are gone through, beyond that so many drawn ones
ROUNDING = 1e-9  # orders of equal rho differ in the last bits


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho, and how seldom chance does as well."""

    rho: float
    """-1 to 1; ties share their mean rank."""
    p: float
    """Share of all orders whose |rho| is no smaller: two-sided."""
    n: int


def rank_correlation(a: np.ndarray, b: np.ndarray) -> RankCorrelation | None:
    """Spearman's rank correlation with its permutation test.

    Args:
        a: (n,) numbers.
        b: (n,) numbers in the same order.

    Returns:
        None where there is nothing to order: fewer than three pairs, or all of one value.

    Raises:
        ValueError: when lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values must come in pairs, not {len(a)} and {len(b)}")
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    first, second = _standard(a), _standard(b)

    rho = float(first @ second)
    as_good = np.abs(first[_orders(len(first))] @ second) >= abs(rho) - ROUNDING
    return RankCorrelation(rho, float(as_good.mean()), len(a))


def _orders(n: int) -> np.ndarray:
    """All orders of n things, the given one first; where they are too many, that and drawn ones."""
    if factorial(n) <= MOST_ORDERS:
        return np.array(list(permutations(range(n))))
    draw = generator(0, "rank correlation")
    return np.array([np.arange(n), *(draw.permutation(n) for _ in range(MOST_ORDERS))])


def _standard(values: np.ndarray) -> np.ndarray:
    """Ranks with mean zero and length one, so that rho is a sum of products."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    return ranks / np.linalg.norm(ranks)
