"""Inference on proportions: confidence intervals, exact tests, required sample size.

Images count as independent. Intervals are two-sided. A bound is proven when the whole interval
satisfies it.
"""

from collections.abc import Sequence
from math import inf, sqrt

MOST_IMAGES = 10_000_000
"""Upper limit of the search for the required sample size."""

Interval = tuple[float, float]


def wilson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of `hits` in `n` images; (0, 1) for no images."""
    if not n:
        return 0.0, 1.0
    low, high = wilson_interval(hits / n, n, confidence)
    # At no hits and at all hits the outer end is exact. Remove the rounding error.
    return 0.0 if hits == 0 else low, 1.0 if hits == n else high


def least_share(hits: int, n: int, level: float) -> float:
    """The exact lower bound of Clopper and Pearson (1934); 0 for no hits.

    Args:
        hits: images that count.
        n: all images.
        level: one-sided error rate: how often at most the true share is below the bound, in (0, 1).
    """
    from scipy.special import betaincinv  # takes a moment to import

    return float(betaincinv(hits, n - hits + 1, level)) if hits else 0.0


def newcombe(hits: tuple[int, int], n: tuple[int, int], confidence: float = 0.95) -> Interval:
    """Interval of share 1 minus share 2, for two disjoint sets of images.

    Newcombe (1998), "Interval estimation for the difference between independent proportions",
    method 10: the distances to the Wilson limits of both, squared and added. (-1, 1) if a set is
    empty.
    """
    if not all(n):
        return -1.0, 1.0
    share_1, share_2 = hits[0] / n[0], hits[1] / n[1]
    low_1, high_1 = wilson_interval(share_1, n[0], confidence)
    low_2, high_2 = wilson_interval(share_2, n[1], confidence)
    difference = share_1 - share_2
    return (
        difference - sqrt((share_1 - low_1) ** 2 + (high_2 - share_2) ** 2),
        difference + sqrt((high_1 - share_1) ** 2 + (share_2 - low_2) ** 2),
    )


def newcombe_paired(
    both: int, first: int, second: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Interval of share 1 minus share 2, for two networks on the same images.

    Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10: as `newcombe`, with the correlation of the pairs.

    Args:
        both: images that both networks get right.
        first: images that only the first gets right.
        second: images that only the second gets right.
        neither: images that neither gets right.
        confidence: of the interval.
    """
    n = both + first + second + neither
    share_1, share_2 = (both + first) / n, (both + second) / n
    low_1, high_1 = wilson_interval(share_1, n, confidence)
    low_2, high_2 = wilson_interval(share_2, n, confidence)
    phi = _phi(both, first, second, neither)
    difference = (first - second) / n
    return (
        difference - _correlated_sum(share_1 - low_1, high_2 - share_2, phi),
        difference + _correlated_sum(high_1 - share_1, share_2 - low_2, phi),
    )


def _correlated_sum(a: float, b: float, phi: float) -> float:
    """Root of the sum of squares of two half-widths with correlation `phi`."""
    return sqrt(max(0.0, a**2 - 2 * phi * a * b + b**2))


def _phi(both: int, first: int, second: int, neither: int) -> float:
    """Correlation of the pairs: 0 if a margin is empty, continuity-corrected if positive."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    cross = both * neither - first * second
    if cross > 0:
        cross = max(0.0, cross - (both + first + second + neither) / 2)
    return cross / sqrt(margins)


def mcnemar(first: int, second: int) -> float:
    """Exact two-sided p value for a difference between two networks on the same images.

    McNemar's test with the binomial distribution. Null hypothesis: among the images that only one
    network gets right, each network is that one with probability one half.

    Args:
        first: images that only the first network gets right.
        second: images that only the second gets right.
    """
    total = first + second
    if not total:
        return 1.0
    from scipy.special import bdtr  # takes a moment to import

    return min(1.0, 2.0 * float(bdtr(min(first, second), total, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for multiple tests, in the order given: Holm's (1979) step-down method."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running_max = 0.0
    for rank, i in enumerate(order):
        running_max = max(running_max, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running_max
    return adjusted


def images_to_prove(
    hits: int, n: int, bound: float, *, confidence: float = 0.95, faultless: bool
) -> int | None:
    """How many more images would prove that a share is at least `bound`.

    For a share that must be at most `bound`, pass the misses and `1 - bound`.

    Args:
        hits: so far.
        n: images so far.
        bound: in [0, 1].
        confidence: of the interval.
        faultless: whether all further images are hits; else the hit rate stays as it is.

    Returns:
        The number, or None if even `MOST_IMAGES` are too few.
    """

    def proves(more: int) -> bool:
        share = (hits + more) / (n + more) if faultless else hits / n
        return wilson_interval(share, n + more, confidence)[0] >= bound

    if proves(0):
        return 0
    if not proves(MOST_IMAGES):
        return None
    # Double until it is enough, then bisect.
    too_few, enough = 0, 1
    while not proves(enough):
        too_few, enough = enough, min(2 * enough, MOST_IMAGES)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if proves(middle) else (middle, enough)
    return enough


def largest_absolute(interval: Interval) -> float:
    """The largest absolute value in an interval."""
    return max(abs(interval[0]), abs(interval[1]))


def smallest_absolute(interval: Interval) -> float:
    """The smallest absolute value in an interval."""
    low, high = interval
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high), inf)


def wilson_interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) score interval of a share of `n` independent rows, inside [0, 1].

    It covers the uncertainty from the finite test set, not the variation over seeds.
    """
    from scipy.special import ndtri  # takes a moment to import

    z = float(ndtri((1 + confidence) / 2))
    scale = 1 + z**2 / n
    center = (share + z**2 / (2 * n)) / scale
    half = z / scale * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)
