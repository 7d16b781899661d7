"""Three bands of predicted labels, accept, review and reject, and the thresholds between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log

import numpy as np

from tinyrefinery.statistics.proportions import least_share

STEPS = 8
"""Our choice: thresholds tried per class. With more, chance successes are more likely, and ruling
them out takes more audited images. With fewer, the best threshold may be missed."""
ACCEPT, REVIEW, REJECT = "accept", "review", "reject"


@dataclass(frozen=True)
class Threshold:
    """The smallest probability at which labels of a class are accepted, with its evidence."""

    category: str
    bound: float | None
    """Smallest probability. None if no threshold keeps the precision: people review this class."""
    hits: int
    """Number of audited images at or above it with correct predictions of the class."""
    n: int
    """Number of audited images at or above it with predictions of the class."""
    low: float
    """Lower bound of the precision on these images, see `choose_threshold`."""


def choose_threshold(
    category: str,
    probabilities: np.ndarray,
    right: np.ndarray,
    *,
    precision: float,
    least: int,
    confidence: float = 0.95,
) -> Threshold:
    """Choose the smallest probability at which one class keeps a precision.

    `STEPS` thresholds are tried that accept evenly growing numbers of images. The result is the one
    that accepts most images among those with a lower bound (Clopper and Pearson) of at least the
    precision. The bound is exact, and its error level is divided among the thresholds (Bonferroni).
    So if the true precision is too low at every threshold, one is chosen with a probability of at
    most 1 - `confidence`. Thresholds with too few images for a proof are not tried. If there are
    none with enough, only the threshold that accepts all images is tried.

    Args:
        category: the class, for the record.
        probabilities: (n,) of audited images predicted as the class.
        right: (n,) bool, whether these predictions are correct.
        precision: the precision to keep.
        least: smallest number of audited images.
        confidence: probability that no threshold with a lower true precision is chosen.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(right[order])
    n = len(ranked)
    counts = _candidate_counts(n, precision, least, confidence) if n >= least else []
    level = (1 - confidence) / max(1, len(counts))
    for count in counts:
        # A threshold accepts all images of equal probability.
        count = int(np.searchsorted(-ranked, -ranked[count - 1], side="right"))
        correct = int(hits[count - 1])
        if (low := least_share(correct, count, level)) >= precision:
            return Threshold(category, float(ranked[count - 1]), correct, count, low)
    all_correct = int(hits[-1]) if n else 0
    return Threshold(category, None, all_correct, n, least_share(all_correct, n, level))


def _candidate_counts(n: int, precision: float, least: int, confidence: float) -> list[int]:
    """How many of n images each threshold accepts, the most first, independent of their labels."""
    level = (1 - confidence) / STEPS
    # The fewest images that prove the precision if all of them are correct.
    enough = max(least, ceil(log(level) / log(precision)))
    if n < enough:
        return [n]
    return [int(count) for count in np.unique(np.linspace(enough, n, STEPS).astype(int))[::-1]]


def choose_thresholds(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    precision: float = 0.98,
    least: int = 100,
    confidence: float = 0.95,
) -> list[Threshold]:
    """Choose a threshold for each class from human-labeled images.

    Args:
        probabilities: (n, K).
        labels: (n,) true classes.
        classes: K names.
        precision: the precision that each class must keep.
        least: smallest number of audited images per class.
        confidence: see `choose_threshold`.
    """
    predicted, probability = probabilities.argmax(axis=1), probabilities.max(axis=1)
    limits = {"precision": precision, "least": least, "confidence": confidence}
    thresholds = []
    for number, category in enumerate(classes):
        of_class = predicted == number
        right = labels[of_class] == number
        thresholds.append(choose_threshold(category, probability[of_class], right, **limits))
    return thresholds


@dataclass(frozen=True)
class Bands:
    """The bands of N images."""

    band: np.ndarray = field(repr=False)
    """(N,) accept, review or reject."""
    predicted: np.ndarray = field(repr=False)
    """(N,) most probable class."""
    probability: np.ndarray = field(repr=False)
    """(N,) its probability."""

    def rows(self, band: str) -> np.ndarray:
        """Rows of the images in a band."""
        return np.flatnonzero(self.band == band)


def into_bands(
    probabilities: np.ndarray, thresholds: Sequence[Threshold], reject_below: float = 0.0
) -> Bands:
    """Accept images at or above their class's threshold, reject those of no class, review the rest.

    Args:
        probabilities: (N, K).
        thresholds: one per class.
        reject_below: images with a lower highest probability show no class.
    """
    predicted, probability = probabilities.argmax(axis=1), probabilities.max(axis=1)
    bounds = np.array([np.inf if t.bound is None else t.bound for t in thresholds])
    not_accepted = np.where(probability < reject_below, REJECT, REVIEW)
    band = np.where(probability >= bounds[predicted], ACCEPT, not_accepted)
    return Bands(band, predicted, probability)
