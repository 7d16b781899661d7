"""Quality of labels, measured against the true distribution of each crop."""

import numpy as np

FLOOR = 1e-3  # our choice: share of uniform mixed in, which keeps the KL of one-hot labels finite


def label_quality(
    labels: np.ndarray, truth: np.ndarray, floor: float = FLOOR
) -> dict[str, float | int]:
    """Compare labels with the true labels of the same crops. All results are means over crops.

    KL and cross-entropy need labels that are positive wherever the truth is. So both use
    `(1 - floor) * label + floor / K`. This changes soft labels little, and a confident wrong
    one-hot label costs about ln(K / floor) instead of infinity. The other measures use the labels
    unchanged.

    Args:
        labels: (N, K), rows sum to one.
        truth: (N, K), rows sum to one.
        floor: share of uniform mixed into the labels, in (0, 1).

    Returns:
        `n`; `kl`: KL(truth || label) in nats, >= 0; `cross_entropy`: kl + truth_entropy, in nats;
        `total_variation`: half the L1 distance, in [0, 1]; `top1_agreement`: share of crops where
        the label's most probable class (the lowest number among ties) is among the most probable
        classes of the truth, in [0, 1]; `entropy` and `truth_entropy` in nats; `floor`.

    Raises:
        ValueError: if shapes differ, there are no rows, or rows don't sum to one.
    """
    labels, truth = _pair(labels, truth)
    cross_entropy = float(_cross_entropy(labels, truth, floor).mean())
    truth_entropy = float(entropy(truth).mean())
    return {
        "n": len(labels),
        "kl": max(0.0, cross_entropy - truth_entropy),
        "cross_entropy": cross_entropy,
        "total_variation": float(np.abs(labels - truth).sum(axis=1).mean() / 2),
        "top1_agreement": float(_tops(truth)[np.arange(len(labels)), labels.argmax(axis=1)].mean()),
        "entropy": float(entropy(labels).mean()),
        "truth_entropy": truth_entropy,
        "floor": floor,
    }


def label_kl(labels: np.ndarray, truth: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """KL(truth || label) per crop in nats, (N,), >= 0; `label_quality` has its mean."""
    labels, truth = _pair(labels, truth)
    return np.maximum(_cross_entropy(labels, truth, floor) - entropy(truth), 0)


def _cross_entropy(labels: np.ndarray, truth: np.ndarray, floor: float) -> np.ndarray:
    mixed = (1 - floor) * labels + floor / labels.shape[1]
    return -(truth * np.log(mixed)).sum(axis=1)


def entropy(distributions: np.ndarray) -> np.ndarray:
    """Entropy per row in nats, (N,), in [0, ln K]; 0 ln 0 = 0."""
    logs = np.log(np.where(distributions > 0, distributions, 1.0))
    return -(distributions * logs).sum(axis=1)


def _tops(distributions: np.ndarray) -> np.ndarray:
    """Classes with the highest probability of their row, ties included, (N, K) bool.

    True crop labels often have exact ties: ten of them if the digit is hidden. Any of these classes
    is correct. Differences below 1e-9 count as rounding.
    """
    return distributions >= distributions.max(axis=1, keepdims=True) - 1e-9


def _pair(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, truth = _distributions(labels, "labels"), _distributions(truth, "truth")
    if labels.shape != truth.shape:
        raise ValueError(f"labels {labels.shape} and truth {truth.shape} differ in shape")
    return labels, truth


def _distributions(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as float64, rows rescaled to sum to exactly one.

    Raises:
        ValueError: if `values` are not close to distributions.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"{name} must be (N, K) with N > 0, not {values.shape}")
    sums = values.sum(axis=1, keepdims=True)
    if not (np.abs(sums - 1) < 1e-3).all() or (values < 0).any():
        raise ValueError(f"{name} must be distributions: values >= 0, rows that sum to one")
    return values / sums
