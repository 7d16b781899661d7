"""How good labels are, where the true distribution of each crop is known."""

import numpy as np

FLOOR = 1e-3  # our choice: share of uniform mixed in, so that a one-hot label has a finite distance


def label_quality(
    labels: np.ndarray, truth: np.ndarray, floor: float = FLOOR
) -> dict[str, float | int]:
    """Compare labels with the truth of the same crops, averaged over crops.

    KL and cross-entropy need a label that is positive wherever the truth is. So both use
    `(1 - floor) * label + floor / K`; it changes a soft label little and makes a confidently wrong
    one-hot label cost about ln(K / floor) rather than infinity. The others use labels as they are.

    Args:
        labels: (N, K), rows sum to one.
        truth: (N, K), rows sum to one.
        floor: share of uniform that is mixed into the labels, in (0, 1).

    Returns:
        `n`; `kl`: KL(truth || label) in nats, >= 0; `cross_entropy`: kl + truth_entropy, nats;
        `total_variation`: half the L1 distance, in [0, 1]; `top1_agreement`: share of crops whose
        most probable class in the label (the lowest number among equals) is one of the most
        probable ones in the truth, in [0, 1]; `entropy` and `truth_entropy` in nats;
        `floor`.

    Raises:
        ValueError: when the shapes differ, there are no rows, or rows don't sum to one.
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
    """KL(truth || label) of each crop in nats, (N,), >= 0; as in `label_quality`, not averaged."""
    labels, truth = _pair(labels, truth)
    return np.maximum(_cross_entropy(labels, truth, floor) - entropy(truth), 0)


def _cross_entropy(labels: np.ndarray, truth: np.ndarray, floor: float) -> np.ndarray:
    mixed = (1 - floor) * labels + floor / labels.shape[1]
    return -(truth * np.log(mixed)).sum(axis=1)


def entropy(distributions: np.ndarray) -> np.ndarray:
    """Entropy of each row in nats, (N,), in [0, ln K]; 0 ln 0 = 0."""
    logs = np.log(np.where(distributions > 0, distributions, 1.0))
    return -(distributions * logs).sum(axis=1)


def _tops(distributions: np.ndarray) -> np.ndarray:
    """Which classes share the highest probability of their row, (N, K) bool.

    Crop truth often has exact ties (a hidden digit leaves ten classes equal); none of them is more
    right than another. Differences below 1e-9 are rounding.
    """
    return distributions >= distributions.max(axis=1, keepdims=True) - 1e-9


def _pair(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, truth = _distributions(labels, "labels"), _distributions(truth, "truth")
    if labels.shape != truth.shape:
        raise ValueError(f"labels {labels.shape} and truth {truth.shape} differ in shape")
    return labels, truth


def _distributions(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as float64 with rows rescaled to sum to exactly one, refused when far from it."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"{name} must be (N, K) with N > 0, not {values.shape}")
    sums = values.sum(axis=1, keepdims=True)
    if not (np.abs(sums - 1) < 1e-3).all() or (values < 0).any():
        raise ValueError(f"{name} must be distributions: rows >= 0 that sum to one")
    return values / sums
