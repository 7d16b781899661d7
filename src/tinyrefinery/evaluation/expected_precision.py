"""How likely each label is wrong, from threshold samples: labels that are known to be wrong.

Two distributions of the area under the margin (AUM) are known: that of the threshold samples, and
that of the other images, a mixture of right and wrong labels. The share of wrong ones can't be
larger than the smallest ratio of the two below any bound (mixture proportion estimation, Blanchard
et al. 2010). With it, their density ratio gives a probability for each image.
"""

import numpy as np

LEAST = 10
"""Threshold samples below a bound from which its ratio counts. Fewer ones give no estimate. The
smallest of many noisy ratios is rather too small, so the estimate is rather too low."""


def error_probabilities(aum: np.ndarray, threshold_aum: np.ndarray) -> np.ndarray:
    """Probability that each label is wrong, (N,) in [0, 1], never larger for a larger AUM.

    Threshold samples have a random other class. Where people confuse similar classes, wrong labels
    have a larger AUM than that, and the probabilities are too low.

    Args:
        aum: (N,) AUM of the images, in logits, without NaN.
        threshold_aum: (M,) of the threshold samples.

    Returns:
        NaN everywhere with fewer than `LEAST` threshold samples.
    """
    n, m = len(aum), len(threshold_aum)
    if m < LEAST or not n:
        return np.full(n, np.nan)
    from scipy.optimize import isotonic_regression  # here, as few runs have threshold samples

    values = np.concatenate([aum, threshold_aum])
    is_threshold = np.concatenate([np.zeros(n), np.ones(m)])
    order = np.argsort(values, kind="stable")
    share = np.empty(n + m)  # of threshold samples among all with such an AUM
    share[order] = isotonic_regression(is_threshold[order], increasing=False).x
    ratio = share[:n] / np.maximum(1 - share[:n], 1e-9) * n / m
    return np.minimum(1.0, _share_of_errors(aum, threshold_aum) * ratio)


def _share_of_errors(aum: np.ndarray, threshold_aum: np.ndarray) -> float:
    """Estimated share of wrong labels: the smallest ratio of images to threshold samples."""
    counts = np.arange(LEAST, len(threshold_aum) + 1)
    bounds = np.sort(threshold_aum)[counts - 1]
    below = np.searchsorted(np.sort(aum), bounds, side="right") / len(aum)
    return float(min(1.0, np.min(below / (counts / (len(threshold_aum) + 1)))))


def count_worth_checking(expected: np.ndarray, precision: float = 0.5) -> int:
    """How many leading rows of a list to check: the most with this expected precision.

    Args:
        expected: (N,) expected precision of the list from its top to each row.
        precision: share of wrong labels, our choice: as many wrong ones as right ones.
    """
    enough = np.flatnonzero(np.nan_to_num(expected) >= precision)
    return int(enough[-1]) + 1 if len(enough) else 0
