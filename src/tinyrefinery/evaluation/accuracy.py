"""How often the right class is among the most probable ones, and how sure that share is."""

import numpy as np

_BLOCK = 1 << 22  # numbers compared at once, so that a thousand classes need no second big array


def label_ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Place of the labelled class among all classes, 0 = most probable; (N,) int64.

    Ties go to the class with the lower number, so that equal numbers always give equal ranks and
    rank 0 means the same class as `argmax`.

    Args:
        probabilities: (N, K); any scores that grow with belief will do.
        labels: (N,) class numbers in [0, K).
    """
    ranks = np.empty(len(labels), np.int64)
    classes = np.arange(probabilities.shape[1])
    step = max(1, _BLOCK // max(1, len(classes)))
    for start in range(0, len(labels), step):
        block, own = probabilities[start : start + step], labels[start : start + step, None]
        score = np.take_along_axis(block, own, axis=1)
        ahead = (block > score) | ((block == score) & (classes < own))
        ranks[start : start + step] = ahead.sum(axis=1)
    return ranks


def top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows whose label is among the `min(k, K)` most probable classes, in [0, 1].

    Raises:
        ValueError: when there are no rows.
    """
    if not len(labels):
        raise ValueError("accuracy of no rows is undefined")
    return float(np.mean(label_ranks(probabilities, labels) < k))


def per_category(correct: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
    """Count and accuracy of each category.

    Args:
        correct: (N,) bool.
        labels: (N,) class numbers.
        classes: K.

    Returns:
        (K,) int64 counts and (K,) float64 accuracies, NaN where a category has no rows.
    """
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    return counts, np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)
