"""How much the labels of different crops of an image differ, and how much two labelings differ."""

import numpy as np

from tinyrefinery.evaluation.label_quality import entropy

_TINY = float(np.finfo(np.float32).tiny)  # a softmax in float32 can reach 0


def crop_disagreement(labels: np.ndarray) -> dict[str, float | int]:
    """Measure how much the labels of an image's crops differ, averaged over images.

    Args:
        labels: (S, N, K), S >= 2 crops of each of N images, rows sum to one.

    Returns:
        `images`: N; `crops`: S; `entropy`: mean entropy of the labels in nats, in [0, ln K];
        `effective_classes`: its exponential, in [1, K], the number of equally likely classes that
        are as uncertain; `pairs_disagree`: share of the pairs of crops of one image whose most
        probable classes differ, in [0, 1]; `kl_to_mean`: mean of KL(label || mean label of its
        image) in nats, from 0 to ln S (the generalized Jensen-Shannon divergence of an image's
        labels).

    Raises:
        ValueError: when there is no pair of crops, or there are no images.
    """
    crops, images, _ = labels.shape
    if crops < 2 or not images:
        raise ValueError(f"labels must be of two or more crops of an image, not {labels.shape}")
    entropies = np.stack([entropy(stream.astype(np.float64)) for stream in labels])  # (S, N)
    mean = labels.mean(axis=0, dtype=np.float64)  # (N, K)
    uncertainty = float(entropies.mean())
    return {
        "images": images,
        "crops": crops,
        "entropy": uncertainty,
        "effective_classes": float(np.exp(uncertainty)),
        "pairs_disagree": float(pairs_disagree(labels.argmax(axis=2)).mean()),
        "kl_to_mean": float(np.maximum(entropy(mean) - entropies.mean(axis=0), 0).mean()),
    }


def pairs_disagree(tops: np.ndarray) -> np.ndarray:
    """Share of the pairs of crops of each image with different most probable classes.

    Args:
        tops: (S, N) most probable class of each crop, S >= 2.

    Returns:
        (N,) float64 in [0, 1].
    """
    crops = len(tops)
    different = sum((tops[i] != tops[i + 1 :]).sum(axis=0) for i in range(crops - 1))
    return np.asarray(different / (crops * (crops - 1) / 2), np.float64)


def movement(labels: np.ndarray, others: np.ndarray) -> dict[str, float | int]:
    """Measure the difference between two labelings of the same crops.

    Args:
        labels: (N, K), rows sum to one.
        others: (N, K), the other labels of the same crops.

    Returns:
        `n`; `top1_changed`: share of crops whose most probable class differs, in [0, 1];
        `total_variation`: half the L1 distance, in [0, 1]; `kl`: KL(labels || others) in nats,
        where zeros in `others` count as the smallest normal float32.

    Raises:
        ValueError: when the shapes differ or there are no rows.
    """
    if labels.shape != others.shape or not len(labels):
        raise ValueError(f"labels {labels.shape} and {others.shape} are not of the same crops")
    a, b = labels.astype(np.float64), others.astype(np.float64)
    cross = -(a * np.log(np.maximum(b, _TINY))).sum(axis=1)
    return {
        "n": len(a),
        "top1_changed": float((a.argmax(axis=1) != b.argmax(axis=1)).mean()),
        "total_variation": float(np.abs(a - b).sum(axis=1).mean() / 2),
        "kl": float(np.maximum(cross - entropy(a), 0).mean()),
    }
