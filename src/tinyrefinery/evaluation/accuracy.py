"""Top-k and per-class accuracy."""

import numpy as np

_BLOCK = 1 << 22  # numbers compared at once: bounds the memory of the comparison


def label_ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of the label among all classes, 0 = most probable; (N,) int64.

    Among ties the lower class number comes first. So ranks are reproducible and rank 0 agrees with
    `argmax`.

    Args:
        probabilities: (N, K), or any scores that increase with probability.
        labels: (N,) class numbers in [0, K).
    """
    ranks = np.empty(len(labels), np.int64)
    classes = np.arange(probabilities.shape[1])
    step = max(1, _BLOCK // max(1, len(classes)))
    for start in range(0, len(labels), step):
        scores, label = probabilities[start : start + step], labels[start : start + step, None]
        label_score = np.take_along_axis(scores, label, axis=1)  # (b, 1)
        ahead = (scores > label_score) | ((scores == label_score) & (classes < label))  # (b, K)
        ranks[start : start + step] = ahead.sum(axis=1)
    return ranks


def top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows whose label is among the `min(k, K)` most probable classes, in [0, 1].

    Raises:
        ValueError: if there are no rows.
    """
    if not len(labels):
        raise ValueError("accuracy needs at least one row")
    return float(np.mean(label_ranks(probabilities, labels) < k))


def per_category(correct: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
    """Number of rows and accuracy per category.

    Args:
        correct: (N,) bool.
        labels: (N,) class numbers.
        classes: K.

    Returns:
        (K,) int64 counts and (K,) float64 accuracies; NaN for categories without rows.
    """
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    return counts, np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)
