"""What a finite set of images can show: intervals, exact tests, how many images more would show it.

Shares are of independent images. Intervals are two-sided; a bound counts as shown when the whole
interval lies on its right side.
"""

from collections.abc import Sequence
from math import inf, sqrt

from scipy.special import bdtr, betaincinv, ndtri

MOST_IMAGES = 10_000_000
"""Beyond so many images, a search for how many would prove a bound gives up."""

Interval = tuple[float, float]


def wilson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of `hits` in `n` images; (0, 1) of none."""
    if not n:
        return 0.0, 1.0
    low, high = wilson_interval(hits / n, n, confidence)
    # Rounding leaves a hair's breadth at the ends, where both are exact.
    return 0.0 if hits == 0 else low, 1.0 if hits == n else high


def least_share(hits: int, n: int, level: float) -> float:
    """The exact lower bound of Clopper and Pearson (1934): 0 of none.

    Args:
        hits: images of `n`.
        n: images.
        level: most often, as a share of all sets of images, that the true share is below it.
    """
    return float(betaincinv(hits, n - hits + 1, level)) if hits else 0.0


def newcombe(hits: tuple[int, int], n: tuple[int, int], confidence: float = 0.95) -> Interval:
    """Interval of share 1 minus share 2, of two sets without a common image.

    Newcombe (1998), "Interval estimation for the difference between independent proportions",
    method 10: the Wilson intervals of both, squared and added. (-1, 1) where a set is empty.
    """
    if not all(n):
        return -1.0, 1.0
    one, two = hits[0] / n[0], hits[1] / n[1]
    low_1, high_1 = wilson_interval(one, n[0], confidence)
    low_2, high_2 = wilson_interval(two, n[1], confidence)
    difference = one - two
    return (
        difference - sqrt((one - low_1) ** 2 + (high_2 - two) ** 2),
        difference + sqrt((high_1 - one) ** 2 + (two - low_2) ** 2),
    )


def newcombe_paired(
    both: int, first: int, second: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Interval of share 1 minus share 2 of the same images, judged by two networks.

    Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10: as `newcombe`, with the correlation of the pairs.

    Args:
        both: images that hit with both networks.
        first: that hit with the first only.
        second: that hit with the second only.
        neither: that hit with neither.
        confidence: of the interval.
    """
    n = both + first + second + neither
    one, two = (both + first) / n, (both + second) / n
    low_1, high_1 = wilson_interval(one, n, confidence)
    low_2, high_2 = wilson_interval(two, n, confidence)
    phi = _phi(both, first, second, neither)
    difference = (first - second) / n
    return (
        difference - _joint(one - low_1, high_2 - two, phi),
        difference + _joint(high_1 - one, two - low_2, phi),
    )


def _joint(one: float, two: float, phi: float) -> float:
    return sqrt(max(0.0, one**2 - 2 * phi * one * two + two**2))


def _phi(both: int, first: int, second: int, neither: int) -> float:
    """Correlation of the pairs, 0 where a margin is empty; continuity-corrected when positive."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    cross = both * neither - first * second
    if cross > 0:
        cross = max(0.0, cross - (both + first + second + neither) / 2)
    return cross / sqrt(margins)


def mcnemar(first: int, second: int) -> float:
    """Exact two-sided p value that two networks differ on the same images.

    McNemar's test with the binomial distribution: of the images on which only one of them hits,
    either is as likely to be the one.

    Args:
        first: images that hit with the first network only.
        second: with the second only.
    """
    total = first + second
    if not total:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(first, second), total, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values that may be read together: Holm's (1979) step-down correction, at most 1 each."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted


def images_to_prove(
    hits: int, n: int, bound: float, *, confidence: float = 0.95, faultless: bool
) -> int | None:
    """How many images more would show that a share is at least `bound`; None: none that we know.

    Found by search on the interval itself. For a share that is to be at most `bound`, give the
    misses and `1 - bound`.

    Args:
        hits: so far.
        n: images so far.
        bound: in [0, 1].
        confidence: of the interval.
        faultless: whether every further image hits; else they go on at the rate seen so far.
    """

    def shown(more: int) -> bool:
        share = (hits + more) / (n + more) if faultless else hits / n
        return wilson_interval(share, n + more, confidence)[0] >= bound

    if shown(0):
        return 0
    if not shown(MOST_IMAGES):
        return None
    too_few, enough = 0, 1
    while not shown(enough):
        too_few, enough = enough, min(2 * enough, MOST_IMAGES)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if shown(middle) else (middle, enough)
    return enough


def farthest(interval: Interval) -> float:
    """The largest distance from zero within an interval."""
    return max(abs(interval[0]), abs(interval[1]))


def nearest_to_zero(interval: Interval) -> float:
    """The smallest distance from zero within an interval."""
    low, high = interval
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high), inf)


def wilson_interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share seen in `n` independent rows (Wilson, 1927), inside [0, 1].

    It tells how much the finite test set leaves open; it knows nothing of the spread over seeds.
    """
    z = float(ndtri((1 + confidence) / 2))
    scale = 1 + z**2 / n
    center = (share + z**2 / (2 * n)) / scale
    half = z / scale * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)
