"""Which samples the generations of a chain changed their minds about most (Figures 7 and 8).

The samples that a report shows are chosen by this rule, never by hand.
"""

import numpy as np

TOP = 3


def top_change(distributions: np.ndarray, top: int = TOP) -> np.ndarray:
    """How far the top classes of each sample moved from the first to the last generation.

    Of a distribution its `top` most probable classes are kept (the lowest number among equals), and
    the mass of all others is one further outcome. The change is the total variation distance
    between the first generation's and the last one's.

    Args:
        distributions: (G, N, K), G >= 2 generations' probabilities of the same samples.
        top: how many classes are kept.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        ValueError: with fewer than two generations.
    """
    if len(distributions) < 2:
        raise ValueError("a change needs two generations")
    first, last = (_kept(distributions[i], top) for i in (0, -1))
    return np.abs(first - last).sum(axis=1) / 2


def most_changed(distributions: np.ndarray, rows: np.ndarray, count: int = 1) -> np.ndarray:
    """Places of the samples that changed most, the largest change first, ties by row.

    Args:
        distributions: (G, N, K), see `top_change`.
        rows: (N,) manifest row of each sample.
        count: how many, at most.

    Returns:
        (min(count, N),) int64 places in the N samples.
    """
    change = top_change(distributions).round(12)  # what differs by rounding alone is a tie
    return np.lexsort((rows, -change))[:count]


def _kept(probabilities: np.ndarray, top: int) -> np.ndarray:
    """The top classes' probabilities in place, zero elsewhere, and the rest in column K."""
    values = probabilities.astype(np.float64)
    keep = np.argsort(-values, axis=1, kind="stable")[:, :top]
    kept = np.zeros((len(values), values.shape[1] + 1))
    np.put_along_axis(kept, keep, np.take_along_axis(values, keep, axis=1), axis=1)
    kept[:, -1] = np.maximum(1 - kept.sum(axis=1), 0)
    return kept
