"""How well one quantity foretells the order of another."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import permutation_test, rankdata

MOST_ORDERS = 9999  # up to 7 pairs all orders are gone through, beyond that so many drawn ones


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

    def size(x: np.ndarray, axis: int) -> np.ndarray:
        return np.abs((x * second).sum(axis=axis))

    found = permutation_test(
        (first,),
        size,
        permutation_type="pairings",
        alternative="greater",
        vectorized=True,
        n_resamples=MOST_ORDERS,
        random_state=np.random.default_rng(0),
    )
    return RankCorrelation(float(first @ second), float(found.pvalue), len(a))


def _standard(values: np.ndarray) -> np.ndarray:
    """Ranks with mean zero and length one, so that rho is a sum of products."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    return ranks / np.linalg.norm(ranks)
